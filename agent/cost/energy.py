"""What energy costs and emits: dated tariffs, flat or by the hour, and the intensity of the grid."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from agent.cost.rates import FOREVER_NS
from agent.money import nanos_per
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR, NANOSECONDS_PER_SECOND
from agent.usage.timetable import Timetable

NANOGRAMS_PER_GRAM = 1_000_000_000


@dataclass(frozen=True)
class EnergyPrice:
    """One band of a tariff: what a kilowatt-hour at the meter costs, and what a board's causes there.

    ``id`` is what ledger rows keep; ``pue`` the power usage effectiveness (1 or more) of the site.
    """

    id: str
    per_kwh: Fraction
    pue: Fraction

    @cached_property
    def nanos_per_mj(self) -> Fraction:
        """1e-9 of the currency for one millijoule at the board."""
        return nanos_per(self.per_kwh * self.pue, MILLIJOULES_PER_KILOWATT_HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """A dated tariff, valid in [valid_from_ns, valid_to_ns), UTC nanoseconds since 1970."""

    id: str
    bands: Timetable[EnergyPrice]
    valid_from_ns: int = 0
    valid_to_ns: int = FOREVER_NS
    source: str = ""

    def holds(self, wall_ns: int) -> bool:
        """Whether the tariff is valid at a moment."""
        return self.valid_from_ns <= wall_ns < self.valid_to_ns

    def at(self, wall_ns: int) -> EnergyPrice:
        """The band of a moment."""
        return self.bands.at(wall_ns // NANOSECONDS_PER_SECOND)


@dataclass(frozen=True)
class CarbonIntensity:
    """Grams of CO2 equivalent for a kilowatt-hour at the meter; ``id`` says which figure it is."""

    id: str
    grams_per_kwh: Fraction
    pue: Fraction

    @cached_property
    def nanograms_per_mj(self) -> Fraction:
        """Nanograms for one millijoule at the board."""
        per_board_kwh = self.grams_per_kwh * self.pue * NANOGRAMS_PER_GRAM
        return per_board_kwh / MILLIJOULES_PER_KILOWATT_HOUR


def embodied_nanograms_per_ns(kilograms: Fraction, life_ns: int) -> Fraction:
    """The share of the carbon of making a card that falls on a nanosecond of its life."""
    return kilograms * 1_000 * NANOGRAMS_PER_GRAM / life_ns
