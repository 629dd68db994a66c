"""What a report says beside its sums: coverage, parked power, cost of an hour, shares, changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from agent.ledger.period import HOUR_NS, HOUR_SECONDS
from agent.report.budget import Outlook
from agent.report.period import Period
from agent.report.tally import Card, Group, Names, Tally, busy_ns
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR, NANOSECONDS_PER_SECOND
from agent.usage.state import CardState
from agent.usage.team import UNALLOCATED


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

    @property
    def rows(self) -> list[tuple[Names, Group, int | None]]:
        """Groups, the dearest first, each with what it cost in the period before."""
        earlier = {} if self.earlier is None else self.earlier.groups
        names = self.tally.groups.keys() | earlier.keys()
        rows = [
            (name, self.tally.groups.get(name, Group()), _before(self.earlier, name))
            for name in names
        ]
        return sorted(rows, key=lambda row: (-row[1].money.cost, row[0]))

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
    first_hours: Mapping[str, int],
    retired: Mapping[str, int],
) -> list[Coverage]:
    """For every card of a tally, from the first hour it was ever booked in until it was retired."""
    end = min(period.end, now)
    return [
        Coverage(
            uuid=uuid,
            model=card.model,
            node=card.node,
            expected=max(
                0,
                min(end, retired.get(uuid, end))
                - max(period.start, first_hours.get(uuid, period.start)),
            )
            / HOUR_SECONDS,
            booked=sum(card.time_ns.values()) / HOUR_NS,
            unpriced=card.unpriced_ns / HOUR_NS,
            filled=card.filled_ns / HOUR_NS,
        )
        for uuid, card in sorted(found.cards.items())
    ]


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
    teams = sorted(name for name in costs if name != nobody)
    weights = {name: 1 if how == "even" else costs[name] for name in teams}
    whole, rest = sum(weights.values()), costs.get(nobody, 0)
    if whole <= 0:
        return dict(costs)
    shared, passed, given = {}, 0, 0
    for name in teams:
        passed += weights[name]
        share = rest * passed // whole - given
        given += share
        shared[name] = costs[name] + share
    return shared
