"""The threads that alone call the driver, and what the tick gets of them in time.

One reader thread works at a time.  A call that passes its deadline cannot be cancelled: its thread is
abandoned, its card set aside until that thread comes back, and a successor reads the other cards in
the same tick.  Two abandoned threads at once mean that the library itself hangs: only a new process
helps.  Naming a card may mean initialising it: that takes its time beside the others.
"""

import logging
import threading
from collections.abc import Collection

from agent.errors import DriverError
from agent.ports import Clock, DeviceSource
from agent.runtime.calls import Calls, Result
from agent.runtime.roster import Roster
from agent.runtime.shift import (
    GRACE_NS,
    LAST_CYCLE_NS,
    MAX_ABANDONED,
    OPEN,
    RETRY_BACK_OFF_SECONDS,
    Deadlines,
    Job,
    SetAside,
    Shift,
    Task,
)
from agent.samples.device import GpuIdentity, GpuSample, NodeSample
from agent.units import nanoseconds, seconds

log = logging.getLogger(__name__)


class Reader:
    """Reads all cards of a source, once a tick, whatever single cards do."""

    def __init__(self, source: DeviceSource, clock: Clock, deadlines: Deadlines) -> None:
        self._calls = Calls(source)
        self._clock = clock
        self._deadlines = deadlines
        self._lock = threading.Condition()
        self._roster = Roster()
        self._shift: Shift | None = None
        self._slow: list[Shift] = []
        """Shifts whose naming of a card goes on beside their successor."""
        self._slow_told: set[Job] = set()
        self._stuck: list[Shift] = []
        self._aside: dict[str, SetAside] = {}
        self._hangs: dict[str, int] = {}
        self._stopped = False
        self._last_ns: int | None = None
        """Until when the last cycle is waited for; None while there is no end in sight."""
        self._abandoned = 0

    @property
    def exhausted(self) -> bool:
        """The library itself hangs, or asks for a new process: nothing more will be read in this one."""
        error = self._roster.error
        if error is not None and error.restart:
            return True
        # The driver is never opened again beside a stuck call, so without a session that is the end.
        without_session = bool(self._stuck) and self._roster.session is None
        return without_session or len(self._stuck) >= MAX_ABANDONED

    @property
    def unreadable(self) -> int:
        """Cards that the driver lists and nobody can name: no report speaks of them."""
        session = self._roster.session
        return 0 if session is None else max(0, session.count - len(self._roster.identities))

    def collect(self, expected: Collection[str] = ()) -> NodeSample:
        """Have every card read and return what arrived in time; called by the tick thread alone.

        ``expected`` cards that the driver does not list are looked for.
        """
        with self._lock:
            self._roster.expected = expected
            now_ns = self._clock.now().boottime_ns
            self._come_back(now_ns)
            if not self.exhausted and self._last_ns is None:
                self._assign(now_ns)
                self._wait(now_ns + self._deadlines.cycle_ns)
            waiting = self._held(self._slow)
            self._roster.settle(
                self._clock.now().boottime_ns, waiting=bool(self._slow), hung=self._aside
            )
            opening = self._shift is not None and self._shift.under_way == OPEN
            return self._roster.sample(
                exhausted=self.exhausted, opening=opening, waiting=waiting, hung=self._aside
            )

    def take_abandoned(self) -> int:
        """Readers abandoned since the last call; called by the tick thread alone."""
        abandoned, self._abandoned = self._abandoned, 0
        return abandoned

    def interrupt(self) -> None:
        """Let a cycle that is waited for end soon, and every later one at once; called before ``stop``.

        Soon: cards that answer are still read, so that the last turn can be booked.
        """
        with self._lock:
            self._last_ns = self._clock.now().boottime_ns + LAST_CYCLE_NS
            self._lock.notify_all()

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
        shift.todo = self._jobs(now_ns)
        self._lock.notify_all()

    def _jobs(self, now_ns: int) -> list[Job]:
        current = [] if self._shift is None else [self._shift]
        held = self._held([*current, *self._slow]) | self._aside.keys()
        return self._roster.jobs(
            now_ns,
            alone=not self._stuck and not self._slow,
            busy=lambda job: self._roster.card_of(job) in held,
        )

    def _held(self, shifts: list[Shift]) -> set[str]:
        """The cards that calls of these shifts are about."""
        return {self._roster.card_of(each.under_way) for each in shifts if each.under_way}

    def _wait(self, until_ns: int) -> None:
        late = True  # nobody has watched since the last cycle
        while not self._stopped:
            until_ns = until_ns if self._last_ns is None else min(until_ns, self._last_ns)
            shift, now_ns = self._shift, self._clock.now().boottime_ns
            if shift is None or (not shift.todo and shift.under_way is None):
                return
            deadline_ns = self._deadline_of(shift, now_ns, late=late)
            if deadline_ns is not None and now_ns >= deadline_ns:
                self._replace(shift)
                continue
            if now_ns >= until_ns:
                shift.todo = []
                return
            if deadline_ns is None:  # not taken up yet, and nobody says when it is
                deadline_ns = now_ns + self._deadlines.read_ns
            wake_ns = min(until_ns, deadline_ns)
            self._lock.wait(seconds(max(wake_ns - now_ns, 1)))
            overslept_ns = self._clock.now().boottime_ns - wake_ns
            late = overslept_ns >= GRACE_NS
            if late:  # the process stood still, and so did the calls
                until_ns += overslept_ns

    def _deadline_of(self, shift: Shift, now_ns: int, *, late: bool) -> int | None:
        """When the call under way is given up; one that nobody watched gets a grace."""
        if shift.under_way is None:
            return None
        # A card that is being initialised may hold up the others in the driver.
        patient = shift.under_way == OPEN or (self._slow and shift.under_way.task is not Task.NAME)
        allowed_ns = self._deadlines.open_ns if patient else self._deadlines.read_ns
        if late and now_ns >= shift.since_ns + allowed_ns:
            shift.since_ns = now_ns - allowed_ns + min(GRACE_NS, allowed_ns)
        return shift.since_ns + allowed_ns

    def _replace(self, shift: Shift) -> None:
        """Have a successor go on with what a shift does not come to."""
        job = shift.under_way
        if job is not None and job.task is Task.NAME:
            if job not in self._slow_told:  # with MIG it may be so every minute
                log.warning("naming %s takes long: the others are read meanwhile", job)
            self._slow_told.add(job)
            self._slow.append(shift)
        else:
            self._abandon(shift)
        if self.exhausted:
            self._shift = None
            return
        todo, shift.todo = shift.todo, []
        self._start_shift(todo)

    def _abandon(self, shift: Shift) -> None:
        job = shift.under_way or OPEN
        shift.abandoned = True
        self._stuck.append(shift)
        self._abandoned += 1
        log.error("a call into the driver hangs at %s: reader abandoned", job)
        if job == OPEN:
            self._roster.session = None  # the session before it was ended first
        elif card := self._roster.card_of(job):
            self._hangs[card] = self._hangs.get(card, 0) + 1
            self._aside[card] = SetAside(shift)
            shift.todo = [each for each in shift.todo if self._roster.card_of(each) != card]
        if self.exhausted:
            log.critical("the driver hangs: only a new process helps")

    def _start_shift(self, todo: list[Job]) -> None:
        shift = Shift(todo)
        self._shift = shift
        # A daemon thread: one that hangs in a driver must not keep the process from ending.
        shift.thread = threading.Thread(
            target=self._work, args=(shift,), name="reader", daemon=True
        )
        shift.thread.start()

    def _come_back(self, now_ns: int) -> None:
        """Take note of calls that have returned or taken too long, and of back-offs that are over."""
        self._stuck = [shift for shift in self._stuck if not shift.ended]
        self._slow = [shift for shift in self._slow if not shift.ended]
        for shift in self._slow[:]:
            if shift.under_way and now_ns - shift.since_ns >= self._deadlines.open_ns:
                self._slow.remove(shift)
                self._abandon(shift)
        for card, aside in list(self._aside.items()):
            if not aside.shift.ended:
                continue
            if aside.retry_at_ns is None:
                step = min(self._hangs.get(card, 1), len(RETRY_BACK_OFF_SECONDS)) - 1
                aside.retry_at_ns = now_ns + nanoseconds(RETRY_BACK_OFF_SECONDS[step])
                log.warning("the call that hung at %s came back", card)
            elif now_ns >= aside.retry_at_ns:
                del self._aside[card]  # its count of hangs stays until a call succeeds

    # ---- the reader thread's side

    def _work(self, shift: Shift) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: shift.todo or self._stopped)
                if self._stopped or shift is not self._shift:
                    break
                job = shift.todo.pop()
                shift.under_way, shift.since_ns = job, self._clock.now().boottime_ns
            result = self._calls.make(job)
            with self._lock:
                shift.under_way = None
                if shift.abandoned:
                    break
                self._deliver(shift, job, result)
                if shift is not self._shift:  # a successor goes on
                    break
                if not shift.todo:
                    self._lock.notify_all()
        with self._lock:
            shift.ended = True
            others = any(not other.ended for other in (*self._stuck, *self._slow))
        if self._stopped and not others:
            self._calls.close()

    def _deliver(self, shift: Shift, job: Job, result: Result) -> None:
        card = self._roster.card_of(job)
        if isinstance(result, GpuSample | GpuIdentity):
            self._hangs.pop(card, None)
        following = [
            each
            for each in self._roster.take(job, result, self._clock.now().boottime_ns)
            if self._roster.card_of(each) not in self._aside
        ]
        if isinstance(result, DriverError) and self._roster.session is None:
            shift.todo = []
        else:
            shift.todo = [*reversed(following), *shift.todo]
