"""Cards whose calls block, fail and heal as a test says, and a clock that can be moved on."""

import threading
import time
from collections import Counter

from agent.errors import DriverError, GpuError
from agent.ports import Clock, DeviceSource, Session
from agent.runtime.reader import Reader
from agent.runtime.shift import Deadlines
from agent.samples.device import GpuIdentity, GpuSample, NodeSample
from agent.samples.instant import Instant
from agent.samples.reading import Missing, Reading
from agent.units import nanoseconds, seconds

READ_SECONDS = 0.15
CYCLE_SECONDS = 0.4
OPEN_SECONDS = 0.3


class MovableClock(Clock):
    """Real time, since threads really wait, and on top of it what the test adds."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def now(self) -> Instant:
        now_ns = time.monotonic_ns() + self._ahead_ns
        return Instant(now_ns, now_ns + 10**18)

    def advance(self, seconds_: float) -> None:
        self._ahead_ns += nanoseconds(seconds_)


class BlockingSource(DeviceSource):
    """``kind`` cards A, B, …; everything that happens to them is set from outside."""

    kind = "simulated"

    def __init__(self, clock: Clock, cards: str) -> None:
        self._clock = clock
        self.listed = list(cards)
        self.unreadable = 0
        """Cards beside them that do not open."""
        self.named: Counter[int] = Counter()
        """Namings begun, by index."""
        self.memory_total_bytes: Reading[int] = Missing.NO_DATA
        """As naming tells it."""
        self.sample_memory_bytes: Reading[int] = Missing.NO_DATA
        """As reading tells it."""
        self.faults: dict[str, Exception] = {}
        """Raised by reading a card; under the empty name by opening, under ``#0`` by naming."""
        self.slow: dict[str, float] = {}
        """Seconds that reading a card takes."""
        self.gates: dict[str, threading.Event] = {}
        self.reads: Counter[str] = Counter()
        """Readings begun; opening under the empty name."""
        self.threads: set[int] = set()
        self.closed = 0
        self.power_mw = 1_000
        self.utilization_percent: Reading[int] = Missing.NO_DATA
        self.at_once = 0
        self.most_at_once = 0
        """How many calls beside each other there were, blocked ones apart."""
        self._lock = threading.Lock()

    def hang(self, name: str) -> threading.Event:
        """Block calls on a card (empty: opening) from now on; ``release`` lets them go."""
        self.gates[name] = threading.Event()
        return self.gates[name]

    def release(self, name: str) -> None:
        self.gates.pop(name).set()

    def _call(self, name: str) -> None:
        with self._lock:
            self.threads.add(threading.get_ident())
            if not name.startswith("#"):
                self.reads[name] += 1
            gate, fault = self.gates.get(name), self.faults.get(name)
        if gate is not None:
            gate.wait(30)
        else:
            with self._lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            time.sleep(self.slow.get(name, 0.001))
            with self._lock:
                self.at_once -= 1
        if fault is not None:
            raise fault

    def open(self) -> Session:
        self._call("")
        return Session("1.2", len(self.listed) + self.unreadable, tuple(self.listed))

    def identify(self, index: int) -> GpuIdentity:
        self.named[index] += 1
        self._call(f"#{index}")
        if index >= len(self.listed):
            raise GpuError("NO_PERMISSION", code=4)
        return GpuIdentity(
            uuid=self.listed[index],
            index=index,
            model="M",
            pci_bus_id="0",
            memory_total_bytes=self.memory_total_bytes,
        )

    def census(self) -> tuple[str, ...]:
        self._call("#census")
        return tuple(self.listed)

    def read(self, uuid: str) -> GpuSample:
        at_ns, power_mw = self._clock.now().boottime_ns, self.power_mw
        self._call(uuid)
        return GpuSample(
            uuid=uuid,
            boottime_ns=at_ns,
            power_mw=power_mw,
            utilization_percent=self.utilization_percent,
            processes=(),
            memory_total_bytes=self.sample_memory_bytes,
        )

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A reader over such cards."""

    def __init__(
        self,
        cards: str = "ABCD",
        *,
        read_seconds: float = READ_SECONDS,
        cycle_seconds: float = CYCLE_SECONDS,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        self.clock = MovableClock()
        self.source = BlockingSource(self.clock, cards)
        self.reader = Reader(
            self.source,
            self.clock,
            Deadlines(
                read_ns=nanoseconds(read_seconds),
                cycle_ns=nanoseconds(cycle_seconds),
                open_ns=nanoseconds(open_seconds),
            ),
        )
        self.took = 0.0
        self.expected: set[str] = set()
        """Cards seen so far, as an account remembers them, and what a test adds."""

    def collect(self) -> dict[str, str]:
        """One cycle: "ok" or the reason of the fault, by card."""
        return {
            uuid: "ok" if isinstance(report, GpuSample) else str(report.reason)
            for uuid, report in self.sample().reports.items()
        }

    def sample(self) -> NodeSample:
        start_ns = self.clock.now().boottime_ns
        node = self.reader.collect(self.expected)
        self.expected |= node.identities.keys()
        self.took = seconds(self.clock.now().boottime_ns - start_ns)
        return node

    def end(self) -> None:
        for gate in self.source.gates.values():
            gate.set()
        self.reader.stop()


def no_driver(code: int = 9, *, restart: bool = False) -> DriverError:
    return DriverError("DRIVER_NOT_LOADED", code=code, restart=restart)
