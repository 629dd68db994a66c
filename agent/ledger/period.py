"""The calendar that money is told in: UTC hours, and months of one IANA zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from agent.units import NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR

HOUR_SECONDS = SECONDS_PER_HOUR
HOUR_NS = NANOSECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month, half open, in UTC seconds since 1970; 671 to 745 hours long."""

    label: str
    start: int
    end: int


@lru_cache(maxsize=64)
def month_of_label(year: int, month: int, zone: ZoneInfo) -> Month:
    """The month ``year``-``month`` (1 to 12) of a zone."""
    following = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004 - months of a year
    return Month(f"{year:04d}-{month:02d}", _edge(year, month, zone), _edge(*following, zone))


def month_at(wall_ns: int, zone: ZoneInfo) -> Month:
    """The month that a moment lies in."""
    local = datetime.fromtimestamp(wall_ns // NANOSECONDS_PER_SECOND, zone)
    return month_of_label(local.year, local.month, zone)


def month_before(month: Month, zone: ZoneInfo) -> Month:
    """The month that ends where this one starts."""
    return month_at((month.start - 1) * NANOSECONDS_PER_SECOND, zone)


@lru_cache(maxsize=1_024)
def day_hours(hour: int, zone: ZoneInfo) -> tuple[int, int]:
    """The UTC hours [first, last) of the local day that an hour begins in (UTC seconds since 1970)."""
    day = datetime.fromtimestamp(hour, zone).date()
    return _first_hour(day, zone), _first_hour(day + timedelta(days=1), zone)


def _first_hour(day: date, zone: ZoneInfo) -> int:
    # Where midnight lies inside a UTC hour, the hour belongs to the day it begins in.
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return -(-int(midnight.timestamp()) // HOUR_SECONDS) * HOUR_SECONDS


def _edge(year: int, month: int, zone: ZoneInfo) -> int:
    # Through UTC: the difference of two aware datetimes of one zone is wall time, not elapsed time.
    return int(datetime(year, month, 1, tzinfo=zone).astimezone(UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of an interval inside one UTC hour and one month."""

    start_ns: int
    end_ns: int
    hour: int
    month: str


def slices(start_ns: int, end_ns: int, zone: ZoneInfo) -> Iterator[Slice]:
    """Cut [start, end) (wall nanoseconds) at each UTC hour and month edge."""
    while start_ns < end_ns:
        hour_ns = start_ns // HOUR_NS * HOUR_NS
        month = month_at(start_ns, zone)
        until = min(end_ns, hour_ns + HOUR_NS, month.end * NANOSECONDS_PER_SECOND)
        yield Slice(start_ns, until, hour_ns // NANOSECONDS_PER_SECOND, month.label)
        start_ns = until
