"""What a card's time and energy are booked as: to which team, in which state, under which exemption."""

from collections.abc import Iterator
from itertools import pairwise

from agent.ledger.card import Card
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import Interval, spread
from agent.units import NANOSECONDS_PER_SECOND
from agent.usage.energy import EnergyMethod, EnergyStep
from agent.usage.exemption import exemption_of
from agent.usage.state import IDLE_STATES, CardState
from agent.usage.team import team_charged

Span = tuple[int, int]
"""[start, end), UTC nanoseconds since 1970."""
NOTHING_MEASURED = EnergyStep(None, EnergyMethod.NONE)


def exemption_at(card: Card, state: CardState, wall_ns: int, policy: AccountPolicy) -> str:
    """The exemption under which a card is held or idle, or empty."""
    if state not in IDLE_STATES or not policy.exemptions:
        return ""
    return exemption_of(
        card.identity,
        card.given_to,
        policy.table.labels,
        policy.exemptions,
        wall_ns // NANOSECONDS_PER_SECOND,
    )


def interval_of(
    card: Card,
    span: Span,
    state: CardState,
    policy: AccountPolicy,
    *,
    step: EnergyStep = NOTHING_MEASURED,
    filled: bool = False,
) -> Interval:
    """What a card did in a span of time."""
    return Interval(
        gpu=card.identity,
        team=team_charged(card.given_to, state),
        state=state,
        exempt=exemption_at(card, state, span[0], policy),
        start_wall_ns=span[0],
        end_wall_ns=span[1],
        energy_mj=step.millijoules,
        energy_method=step.method,
        filled=filled,
    )


def far_intervals(
    card: Card,
    step: EnergyStep,
    before: CardState,
    edges: tuple[int, int, int],
    policy: AccountPolicy,
) -> Iterator[Interval]:
    """The energy of a step that reaches back over more than a tick, spread evenly over its time.

    ``edges``: when this process met the card, when this tick's interval began, and now (UTC ns).
    What was used before the first is filled; up to the second in the state ``before``, that of the tick
    before: it is the state in which the time without a reading was booked, or at least its last part.
    """
    met_ns, tick_ns, now_ns = edges
    start_ns = now_ns - step.covered_ns
    met_ns = max(start_ns, met_ns)
    places = (start_ns, met_ns, max(met_ns, tick_ns), now_ns)
    states = (CardState.UNKNOWN, before, card.activity.state)
    amounts = spread(step.millijoules or 0, places)
    for span, state, millijoules in zip(pairwise(places), states, amounts, strict=True):
        if span[0] < span[1]:
            part = EnergyStep(millijoules, step.method)
            yield interval_of(card, span, state, policy, step=part, filled=span[0] < met_ns)
