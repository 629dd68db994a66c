"""What holds at which hours of the week and the year, told in local time.

Every zone's offset from UTC, and every moment at which one changes, is a multiple of 15 minutes (tz
database, all zones from 1973 on).  A timetable whose edges are too is constant within each quarter of
an hour of UTC, so the hour that a clock change skips or repeats needs no rule of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

QUARTER_SECONDS = 900
QUARTERS_OF_HOUR = 4
MINUTES_OF_DAY = 1_440
_ALL_DAYS = frozenset(range(7))
_ALL_MONTHS = frozenset(range(1, 13))

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Hours of the week and the year in local time.

    ``from_minute`` to ``to_minute`` of the day, half open, multiples of 15; a span that does not end
    later than it begins goes on past midnight and belongs to each of its days by the clock alone.
    ``weekdays`` count from Monday, 0; ``holidays`` None: like other days, True: only then, False: never.
    """

    from_minute: int = 0
    to_minute: int = MINUTES_OF_DAY
    weekdays: frozenset[int] = _ALL_DAYS
    months: frozenset[int] = _ALL_MONTHS
    holidays: bool | None = None

    def holds(self, local: datetime, *, holiday: bool) -> bool:
        """Whether a local moment lies in it."""
        minute = local.hour * 60 + local.minute
        if self.from_minute < self.to_minute:
            in_hours = self.from_minute <= minute < self.to_minute
        else:
            in_hours = minute >= self.from_minute or minute < self.to_minute
        return (
            in_hours
            and local.month in self.months
            and local.weekday() in self.weekdays
            and self.holidays in {None, holiday}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable(Generic[T]):
    """Values by local time: the first entry that holds, else ``otherwise``."""

    zone: ZoneInfo
    entries: tuple[tuple[When, T], ...] = ()
    otherwise: T
    holidays: frozenset[date] = frozenset()

    def at(self, wall_seconds: int) -> T:
        """What holds at a moment (UTC seconds since 1970)."""
        if not self.entries:
            return self.otherwise
        local = datetime.fromtimestamp(wall_seconds, self.zone)
        holiday = local.date() in self.holidays
        holding = (value for when, value in self.entries if when.holds(local, holiday=holiday))
        return next(holding, self.otherwise)

    def changes(self, hour: int) -> Iterator[int]:
        """The moments inside the UTC hour that begins at ``hour`` at which the value changes."""
        if not self.entries:
            return
        before = self.at(hour)
        for quarter in range(1, QUARTERS_OF_HOUR):
            moment = hour + quarter * QUARTER_SECONDS
            value = self.at(moment)
            if value != before:
                yield moment
            before = value
