"""What the operator decided about booking."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from agent.cost.prices import Price, PriceTable, Tier
from agent.ledger.posting import NO_EMISSIONS, Emissions
from agent.units import nanoseconds
from agent.usage.exemption import Exemption
from agent.usage.state import ActivityPolicy
from agent.usage.team import TeamRule


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the ledger keeps what."""

    compact_after_days: int
    keep_months: int | None
    """This one counted in; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """What the operator decided; durations in nanoseconds."""

    table: PriceTable
    zone: ZoneInfo
    activity: ActivityPolicy = field(default_factory=ActivityPolicy)
    teams: tuple[TeamRule, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    retired: frozenset[str] = frozenset()
    emissions: Emissions = NO_EMISSIONS
    """Carbon as far as the configuration tells; the intensity of a file comes and goes."""
    max_gap_ns: int = nanoseconds(5)
    """A longer time between two ticks (a suspended or starved process) is booked as unknown."""
    max_fill_ns: int = nanoseconds(3_600)
    max_down_rented_ns: int = nanoseconds(3_600)
    max_down_owned_ns: int = nanoseconds(30 * 86_400)

    def longest_down_ns(self, price: Price | None) -> int:
        """For how long a card that is gone is still expected, and paid for."""
        owned = price is not None and price.tier is Tier.OWNED
        return self.max_down_owned_ns if owned else self.max_down_rented_ns
