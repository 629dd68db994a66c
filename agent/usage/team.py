"""Whose card it is, as far as the operator's own list tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.usage.state import CardState

UNALLOCATED = "unallocated"
"""Nobody holds the card."""
UNATTRIBUTED = "unattributed"
"""Somebody holds it, or may have; who is not known."""

_NOBODY = frozenset({CardState.IDLE, CardState.DOWN})


@dataclass(frozen=True, slots=True)
class TeamRule:
    """Cards given to a team: one card by its UUID, or all whose model matches a glob."""

    team: str
    uuid: str | None = None
    model: str | None = None


def team_of(uuid: str, model: str, rules: Sequence[TeamRule]) -> str:
    """The team a card is given to, empty when none; a rule for its UUID comes before its model."""
    by_uuid = next((rule.team for rule in rules if rule.uuid == uuid), "")
    if by_uuid:
        return by_uuid
    models = (
        rule.team for rule in rules if rule.model is not None and fnmatchcase(model, rule.model)
    )
    return next(models, "")


def team_charged(given_to: str, state: CardState) -> str:
    """Who is charged for a card: the team it is given to, else nobody or nobody known."""
    if given_to:
        return given_to
    return UNALLOCATED if state in _NOBODY else UNATTRIBUTED
