"""Periodic work beside the tick."""

import threading
from collections.abc import Callable
from datetime import timedelta

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


def test_after_a_step_back_of_the_clock_jobs_do_not_wait_for_it() -> None:
    """An hour ahead is where the scheduler then sees the next run of each."""
    ran = threading.Semaphore(0)

    def run() -> bool:
        ran.release()
        return True

    jobs, _ = started(run, every=0.2)
    try:
        assert ran.acquire(timeout=5)
        (planned,) = jobs._scheduler.get_jobs()
        planned.modify(next_run_time=planned.next_run_time + timedelta(hours=1))
        while ran.acquire(blocking=False):
            pass
        assert not ran.acquire(timeout=0.6)
        jobs.replan()
        assert all(ran.acquire(timeout=5) for _ in range(2))
    finally:
        jobs.stop()


def test_a_job_that_hangs_stops_no_other_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has failed from the moment that its next run is due, and keeps no process from ending."""
    gate, ran, clock, health = threading.Event(), threading.Semaphore(0), FakeClock(), Health()

    def hang() -> bool:
        return gate.wait(30)

    def run() -> bool:
        ran.release()
        return True

    jobs = Jobs((Job("carbon", 0.1, hang), Job("clock", 0.1, run)), clock, health)
    jobs.start()
    try:
        clock.move(5)
        assert all(ran.acquire(timeout=5) for _ in range(5))
        assert not health.snapshot()["carbon"].success
        assert caplog.messages == [
            "the job carbon has not ended for 5 s: a file or file system it reads hangs"
        ]
        (stuck,) = [thread for thread in threading.enumerate() if thread.name == "job-carbon"]
        assert stuck.daemon
        gate.set()
        stuck.join(5)
        assert health.snapshot()["carbon"].success
    finally:
        gate.set()
        jobs.stop()


def test_replanning_before_the_start_is_no_error() -> None:
    """The tick runs before the jobs do."""
    jobs = Jobs((Job("prices", 60, lambda: True),), FakeClock(), Health())
    jobs.replan()
    jobs.start()
    jobs.stop()
