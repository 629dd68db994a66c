"""Idle time that is meant to be: standby pools, nights, desks with a display."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.samples.device import GpuIdentity
from agent.usage.match import CardMatch
from agent.usage.timetable import Timetable


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Held and idle time of these cards, of this team (empty: any), at these hours, is no waste.

    The state stays what it is; rows and series carry the exemption's name.
    """

    name: str
    match: CardMatch
    team: str = ""
    hours: Timetable[bool]


def exemption_of(
    card: GpuIdentity,
    team: str,
    labels: Mapping[str, str],
    rules: Sequence[Exemption],
    wall_seconds: int,
) -> str:
    """The name of the first exemption that holds for a card at a moment, or empty."""
    for rule in rules:
        if (
            rule.team in {"", team}
            and rule.match.matches(card, labels)
            and rule.hours.at(wall_seconds)
        ):
            return rule.name
    return ""
