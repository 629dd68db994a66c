"""The periods that people ask for, in the calendar of the fleet's zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.ledger.period import HOUR_SECONDS, month_of_label

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
MONTHS_OF_QUARTER = 3


@dataclass(frozen=True, slots=True)
class Period:
    """Local days [first, last), and the same in UTC seconds since 1970.

    ``months`` names the calendar months it consists of when it is made of whole ones: their rows carry
    the month, so they are exact in zones whose midnight lies inside a UTC hour too.
    """

    label: str
    first: date
    last: date
    start: int
    end: int
    months: tuple[str, ...] = ()

    @property
    def hours(self) -> int:
        """Hours of the period, 23 or 25 on the days when clocks change."""
        return (self.end - self.start) // HOUR_SECONDS


def period_of(text: str, zone: ZoneInfo) -> Period:
    """A month ``2026-11``, a quarter ``2026-Q4``, a day ``2026-11-20``, or days ``2026-11-01..2026-11-15``.

    Raises:
        ValueError: it is none of these.
    """
    try:
        if found := _MONTH.fullmatch(text):
            return _months(text, int(found[1]), int(found[2]), 1, zone)
        if found := _QUARTER.fullmatch(text):
            first = (int(found[2]) - 1) * MONTHS_OF_QUARTER + 1
            return _months(text, int(found[1]), first, MONTHS_OF_QUARTER, zone)
        begin, dots, end = text.partition("..")
        if _DAY.fullmatch(begin) and (not dots or _DAY.fullmatch(end)):
            first_day = date.fromisoformat(begin)
            last_day = date.fromisoformat(end) if dots else first_day + timedelta(days=1)
            if first_day < last_day:
                return _days(text, first_day, last_day, zone)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"{text!r} is no period: 2026-11, 2026-Q4, 2026-11-20 or 2026-11-01..2026-11-15 "
        "(the day after the last)"
    )


def period_before(period: Period, zone: ZoneInfo) -> Period:
    """The period of the same kind that ends where this one begins."""
    if len(period.months) in {1, MONTHS_OF_QUARTER}:
        count = len(period.months)
        index = period.first.year * 12 + period.first.month - 1 - count
        year, month = divmod(index, 12)
        label = f"{year:04d}-{month + 1:02d}" if count == 1 else f"{year:04d}-Q{month // 3 + 1}"
        return period_of(label, zone)
    first = period.first - (period.last - period.first)
    return _days(f"{first}..{period.first}", first, period.first, zone)


def local_day(hour: int, zone: ZoneInfo) -> date:
    """The local day that an hour (UTC seconds) begins in."""
    return datetime.fromtimestamp(hour, zone).date()


def _months(label: str, year: int, month: int, count: int, zone: ZoneInfo) -> Period:
    whole = [month_of_label(year, month + number, zone) for number in range(count)]
    after = date(year + (month + count > 12), (month + count - 1) % 12 + 1, 1)  # noqa: PLR2004 - months of a year
    return Period(
        label=label,
        first=date(year, month, 1),
        last=after,
        start=whole[0].start,
        end=whole[-1].end,
        months=tuple(each.label for each in whole),
    )


def _days(label: str, first: date, last: date, zone: ZoneInfo) -> Period:
    return Period(label, first, last, _midnight(first, zone), _midnight(last, zone))


def _midnight(day: date, zone: ZoneInfo) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(local.astimezone(UTC).timestamp())
