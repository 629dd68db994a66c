"""From what a contract or an invoice says to money for time: the formulas of docs/cost-model.md.

A year of running cost is 8,760 hours: yearly amounts become a rate that is the same in every month, so
a leap year costs one day more.  Depreciation goes over the exact nanoseconds of the life instead.
"""

from dataclasses import dataclass
from fractions import Fraction

from agent.money import nanos_per
from agent.units import NANOSECONDS_PER_HOUR

FOREVER_NS = 2**62
"""A moment after every other (the year 2116): the end of a record without an end."""
HOURS_PER_YEAR = 8_760
MONTHS_PER_YEAR = 12
HOURS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class TimeRate:
    """Money for time: 1e-9 of the currency for each nanosecond of [from_ns, to_ns), UTC."""

    component: str
    nanos_per_ns: Fraction
    from_ns: int = 0
    to_ns: int = FOREVER_NS

    def holds(self, wall_ns: int) -> bool:
        """Whether it applies at a moment."""
        return self.from_ns <= wall_ns < self.to_ns

    def times(self, factor: Fraction) -> "TimeRate":
        """The same rate in another currency."""
        return TimeRate(self.component, self.nanos_per_ns * factor, self.from_ns, self.to_ns)


def hourly(per_hour: Fraction, component: str) -> TimeRate:
    """The rate of ``per_hour`` units of the currency for one card."""
    return TimeRate(component, nanos_per(per_hour, NANOSECONDS_PER_HOUR))


def depreciation(
    total: Fraction, *, cards: int, in_service_ns: int, end_of_life_ns: int, component: str
) -> TimeRate:
    """What is to be earned back over a life, for one of ``cards`` cards bought together.

    Straight line: ``total`` is purchase less salvage; annuity: all its payments.
    After the life the rate is zero, never negative.
    """
    rate = nanos_per(total / cards, end_of_life_ns - in_service_ns)
    return TimeRate(component, rate, in_service_ns, end_of_life_ns)


def annuity_payment(
    purchase: Fraction,
    salvage: Fraction,
    *,
    life_years: Fraction,
    cost_of_capital: Fraction,
    payments_per_year: int = 1,
) -> Fraction:
    """One of the equal payments at the end of each period that repay a purchase less its salvage.

    C x CRF - S x SFF with CRF = i (1+i)^n / ((1+i)^n - 1) and SFF = CRF - i; i is the rate of one
    period, the root of the yearly one.  Without cost of capital it is the straight line.
    """
    periods = life_years * payments_per_year
    if cost_of_capital == 0:
        return (purchase - salvage) / periods
    # A root is no rational number; a float is exact to 1e-15 of the payment, then kept as it is.
    rate = Fraction(float(1 + cost_of_capital) ** (1 / payments_per_year)) - 1
    growth = Fraction(float(1 + rate) ** float(periods))
    recovery = rate * growth / (growth - 1)
    return purchase * recovery - salvage * (recovery - rate)


def running_per_hour(
    *,
    purchase: Fraction,
    maintenance_ratio: Fraction,
    space_per_kw_month: Fraction,
    space_kw: Fraction,
    staff_per_year: Fraction,
    cards: int,
) -> Fraction:
    """Maintenance (a share of the purchase price a year), space and staff for one card and hour."""
    space = space_per_kw_month * MONTHS_PER_YEAR * space_kw
    yearly = purchase * maintenance_ratio + space + staff_per_year
    return yearly / (HOURS_PER_YEAR * cards)


def break_even_hours_per_day(
    *,
    fixed_per_day: Fraction,
    active_energy_per_hour: Fraction,
    idle_energy_per_hour: Fraction,
    rent_per_hour: Fraction,
) -> Fraction | None:
    """From how many busy hours a day an owned card costs less than one rented by the hour.

    The owned card costs its fixed part and its idle energy all day.  More than 24 hours, and None,
    mean never.
    """
    saved_per_hour = rent_per_hour - active_energy_per_hour + idle_energy_per_hour
    if saved_per_hour <= 0:
        return None
    return (fixed_per_day + HOURS_PER_DAY * idle_energy_per_hour) / saved_per_hour
