"""What the tick and the reader threads share about one thread's turn as the reader."""

import threading
from dataclasses import dataclass, field

from agent.units import nanoseconds

OPEN = ""
"""Stands where a card's UUID stands when the call under way is the opening of the driver."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long calls may take, in nanoseconds."""

    read_ns: int
    """One card; a confidential-computing card answers cold in 0.1 s."""
    cycle_ns: int
    """All cards of one tick."""
    open_ns: int = nanoseconds(60)
    """Without a persistence daemon a card is initialised first, which takes seconds."""

    @classmethod
    def of_interval(cls, interval_ns: int) -> "Deadlines":
        """One hang fits into an interval; at very short ones a slow card comes before punctuality."""
        return cls(
            read_ns=max(interval_ns * 2 // 5, nanoseconds(0.2)),
            cycle_ns=max(interval_ns * 4 // 5, nanoseconds(0.4)),
        )


@dataclass(slots=True)
class Shift:
    """One thread's turn as the reader."""

    todo: list[str] = field(default_factory=list)
    """UUIDs still to read, the next one last; ``OPEN`` stands for opening the driver."""
    thread: threading.Thread | None = None
    under_way: str | None = None
    since_ns: int = 0
    abandoned: threading.Event = field(default_factory=threading.Event)
    ended: bool = False


@dataclass(slots=True)
class SetAside:
    """A card that hung: the shift that is stuck in it, and when it may be read again."""

    shift: Shift
    retry_at_ns: int | None = None
