"""Dates and times of the file as moments."""

from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from agent.cost.rates import FOREVER_NS
from agent.units import NANOSECONDS_PER_SECOND


def instant_ns(moment: datetime | date, zone: ZoneInfo) -> int:
    """UTC nanoseconds since 1970 of a date (its midnight) or a time in a zone."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.astimezone(UTC).timestamp()) * NANOSECONDS_PER_SECOND


class Dated(Protocol):
    """A record of the file that holds for a time."""

    @property
    def valid_from(self) -> datetime | date | None:
        """First moment; None: it always did."""

    @property
    def valid_to(self) -> datetime | date | None:
        """First moment after the last; None: no end."""


def validity_ns(record: Dated, zone: ZoneInfo) -> tuple[int, int]:
    """When a record holds: [start, end), UTC nanoseconds since 1970."""
    return (
        0 if record.valid_from is None else instant_ns(record.valid_from, zone),
        FOREVER_NS if record.valid_to is None else instant_ns(record.valid_to, zone),
    )
