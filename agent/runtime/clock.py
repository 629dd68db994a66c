"""The only reader of time."""

import time

from agent.ports import Clock
from agent.samples.instant import Instant


class SystemClock(Clock):
    """The machine's clocks: CLOCK_BOOTTIME, which counts suspended time, and UTC."""

    def now(self) -> Instant:
        """This moment."""
        return Instant(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())
