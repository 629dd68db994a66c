"""What the readers know of the driver and its cards: who is there, what to ask next, what they said.

Plain state without threads; the reader holds its lock around every call.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from agent.errors import DriverError
from agent.ports import Session
from agent.runtime.calls import Census, Result
from agent.runtime.shift import CENSUS, OPEN, Job, Task
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample
from agent.samples.reading import Missing
from agent.units import nanoseconds

log = logging.getLogger(__name__)

REOPEN_BACK_OFF_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 600.0)
"""Between attempts to open the driver again, for a missing card or a driver that does not answer."""
NAME_EVERY_NS = nanoseconds(60)
"""MIG, and what a card can tell, may change while it runs."""
CENSUS_EVERY_NS = nanoseconds(10)
GPU_NOT_FOUND = 28
"""Source: nvml.h, hardware.md 1.2."""


@dataclass(slots=True)
class Reopening:
    """When the driver is opened next, if it is; each attempt in a row waits longer."""

    at_ns: int | None = 0
    tries: int = 0

    def plan(self, now_ns: int) -> None:
        """Open later, unless that is planned already."""
        if self.at_ns is None:
            step = min(self.tries, len(REOPEN_BACK_OFF_SECONDS) - 1)
            self.tries += 1
            self.at_ns = now_ns + nanoseconds(REOPEN_BACK_OFF_SECONDS[step])


class Roster:
    """The session with the driver, its cards, and what they answered in this cycle."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.error: DriverError | None = None
        self.expected: Collection[str] = ()
        self.identities: dict[str, GpuIdentity] = {}
        self._reports: dict[str, GpuSample | GpuFault] = {}
        self._reopening = Reopening()
        self._at: dict[int, str] = {}
        """Index to UUID."""
        self._nameless: set[int] = set()
        """Cards that would not open when they were to be named."""
        self._name_at_ns: dict[int, int] = {}
        self._census_at_ns = 0
        self._new_census = False
        self._read_at_ns: dict[str, int] = {}
        self._accusers: dict[str, DriverError] = {}
        """Cards that say, in this cycle, that the whole driver does not answer."""
        self._doubted: set[str] = set()
        """Cards that said so while others answered."""
        self._disproved: dict[str, int] = {}
        """Those of them for which the driver was opened anew in vain, and until when it is not again."""
        self._nameless_told = 0

    # ---- what to do

    def jobs(self, now_ns: int, *, alone: bool, busy: Callable[[Job], bool]) -> list[Job]:
        """What is to be done in this cycle, the next one last.

        ``alone``: no other call is under way, so the driver may be opened; ``busy`` says of a job that
        it is under way, or of its card that it is set aside.
        """
        reopening = self._reopening.at_ns
        if alone and reopening is not None and now_ns >= reopening:
            return [OPEN]
        if self.session is None:
            return []
        nameless = [Job(Task.NAME, index=index) for index in self._unnamed()]
        unread = [Job(Task.READ, uuid) for uuid in self.identities if uuid not in self._reports]
        # The one that waited longest first: slow cards share the shortage instead of passing it on.
        unread.sort(key=lambda job: self._read_at_ns.get(job.uuid, 0))
        jobs = [job for job in (*nameless, *unread) if not busy(job)]
        stale = (Job(Task.NAME, index=i) for i, at in self._name_at_ns.items() if now_ns >= at)
        jobs += [job for job in stale if job not in jobs and not busy(job)][:1]
        if alone and now_ns >= self._census_at_ns:
            jobs.append(CENSUS)
        return jobs[::-1]

    def card_of(self, job: Job) -> str:
        """The card that a job is about: its UUID where that is known, else its index; empty: none."""
        if job.task is Task.NAME:
            return self._at.get(job.index, str(job.index))
        return job.uuid

    def _unnamed(self) -> list[int]:
        count = 0 if self.session is None else self.session.count
        return [i for i in range(count) if i not in self._at and i not in self._nameless]

    # ---- what came of it

    def take(self, job: Job, result: Result, now_ns: int) -> list[Job]:
        """Take note of what came of a job; the jobs that follow from it in the same cycle."""
        match result:
            case Session():
                return self._begin(result, now_ns)
            case GpuIdentity():
                return self._take_name(job.index, result, now_ns)
            case Census():
                self._census_at_ns = now_ns + CENSUS_EVERY_NS
                self._new_census = self.session is not None and result.seen != self.session.census
            case GpuSample():
                self._take_sample(result, now_ns)
            case GpuFault():
                self._take_fault(job, result, now_ns)
            case DriverError():
                self._take_error(job, result, now_ns)
        return []

    def _take_fault(self, job: Job, fault: GpuFault, now_ns: int) -> None:
        if job.task is Task.READ:
            self._hear(job.uuid, fault, now_ns)
            return
        self._name_at_ns[job.index] = now_ns + NAME_EVERY_NS
        if job.index not in self._at:  # one that is known goes on as it was
            self._nameless.add(job.index)

    def _take_error(self, job: Job, error: DriverError, now_ns: int) -> None:
        if job.task is not Task.READ:
            self.lose_driver(error, now_ns, opening=job.task is Task.OPEN)
            return
        self._accusers[job.uuid] = error
        reason = FaultReason.LOST if error.code == GPU_NOT_FOUND else FaultReason.FAILED
        self._hear(job.uuid, GpuFault(job.uuid, reason, error.code), now_ns)

    def _take_sample(self, sample: GpuSample, now_ns: int) -> None:
        uuid, total = sample.uuid, sample.memory_total_bytes
        self._hear(uuid, sample, now_ns)
        self._disproved.pop(uuid, None)
        identity = self.identities.get(uuid)
        if identity and isinstance(identity.memory_total_bytes, Missing) and isinstance(total, int):
            self.identities[uuid] = replace(identity, memory_total_bytes=total)

    def _hear(self, uuid: str, report: GpuSample | GpuFault, now_ns: int) -> None:
        self._reports[uuid] = report
        self._read_at_ns[uuid] = now_ns

    def _begin(self, session: Session, now_ns: int) -> list[Job]:
        self.session, self.error = session, None
        self.identities, self._reports = {}, {}
        self._at, self._nameless, self._name_at_ns = {}, set(), {}
        self._census_at_ns, self._new_census = now_ns + CENSUS_EVERY_NS, False
        self._reopening.at_ns = None
        self._accusers = {}
        until_ns = now_ns + nanoseconds(REOPEN_BACK_OFF_SECONDS[-1])
        self._disproved |= dict.fromkeys(self._doubted, until_ns)
        self._doubted = set()
        return [Job(Task.NAME, index=index) for index in self._unnamed()]

    def _take_name(self, index: int, identity: GpuIdentity, now_ns: int) -> list[Job]:
        self._nameless.discard(index)
        self._name_at_ns[index] = now_ns + NAME_EVERY_NS
        self._at[index] = identity.uuid
        first = identity.uuid not in self.identities
        self.identities[identity.uuid] = identity
        return [Job(Task.READ, identity.uuid)] if first else []

    def lose_driver(self, error: DriverError, now_ns: int, *, opening: bool = False) -> None:
        """No card answers any more, until the driver is opened again."""
        if self.error is None or self.error.reason != error.reason:
            log.error("the driver does not answer: %s", error)
        self.error, self.session = error, None
        self._reports, self._accusers = {}, {}
        if opening:
            self._reopening.at_ns = None
        self._reopening.plan(now_ns)

    # ---- the end of a cycle

    def settle(self, now_ns: int, *, waiting: bool, hung: Collection[str]) -> None:
        """Draw the conclusions of a cycle.

        ``waiting``: the naming of some card takes long; ``hung``: cards, or indices, set aside.
        """
        self._judge(now_ns, hung)
        if self.session is None:
            return
        named = not waiting and not self._unnamed()
        if named:
            self._tell_nameless()
        gone = named and (self._nameless or set(self.expected) - self.identities.keys())
        lost = any(
            isinstance(report, GpuFault)
            and report.reason is FaultReason.LOST
            and self._is_credible(uuid, now_ns)
            for uuid, report in self._reports.items()
        )
        if gone or lost or self._doubted or self._new_census or not self.session.count:
            self._reopening.plan(now_ns)
        elif self._reopening.at_ns is None and named and self._reports:
            self._reopening.tries = 0  # nothing is missing: the next loss is met at once again

    def _judge(self, now_ns: int, hung: Collection[str]) -> None:
        """Whether the driver is gone, as some cards say, or those cards alone, as others prove."""
        accusers = self._accusers.keys()
        if not accusers:
            return
        unheard = self.identities.keys() - self._reports.keys() - set(hung)
        if self._reports.keys() <= accusers and (len(accusers) > 1 or not unheard):
            self.lose_driver(next(iter(self._accusers.values())), now_ns)
        else:
            self._doubted |= {uuid for uuid in accusers if self._is_credible(uuid, now_ns)}

    def _is_credible(self, uuid: str, now_ns: int) -> bool:
        return now_ns >= self._disproved.get(uuid, 0)

    def _tell_nameless(self) -> None:
        count = len(self._nameless)
        if count > self._nameless_told:
            log.warning("cards that the driver lists and that cannot be opened: %d", count)
        self._nameless_told = count

    def sample(
        self, *, exhausted: bool, opening: bool, waiting: Collection[str], hung: Collection[str]
    ) -> NodeSample:
        """What the cycle gave; what arrives from now on belongs to the next one."""
        untouched = {str(index) for index in self._unnamed()} - {*waiting, *hung}
        reports = {} if exhausted else self._reports
        self._reports, self._accusers = {}, {}
        known = {*self.identities, *self.expected}
        if exhausted or opening:
            reason = FaultReason.HUNG if exhausted else FaultReason.OPENING
            reports = {uuid: GpuFault(uuid, reason) for uuid in known}
        elif self.session is not None:
            for uuid in known - reports.keys():
                absent = self._absence(uuid, untouched or waiting, hung)
                if absent is not None:
                    reports[uuid] = GpuFault(uuid, absent)
        error = self.error
        answered = self.session is not None or error is not None
        return NodeSample(
            identities=dict(self.identities),
            reports=reports,
            driver_up=self.session is not None and not exhausted,
            settled=answered and not untouched and not exhausted,
            driver_reason="no answer yet"
            if exhausted or not answered
            else error.reason
            if error
            else "",
            driver_code=None if error is None else error.code,
            driver_version="" if self.session is None else self.session.driver_version,
        )

    def _absence(
        self, uuid: str, naming: Collection[str], hung: Collection[str]
    ) -> FaultReason | None:
        """Why there is nothing of a card in this cycle; None: the driver does not list it."""
        if uuid in hung:
            return FaultReason.HUNG
        if uuid in self.identities:
            return FaultReason.NO_TIME
        if naming:  # it may be the one that takes so long
            return FaultReason.OPENING
        return FaultReason.HUNG if any(str(index) in hung for index in self._unnamed()) else None
