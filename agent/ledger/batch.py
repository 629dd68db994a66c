"""What passes between the running sums and the store: one flush out, one recovery in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.ledger.entry import EntryKey, MonthKey
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the ledger knows when the agent starts.

    ``months`` holds (cost, idle cost) in nanos of every month: a clock that is wrong at the start
    steps into another month later.
    """

    ledger_id: str
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    remainders: Remainders = field(default_factory=dict)
    gpus: Mapping[str, KnownGpu] = field(default_factory=dict)
    months: Mapping[MonthKey, tuple[int, int]] = field(default_factory=dict)
