"""What a month will have cost when it ends; the rendered rules hold the same formula (docs/cost-model.md).

Spent, plus what the rest of the month costs by the clock (exact, told by the agents), plus what follows
use: its pattern of the last ``window`` repeats, so with seven days each weekday and hour costs what it
cost a week before.  With less than a window of data, its mean goes on; with less than ``minimum``,
nothing is said.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import pstdev

from agent.units import SECONDS_PER_HOUR

HOUR = SECONDS_PER_HOUR
DAY = 86_400
HOURS_PER_DAY = 24
EIGHTY_PERCENT = 1.28
"""Standard deviations on each side that hold four fifths of a normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """From where a forecast looks ahead and how far back; moments in UTC seconds, lengths in seconds."""

    now: int
    month_start: int
    month_end: int
    known_since: int
    """Begin of the first hour ever booked."""
    window: int = 7 * DAY
    minimum: int = DAY

    @property
    def until(self) -> int:
        """End of the last full hour: hours are what the past is known by."""
        return self.now // HOUR * HOUR

    @property
    def begin(self) -> int:
        """Begin of the first hour whose pattern counts."""
        return self.until - self.window

    @property
    def reach(self) -> int:
        """Begin of the first hour that is looked at at all: of the day, for sums of days."""
        return self.begin // DAY * DAY

    @property
    def hours_left(self) -> Fraction:
        """Of the month."""
        return Fraction(self.month_end - self.now, HOUR)

    def knows(self, length: int) -> bool:
        """Whether data reach back that far."""
        return self.known_since + HOUR <= self.until - length


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known of one scope; money in nanos, hours by their begin in UTC seconds."""

    spent: int
    """In the month so far."""
    fixed_ahead: int
    """What the rest of the month costs by the clock."""
    variable: Mapping[int, int]
    """Money that follows use, by hour of the window."""
    present: frozenset[int]
    """Hours of the window of which anything is known, of this scope or another: the others are missing,
    not free."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Nanos at the end of the month, and how they come about."""

    spent: int
    fixed: int
    variable: int
    margin: int | None
    """80 % of outcomes lie within so much of the total; None before there is a window of data."""
    by_pattern: bool
    """The variable part repeats the window; else its mean goes on."""

    @property
    def total(self) -> int:
        """The forecast itself."""
        return self.spent + self.fixed + self.variable


def forecast(past: Past, look: Look) -> Forecast | None:
    """The forecast; None when data are too young or the month is over."""
    if not look.knows(look.minimum) or look.hours_left <= 0:
        return None
    by_pattern = look.knows(look.window)
    ahead = variable_by_pattern(past, look) if by_pattern else variable_by_mean(past, look)
    return Forecast(
        spent=past.spent,
        fixed=past.fixed_ahead,
        variable=round(ahead),
        margin=_margin(past, look) if by_pattern else None,
        by_pattern=by_pattern,
    )


def variable_by_pattern(past: Past, look: Look) -> Fraction:
    """What use will cost until the month ends when the window repeats for ever.

    An hour that ended at t comes again n times, the largest n with t + n x window before the end.
    """
    repeated = sum(
        nanos * ((look.month_end - hour - HOUR) // look.window)
        for hour, nanos in past.variable.items()
        if look.begin <= hour < look.until
    )
    return Fraction(repeated * look.window, HOUR * max(1, _known_hours(past, look)))


def variable_by_mean(past: Past, look: Look) -> Fraction:
    """What use will cost until the month ends at the mean of the hours that are known."""
    booked = sum(n for hour, n in past.variable.items() if look.begin <= hour < look.until)
    return Fraction(booked, max(1, _known_hours(past, look))) * look.hours_left


def total_in_line(past: Past, look: Look) -> Fraction:
    """All that is spent, drawn on in a straight line: what a spreadsheet says, for comparison."""
    return Fraction(
        past.spent * (look.month_end - look.month_start), max(1, look.now - look.month_start)
    )


def _known_hours(past: Past, look: Look) -> int:
    return sum(look.begin <= hour < look.until for hour in past.present)


def _margin(past: Past, look: Look) -> int | None:
    last = look.until // DAY * DAY
    days = [
        spent
        for day in range(last - look.window // DAY * DAY, last, DAY)
        if (spent := _day(past, day)) is not None
    ]
    if len(days) < 2:  # noqa: PLR2004 - one day does not vary
        return None
    days_left = float(look.hours_left / HOURS_PER_DAY)
    return round(EIGHTY_PERCENT * pstdev(days) * math.sqrt(days_left))


def _day(past: Past, day: int) -> float | None:
    hours = range(day, day + DAY, HOUR)
    known = sum(hour in past.present for hour in hours)
    booked = sum(past.variable.get(hour, 0) for hour in hours)
    return booked / known * HOURS_PER_DAY if known else None


def burn(spend: Fraction | int, hours: Fraction | int, amount: int, month_hours: int) -> Fraction:
    """How many times faster than a budget allows money is spent; 1 uses it up when the month ends."""
    return Fraction(spend) / hours / Fraction(amount, month_hours)


def hours_to_exhaustion(left: int, spend: Fraction | int, hours: Fraction | int) -> Fraction | None:
    """In how many hours ``left`` of a budget is spent, at the pace of ``spend`` in ``hours``; None: never."""
    return max(Fraction(0), Fraction(left)) * hours / spend if spend > 0 else None
