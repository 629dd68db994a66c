"""What the gaps of a card come to: which of their time is paid for, and what the operator is told.

Called by the account, which books it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.cost.prices import Tier
from agent.ledger.card import GONE, Card
from agent.ledger.charging import Span, interval_of
from agent.ledger.fill import (
    Checkpoint,
    Host,
    Moment,
    Stretch,
    counter_goes_on,
    gaps_since,
    measure,
)
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import Interval
from agent.samples.device import GpuFault
from agent.samples.instant import Instant
from agent.units import seconds
from agent.usage.energy import EnergyMeter, EnergyMethod, advance
from agent.usage.state import CardState

WITHOUT_LIMIT = frozenset({Tier.OWNED, Tier.RESERVED})
"""Paid for whether the node runs or not."""
TOO_LONG = "the machine was off for longer than max_fill, and a stopped instance is not paid for"
NOT_YET = "the machine was rebooted and its clock is not synchronised"


@dataclass(frozen=True, slots=True)
class Filling:
    """Time to be booked, and what is to be said."""

    spans: tuple[Span, ...]
    notes: tuple[str, ...]


def take_up(card: Card, checkpoint: Checkpoint, met: Moment, host: Host) -> list[str]:
    """Let a card go on from its checkpoint: the time since is a gap, the counter counts on."""
    card.gaps, why_not = gaps_since(checkpoint, met, host)
    if counter_goes_on(checkpoint, host) and card.first is None:
        # At once, and not when the time is filled: the next checkpoint must have it.
        card.meter = _resumed(checkpoint)
        card.resumed = True
    return [f"{card.identity.uuid}: time since the last run not filled: {why_not}"] * bool(why_not)


def late_energy(
    card: Card, checkpoint: Checkpoint, host: Host, last: Instant, policy: AccountPolicy
) -> Iterator[Interval]:
    """The energy from a checkpoint to this process's first sample, for a ledger opened after that.

    ``last`` is the moment of the last tick.
    """
    first = card.first
    if (
        first is None
        or not isinstance(first.energy_mj, int)
        or not counter_goes_on(checkpoint, host)
    ):
        return
    _, step = advance(_resumed(checkpoint), first, max_gap_ns=policy.max_gap_ns)
    if step.millijoules and step.anomaly is None:
        end_ns = last.wall_ns - (last.boottime_ns - first.boottime_ns)
        span = (end_ns - step.covered_ns, end_ns)
        yield interval_of(card, span, CardState.UNKNOWN, policy, step=step, filled=True)


def _resumed(checkpoint: Checkpoint) -> EnergyMeter:
    return EnergyMeter(
        counter_mj=checkpoint.energy_mj,
        counter_at_ns=checkpoint.energy_at_ns,
        method=EnergyMethod.COUNTER,
    )


def fill(card: Card, now: Moment, policy: AccountPolicy) -> Filling:
    """Settle the gaps of a card as far as they can be measured; the others wait on it."""
    measured = measure(card.gaps, now)
    card.gaps = measured.waiting
    not_filled = dict.fromkeys(measured.refused)
    spans: list[Span] = []
    for stretch in measured.stretches:
        expected = _while_expected(card, stretch, now, policy)
        paid = list(_paid_for(card, stretch, expected, policy))
        if _length(paid) < _length([expected]):
            not_filled[TOO_LONG] = None
        if paid or not stretch.rebooted:
            spans += paid
            card.filled_ns = (card.filled_ns or 0) + _length(paid)
    told = [f"time since the last run not filled: {why_not}" for why_not in not_filled]
    if measured.waiting and not card.told_to_wait:
        card.told_to_wait = True
        told.append(f"time since the last run not filled yet: {NOT_YET}")
    if spans:
        told.append(f"filled {seconds(_length(spans)):.1f} s since the last run")
    return Filling(tuple(spans), tuple(f"{card.identity.uuid}: {each}" for each in told))


def _length(spans: Iterable[Span]) -> int:
    return sum(end_ns - start_ns for start_ns, end_ns in spans)


def _while_expected(card: Card, stretch: Stretch, now: Moment, policy: AccountPolicy) -> Span:
    """A card that is gone left while we were away: it is paid for until ``max_down``, no longer."""
    start_ns, end_ns = stretch.start_ns, stretch.end_ns
    if not (isinstance(card.report, GpuFault) and card.report.reason in GONE):
        return start_ns, end_ns
    price = policy.table.at(card.identity, now.at.wall_ns)
    longest_ns = policy.longest_down_ns(price)
    if stretch.trusted:
        card.down_ns = max(card.down_ns, end_ns - card.last_seen_wall_ns)
        return start_ns, max(start_ns, min(end_ns, card.last_seen_wall_ns + longest_ns))
    # Where the clock cannot be trusted it does not tell how long ago the card was seen.
    left_ns = max(0, longest_ns - card.down_ns)
    card.down_ns += end_ns - start_ns
    return start_ns, min(end_ns, start_ns + left_ns)


def _paid_for(card: Card, stretch: Stretch, span: Span, policy: AccountPolicy) -> Iterator[Span]:
    """The parts of ``span``, which lies in ``stretch``, that somebody is billed for.

    The invoice of an instance that was stopped for longer than a reboot has no line for that time,
    under whichever record rented by the hour it falls, while a reservation is charged and an owned card
    ages for each hour of its record, so a longer stretch is filled with those parts of it alone.
    """
    start_ns, end_ns = span
    if not stretch.rebooted or stretch.end_ns - stretch.start_ns <= policy.max_fill_ns:
        if start_ns < end_ns:
            yield span
        return
    for from_ns, to_ns, price in policy.table.records(card.identity, start_ns, end_ns):
        if price is not None and price.tier in WITHOUT_LIMIT:
            yield from_ns, to_ns
