"""What passes between the running sums and the store: one flush out, one recovery in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.ledger.entry import EntryKey, MonthKey, MonthSums
from agent.ledger.fill import Checkpoint
from agent.ledger.posting import Remainders
from agent.samples.device import GpuIdentity


@dataclass(frozen=True, slots=True)
class KnownGpu:
    """A card this node has had, and when it last answered (UTC nanoseconds)."""

    identity: GpuIdentity
    last_seen_wall_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One flush: rows to add up, as key to (nanos, quantity), and the state to go on from."""

    rows: Mapping[EntryKey, tuple[int, int]]
    checkpoints: Sequence[Checkpoint]
    remainders: Remainders
    gpus: Sequence[KnownGpu]
    gone: Sequence[str] = ()
    """Cards that are not expected any more: their checkpoint must not be filled from again."""
    ahead: Mapping[MonthKey, int] = field(default_factory=dict)
    """What the rest of the month will cost by the clock, in nanos."""
    ahead_from_ns: int = 0
    """From when on (UTC nanoseconds): the last tick."""
    retired: frozenset[str] = frozenset()
    """Retired cards that a ledger which began in the middle of a run does not know yet."""
    prices: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Price records in use: id to digest and record as JSON, kept so that a later edit is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the ledger knows when the agent starts, or when it can be opened at last.

    ``months`` holds the sums of every month: a clock that is wrong at the start
    steps into another month later.
    """

    ledger_id: str
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    remainders: Remainders = field(default_factory=dict)
    gpus: Mapping[str, KnownGpu] = field(default_factory=dict)
    months: Mapping[MonthKey, MonthSums] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    """Cards that left for good, as told by ``gpufin inventory retire``."""
    price_digests: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Digests of the records that were used under each price id; two: it was edited in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What the ledger holds after another program wrote into it."""

    ledger_id: str
    months: Mapping[MonthKey, MonthSums]
    retired: frozenset[str]
