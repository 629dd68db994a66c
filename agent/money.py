"""Exact money: integers of 1e-9 of a currency, and the carry that keeps rounding from adding up.

A price is a rational number; a booked amount is an integer.
What the division leaves over is kept as a remainder of the same price and booked with the next
interval, so a month of one-second bookings equals one booking of the month to the last 1e-9.
"""

from fractions import Fraction

NANOS_PER_UNIT = 1_000_000_000


def nanos_per(amount: Fraction, quantity: int) -> Fraction:
    """The rate in 1e-9 of the currency for one unit, from an amount for ``quantity`` units."""
    return amount * NANOS_PER_UNIT / quantity


def accrue(quantity: int, rate: Fraction, remainder: int) -> tuple[int, int]:
    """Book ``quantity`` units (not negative) at ``rate`` (1e-9 of the currency for one unit).

    ``remainder`` is what the last booking at this very rate left over, in units of
    ``1 / rate.denominator``; returns the nanos to book and the new remainder.
    """
    return divmod(quantity * rate.numerator + remainder, rate.denominator)


def units(nanos: int) -> float:
    """Nanos as units of the currency; for showing only."""
    return nanos / NANOS_PER_UNIT
