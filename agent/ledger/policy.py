"""What the operator decided about booking."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from agent.cost.prices import PriceTable
from agent.units import nanoseconds
from agent.usage.state import ActivityPolicy
from agent.usage.team import TeamRule


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """What the operator decided; durations in nanoseconds."""

    table: PriceTable
    zone: ZoneInfo
    activity: ActivityPolicy = field(default_factory=ActivityPolicy)
    teams: tuple[TeamRule, ...] = ()
    retired: frozenset[str] = frozenset()
    max_gap_ns: int = nanoseconds(5)
    """A longer time between two ticks (a suspended or starved process) is booked as unknown."""
    max_fill_ns: int = nanoseconds(3_600)
    max_down_rented_ns: int = nanoseconds(3_600)
    max_down_owned_ns: int = nanoseconds(30 * 86_400)
