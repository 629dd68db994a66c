"""The immutable picture of the node that every scrape and page is made from.

The tick thread alone makes it, once a tick; any number of readers share it.
Data and health are apart: a failed tick still publishes health.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.cost.prices import Price
from agent.ledger.entry import MonthKey, MonthSums
from agent.ledger.period import Month
from agent.samples.device import GpuFault, GpuIdentity, GpuSample
from agent.samples.instant import Instant
from agent.usage.state import CardState

CounterValues = Mapping[str, Mapping[tuple[str, ...], int]]
"""Metric name to (label values in catalogue order to integer sum since the process started)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """One expected card at this tick."""

    identity: GpuIdentity
    report: GpuSample | GpuFault
    state: CardState
    idle_since_wall_ns: int | None
    energy_source: str
    """``counter``, ``integrated`` or ``none``: how its energy is known."""
    price: Price | None
    rate_per_hour: float | None
    """What it costs now, in the currency, with the energy of a card that draws some.

    None: unpriced, or its power is not known and its energy is paid for.
    """
    team: str
    """The team it is given to, empty when none."""
    exemption: str
    """The exemption under which it is held or idle now, empty when none."""
    filled_ns: int | None
    """Time filled into the ledger when this process first saw it."""


@dataclass(frozen=True, slots=True)
class CollectorHealth:
    """How the last run of one source of data went."""

    success: bool
    duration_seconds: float
    last_success_wall_ns: int | None


@dataclass(frozen=True, slots=True)
class ConfigHealth:
    """When the configuration in force was read, and whether the file still is that one."""

    read_at_wall_ns: int
    successful: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The node at one tick."""

    at: Instant
    started_wall_ns: int
    source: str
    currency: str
    ledger_id: str
    settled: bool
    """False until the reader has an answer of the driver, good or bad, and while it hangs."""
    driver_up: bool
    driver_reason: str
    driver_code: int | None
    driver_version: str
    cards: tuple[CardView, ...]
    counters: CounterValues
    months: tuple[Month, ...]
    """This month and the last."""
    month_cost: Mapping[MonthKey, MonthSums]
    month_ahead: Mapping[MonthKey, int]
    """Nanos that the rest of this month will cost by the clock alone."""
    energy_price_per_kwh: float | None
    carbon_grams_per_kwh: float | None = None
    config: ConfigHealth = field(default_factory=lambda: ConfigHealth(0))
    collectors: Mapping[str, CollectorHealth] = field(default_factory=dict)
    pending_entries: int = 0
    unreconciled_nanos: int = 0
    """By how much the sums over states, components and teams differ; anything but 0 is a defect."""
    tick_seconds: float | None = None
    """How long the tick before this one took, from reading to published view."""
    fresh_until_boottime_ns: int = 0
    """After this moment the picture is stale and ``/-/ready`` says so."""
