"""What a report says beside its sums: coverage, parked power, cost of an hour, shares, changes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from agent.ledger.period import HOUR_NS, HOUR_SECONDS
from agent.report.budget import Outlook
from agent.report.period import Period
from agent.report.tally import Card, Group, Names, Tally, busy_ns
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR, NANOSECONDS_PER_SECOND
from agent.usage.state import CardState
from agent.usage.team import UNALLOCATED

Key = TypeVar("Key", str, Names)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCard:
    """A card that was ever booked, as all rows of it together tell; hours in UTC seconds."""

    first_hour: int
    last_hour: int
    model: str
    node: str
    currency: str
    rented: bool
    """It was rented at some time, or it is not known to be anybody's own."""

    def after(self, other: "KnownCard") -> "KnownCard":
        """What two ledgers know of a card that moved from one to the other."""
        last = max(self, other, key=lambda card: card.last_hour)
        return replace(last, first_hour=min(self.first_hour, other.first_hour))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a card's time is booked; hours, expected from the first hour it was ever booked in."""

    uuid: str
    model: str
    node: str
    expected: float
    booked: float
    unpriced: float
    filled: float
    rented: bool = True
    """A provider may ask rent for it; False: it is owned."""

    @property
    def missing(self) -> float:
        """Hours of which the ledger knows nothing; what is less than one is the edge of an hour."""
        short = self.expected - self.booked
        return short if short >= 1 else 0.0


@dataclass(frozen=True, slots=True)
class Parked:
    """What models cost in power while they are loaded and idle, beyond what the empty card draws."""

    uuid: str
    hours: float
    held_watts: float
    idle_watts: float
    kwh: float
    nanos: int | None
    """At the price its energy was paid at; None where a rental contains it."""


@dataclass(frozen=True, slots=True)
class Report:
    """One currency of one period, with the period before it for comparison."""

    period: Period
    before: Period
    currency: str
    tally: Tally
    earlier: Tally | None
    coverage: Sequence[Coverage]
    parked: Sequence[Parked]
    records: Mapping[str, Sequence[str]]
    """Price id to the records that were used under it, as JSON."""
    reasons: Mapping[int, str]
    """Number of a correction to its reason."""
    outlook: Outlook | None = None
    """Of a calendar month: its budgets and, while it lasts, its forecast."""
    sharing: str | None = None
    """How what nobody holds is shared out among the teams, ``even`` or ``proportional``; None: it is not."""

    @property
    def rows(self) -> list[tuple[Names, Group, int | None]]:
        """Groups, the dearest first, each with what it cost in the period before.

        Days do not come again: a report by day has those of its period, without comparison.
        """
        before = None if "day" in self.tally.by else self.earlier
        earlier = {} if before is None else before.groups
        names = self.tally.groups.keys() | earlier.keys()
        rows = [
            (name, self.tally.groups.get(name, Group()), _before(before, name)) for name in names
        ]
        return sorted(rows, key=lambda row: (-row[1].money.cost, row[0]))

    @property
    def teams(self) -> dict[str, int]:
        """What each team cost; the report is by team."""
        place = self.tally.by.index("team")
        costs: dict[str, int] = defaultdict(int)
        for names, group in self.tally.groups.items():
            costs[names[place]] += group.money.cost
        return dict(costs)

    @property
    def shared(self) -> dict[Names, int]:
        """What each group costs with its part of what nobody holds: sums to the total."""
        if self.sharing is None:
            return {}
        place = self.tally.by.index("team")
        found: dict[Names, int] = {}
        for team, cost in share_unallocated(self.teams, self.sharing).items():
            groups = {n: g.money.cost for n, g in self.tally.groups.items() if n[place] == team}
            own = sum(groups.values())
            weights = {names: max(0, nanos) for names, nanos in groups.items()}
            if not any(weights.values()):
                weights = dict.fromkeys(groups, 1)
            parts = _split(cost - own, weights)
            found |= {names: groups[names] + parts[names] for names in groups}
        return found

    @property
    def hours(self) -> Fraction:
        """GPU-hours that are booked."""
        return Fraction(self.tally.time_ns, HOUR_NS)

    @property
    def busy_hours(self) -> Fraction:
        """GPU-hours in which cards worked."""
        return Fraction(busy_ns(self.tally), HOUR_NS)


def _before(earlier: Tally | None, name: Names) -> int | None:
    if earlier is None:
        return None
    return earlier.groups[name].money.cost if name in earlier.groups else 0


