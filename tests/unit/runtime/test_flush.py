"""From the account into the ledger: nothing is lost while the disk refuses."""

import logging
import threading
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from agent.cost.prices import Price, PriceTable, Tier
from agent.cost.rates import hourly
from agent.ledger.account import Account
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.runtime.flush import Flusher
from agent.runtime.health import Health
from agent.samples.device import GpuIdentity, GpuSample, NodeSample
from agent.usage.match import CardMatch
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger

GPU = GpuIdentity(uuid="GPU-1", index=0, model="M", pci_bus_id="0")
PER_HOUR = 36


class Bench:
    """An account that is paid a cent a second, and a ledger that may be full."""

    def __init__(self) -> None:
        price = Price(
            id="p",
            tier=Tier.ON_DEMAND,
            rates=(hourly(Fraction(PER_HOUR), "rental"),),
            match=CardMatch(model="*"),
        )
        table = PriceTable([price], currency="USD")
        self.clock, self.store, self.health = FakeClock(), FakeLedger(), Health()
        host = Host(machine_id="m", boot_id="b", clock_synchronized=True)
        policy = AccountPolicy(table=table, zone=ZoneInfo("UTC"))
        self.account = Account(policy, self.store.recover(), host)
        self.flusher = Flusher(
            clock=self.clock,
            account=self.account,
            book_lock=threading.Lock(),
            store=self.store,
            health=self.health,
        )
        self.tick()

    def tick(self, seconds: float = 0.0) -> None:
        now = self.clock.move(seconds)
        sample = GpuSample(uuid=GPU.uuid, boottime_ns=now.boottime_ns, utilization_percent=50)
        node = NodeSample(identities={GPU.uuid: GPU}, reports={GPU.uuid: sample}, driver_up=True)
        self.account.advance(node, now)

    def booked(self) -> float:
        return sum(nanos for nanos, _ in self.store.rows.values()) / 1e9


def test_a_flush_writes_what_has_accumulated_once() -> None:
    """A second flush adds nothing."""
    bench = Bench()
    bench.tick(2)
    assert bench.flusher.flush()
    assert bench.flusher.flush()
    assert bench.booked() == 0.02
    assert len(bench.account.pending) == 0
    assert bench.health.snapshot()["ledger"].success


def test_a_full_disk_loses_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Sums stay in memory, are visible as pending, and arrive whole when the disk has room."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.store.full = True
    for _ in range(4):
        bench.tick(1)
        assert not bench.flusher.flush()
    assert bench.booked() == 0
    assert len(bench.account.pending) >= 1
    assert not bench.health.snapshot()["ledger"].success
    bench.store.full = False
    bench.tick(1)
    assert bench.flusher.flush()
    assert bench.booked() == 0.05
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    bench.store.full = True
    bench.tick(1)
    bench.flusher.flush()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR"]


def test_what_ends_with_the_process_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The last flush is the last chance; how much it could not write is in the log."""
    bench = Bench()
    bench.tick(2)
    bench.store.full = True
    bench.flusher.last_flush()
    assert "1 rows of money and energy could not be written" in caplog.messages[-1]
    assert "disk is full" in caplog.messages[-1]


def test_the_last_flush_comes_after_the_stop() -> None:
    """What was booked since the last interval is written on the way out."""
    bench = Bench()
    stop = threading.Event()
    thread = threading.Thread(target=bench.flusher.run, args=(stop, 300 * 10**9))
    thread.start()
    bench.tick(3)
    stop.set()
    thread.join(5)
    assert bench.booked() == 0.03
