"""A clock that stands still until a test moves it."""

from agent.ports import Clock
from agent.samples.instant import Instant
from agent.units import nanoseconds

SOME_BOOTTIME_NS = nanoseconds(1_000)
SOME_WALL_NS = 1_792_224_000 * 1_000_000_000
"""Saturday 2026-10-17 08:00 UTC: no edge of anything."""


class FakeClock(Clock):
    """``Clock`` in memory."""

    def __init__(self, boottime_ns: int = SOME_BOOTTIME_NS, wall_ns: int = SOME_WALL_NS) -> None:
        self.boottime_ns = boottime_ns
        self.wall_ns = wall_ns

    def now(self) -> Instant:
        return Instant(self.boottime_ns, self.wall_ns)

    def move(self, seconds: float = 0.0, *, ns: int = 0) -> Instant:
        """Let time pass; returns the moment it is then."""
        passed_ns = nanoseconds(seconds) + ns
        self.boottime_ns += passed_ns
        self.wall_ns += passed_ns
        return self.now()

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self.wall_ns += nanoseconds(seconds)

    def reboot(self, *, off_seconds: float) -> None:
        """The machine is off for a while; its boot clock starts again."""
        self.wall_ns += nanoseconds(off_seconds)
        self.boottime_ns = nanoseconds(20)
