"""Periodic work that may be late or stuck without harm to anything else: APScheduler says when.

APScheduler schedules by wall time, so after a step of the clock its jobs are planned anew.
Each run has a thread of its own: one that hangs in a file system holds up neither the other jobs nor
the end of the process.  Nothing that can hang in a driver belongs here.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from agent.ports import Clock
from agent.runtime.health import Health
from agent.samples.instant import Instant
from agent.units import seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work to repeat; its name is a value of ``collector``.

    ``run`` says whether it succeeded, or None when there was nothing to do.
    """

    name: str
    every_seconds: float
    run: Callable[[], bool | None]


@dataclass(slots=True)
class _Run:
    thread: threading.Thread
    start: Instant
    told: bool = False


class Jobs:
    """The scheduler of this process."""

    def __init__(self, jobs: tuple[Job, ...], clock: Clock, health: Health) -> None:
        self._clock = clock
        self._health = health
        self._jobs = {job.name: job for job in jobs}
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},  # it only starts threads
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
            daemon=True,
        )
        for job in jobs:
            self._scheduler.add_job(
                self.begin, "interval", args=(job.name,), seconds=job.every_seconds, id=job.name
            )

    def start(self) -> None:
        """Run every job once now, then each at its interval."""
        for name in self._jobs:
            self.begin(name)
        self._scheduler.start()

    def begin(self, name: str) -> None:
        """Run a job now, unless it is running already; returns at once."""
        with self._lock:
            before = self._runs.get(name)
            if before is not None and before.thread.is_alive():
                self._tell_stuck(self._jobs[name], before)
                return
            thread = threading.Thread(
                target=self._run, args=(self._jobs[name],), name=f"job-{name}", daemon=True
            )
            self._runs[name] = _Run(thread, self._clock.now())
            thread.start()

    def replan(self) -> None:
        """Plan all jobs anew from now on, after a step of the wall clock."""
        for planned in self._scheduler.get_jobs():
            # Without this a step back by an hour stalls every job for an hour.
            planned.reschedule("interval", seconds=planned.trigger.interval.total_seconds())

    def stop(self) -> None:
        """Stop planning; a job that is running ends by itself or with the process."""
        self._scheduler.shutdown(wait=False)

    def _tell_stuck(self, job: Job, run: _Run) -> None:
        now = self._clock.now()
        running_seconds = seconds(now.boottime_ns - run.start.boottime_ns)
        if running_seconds < job.every_seconds:
            return  # asked for beside its plan
        self._health.report(job.name, success=False, start=run.start, end=now)
        if not run.told:
            run.told = True
            log.error(
                "the job %s has not ended for %.0f s: a file or file system it reads hangs",
                job.name,
                running_seconds,
            )

    def _run(self, job: Job) -> None:
        start = self._clock.now()
        try:
            success = job.run()
        except Exception:
            log.exception("the job %s failed", job.name)
            success = False
        if success is not None:
            self._health.report(job.name, success=success, start=start, end=self._clock.now())
