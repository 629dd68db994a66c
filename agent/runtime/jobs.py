"""Periodic work that may be late or stuck without harm to the tick: APScheduler runs it.

APScheduler schedules by wall time, so after a step of the clock its jobs are planned anew; nothing
that can hang in a driver belongs here.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from agent.ports import Clock
from agent.runtime.health import Health

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work to repeat; its name is a value of ``collector``.

    ``run`` says whether it succeeded, or None when there was nothing to do.
    """

    name: str
    every_seconds: float
    run: Callable[[], bool | None]


class Jobs:
    """The scheduler of this process."""

    def __init__(self, jobs: tuple[Job, ...], clock: Clock, health: Health) -> None:
        self._clock = clock
        self._health = health
        self._jobs = jobs
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
            daemon=True,
        )
        for job in jobs:
            self._scheduler.add_job(
                self._run, "interval", args=(job,), seconds=job.every_seconds, id=job.name
            )

    def start(self) -> None:
        """Run every job once now, then each at its interval."""
        for job in self._jobs:
            self._run(job)
        self._scheduler.start()

    def replan(self) -> None:
        """Plan all jobs anew from now on, after a step of the wall clock."""
        for planned in self._scheduler.get_jobs():
            # Without this a step back by an hour stalls every job for an hour.
            planned.reschedule("interval", seconds=planned.trigger.interval.total_seconds())

    def stop(self) -> None:
        """Stop planning; a job that is running ends by itself or with the process."""
        self._scheduler.shutdown(wait=False)

    def _run(self, job: Job) -> None:
        start = self._clock.now()
        try:
            success = job.run()
        except Exception:
            log.exception("the job %s failed", job.name)
            success = False
        if success is not None:
            self._health.report(job.name, success=success, start=start, end=self._clock.now())
