"""One pass over ledger rows: everything a report is made of, as exact integers."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from agent.ledger.entry import (
    MONEY_COMPONENTS,
    Component,
    EntryKey,
    MonthSums,
    sums_of,
)
from agent.report.period import local_day
from agent.usage.state import CardState

Rows = Iterable[tuple[str, EntryKey, tuple[int, int]]]
"""Ledger id, key, and nanos and quantity."""
Names = tuple[str, ...]

DIMENSIONS = ("team", "model", "card", "state", "component", "price", "day", "node")
_FIELDS = {
    "team": "team",
    "model": "model",
    "card": "uuid",
    "state": "state",
    "component": "component",
    "price": "price_id",
}
_TIME = frozenset({Component.RENTAL, Component.CAPITAL, Component.OPEX, Component.UNPRICED})
_DRAWN = frozenset({Component.ENERGY, Component.UNPRICED_ENERGY})


@dataclass(slots=True)
class Group:
    """What one group of a report cost, and the time of its cards in nanoseconds."""

    money: MonthSums = field(default_factory=MonthSums)
    time_ns: int = 0


@dataclass(slots=True)
class Card:
    """What one card did: nanoseconds, millijoules (its own, without the host's) and nanos by state."""

    model: str
    node: str
    time_ns: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    energy_mj: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    money: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    energy_nanos: int = 0
    paid_energy_mj: int = 0
    unpriced_ns: int = 0
    filled_ns: int = 0
    rented: bool = False
    owned: bool = False


@dataclass(slots=True)
class Rent:
    """The parts of what rented cards cost that their provider may see otherwise, in nanos."""

    filled: int = 0
    down: int = 0
    corrections: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(slots=True)
class Tally:
    """The sums of one period and currency; money in nanos, time in ns, energy in mJ, carbon in ng."""

    by: Names
    groups: dict[Names, Group] = field(default_factory=lambda: defaultdict(Group))
    cards: dict[str, Card] = field(default_factory=dict)
    total: MonthSums = field(default_factory=MonthSums)
    time_ns: int = 0
    states: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    components: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    prices: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """(price id, component) to nanos and quantity."""
    days: dict[date, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    """Local day to nanos by state."""
    methods: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How energy is known, to millijoules."""
    quantities: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Component without money to its quantity."""
    filled: int = 0
    corrections: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    exempt: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rent: Rent = field(default_factory=Rent)


def tally(rows: Rows, by: Names, zone: ZoneInfo) -> dict[str, Tally]:
    """Sum rows up by currency; different currencies are never added.

    ``by`` are names of ``DIMENSIONS``.
    """
    tallies: dict[str, Tally] = {}
    spans: dict[tuple[str, EntryKey], dict[str, int]] = defaultdict(dict)
    for ledger, key, (nanos, quantity) in rows:
        found = tallies.get(key.currency)
        if found is None:
            found = tallies[key.currency] = Tally(by)
        card = found.cards.get(key.uuid)
        if card is None:
            card = found.cards[key.uuid] = Card(key.model, ledger)
        if key.component in MONEY_COMPONENTS:
            _add_money(found, card, ledger, key, (nanos, quantity), zone)
        else:
            found.quantities[key.component] += quantity
        if key.component in _DRAWN:
            _add_energy(found, card, key, (nanos, quantity))
        if key.component in _TIME:
            # The components of one price carry the same time: it is counted once, after what
            # corrections took back from one component and booked under another.
            span = spans[ledger, key._replace(component="", method="", correction=0)]
            span[key.component] = span.get(key.component, 0) + quantity
    for (ledger, key), components in spans.items():
        _add_time(tallies[key.currency], ledger, key, components, zone)
    return tallies


def _add_money(
    found: Tally, card: Card, ledger: str, key: EntryKey, amounts: tuple[int, int], zone: ZoneInfo
) -> None:
    nanos, quantity = amounts
    sums = sums_of(key, nanos)
    group = found.groups[_names(found.by, ledger, key, zone)]
    group.money = group.money.plus(sums)
    found.total = found.total.plus(sums)
    found.states[key.state] += nanos
    found.components[key.component] += nanos
    before = found.prices.get((key.price_id, key.component), (0, 0))
    found.prices[key.price_id, key.component] = (before[0] + nanos, before[1] + quantity)
    found.days[local_day(key.hour, zone)][key.state] += nanos
    card.money[key.state] += nanos
    if key.filled:
        found.filled += nanos
    if key.correction:
        found.corrections[key.correction] += nanos
    if key.exempt:
        found.exempt[key.exempt] += nanos
    if key.component == Component.RENTAL:
        card.rented = True
        _add_rent(found.rent, key, nanos)
    elif key.component in {Component.CAPITAL, Component.OPEX}:
        card.owned = True


def _add_rent(rent: Rent, key: EntryKey, nanos: int) -> None:
    if key.filled:
        rent.filled += nanos
    if key.state == CardState.DOWN:
        rent.down += nanos
    if key.correction:
        rent.corrections[key.correction] += nanos


def _add_energy(found: Tally, card: Card, key: EntryKey, amounts: tuple[int, int]) -> None:
    nanos, quantity = amounts
    found.methods[key.method] += quantity
    if key.method != "host":
        card.energy_mj[key.state] += quantity
    if key.price_id:
        card.energy_nanos += nanos
        card.paid_energy_mj += quantity


def _add_time(
    found: Tally, ledger: str, key: EntryKey, components: dict[str, int], zone: ZoneInfo
) -> None:
    time_ns = max(components.values())
    card = found.cards[key.uuid]
    card.time_ns[key.state] += time_ns
    found.time_ns += time_ns
    if Component.UNPRICED in components:
        card.unpriced_ns += time_ns
    if key.filled:
        card.filled_ns += time_ns
    if "component" not in found.by:
        found.groups[_names(found.by, ledger, key, zone)].time_ns += time_ns


def _names(by: Names, ledger: str, key: EntryKey, zone: ZoneInfo) -> Names:
    return tuple(
        ledger
        if name == "node"
        else str(local_day(key.hour, zone))
        if name == "day"
        else str(getattr(key, _FIELDS[name]))
        for name in by
    )


def busy_ns(found: Tally) -> int:
    """The time in which cards worked."""
    return sum(card.time_ns.get(CardState.ACTIVE, 0) for card in found.cards.values())
