"""The threads that alone call the driver, and what the tick gets of them in time.

One reader thread works at a time.  A call that passes its deadline cannot be cancelled: its thread is
abandoned, its card set aside until that thread comes back, and a successor reads the other cards in
the same tick.  Two abandoned threads at once mean that the library itself hangs: only a new process
helps.
"""

import logging
import threading

from agent.errors import DriverError, GpuError
from agent.ports import Clock, DeviceSource, Inventory
from agent.runtime.shift import (
    MAX_ABANDONED,
    OPEN,
    REOPEN_BACK_OFF_SECONDS,
    RETRY_BACK_OFF_SECONDS,
    Deadlines,
    SetAside,
    Shift,
    driver_reason,
)
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample
from agent.units import nanoseconds, seconds

log = logging.getLogger(__name__)


class Reader:
    """Reads all cards of a source, once a tick, whatever single cards do."""

    def __init__(self, source: DeviceSource, clock: Clock, deadlines: Deadlines) -> None:
        self._source = source
        self._clock = clock
        self._deadlines = deadlines
        self._lock = threading.Condition()
        self._shift: Shift | None = None
        self._stuck: list[Shift] = []
        self._aside: dict[str, SetAside] = {}
        self._hangs: dict[str, int] = {}
        self._read_at_ns: dict[str, int] = {}
        self._broken: set[str] = set()
        self._ever_seen: set[str] = set()
        self._inventory: Inventory | None = None
        self._identities: dict[str, GpuIdentity] = {}
        self._reports: dict[str, GpuSample | GpuFault] = {}
        self._driver_error: DriverError | None = None
        self._reopen_at_ns: int | None = 0
        self._reopens = 0
        self._unreadable_told = 0
        self._stopped = False
        self._abandoned = 0

    @property
    def exhausted(self) -> bool:
        """The library itself hangs, or asks for a new process: nothing more will be read in this one."""
        error = self._driver_error
        if error is not None and error.restart:
            return True
        # The driver is never opened again beside a stuck call, so without a session that is the end.
        without_session = bool(self._stuck) and self._inventory is None
        return without_session or len(self._stuck) >= MAX_ABANDONED

    @property
    def unreadable(self) -> int:
        """Cards that the driver lists and nobody can name: no report speaks of them."""
        return 0 if self._inventory is None else self._inventory.unreadable

    def collect(self) -> NodeSample:
        """Have every card read and return what arrived in time; called by the tick thread alone."""
        with self._lock:
            now_ns = self._clock.now().boottime_ns
            self._come_back(now_ns)
            if not self.exhausted:
                self._assign(now_ns)
                self._wait(now_ns + self._deadlines.cycle_ns)
            sample = self._sample()
            self._reports = {}  # what arrives from now on, of a slow call too, belongs to the next tick
            return sample

    def take_abandoned(self) -> int:
        """Readers abandoned since the last call; called by the tick thread alone."""
        abandoned, self._abandoned = self._abandoned, 0
        return abandoned

    def stop(self, *, wait_seconds: float = 1.0) -> None:
        """Let the reader thread end and the driver go; a call that hangs is left behind."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
            thread = None if self._shift is None else self._shift.thread
        if thread is not None:
            thread.join(wait_seconds)

    # ---- the tick thread's side; the lock is held

    def _assign(self, now_ns: int) -> None:
        if self._shift is None:
            self._start_shift([])
        shift = self._shift
        if shift is None or shift.under_way == OPEN:
            return
        due = self._reopen_at_ns is not None and now_ns >= self._reopen_at_ns and not self._stuck
        shift.todo = [OPEN] if due else self._unread(shift.under_way)
        self._lock.notify_all()

    def _unread(self, under_way: str | None = None) -> list[str]:
        """What is still to be read in this tick, the next one last."""
        if self._inventory is None:
            return []
        unread = [
            uuid
            for uuid in reversed(self._identities)
            if uuid not in self._aside and uuid not in self._reports and uuid != under_way
        ]
        # The one that waited longest first: slow cards share the shortage instead of passing it on.
        return sorted(unread, key=lambda uuid: self._read_at_ns.get(uuid, 0), reverse=True)

    def _wait(self, until_ns: int) -> None:
        while True:
            shift, now_ns = self._shift, self._clock.now().boottime_ns
            if shift is None or (not shift.todo and shift.under_way is None):
                return
            deadline_ns = self._deadline_of(shift)
            if deadline_ns is not None and now_ns >= deadline_ns:
                self._abandon(shift)
                continue
            if now_ns >= until_ns:
                shift.todo = []
                return
            if deadline_ns is None:  # not taken up yet, and nobody says when it is
                deadline_ns = now_ns + self._deadlines.read_ns
            wake_ns = min(until_ns, deadline_ns)
            self._lock.wait(seconds(max(wake_ns - now_ns, 1)))

    def _deadline_of(self, shift: Shift) -> int | None:
        if shift.under_way is None:
            return None
        opening = shift.under_way == OPEN
        allowed_ns = self._deadlines.open_ns if opening else self._deadlines.read_ns
        return shift.since_ns + allowed_ns

    def _abandon(self, shift: Shift) -> None:
        shift.abandoned.set()
        self._stuck.append(shift)
        self._abandoned += 1
        uuid = shift.under_way or OPEN
        log.error("a call into the driver hangs at %s: reader abandoned", uuid or "opening")
        if uuid == OPEN:
            self._inventory = None  # the session before it was ended first
        else:
            self._hangs[uuid] = self._hangs.get(uuid, 0) + 1
            self._aside[uuid] = SetAside(shift)
        if self.exhausted:
            log.critical("the driver hangs: only a new process helps")
            self._shift = None
            self._reports = {}
            return
        shift.todo = []
        self._start_shift(self._unread())

    def _start_shift(self, todo: list[str]) -> None:
        shift = Shift(todo)
        self._shift = shift
        # A daemon thread: one that hangs in a driver must not keep the process from ending.
        shift.thread = threading.Thread(
            target=self._work, args=(shift,), name="reader", daemon=True
        )
        shift.thread.start()

    def _come_back(self, now_ns: int) -> None:
        """Take note of stuck calls that have returned, and of cards whose back-off is over."""
        self._stuck = [shift for shift in self._stuck if not shift.ended]
        for uuid, aside in list(self._aside.items()):
            if not aside.shift.ended:
                continue
            if aside.retry_at_ns is None:
                step = min(self._hangs.get(uuid, 1), len(RETRY_BACK_OFF_SECONDS)) - 1
                aside.retry_at_ns = now_ns + nanoseconds(RETRY_BACK_OFF_SECONDS[step])
                log.warning("the call that hung at %s came back", uuid)
            elif now_ns >= aside.retry_at_ns:
                del self._aside[uuid]  # its count of hangs stays until a read succeeds

    def _sample(self) -> NodeSample:
        if self._inventory is not None and self._reopen_at_ns is None:
            self._reopens = 0  # nothing is lost: the next loss is met at once again
        settled = not self.exhausted and (
            self._inventory is not None or self._driver_error is not None
        )
        opening = self._shift is not None and self._shift.under_way == OPEN
        unheard = FaultReason.OPENING if opening else FaultReason.HUNG
        reports = dict(self._reports)
        if self._inventory is not None:
            for uuid in self._identities:
                reports.setdefault(uuid, GpuFault(uuid, unheard))
        error = self._driver_error
        inventory = self._inventory
        return NodeSample(
            identities=dict(self._identities),
            reports=reports,
            driver_up=inventory is not None and settled,
            settled=settled,
            driver_reason=driver_reason(error, settled=settled),
            driver_code=None if error is None else error.code,
            driver_version="" if inventory is None else inventory.driver_version,
        )

    # ---- the reader thread's side

    def _work(self, shift: Shift) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: shift.todo or self._stopped)
                if self._stopped or shift.abandoned.is_set():
                    break
                uuid = shift.todo.pop()
                shift.under_way, shift.since_ns = uuid, self._clock.now().boottime_ns
            result = self._open() if uuid == OPEN else self._read(uuid)
            with self._lock:
                shift.under_way = None
                if shift.abandoned.is_set():
                    break
                self._deliver(result)
                if not shift.todo:
                    self._lock.notify_all()
        with self._lock:
            shift.ended = True
            stuck = any(not other.ended for other in self._stuck)
        if self._stopped and not stuck:
            self._source.close()

    def _open(self) -> Inventory | DriverError:
        try:
            return self._source.open()
        except DriverError as error:
            return error
        except Exception:
            log.exception("opening the driver failed unexpectedly")
            return DriverError("opening failed unexpectedly")

    def _read(self, uuid: str) -> GpuSample | GpuFault | DriverError:
        try:
            return self._source.read(uuid)
        except GpuError as error:
            reason = FaultReason.LOST if error.lost else FaultReason.FAILED
            return GpuFault(uuid, reason, error.code)
        except DriverError as error:
            return error
        except Exception:
            # A defect in reading one card must not end the reader: the card is unknown, we say so once.
            if uuid not in self._broken:
                log.exception("reading %s failed unexpectedly", uuid)
            self._broken.add(uuid)
            return GpuFault(uuid, FaultReason.FAILED)

    def _deliver(self, result: Inventory | GpuSample | GpuFault | DriverError) -> None:
        now_ns = self._clock.now().boottime_ns
        match result:
            case GpuSample():
                self._reports[result.uuid] = result
                self._read_at_ns[result.uuid] = now_ns
                self._hangs.pop(result.uuid, None)
            case GpuFault():
                self._reports[result.uuid] = result
                self._read_at_ns[result.uuid] = now_ns
                if result.reason is FaultReason.LOST:
                    self._reopen_later(now_ns)
            case DriverError():
                self._lose_driver(result, now_ns)
            case Inventory():
                self._take_inventory(result, now_ns)

    def _take_inventory(self, inventory: Inventory, now_ns: int) -> None:
        self._driver_error = None
        self._inventory = inventory
        found = {identity.uuid: identity for identity in inventory.gpus}
        if inventory.unreadable != self._unreadable_told:
            self._unreadable_told = inventory.unreadable
            log.warning(
                "cards that the driver lists and that cannot be opened: %d", inventory.unreadable
            )
        self._identities = found
        self._reopen_at_ns = None
        if inventory.unreadable or self._ever_seen - found.keys():
            self._reopen_later(now_ns)
        self._ever_seen |= found.keys()
        if self._shift is not None:  # read them in the same tick
            self._shift.todo = self._unread()

    def _lose_driver(self, error: DriverError, now_ns: int) -> None:
        if self._driver_error is None or self._driver_error.reason != error.reason:
            log.error("the driver does not answer: %s", error)
        self._driver_error = error
        self._inventory = None
        self._reports = {}
        if self._shift is not None:
            self._shift.todo = []
        self._reopen_later(now_ns)

    def _reopen_later(self, now_ns: int) -> None:
        if self._reopen_at_ns is not None and (now_ns < self._reopen_at_ns or self._stuck):
            return  # already planned; beside a stuck call the plan has to wait
        step = min(self._reopens, len(REOPEN_BACK_OFF_SECONDS) - 1)
        self._reopens += 1
        self._reopen_at_ns = now_ns + nanoseconds(REOPEN_BACK_OFF_SECONDS[step])
