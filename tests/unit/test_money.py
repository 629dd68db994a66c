"""Of agent.money."""

from fractions import Fraction

from agent.money import NANOS_PER_UNIT, accrue, nanos_per, units


def test_accrue_carries_what_division_leaves() -> None:
    """A third of a nano, three times, is one nano."""
    rate = Fraction(1, 3)

    first, rest = accrue(1, rate, 0)
    second, rest = accrue(1, rate, rest)
    third, rest = accrue(1, rate, rest)

    assert (first, second, third, rest) == (0, 0, 1, 0)


def test_nanos_per_is_exact() -> None:
    """2.50 for an hour is 2.5e9 nanos for 3.6e12 nanoseconds, as a fraction."""
    assert nanos_per(Fraction("2.5"), 3_600_000_000_000) == Fraction(25, 36_000)


def test_units_shows_nanos_in_the_currency() -> None:
    """One unit of the currency is 1e9 nanos."""
    assert units(NANOS_PER_UNIT) == 1.0
