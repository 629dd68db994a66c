"""One thread's turn as the reader, and how long things may take and wait."""

import threading
from dataclasses import dataclass, field

from agent.errors import DriverError
from agent.units import nanoseconds

OPEN = ""
"""Stands where a card's UUID stands when the call under way is the opening of the driver."""


MAX_ABANDONED = 2
REOPEN_BACK_OFF_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 600.0)
"""Between attempts to open the driver again, for a lost card or a driver that does not answer."""
RETRY_BACK_OFF_SECONDS = (30.0, 60.0, 300.0, 600.0)
"""Before a card that hung is read again, counted from when its call came back."""


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


def driver_reason(error: DriverError | None, *, settled: bool) -> str:
    """Why the driver does not answer, in a word or two; empty when it does."""
    if error is not None:
        return error.reason
    return "" if settled else "no answer yet"
