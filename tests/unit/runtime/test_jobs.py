"""Periodic work beside the tick."""

import threading
from collections.abc import Callable

import pytest

from agent.runtime.health import Health
from agent.runtime.jobs import Job, Jobs
from tests.fakes.clock import FakeClock


def started(run: Callable[[], bool], every: float = 0.05) -> tuple[Jobs, Health]:
    health = Health()
    jobs = Jobs((Job("prices", every, run),), FakeClock(), health)
    jobs.start()
    return jobs, health


def test_a_job_runs_at_once_and_again() -> None:
    """Nobody waits a minute for the first run; each reports its success."""
    ran = threading.Semaphore(0)

    def run() -> bool:
        ran.release()
        return True

    jobs, health = started(run)
    try:
        assert all(ran.acquire(timeout=5) for _ in range(3))
        assert health.snapshot()["prices"].success
    finally:
        jobs.stop()


def test_a_job_that_fails_is_told_and_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    """An exception is a failed run, not the end of the job."""
    ran = threading.Semaphore(0)

    def run() -> bool:
        ran.release()
        raise ValueError("a defect")

    jobs, health = started(run)
    try:
        assert all(ran.acquire(timeout=5) for _ in range(2))
        assert not health.snapshot()["prices"].success
        assert health.snapshot()["prices"].last_success_wall_ns is None
        assert "the job prices failed" in caplog.text
    finally:
        jobs.stop()


def test_replanning_keeps_the_interval() -> None:
    """After a step of the clock jobs are due an interval from now, not in an hour."""
    ran = threading.Semaphore(0)

    def run() -> bool:
        ran.release()
        return True

    jobs, _ = started(run, every=0.2)
    try:
        jobs.replan()
        assert all(ran.acquire(timeout=2) for _ in range(3))
    finally:
        jobs.stop()


def test_replanning_before_the_start_is_no_error() -> None:
    """The tick runs before the jobs do."""
    jobs = Jobs((Job("prices", 60, lambda: True),), FakeClock(), Health())
    jobs.replan()
    jobs.start()
    jobs.stop()
