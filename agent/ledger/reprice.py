"""What late or changed prices mean for hours that are booked: correcting rows, never changed ones.

Decided per card and hour (or compacted day), for all its states and teams together.  Each price id may
keep as much time as it holds for in the span; only what is booked beyond that moves, to the ids that
have room.  So a table that has not changed moves nothing, whatever a card did, and no time is lost.
An id whose time and money are right is left alone; any other is booked anew under its own id.

What rows do not tell is approximated:

- Which minutes of an hour a state or team had is not kept: time that moves is taken from each, and
  given to each, by its share of the hour.
- Where the rates of one id change within the hour (an exchange rate, a life that ends), an id that is
  booked anew is spread evenly over its pieces.
- Where only a part of an hour was booked, an id keeps all that it can: unpriced time is not guessed.
- Less than a second an hour beyond what an id holds for is the clock being slewed, no correction.
- Where an hour has more time than an hour (the clock was set back), what is too much stays as it is;
  where it has not, and a price changes in it, what was booked twice is taken for booked wrongly.

Energy is in ``reprice_energy``.  Carbon, and money in another currency than the table's, stay.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from agent.cost.prices import PriceTable
from agent.cost.rates import FOREVER_NS
from agent.ledger.deal import Carry, deal
from agent.ledger.entry import Component, Entry, EntryKey
from agent.ledger.period import HOUR_SECONDS, day_hours
from agent.ledger.reprice_energy import ENERGY, Times, energy_due
from agent.ledger.span import (
    UNPRICED,
    Amounts,
    Booked,
    Known,
    Piece,
    Quantities,
    Span,
    Use,
    span_of,
    within_month,
)
from agent.samples.device import GpuIdentity
from agent.units import NANOSECONDS_PER_SECOND

TIME = frozenset({Component.RENTAL, Component.CAPITAL, Component.OPEX, Component.UNPRICED})
_OWNED = frozenset({Component.CAPITAL, Component.OPEX})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What rows are held against."""

    table: PriceTable
    zone: ZoneInfo
    cards: Mapping[str, Sequence[Known]]
    """By UUID, what a card looked like and when."""
    also_removed: bool = False
    """Take back too what was booked under an id of which the table has no record any more."""


class _Unit(NamedTuple):
    """What is decided together."""

    hour: int
    month: str
    uuid: str
    model: str


@dataclass(slots=True)
class _Sheet:
    """The rows of a unit, summed; ``rows`` is how many there were."""

    rows: int = 0
    booked: Booked = field(default_factory=lambda: defaultdict(dict))

    @property
    def ids(self) -> set[str]:
        """The price ids it is booked under."""
        return {use.price_id for uses in self.booked.values() for use in uses} - {UNPRICED}

    def add(self, group: EntryKey, use: Use, amounts: Amounts) -> None:
        before = self.booked[group].get(use, (0, 0))
        self.booked[group][use] = (before[0] + amounts[0], before[1] + amounts[1])
        self.rows += 1


def corrections(
    rows: Iterable[tuple[EntryKey, Amounts]],
    terms: Terms,
    *,
    number: int,
    days: ZoneInfo | None = None,
) -> list[Entry]:
    """The rows of correction ``number`` that turn ``rows`` into what the table says.

    Time and measured energy are conserved exactly; run again over the outcome it finds nothing to do.
    With ``days`` the rows stand for local days of that zone (compacted), else for UTC hours.
    """
    sheets: dict[_Unit, _Sheet] = defaultdict(_Sheet)
    for key, amounts in rows:
        if key.component in TIME | ENERGY and key.currency == terms.table.currency:
            group = key._replace(component="", price_id="", correction=number)
            unit = _Unit(key.hour, key.month, key.uuid, key.model)
            sheets[unit].add(group, Use(key.component, key.price_id), amounts)
    carry, ids = Carry(), terms.table.ids
    found: list[Entry] = []
    for unit, sheet in sorted(sheets.items()):
        removed = set() if terms.also_removed else sheet.ids - ids
        due = _due(sheet, _span(unit, terms, days), removed, carry)
        found += _difference(sheet.booked, due)
    return found


def _span(unit: _Unit, terms: Terms, days: ZoneInfo | None) -> Span:
    first = unit.hour
    last = first + HOUR_SECONDS if days is None else day_hours(first, days)[1]
    start_ns, end_ns = within_month(
        first * NANOSECONDS_PER_SECOND, last * NANOSECONDS_PER_SECOND, unit.month, terms.zone
    )
    card = GpuIdentity(uuid=unit.uuid, index=0, model=unit.model, pci_bus_id="")
    known = terms.cards.get(unit.uuid) or (Known(0, FOREVER_NS, card),)
    there = [each.card for each in known if each.from_ns < end_ns and start_ns < each.until_ns]
    # A driver may have called it otherwise: the row's name is the one it was booked by.
    cards = [replace(each, model=unit.model) for each in there or [known[0].card]]
    return span_of(cards, terms.table, start_ns, end_ns)


def _difference(booked: Booked, due: Booked) -> Iterator[Entry]:
    for group in sorted(booked.keys() | due.keys()):
        old, new = booked.get(group, {}), due.get(group, {})
        for use in sorted(old.keys() | new.keys()):
            (was, had), (nanos, quantity) = old.get(use, (0, 0)), new.get(use, (0, 0))
            if (nanos, quantity) != (was, had):
                key = group._replace(component=use.component, price_id=use.price_id)
                yield Entry(key, nanos - was, quantity - had)


