"""What late or changed prices mean for hours that are booked: correcting rows, never changed ones.

Time and energy of an hour are kept by price id.  What a record that still holds was booked for stays;
the rest (unpriced, or a record that ended or was changed) is taken back by negative rows and booked
again over the pieces of the hour that the kept records do not cover, each by its length.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from agent.cost.prices import PriceTable, Terms
from agent.ledger.entry import Component, Entry, EntryKey
from agent.ledger.posting import BY_TIME, Remainders
from agent.money import accrue
from agent.samples.device import GpuIdentity

HOUR_SECONDS = 3_600
_TIME = frozenset({Component.RENTAL, Component.CAPITAL, Component.OPEX, Component.UNPRICED})
_ENERGY = frozenset({Component.ENERGY, Component.UNPRICED_ENERGY})
_ROUNDING_NANOS = 2
"""By how much a row may differ from quantity x rate: what was carried in and out of it."""

Amounts = tuple[int, int]
"""Nanos and quantity."""


class _Use(NamedTuple):
    """Under what an amount of time or energy is booked."""

    component: str
    price_id: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a row's span: its length, and the rates by which it is booked."""

    length_ns: int
    rates: tuple[tuple[_Use, Fraction], ...]
    """Each use of the piece, and its nanos for one unit of quantity."""


def corrections(
    rows: Iterable[tuple[EntryKey, Amounts]],
    table: PriceTable,
    cards: dict[str, GpuIdentity],
    *,
    number: int,
    span_seconds: int = HOUR_SECONDS,
) -> list[Entry]:
    """The rows of correction ``number`` that turn ``rows`` into what ``table`` says.

    Time and energy are conserved exactly; run again over the outcome it finds nothing to do.
    ``span_seconds`` is what a row stands for: an hour, or a day where rows were compacted.
    """
    groups: dict[EntryKey, dict[_Use, Amounts]] = defaultdict(dict)
    for key, amounts in rows:
        if key.component in _TIME | _ENERGY:
            group = key._replace(component="", price_id="", correction=number)
            use = _Use(key.component, key.price_id)
            before = groups[group].get(use, (0, 0))
            groups[group][use] = (before[0] + amounts[0], before[1] + amounts[1])
    remainders: Remainders = {}
    found: list[Entry] = []
    for group, uses in sorted(groups.items()):
        card = cards.get(group.uuid) or GpuIdentity(
            uuid=group.uuid, index=0, model=group.model, pci_bus_id=""
        )
        hours = range(group.hour, group.hour + span_seconds, HOUR_SECONDS)
        terms = [each for hour in hours for each in table.terms(card, hour)]
        pieces = [_piece(each, by_time=group.method == BY_TIME) for each in terms]
        found += _group(group, uses, pieces, remainders)
    return found


def _piece(terms: Terms, *, by_time: bool) -> _Piece:
    length_ns = terms.end_ns - terms.start_ns
    price = terms.price
    if by_time:
        if price is None:
            return _Piece(length_ns, ((_Use(Component.UNPRICED, ""), Fraction(0)),))
        rates = tuple((_Use(r.component, price.id), r.nanos_per_ns) for r in terms.rates)
        nothing = (_Use(price.rates[0].component, price.id), Fraction(0))
        return _Piece(length_ns, rates or (nothing,))
    if terms.energy is not None:
        use, rate = _Use(Component.ENERGY, terms.energy.id), terms.energy.nanos_per_mj
    elif price is not None and price.bills_energy:
        use, rate = _Use(Component.UNPRICED_ENERGY, ""), Fraction(0)
    else:
        use, rate = _Use(Component.ENERGY, ""), Fraction(0)
    return _Piece(length_ns, ((use, rate),))


def _group(
    group: EntryKey, uses: dict[_Use, Amounts], pieces: list[_Piece], remainders: Remainders
) -> Iterator[Entry]:
    uses = {use: amounts for use, amounts in uses.items() if amounts != (0, 0)}
    by_id: dict[str, dict[_Use, Amounts]] = defaultdict(dict)
    for use, amounts in uses.items():
        by_id[_identity(use)][use] = amounts
    kept = {each for each, booked in by_id.items() if _still_right(booked, pieces)}
    moved = [each for each in by_id if each not in kept]
    # The components of one id carry the same time.
    quantity = sum(max(amount for _, amount in by_id[each].values()) for each in moved)
    free = [piece for piece in pieces if _identity(piece.rates[0][0]) not in kept] or pieces
    due: dict[_Use, Amounts] = {}
    for use, amounts in _spread(group.uuid, quantity, free, remainders):
        before = due.get(use, (0, 0))
        due[use] = (before[0] + amounts[0], before[1] + amounts[1])
    booked = {use: amounts for each in moved for use, amounts in by_id[each].items()}
    for use in sorted(due.keys() | booked.keys()):
        (new, new_quantity), (old, old_quantity) = due.get(use, (0, 0)), booked.get(use, (0, 0))
        if (new, new_quantity) != (old, old_quantity):
            key = group._replace(component=use.component, price_id=use.price_id)
            yield Entry(key, new - old, new_quantity - old_quantity)


def _identity(use: _Use) -> str:
    """What is kept or moved as a whole: a price id, or the component where there is none."""
    return use.price_id or f"({use.component})"


def _still_right(booked: dict[_Use, Amounts], pieces: list[_Piece]) -> bool:
    """Whether some piece of the span would be booked in just this way, at this money.

    What has no price id (unpriced time, energy at no price) may have been booked for want of a record:
    it is right only where nothing else holds in the whole span.
    """
    if not all(use.price_id for use in booked):
        return all(piece.rates[0][0] in booked for piece in pieces)
    return any(_is_booked_by(dict(piece.rates), booked) for piece in pieces)


def _is_booked_by(rates: dict[_Use, Fraction], booked: dict[_Use, Amounts]) -> bool:
    return rates.keys() == booked.keys() and all(
        abs(nanos - quantity * rates[use]) <= _ROUNDING_NANOS
        for use, (nanos, quantity) in booked.items()
    )


def _spread(
    uuid: str, quantity: int, pieces: list[_Piece], remainders: Remainders
) -> Iterator[tuple[_Use, Amounts]]:
    """Book a quantity over pieces by their length; the parts sum to it exactly."""
    whole_ns = sum(piece.length_ns for piece in pieces)
    passed_ns, booked = 0, 0
    for piece in pieces:
        passed_ns += piece.length_ns
        part = quantity * passed_ns // whole_ns - booked
        booked += part
        for use, rate in piece.rates:
            remainder, denominator = remainders.get((uuid, *use), (0, rate.denominator))
            if denominator != rate.denominator:
                remainder = 0
            nanos, remainder = accrue(part, rate, remainder)
            remainders[uuid, use.component, use.price_id] = (remainder, rate.denominator)
            yield use, (nanos, part)
