"""Dated price records, and which of them holds for a card at a moment.

A record is a set of rates over time, whatever it was made from: a rental is one rate, an owned card
one rate for its capital and the electricity it draws.
Two records of one level never hold for one card at once (``overlaps``); a card named by its UUID
takes precedence over a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from fractions import Fraction

from agent.money import NANOS_PER_UNIT, nanos_per
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR, NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND

FOREVER_NS = 2**62
"""A moment after every other (the year 2116): the end of a record without an end."""


class Tier(StrEnum):
    """Under which terms a card is paid for."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    OWNED = "owned"


@dataclass(frozen=True, slots=True)
class TimeRate:
    """Money for time: 1e-9 of the currency for each nanosecond of [from_ns, to_ns), UTC."""

    component: str
    nanos_per_ns: Fraction
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One record, valid in [valid_from_ns, valid_to_ns), UTC nanoseconds since 1970.

    Exactly one of ``uuid`` and ``model`` (a glob over NVML's name) is set.
    ``source`` says where the figure comes from, for people.
    """

    id: str
    tier: Tier
    currency: str
    rates: tuple[TimeRate, ...]
    uuid: str | None = None
    model: str | None = None
    valid_from_ns: int = 0
    valid_to_ns: int = FOREVER_NS
    bills_energy: bool = False
    """Electricity comes on top (owned cards); a rental price contains it."""
    source: str = ""

    def matches(self, uuid: str, model: str) -> bool:
        """Whether the record speaks of this card."""
        if self.uuid is not None:
            return self.uuid == uuid
        return self.model is not None and fnmatchcase(model, self.model)

    def holds(self, wall_ns: int) -> bool:
        """Whether the record is valid at a moment."""
        return self.valid_from_ns <= wall_ns < self.valid_to_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What electricity costs: flat, with the power usage effectiveness (PUE, 1 or more) of the site."""

    id: str
    currency: str
    per_kwh: Fraction
    pue: Fraction

    @property
    def nanos_per_mj(self) -> Fraction:
        """1e-9 of the currency for one millijoule at the board."""
        return nanos_per(self.per_kwh * self.pue, MILLIJOULES_PER_KILOWATT_HOUR)


def rental_rates(per_hour: Fraction, component: str) -> tuple[TimeRate, ...]:
    """The rate of a rental at ``per_hour`` units of the currency for one card."""
    return (TimeRate(component, nanos_per(per_hour, NANOSECONDS_PER_HOUR), 0, FOREVER_NS),)


def straight_line_rates(
    *,
    purchase: Fraction,
    salvage: Fraction,
    cards: int,
    in_service_ns: int,
    end_of_life_ns: int,
    component: str,
) -> tuple[TimeRate, ...]:
    """Depreciation of ``cards`` cards bought together, for one card: (purchase - salvage) over the life.

    The life is its exact nanoseconds, leap days included; after it the rate is zero, never negative.
    """
    life_ns = end_of_life_ns - in_service_ns
    rate = nanos_per((purchase - salvage) / cards, life_ns)
    return (TimeRate(component, rate, in_service_ns, end_of_life_ns),)


class PriceTable:
    """All records and the tariff of one currency; answers which record holds for a card."""

    def __init__(
        self, prices: Sequence[Price], *, currency: str, tariff: Tariff | None = None
    ) -> None:
        self.prices = tuple(prices)
        self.currency = currency
        self.tariff = tariff
        self._candidates: dict[tuple[str, str], tuple[Price, ...]] = {}
        self._cuts: dict[tuple[str, str], tuple[int, ...]] = {}
        self._shown: dict[Fraction, float] = {}
        """Rates as floats for an hour, or for energy for a milliwatt over an hour."""

    def candidates(self, uuid: str, model: str) -> tuple[Price, ...]:
        """The records that speak of a card, those that name its UUID first."""
        key = (uuid, model)
        found = self._candidates.get(key)
        if found is None:
            matching = [price for price in self.prices if price.matches(uuid, model)]
            found = tuple(sorted(matching, key=lambda price: price.uuid is None))
            self._candidates[key] = found
        return found

    def at(self, uuid: str, model: str, wall_ns: int) -> Price | None:
        """The record that holds for a card at a moment, or None: unpriced."""
        for price in self.candidates(uuid, model):
            if price.holds(wall_ns):
                return price
        return None

    def cuts(self, uuid: str, model: str) -> tuple[int, ...]:
        """Every moment (UTC nanoseconds) at which a rate for the card may change."""
        key = (uuid, model)
        found = self._cuts.get(key)
        if found is None:
            moments = {
                moment
                for price in self.candidates(uuid, model)
                for moment in (
                    price.valid_from_ns,
                    price.valid_to_ns,
                    *(edge for rate in price.rates for edge in (rate.from_ns, rate.to_ns)),
                )
            }
            found = tuple(sorted(moments - {0, FOREVER_NS}))
            self._cuts[key] = found
        return found

    def rate_per_hour(self, price: Price, wall_ns: int, power_mw: int | None) -> float:
        """What a card costs for an hour at this moment, in the currency; for showing only."""
        per_hour = sum(
            self._per_hour(rate.nanos_per_ns)
            for rate in price.rates
            if rate.from_ns <= wall_ns < rate.to_ns
        )
        if price.bills_energy and self.tariff is not None and power_mw is not None:
            per_hour += self._per_hour(self.tariff.nanos_per_mj / NANOSECONDS_PER_SECOND) * power_mw
        return per_hour

    def _per_hour(self, nanos_per_ns: Fraction) -> float:
        shown = self._shown.get(nanos_per_ns)
        if shown is None:
            shown = float(nanos_per_ns * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT)
            self._shown[nanos_per_ns] = shown
        return shown


def overlaps(prices: Sequence[Price]) -> list[tuple[Price, Price]]:
    """Pairs of records that can hold for one card at the same moment, at the same level."""
    return [
        (first, second)
        for number, first in enumerate(prices)
        for second in prices[number + 1 :]
        if first.valid_from_ns < second.valid_to_ns
        and second.valid_from_ns < first.valid_to_ns
        and _same_card(first, second)
    ]


def _same_card(first: Price, second: Price) -> bool:
    if first.uuid is not None or second.uuid is not None:
        return first.uuid == second.uuid
    return globs_intersect(first.model or "", second.model or "")


def globs_intersect(first: str, second: str) -> bool:
    """Whether some name matches both globs of ``*`` and ``?`` (no character classes)."""
    row = [True] + [False] * len(second)
    for column, char in enumerate(second, 1):
        row[column] = row[column - 1] and char == "*"
    for char in first:
        above, row = row, [row[0] and char == "*"]
        for column, other in enumerate(second, 1):
            if "*" in (char, other):
                row.append(above[column] or row[column - 1])
            else:
                row.append(above[column - 1] and (char == other or "?" in (char, other)))
    return row[-1]
