"""Dates and times of the file as moments."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from agent.units import NANOSECONDS_PER_SECOND


def instant_ns(moment: datetime | date, zone: ZoneInfo) -> int:
    """UTC nanoseconds since 1970 of a date (its midnight) or a time in a zone."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.astimezone(UTC).timestamp()) * NANOSECONDS_PER_SECOND
