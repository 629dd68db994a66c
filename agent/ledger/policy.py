"""What the operator decided about booking."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from agent.cost.prices import Price, PriceTable, Tier
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

    def longest_down_ns(self, price: Price | None) -> int:
        """For how long a card that is gone is still expected, and paid for."""
        owned = price is not None and price.tier is Tier.OWNED
        return self.max_down_owned_ns if owned else self.max_down_rented_ns
