"""Dated price records, and which terms hold for a card at a moment.

A record is a set of rates over time, whatever it was made from: a rental is one rate, an owned card
its capital, its running cost and the electricity it draws.
Two records that name cards equally closely never hold for one card at once (``overlaps``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from agent.cost.energy import EnergyPrice, Tariff
from agent.cost.rates import FOREVER_NS, TimeRate
from agent.money import NANOS_PER_UNIT
from agent.samples.device import GpuIdentity
from agent.units import NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR
from agent.usage.match import CardMatch


class Tier(StrEnum):
    """Under which terms a card is paid for."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    OWNED = "owned"


COMMITTED = frozenset(Tier) - {Tier.SPOT}
"""Tiers whose time ahead is known to be paid for as long as the card stays; a spot card may be gone any
minute, so what it will cost is estimated from what such cards have cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One record, valid in [valid_from_ns, valid_to_ns), UTC nanoseconds since 1970.

    A record in another currency is several of one id, one for each exchange rate.
    """

    id: str
    tier: Tier
    rates: tuple[TimeRate, ...]
    """None: it holds, so no other record does, and its time is unpriced for want of an exchange rate."""
    match: CardMatch
    valid_from_ns: int = 0
    valid_to_ns: int = FOREVER_NS
    bills_energy: bool = False
    """Electricity comes on top (owned cards); a rental price contains it."""
    host_mw: int = 0
    """The card's share of the power that its host draws beside the cards."""
    reference: bool = False
    """A list price of the table that comes with gpufin: it gives way to every record of the operator."""
    retrieved_at: int | None = None
    """When a list price was looked up (UTC seconds since 1970); None for the operator's own records."""
    source: str = ""
    """Where the figure comes from, for people."""
    record: str = ""
    """The record as JSON: kept with the ledger, for reports and for people."""
    digest: str = ""
    """Of what makes money or chooses cards in it: two under one id, and it was edited in place."""

    def holds(self, wall_ns: int) -> bool:
        """Whether the record is valid at a moment."""
        return self.valid_from_ns <= wall_ns < self.valid_to_ns


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a card in [start_ns, end_ns) of one hour: nothing in it changes within.

    ``price`` None: unpriced.  ``energy`` None: energy costs nothing on top, or, when ``price`` bills
    it, no tariff holds.
    """

    start_ns: int
    end_ns: int
    price: Price | None
    rates: tuple[TimeRate, ...]
    energy: EnergyPrice | None


@dataclass(slots=True)
class _Known:
    """What was worked out of one card: its candidates, and the terms of the hour asked for last."""

    candidates: tuple[Price, ...]
    hour: int = -1
    terms: tuple[Terms, ...] = ()
    ahead: tuple[tuple[int, int, Fraction], ...] = ()
    """Stretches from some moment to ``ahead_until_ns``, each with its committed nanos for a nanosecond."""
    ahead_until_ns: int = -1
    shown: dict[Fraction, float] = field(default_factory=dict)


class PriceTable:
    """All records and tariffs of one currency, for a node with labels."""

    def __init__(
        self,
        prices: Sequence[Price],
        *,
        currency: str,
        tariffs: Sequence[Tariff] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.prices = tuple(prices)
        self.currency = currency
        self.tariffs = tuple(tariffs)
        self.labels = dict(labels or {})
        self._known: dict[GpuIdentity, _Known] = {}

    @property
    def ids(self) -> frozenset[str]:
        """The ids that rows can have from this table: of its records, and of its tariffs' bands."""
        bands = {
            band.id
            for tariff in self.tariffs
            for band in (tariff.bands.otherwise, *(value for _, value in tariff.bands.entries))
        }
        return frozenset(bands | {price.id for price in self.prices})

    def candidates(self, card: GpuIdentity) -> tuple[Price, ...]:
        """The records that speak of a card, the one that names it most closely first."""
        return self._of(card).candidates

    def at(self, card: GpuIdentity, wall_ns: int) -> Price | None:
        """The record that a card is priced by at a moment, or None: unpriced."""
        holding = self.holding(card, wall_ns)
        return holding if holding is not None and holding.rates else None

    def holding(self, card: GpuIdentity, wall_ns: int) -> Price | None:
        """The record that holds for a card at a moment, whether or not it can price it."""
        holding = (price for price in self._of(card).candidates if price.holds(wall_ns))
        return next(holding, None)

    def records(
        self, card: GpuIdentity, start_ns: int, end_ns: int
    ) -> Iterator[tuple[int, int, Price | None]]:
        """Parts of [start_ns, end_ns) without a gap, each with the record that holds all through it."""
        inside = {edge for edge in _edges(self.candidates(card)) if start_ns < edge < end_ns}
        for from_ns, to_ns in pairwise(sorted(inside | {start_ns, end_ns})):
            yield from_ns, to_ns, self.at(card, from_ns)

    def tariff_at(self, wall_ns: int) -> EnergyPrice | None:
        """What energy costs at a moment, or None: no tariff holds."""
        return next((tariff.at(wall_ns) for tariff in self.tariffs if tariff.holds(wall_ns)), None)

    def terms(self, card: GpuIdentity, hour: int) -> tuple[Terms, ...]:
        """The terms of the UTC hour that begins at ``hour`` (seconds since 1970), without a gap."""
        known = self._of(card)
        if known.hour != hour:
            known.terms = tuple(self._terms(card, known.candidates, hour))
            known.hour = hour
        return known.terms

    def rate_per_hour(self, card: GpuIdentity, wall_ns: int, power_mw: int | None) -> float | None:
        """What a card costs for an hour at this moment, in the currency; for showing only.

        None: unpriced, or its energy is paid for and its power or the tariff is not known.
        """
        hour = wall_ns // NANOSECONDS_PER_HOUR * SECONDS_PER_HOUR
        terms = next(each for each in self.terms(card, hour) if wall_ns < each.end_ns)
        if terms.price is None:
            return None
        known = self._of(card)
        per_hour = sum(_per_hour(known, rate.nanos_per_ns) for rate in terms.rates)
        if not terms.price.bills_energy:
            return per_hour
        if terms.energy is None or power_mw is None:
            return None
        per_mw = _per_hour(known, terms.energy.nanos_per_mj / NANOSECONDS_PER_SECOND)
        return per_hour + per_mw * (power_mw + terms.price.host_mw)

    def committed_nanos(self, card: GpuIdentity, start_ns: int, end_ns: int) -> int:
        """What a card's time in [start_ns, end_ns), UTC, costs by the records that are known now.

        1e-9 of the currency, rounded down; without energy, without spot and without unpriced time.
        """
        known = self._of(card)
        begin_ns = known.ahead[0][0] if known.ahead else start_ns
        if known.ahead_until_ns != end_ns or start_ns < begin_ns:
            known.ahead = tuple(self._ahead(card, start_ns, end_ns))
            known.ahead_until_ns = end_ns
        parts = (
            (to_ns - max(from_ns, start_ns)) * rate
            for from_ns, to_ns, rate in known.ahead
            if start_ns < to_ns
        )
        return int(sum(parts, Fraction(0)))

    def _ahead(
        self, card: GpuIdentity, start_ns: int, end_ns: int
    ) -> Iterator[tuple[int, int, Fraction]]:
        for from_ns, to_ns, price in self.records(card, start_ns, end_ns):
            paid = price.rates if price is not None and price.tier in COMMITTED else ()
            rates = (rate.nanos_per_ns for rate in paid if rate.holds(from_ns))
            yield from_ns, to_ns, sum(rates, Fraction(0))

    def _of(self, card: GpuIdentity) -> _Known:
        known = self._known.get(card)
        if known is None:
            matching = (price for price in self.prices if price.match.matches(card, self.labels))
            ranked = sorted(matching, key=lambda price: (price.reference, price.match.level))
            known = self._known[card] = _Known(tuple(ranked))
        return known

    def _terms(self, card: GpuIdentity, candidates: Iterable[Price], hour: int) -> Iterator[Terms]:
        start_ns = hour * NANOSECONDS_PER_SECOND
        end_ns = start_ns + NANOSECONDS_PER_HOUR
        edges = {start_ns, end_ns, *_edges(candidates)}
        for tariff in self.tariffs:
            edges |= {tariff.valid_from_ns, tariff.valid_to_ns}
            edges |= {moment * NANOSECONDS_PER_SECOND for moment in tariff.bands.changes(hour)}
        inside = sorted(edge for edge in edges if start_ns <= edge <= end_ns)
        for from_ns, to_ns in pairwise(inside):
            holding = self.at(card, from_ns)
            if holding is None:
                yield Terms(from_ns, to_ns, None, (), None)
                continue
            rates = tuple(rate for rate in holding.rates if rate.holds(from_ns))
            energy = self.tariff_at(from_ns) if holding.bills_energy else None
            yield Terms(from_ns, to_ns, holding, rates, energy)


def _edges(prices: Iterable[Price]) -> Iterator[int]:
    """The moments at which a record or a rate of it begins or ends."""
    for price in prices:
        yield from (price.valid_from_ns, price.valid_to_ns)
        for rate in price.rates:
            yield from (rate.from_ns, rate.to_ns)


def _per_hour(known: _Known, nanos_per_ns: Fraction) -> float:
    shown = known.shown.get(nanos_per_ns)
    if shown is None:
        shown = float(nanos_per_ns * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT)
        known.shown[nanos_per_ns] = shown
    return shown


def overlaps(prices: Sequence[Price]) -> list[tuple[Price, Price]]:
    """Pairs of different records that can hold for one card at once and name it equally closely."""
    levels: dict[object, list[Price]] = {}
    for price in prices:
        # Records of one card are compared among themselves only: there may be thousands.
        levels.setdefault((price.match.level, price.match.uuid), []).append(price)
    return [
        (first, second)
        for level in levels.values()
        for number, first in enumerate(level)
        for second in level[number + 1 :]
        if first.id != second.id
        and first.valid_from_ns < second.valid_to_ns
        and second.valid_from_ns < first.valid_to_ns
        and first.reference == second.reference
        and first.match.meets(second.match)
    ]
