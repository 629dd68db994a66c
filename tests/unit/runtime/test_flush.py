"""From the account into the ledger: nothing is lost while the disk refuses."""

import logging
import threading
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.cost.prices import Price, PriceTable, Tier
from agent.cost.rates import hourly
from agent.ledger.account import Account
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.ports import LedgerStore
from agent.runtime.flush import Flusher
from agent.runtime.health import Health
from agent.samples.device import GpuIdentity, GpuSample, NodeSample
from agent.storage.connection import FILE_NAME
from agent.storage.ledger import SqliteLedger
from agent.usage.match import CardMatch
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger
from tests.unit.storage.damage import damage_beside
from tests.unit.storage.rows import rows_of

GPU = GpuIdentity(uuid="GPU-1", index=0, model="M", pci_bus_id="0")
PER_HOUR = 36


class Bench:
    """An account that is paid a cent a second, and a ledger that may be full."""

    def __init__(self, store: LedgerStore | None = None, clock: FakeClock | None = None) -> None:
        price = Price(
            id="p",
            tier=Tier.ON_DEMAND,
            rates=(hourly(Fraction(PER_HOUR), "rental"),),
            match=CardMatch(model="*"),
        )
        table = PriceTable([price], currency="USD")
        self.clock, self.health = clock or FakeClock(), Health()
        self.store = FakeLedger()
        self.store_used = store or self.store
        host = Host(machine_id="m", boot_id="b", clock_synchronized=True)
        policy = AccountPolicy(table=table, zone=ZoneInfo("UTC"))
        self.account = Account(policy, self.store_used.recover(), host)
        self.flusher = Flusher(
            clock=self.clock,
            account=self.account,
            book_lock=threading.Lock(),
            store=self.store_used,
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


def test_the_last_flush_is_tried_once_more_when_the_file_has_changed(tmp_path: Path) -> None:
    """The first try finds that the ledger was replaced; the rows go into the one that is there."""
    bench = Bench(SqliteLedger(tmp_path, source="simulated"))
    bench.flusher.flush()
    bench.tick(2)
    (tmp_path / FILE_NAME).unlink()
    bench.flusher.last_flush()
    assert sum(nanos for nanos, _ in rows_of(tmp_path / FILE_NAME).values()) == 2 * 10**7


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


def test_a_ledger_that_opens_late_is_joined_before_anything_is_written(tmp_path: Path) -> None:
    """The first batch would replace the checkpoint that the gap is known by."""
    first = Bench(SqliteLedger(tmp_path, source="simulated"))
    first.tick(4)
    assert first.flusher.flush()
    first.store_used.close()
    first.clock.move(50)

    (tmp_path / FILE_NAME).rename(tmp_path / "aside")
    (tmp_path / FILE_NAME).mkdir()
    late = Bench(SqliteLedger(tmp_path, source="simulated"), first.clock)
    late.tick(6)
    assert not late.flusher.flush()
    assert not late.health.snapshot()["ledger"].success
    assert late.account.ledger_id == ""
    (tmp_path / FILE_NAME).rmdir()
    (tmp_path / "aside").rename(tmp_path / FILE_NAME)
    assert late.flusher.flush()
    late.tick(1)
    assert late.flusher.flush()
    late.store_used.close()

    rows = rows_of(tmp_path / FILE_NAME)
    assert sum(nanos for nanos, _ in rows.values()) / 1e9 == (4 + 50 + 6 + 1) / 100
    assert (
        sum(sums.cost for sums in late.account.months.snapshot(["2026-10"]).values()) / 1e9 == 0.61
    )
    assert late.account.unreconciled_nanos == 0


def test_a_ledger_damaged_while_running_is_followed_by_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was written is in the file set aside, the rest goes into the new one; months follow the file."""
    bench = Bench(SqliteLedger(tmp_path, source="simulated"))
    bench.tick(4)
    assert bench.flusher.flush()
    before = bench.account.ledger_id
    damage_beside(bench.store_used, "entry", tmp_path / FILE_NAME)

    bench.tick(1)
    assert not bench.flusher.flush()
    bench.tick(2)
    assert bench.flusher.flush()
    bench.store_used.close()

    assert sum(nanos for nanos, _ in rows_of(tmp_path / FILE_NAME).values()) / 1e9 == 0.03
    assert bench.account.ledger_id not in {"", before}
    assert (
        sum(sums.cost for sums in bench.account.months.snapshot(["2026-10"]).values()) / 1e9 == 0.03
    )
    assert bench.account.counters.total("gpufin_cost_total") / 1e9 == 0.07
    assert bench.account.unreconciled_nanos == 0
    assert "is damaged" in caplog.text