def coverage(
    found: Tally,
    period: Period,
    *,
    now: int,
    known: Mapping[str, KnownCard],
    retired: Mapping[str, int],
) -> list[Coverage]:
    """For every card of a tally or known, from the first hour it was ever booked in until it was retired.

    A card of which nothing is booked in the period is in it when it was expected then.
    """
    end = min(period.end, now)
    covered: list[Coverage] = []
    for uuid in sorted(found.cards.keys() | known.keys()):
        ever, card = known.get(uuid), found.cards.get(uuid)
        begin = period.start if ever is None else max(period.start, ever.first_hour)
        expected = max(0, min(end, retired.get(uuid, end)) - begin)
        if card is None and ever is not None and expected:
            card = Card(ever.model, ever.node, rented=ever.rented, owned=not ever.rented)
        if card is not None:
            covered.append(_coverage(uuid, card, expected))
    return covered


def coverages(
    found: Mapping[str, Tally],
    period: Period,
    *,
    now: int,
    known: Mapping[str, KnownCard],
    retired: Mapping[str, int],
) -> dict[str, list[Coverage]]:
    """The coverage of each currency of which cards were booked or expected in the period.

    A card of which nothing is booked in it stands where its last row does.
    """
    booked = {uuid for each in found.values() for uuid in each.cards}
    covered = {}
    for currency in found.keys() | {card.currency for card in known.values()}:
        each = found.get(currency, Tally(()))
        those = {
            uuid: card
            for uuid, card in known.items()
            if uuid in each.cards or (uuid not in booked and card.currency == currency)
        }
        covered[currency] = coverage(each, period, now=now, known=those, retired=retired)
    return {currency: cards for currency, cards in covered.items() if cards}


def _coverage(uuid: str, card: Card, expected: int) -> Coverage:
    return Coverage(
        uuid=uuid,
        model=card.model,
        node=card.node,
        expected=expected / HOUR_SECONDS,
        booked=sum(card.time_ns.values()) / HOUR_NS,
        unpriced=card.unpriced_ns / HOUR_NS,
        filled=card.filled_ns / HOUR_NS,
        rented=card.rented or not card.owned,
    )


def parked(found: Tally) -> list[Parked]:
    """The power surcharge of parked models, for cards that were seen both held and empty."""
    cards = (_parked(uuid, card) for uuid, card in sorted(found.cards.items()))
    return [each for each in cards if each is not None and each.kwh > 0]


def _parked(uuid: str, card: Card) -> Parked | None:
    held_ns, idle_ns = (card.time_ns.get(s, 0) for s in (CardState.HELD, CardState.IDLE))
    held_mj, idle_mj = (card.energy_mj.get(s, 0) for s in (CardState.HELD, CardState.IDLE))
    if min(held_ns, idle_ns, held_mj, idle_mj) <= 0:
        return None
    extra_mj = held_mj - Fraction(idle_mj, idle_ns) * held_ns
    paid = card.paid_energy_mj
    return Parked(
        uuid=uuid,
        hours=held_ns / HOUR_NS,
        held_watts=held_mj / 1_000 / (held_ns / NANOSECONDS_PER_SECOND),
        idle_watts=idle_mj / 1_000 / (idle_ns / NANOSECONDS_PER_SECOND),
        kwh=float(extra_mj / MILLIJOULES_PER_KILOWATT_HOUR),
        nanos=round(extra_mj * card.energy_nanos / paid) if paid else None,
    )


def per_hour(nanos: int, hours: Fraction) -> Fraction | None:
    """Nanos for one hour; None when there is no hour to share them."""
    return Fraction(nanos) / hours if hours > 0 else None


def share_unallocated(
    costs: Mapping[str, int], how: str, *, nobody: str = UNALLOCATED
) -> dict[str, int]:
    """Give what nobody holds to the teams, ``even`` or ``proportional`` to their own cost; exactly.

    Without a team to give it to it stays where it is.
    """
    weights = {
        name: 1 if how == "even" else nanos for name, nanos in costs.items() if name != nobody
    }
    if sum(weights.values()) <= 0:
        return dict(costs)
    parts = _split(costs.get(nobody, 0), weights)
    return {name: costs[name] + part for name, part in parts.items()}


def _split(nanos: int, weights: Mapping[Key, int]) -> dict[Key, int]:
    """An amount in parts by weights, of which some are above 0; the parts sum to it."""
    whole, passed, given = sum(weights.values()), 0, 0
    parts = {}
    for name in sorted(weights):
        passed += weights[name]
        parts[name] = nanos * passed // whole - given
        given += parts[name]
    return parts
