"""What late or changed prices mean for energy that is booked; beside ``reprice``, which calls it.

Energy has no length, so its rows do not tell when in the hour it was drawn:

- It follows the time of its state and team: when half of that time moves to a record that pays for
  energy, half of the energy does.
- What is booked under a tariff or band that still holds somewhere in the span stays there whole; the
  rest is spread evenly over the pieces in which energy is paid for and of which nothing is booked yet.
- The host's power is a figure of the record times time: it is booked anew when either has changed.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from agent.ledger.deal import Carry, deal
from agent.ledger.entry import Component, EntryKey
from agent.ledger.posting import BY_HOST, BY_TIME
from agent.ledger.span import FREE, Booked, Quantities, Span, Use
from agent.units import NANOSECONDS_PER_SECOND

ENERGY = frozenset({Component.ENERGY, Component.UNPRICED_ENERGY})
_MILLIWATT = Fraction(1, NANOSECONDS_PER_SECOND)
"""Millijoules of a nanosecond at one milliwatt."""

Drawn = dict[EntryKey, dict[Use, int]]
"""Millijoules by state, team and method, and by use."""


@dataclass(frozen=True, slots=True)
class Times:
    """The time of a span by price id, as booked and as due, and the ids that pay for energy."""

    before: Quantities
    after: Quantities
    billed_before: set[str]
    billed_after: set[str]

    def crossing(self, group: EntryKey, free_mj: int, billed_mj: int) -> int:
        """Millijoules that come to be paid for because their time does; below zero: no longer."""
        ids = self.after.get(group, {})
        stays = all((each in self.billed_before) == (each in self.billed_after) for each in ids)
        if stays and ids == self.before.get(group, {}):
            return 0  # energy can reach back to before the time of its row: that is no crossing
        billed = sum(ids[each] for each in ids if each in self.billed_after)
        free = sum(ids.values()) - billed
        if not free:
            return free_mj
        if not billed:
            return -billed_mj
        had = self.before[group]
        billed_then = sum(had[each] for each in had if each in self.billed_before)
        free_then = sum(had.values()) - billed_then
        gained = billed - billed_then
        if gained > 0:
            return free_mj * gained // free_then
        return -(billed_mj * -gained // billed_then) if gained else 0


def energy_due(booked: Booked, times: Times, span: Span, slack: int, carry: Carry) -> Booked:
    """The energy of a span as it should be booked; ``slack`` is what roundings may come to."""
    drawn = {
        group: {use: quantity for use, (_, quantity) in uses.items()}
        for group, uses in booked.items()
    }
    wanted = _with_host(drawn, times, span, slack, carry)
    _move(wanted, times, span)
    return _priced(booked, wanted, span, slack, carry)


def _with_host(drawn: Drawn, times: Times, span: Span, slack: int, carry: Carry) -> Drawn:
    """Measured energy as it is, and the host's as times and records say."""
    host_mw = {price_id: of_id[0].host_mw for price_id, of_id in span.pieces.items()}
    run = [group for group in times.after if not group.filled]
    due = _MILLIWATT * sum(
        host_mw.get(price_id, 0) * quantity
        for group in run
        for price_id, quantity in times.before[group].items()
    )
    whole_ns = sum(sum(times.before[group].values()) for group in run)
    # The roundings of ticks that alternate between two states add up; half a milliwatt covers them.
    slack += int(whole_ns * _MILLIWATT / 2)
    hosts = [group for group in drawn if group.method == BY_HOST]
    had = sum(sum(drawn[group].values()) for group in hosts)
    if times.before == times.after and abs(had - due) <= slack:
        return {group: dict(uses) for group, uses in drawn.items()}
    wanted: Drawn = {group: dict(uses) for group, uses in drawn.items() if group not in hosts}
    for group in run:
        uses: dict[Use, int] = defaultdict(int)
        for price_id, quantity in times.after[group].items():
            pieces = span.pieces.get(price_id, ())
            rate = host_mw.get(price_id, 0) * _MILLIWATT
            amount = carry.book((group.uuid, BY_HOST, price_id), quantity, rate) if rate else 0
            shares = deal(amount, [piece.length_ns for piece in pieces])
            for piece, share in zip(pieces, shares, strict=True):
                uses[piece.energy] += share
        if any(uses.values()):
            wanted[group._replace(method=BY_HOST)] = dict(uses)
    return wanted


def _move(drawn: Drawn, times: Times, span: Span) -> None:
    """Take energy from where it is not due any more, and give it to the pieces where it is."""
    billed = [piece for _, piece in span.billed()]
    valid = {piece.energy for piece in billed}
    loose: dict[EntryKey, int] = {}
    for group, uses in drawn.items():
        paid = {use: quantity for use, quantity in uses.items() if use != FREE}
        crossing = 0
        if group.method != BY_HOST:
            time = group._replace(method=BY_TIME)
            crossing = times.crossing(time, uses.get(FREE, 0), sum(paid.values()))
        for use, part in zip(paid, deal(max(0, -crossing), list(paid.values())), strict=True):
            uses[use] -= part
        uses[FREE] = uses.get(FREE, 0) - crossing
        loose[group] = max(0, crossing)
        for use in paid.keys() - valid:
            loose[group] += uses.pop(use)
    kept = {use for uses in drawn.values() for use, quantity in uses.items() if quantity}
    open_pieces = [piece for piece in billed if piece.energy not in kept] or billed
    for group, amount in loose.items():
        uses = drawn[group]
        if not open_pieces:
            uses[FREE] += amount
            continue
        shares = deal(amount, [piece.length_ns for piece in open_pieces])
        for piece, share in zip(open_pieces, shares, strict=True):
            uses[piece.energy] = uses.get(piece.energy, 0) + share


def _priced(booked: Booked, wanted: Drawn, span: Span, slack: int, carry: Carry) -> Booked:
    rates: Mapping[Use, Fraction] = {piece.energy: piece.energy_rate for _, piece in span.billed()}
    due: Booked = {group: {} for group in wanted}
    for use in sorted({use for part in (booked, wanted) for uses in part.values() for use in uses}):
        had = {group: uses[use] for group, uses in booked.items() if use in uses}
        want = {group: uses[use] for group, uses in wanted.items() if uses.get(use)}
        rate = rates.get(use, Fraction(0))
        nanos, quantity = (sum(each[part] for each in had.values()) for part in (0, 1))
        same = {group: each for group, (_, each) in had.items() if each} == want
        if same and abs(nanos - quantity * rate) <= slack:
            for group, amounts in had.items():
                due.setdefault(group, {})[use] = amounts
            continue
        for group, each in sorted(want.items()):
            due[group][use] = (carry.book((group.uuid, *use), each, rate), each)
    return due
