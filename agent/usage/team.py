"""Whose card it is, as far as the operator's own list tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.samples.device import GpuIdentity
from agent.usage.match import CardMatch
from agent.usage.state import CardState

UNALLOCATED = "unallocated"
"""Nobody holds the card."""
UNATTRIBUTED = "unattributed"
"""Somebody holds it, or may have; who is not known."""

_NOBODY = frozenset({CardState.IDLE, CardState.DOWN})


@dataclass(frozen=True, slots=True)
class TeamRule:
    """Cards given to a team."""

    team: str
    match: CardMatch


def team_of(card: GpuIdentity, labels: Mapping[str, str], rules: Sequence[TeamRule]) -> str:
    """The team a card is given to, empty when none; the rule that names it most closely counts."""
    ranked = sorted(rules, key=lambda rule: rule.match.level)  # stable: the first of one level
    return next((rule.team for rule in ranked if rule.match.matches(card, labels)), "")


def team_charged(given_to: str, state: CardState) -> str:
    """Who is charged for a card: the team it is given to, else nobody or nobody known."""
    if given_to:
        return given_to
    return UNALLOCATED if state in _NOBODY else UNATTRIBUTED