def _due(sheet: _Sheet, span: Span, removed: Collection[str], carry: Carry) -> Booked:
    parts: tuple[Booked, Booked] = ({}, {})
    for group, uses in sorted(sheet.booked.items()):
        for use, amounts in uses.items():
            if amounts != (0, 0):
                parts[use.component in ENERGY].setdefault(group, {})[use] = amounts
    time, energy = parts
    slack = sheet.rows + 2  # what roundings carried in and out of each row may come to
    before = {group: _quantities(uses) for group, uses in time.items()}
    after = _settled(before, span, removed)
    due: Booked = {group: {} for group in time}
    for price_id in sorted({each for ids in (*before.values(), *after.values()) for each in ids}):
        mine = {group: _under(price_id, uses) for group, uses in time.items()}
        moved = any(
            after[group].get(price_id, 0) != before[group].get(price_id, 0) for group in time
        )
        pieces = span.pieces.get(price_id, ())
        if price_id not in removed and (moved or not _right(mine, pieces, slack)):
            wanted = {group: ids.get(price_id, 0) for group, ids in after.items()}
            mine = _booked_anew(price_id, wanted, pieces, carry)
        for group, uses in mine.items():
            due[group] |= uses
    if removed:
        return due | energy
    owned = {use.price_id for uses in time.values() for use in uses if use.component in _OWNED}
    times = Times(before, after, owned, {price_id for price_id, _ in span.billed()})
    return due | energy_due(energy, times, span, slack, carry)


def _quantities(uses: Mapping[Use, Amounts]) -> dict[str, int]:
    # The components of one id carry the same time; capital ends before the rest does.
    found: dict[str, int] = {}
    for use, (_, quantity) in uses.items():
        found[use.price_id] = max(quantity, found.get(use.price_id, 0))
    return found


def _under(price_id: str, uses: Mapping[Use, Amounts]) -> dict[Use, Amounts]:
    return {use: amounts for use, amounts in uses.items() if use.price_id == price_id}


def _settled(before: Quantities, span: Span, removed: Collection[str]) -> Quantities:
    """The time of each id after what it cannot keep has moved to where there is room."""
    totals: Counter[str] = sum(map(Counter, before.values()), Counter())
    over_ns = max(0, sum(totals.values()) - span.length_ns)
    kept = {
        price_id: total
        if price_id in removed
        else _kept(total, span.room_ns(price_id), over_ns, span)
        for price_id, total in totals.items()
    }
    after, loose = {group: dict(ids) for group, ids in before.items()}, dict.fromkeys(before, 0)
    for price_id, total in totals.items():
        parts = deal(total - kept[price_id], [ids.get(price_id, 0) for ids in before.values()])
        for group, part in zip(before, parts, strict=True):
            if part:
                after[group][price_id] -= part
                loose[group] += part
    room = {each: max(0, span.room_ns(each) + over_ns - kept.get(each, 0)) for each in span.pieces}
    for group, amount in loose.items():
        for price_id, part in zip(room, deal(amount, list(room.values())), strict=True):
            if part:
                room[price_id] -= part
                after[group][price_id] = after[group].get(price_id, 0) + part
    return after


def _kept(total: int, room_ns: int, over_ns: int, span: Span) -> int:
    """How much of the time of an id is right."""
    if not room_ns:
        return 0
    return total if total <= room_ns + over_ns + span.slack_ns else room_ns + over_ns


def _right(mine: Booked, pieces: Sequence[Piece], slack: int) -> bool:
    """Whether some way of having spent the time in the pieces is booked at just this money."""
    whole = sum(
        max((quantity for _, quantity in uses.values()), default=0) for uses in mine.values()
    )
    sums: dict[str, Amounts] = {name: (0, 0) for piece in pieces for name in piece.rates}
    for uses in mine.values():
        for use, (nanos, quantity) in uses.items():
            before = sums.get(use.component, (0, 0))
            sums[use.component] = (before[0] + nanos, before[1] + quantity)
    more_ns = max(0, whole - sum(piece.length_ns for piece in pieces))
    for name, (nanos, quantity) in sums.items():
        with_it = [(p.rates[name], p.length_ns + more_ns) for p in pieces if name in p.rates]
        without_ns = sum(p.length_ns + more_ns for p in pieces if name not in p.rates)
        with_ns = sum(length_ns for _, length_ns in with_it)
        if not max(0, whole - without_ns) <= quantity <= min(whole, with_ns):
            return False
        least = _money(quantity, sorted(with_it))
        most = _money(quantity, sorted(with_it, reverse=True))
        if not least - slack <= nanos <= most + slack:
            return False
    return True


def _money(quantity: int, rates: Iterable[tuple[Fraction, int]]) -> Fraction:
    """What a quantity costs that is filled into rates and lengths in their order."""
    due = Fraction(0)
    for rate, length_ns in rates:
        part = min(quantity, length_ns)
        due += rate * part
        quantity -= part
    return due


def _booked_anew(
    price_id: str, wanted: Mapping[EntryKey, int], pieces: Sequence[Piece], carry: Carry
) -> Booked:
    more_ns = max(0, sum(wanted.values()) - sum(piece.length_ns for piece in pieces))
    room = [piece.length_ns + more_ns for piece in pieces]
    found: Booked = {}
    for group, quantity in wanted.items():
        parts = deal(quantity, room)
        room = [had - part for had, part in zip(room, parts, strict=True)]
        found[group] = {}
        for piece, part in zip(pieces, parts, strict=True):
            for component, rate in piece.rates.items() if part else ():
                nanos, had = found[group].get(Use(component, price_id), (0, 0))
                nanos += carry.book((group.uuid, component, price_id), part, rate)
                found[group][Use(component, price_id)] = (nanos, had + part)
    return found
