"""kill -9 at random moments of a real agent, a real ledger, a real Prometheus: nothing lost, nothing twice.

``GPUFIN_KILLS`` says how often; ``make kills`` does it 200 times.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.programs import Agent, Program, Prometheus, running

KILLS = int(os.environ.get("GPUFIN_KILLS", "25"))
INTERVAL, FLUSH = 0.2, 0.5
STALL_SECONDS = 2.0
"""For how long a loaded machine of two cores may keep a thread from running."""
CONFIG = {
    "interval_seconds": INTERVAL,
    "flush_seconds": FLUSH,
    "prices": [
        {
            "id": "h100",
            "kind": "rented",
            "match": {"model": "NVIDIA H100*"},
            "price_per_gpu_hour": 2.5,
        }
    ],
}
PRICE_NANOS = 2_500_000_000


@dataclass(frozen=True)
class Book:
    """What the ledger held just after a kill; nanoseconds by card."""

    killed_boottime_ns: int
    lived_ns: int
    booked_ns: dict[str, int]
    until_ns: dict[str, int]


def read_book(state: Path, lived_ns: int) -> Book:
    killed_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with closing(sqlite3.connect(state / "ledger.sqlite")) as database:
        database.execute("BEGIN")
        booked = database.execute(
            "SELECT uuid, SUM(quantity) FROM entry WHERE component = 'rental' GROUP BY uuid"
        ).fetchall()
        until = database.execute("SELECT uuid, boottime_ns FROM checkpoint").fetchall()
    return Book(killed_ns, lived_ns, dict(booked), dict(until))


@dataclass
class Outcome:
    """What is left of the lives: Prometheus still answers, the agent is stopped."""

    agent: Agent
    prometheus: Prometheus
    books: list[Book]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """So many lives, each ended at a random moment from its first instruction on, then a good end."""
    base = tmp_path_factory.mktemp("kills")
    agent = Agent(base / "agent", CONFIG, ("demo", "--cards", "8", "--model", "h100"))
    prometheus = Prometheus(base / "prometheus", {"killed": agent})
    chance = random.Random(20_261_123)  # noqa: S311 - moments, not secrets
    books: list[Book] = []
    with running(prometheus, agent):
        time.sleep(2 * FLUSH)
        for _ in range(KILLS):
            born_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            time.sleep(chance.uniform(0.05, 2.5))
            agent.stop(signal.SIGKILL)
            lived_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - born_ns
            books.append(read_book(agent.state, lived_ns))
            Program.start(agent)  # and not ready yet: the next kill may come before
        agent.wait_ready()
        time.sleep(4 * FLUSH)
        assert agent.stop() == 0
        books.append(read_book(agent.state, 0))
        time.sleep(1)
        yield Outcome(agent, prometheus, books)


def test_every_nanosecond_is_booked_once(outcome: Outcome) -> None:
    """After each kill every card's booked time reaches from one same beginning to its checkpoint."""
    for uuid, until_ns in outcome.books[0].until_ns.items():
        begin_ns = until_ns - outcome.books[0].booked_ns[uuid]
        for book in outcome.books:
            assert book.until_ns[uuid] - book.booked_ns[uuid] == begin_ns


def test_no_kill_loses_more_than_the_flush_interval(outcome: Outcome) -> None:
    """A life that got to its first flush is booked up to one flush before its end."""
    allowed_ns = round((FLUSH + 2 * INTERVAL + STALL_SECONDS) * 1e9)
    behind = [
        book.killed_boottime_ns - min(book.until_ns.values())
        for book in outcome.books[:-1]
        if book.lived_ns > allowed_ns
    ]
    reached = [book.killed_boottime_ns - min(book.until_ns.values()) for book in outcome.books]

    print(f"{len(outcome.books) - 1} kills; behind at most {max(reached) / 1e9:.2f} s")
    assert all(each <= allowed_ns for each in behind)
    assert len({min(book.until_ns.values()) for book in outcome.books}) > len(outcome.books) // 4


def test_the_money_is_price_times_time(outcome: Outcome) -> None:
    """To the last 1e-9 of the currency, over all lives."""
    with closing(sqlite3.connect(outcome.agent.state / "ledger.sqlite")) as database:
        rows = database.execute(
            "SELECT uuid, SUM(nanos), SUM(quantity) FROM entry WHERE component = 'rental' GROUP BY uuid"
        ).fetchall()

    assert len(rows) == 8
    for _, nanos, span_ns in rows:
        assert nanos == PRICE_NANOS * span_ns // 3_600_000_000_000


def test_increase_is_never_above_the_ledger(outcome: Outcome) -> None:
    """What Prometheus saw rise over all lives is no more than the ledger holds."""
    window = f"{60 + 5 * len(outcome.books)}s"
    increase = outcome.prometheus.value(f"sum(increase(gpufin_cost_total[{window}]))")
    ledger = sum(outcome.books[-1].booked_ns.values()) * PRICE_NANOS / 3_600e18

    print(f"increase {increase:.9f}, ledger {ledger:.9f}")
    assert 0 < increase <= ledger


def test_the_ledger_verifies(outcome: Outcome) -> None:
    """``gpufin ledger verify`` finds nothing."""
    verified = subprocess.run(
        [sys.executable, "-m", "agent", "ledger", "verify", str(outcome.agent.state)],
        capture_output=True,
        check=False,
        text=True,
    )

    assert verified.returncode == 0, verified.stdout + verified.stderr
