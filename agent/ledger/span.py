"""What a span of booked rows was due under: the pieces of an hour, or of a compacted day, by price id.

``reprice`` holds the booked rows against them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from agent.cost.prices import PriceTable, Terms
from agent.ledger.entry import Component, EntryKey
from agent.ledger.period import HOUR_SECONDS, month_of_label
from agent.samples.device import GpuIdentity
from agent.units import NANOSECONDS_PER_SECOND

UNPRICED = ""
"""The price id of time for which no price holds."""


class Use(NamedTuple):
    """Under what an amount of time or energy is booked."""

    component: str
    price_id: str


Amounts = tuple[int, int]
"""Nanos and quantity."""
Booked = dict[EntryKey, dict[Use, Amounts]]
"""Amounts by use of one card and span, for each key without component and price id: state, team, method."""
Quantities = dict[EntryKey, dict[str, int]]
"""Nanoseconds by price id, for each such key."""

FREE = Use(Component.ENERGY, "")
"""Energy that a rental contains, or of a card without a price: a quantity at no price."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a span in which nothing changes: its length, and the rates it is booked at."""

    length_ns: int
    rates: Mapping[str, Fraction]
    """Nanos for a nanosecond, by component."""
    bills_energy: bool = False
    energy: Use = FREE
    energy_rate: Fraction = Fraction(0)
    host_mw: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """The pieces of a span by price id; those of one id may differ in rates."""

    length_ns: int
    pieces: Mapping[str, Sequence[Piece]]

    def room_ns(self, price_id: str) -> int:
        """For how long a record holds in the span."""
        return sum(piece.length_ns for piece in self.pieces.get(price_id, ()))

    @property
    def slack_ns(self) -> int:
        """By how much more than that may be booked: one second an hour, for a clock that is slewed."""
        return self.length_ns // HOUR_SECONDS

    def billed(self) -> list[tuple[str, Piece]]:
        """The pieces in which energy is paid for on top, each with its price id."""
        return [
            (price_id, piece)
            for price_id, of_id in self.pieces.items()
            for piece in of_id
            if piece.bills_energy
        ]


class Known(NamedTuple):
    """What a card looked like in [from_ns, until_ns), UTC nanoseconds."""

    from_ns: int
    until_ns: int
    card: GpuIdentity


def span_of(cards: Sequence[GpuIdentity], table: PriceTable, start_ns: int, end_ns: int) -> Span:
    """The pieces of [start_ns, end_ns).

    ``cards`` are what one card looked like: when its MIG layout changed within the span, what either
    layout is booked at is right, since nobody knows to the tick when that was.
    """
    found: dict[str, list[Piece]] = {}
    for card in cards:
        pieces: dict[str, list[Piece]] = {}
        for price_id, piece in _pieces(card, table, start_ns, end_ns):
            pieces.setdefault(price_id, []).append(piece)
        for price_id, each in pieces.items():
            if _length(each) > _length(found.get(price_id, [])):
                found[price_id] = each
    return Span(end_ns - start_ns, found)


def within_month(start_ns: int, end_ns: int, month: str, zone: ZoneInfo) -> tuple[int, int]:
    """The part of a span that lies in a month; all of it where the fleet was in another zone then."""
    found = month_of_label(int(month[:4]), int(month[5:]), zone)
    first_ns = max(start_ns, found.start * NANOSECONDS_PER_SECOND)
    last_ns = min(end_ns, found.end * NANOSECONDS_PER_SECOND)
    return (first_ns, last_ns) if first_ns < last_ns else (start_ns, end_ns)


def _length(pieces: Sequence[Piece]) -> int:
    return sum(piece.length_ns for piece in pieces)


def _pieces(
    card: GpuIdentity, table: PriceTable, start_ns: int, end_ns: int
) -> Iterator[tuple[str, Piece]]:
    first = start_ns // NANOSECONDS_PER_SECOND // HOUR_SECONDS * HOUR_SECONDS
    for hour in range(first, -(-end_ns // NANOSECONDS_PER_SECOND), HOUR_SECONDS):
        for terms in table.terms(card, hour):
            length_ns = min(end_ns, terms.end_ns) - max(start_ns, terms.start_ns)
            if length_ns > 0:
                price_id = UNPRICED if terms.price is None else terms.price.id
                yield price_id, _piece(length_ns, terms)


def _piece(length_ns: int, terms: Terms) -> Piece:
    price = terms.price
    if price is None:
        return Piece(length_ns, {Component.UNPRICED: Fraction(0)})
    rates = {rate.component: rate.nanos_per_ns for rate in terms.rates}
    energy, rate = FREE, Fraction(0)
    if terms.energy is not None:
        energy, rate = Use(Component.ENERGY, terms.energy.id), terms.energy.nanos_per_mj
    elif price.bills_energy:
        energy = Use(Component.UNPRICED_ENERGY, "")
    return Piece(
        length_ns,
        # Owned and written off: the time is priced, at nothing.
        rates or {price.rates[0].component: Fraction(0)},
        price.bills_energy,
        energy,
        rate,
        price.host_mw,
    )
