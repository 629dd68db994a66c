"""One thread's turn as the reader, what it can be told to do, and how long things may take and wait."""

import threading
from dataclasses import dataclass, field
from enum import Enum, auto

from agent.units import nanoseconds

MAX_ABANDONED = 2
RETRY_BACK_OFF_SECONDS = (30.0, 60.0, 300.0, 600.0)
"""Before a card that hung is read again, counted from when its call came back."""
GRACE_NS = nanoseconds(0.1)
"""What a call gets that passed its deadline while nobody watched: the process itself stood still."""

LAST_CYCLE_NS = nanoseconds(0.7)
"""How long a cycle that is under way is waited for when the agent is told to stop."""


class Task(Enum):
    """What a reader can be told to do."""

    OPEN = auto()
    """Open the driver, anew where it is open."""
    NAME = auto()
    """Find the card at an index and what names it."""
    READ = auto()
    """Read one card."""
    CENSUS = auto()
    """Look whether cards came or went."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call into the source: ``READ`` has a ``uuid``, ``NAME`` an ``index``."""

    task: Task
    uuid: str = ""
    index: int = -1

    def __str__(self) -> str:
        at = {Task.READ: self.uuid, Task.NAME: f"the card at index {self.index}"}
        return at.get(self.task, "opening" if self.task is Task.OPEN else "counting cards")


OPEN = Job(Task.OPEN)
CENSUS = Job(Task.CENSUS)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long calls may take, in nanoseconds."""

    read_ns: int
    """One card; a confidential-computing card answers cold in 0.1 s."""
    cycle_ns: int
    """All cards of one tick."""
    open_ns: int = nanoseconds(60)
    """Opening the driver, and naming a card beside the others' readings: without a persistence daemon
    a card is initialised first, which takes seconds."""

    @classmethod
    def of_interval(cls, interval_ns: int) -> "Deadlines":
        """One hang fits into an interval; at very short ones a slow card comes before punctuality."""
        return cls(
            read_ns=max(interval_ns * 2 // 5, nanoseconds(0.2)),
            cycle_ns=max(interval_ns * 9 // 10, nanoseconds(0.4)),
        )


@dataclass(slots=True, eq=False)
class Shift:
    """One thread's turn as the reader."""

    todo: list[Job] = field(default_factory=list)
    """The next one last."""
    thread: threading.Thread | None = None
    under_way: Job | None = None
    since_ns: int = 0
    abandoned: bool = False
    """What this one is about is not wanted any more."""
    ended: bool = False


@dataclass(slots=True)
class SetAside:
    """A card that hung: the shift that is stuck in it, and when it may be touched again."""

    shift: Shift
    retry_at_ns: int | None = None
