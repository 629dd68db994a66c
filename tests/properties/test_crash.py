"""Crashes: an agent that dies at any moment loses nothing that filling covers, and doubles nothing."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings, strategies as st

from agent.cost.prices import Tier
from agent.errors import LedgerError
from agent.ledger.account import Account
from agent.ledger.entry import Component, EntryKey
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.ports import LedgerStore
from agent.samples.device import FaultReason, GpuFault, GpuSample, NodeSample
from agent.samples.reading import Missing
from agent.storage.connection import FILE_NAME
from agent.storage.ledger import SqliteLedger
from tests.builders import (
    HERE,
    SECOND,
    a_fault,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger
from tests.unit.storage.rows import rows_of

MONTHS = [f"{year}-{month:02d}" for year in range(1970, 2033) for month in range(1, 13)]
POWER_MW = 300_000
RESERVED = a_policy(a_rental("3.33", tier=Tier.RESERVED))
ON_DEMAND = a_policy(a_rental("3.33"))
OWNED = a_policy(an_owned())


@dataclass(frozen=True)
class Event:
    kind: str
    """tick, blind (the card hangs), counterless, silent (the driver hangs), flush, full (a flush that
    fails), crash, reboot, cold (a reboot that loses the clock), synchronise, shut (a crash, and a ledger
    that cannot be opened after it), open (it can again)."""
    passed_ns: int
    error_seconds: int = 0
    """By how much the clock is off after a reboot that loses it."""


class Node:
    """A node whose agent is killed and started again over one ledger."""

    def __init__(self, store: LedgerStore, policy: AccountPolicy) -> None:
        self.clock, self.store, self.policy = FakeClock(), store, policy
        self.host: Host = HERE
        self.boots = 1
        self.error_ns = 0
        self.energy_mj = 7 * 10**9
        self.known_since: tuple[int, int] | None = None
        """(wall clock, energy counter) of the first tick that a flush saved."""
        self.counted = 0
        """Money in the counters of all lives since then, as a Prometheus would have seen it."""
        self._first: tuple[int, int] | None = None
        self.account = self._start()

    def happen(self, event: Event) -> None:
        self._pass(event.passed_ns)
        match event.kind:
            case "tick" | "blind" | "counterless":
                self.tick(self._report(event.kind))
            case "silent":
                self.advance(a_node(cards=[], driver_up=False, settled=False))
            case "flush":
                self.flush()
            case "full":
                self.account.pending.put_back(self.account.take().rows)
            case "synchronise":
                self.synchronise()
            case "open":
                self.open()
            case _:
                self.restart(event)

    def _report(self, kind: str) -> GpuSample | GpuFault:
        if kind == "blind":
            return a_fault(FaultReason.HUNG)
        energy = Missing.TIMEOUT if kind == "counterless" else self.energy_mj
        return a_sample(self.clock.boottime_ns, energy_mj=energy)

    def open(self) -> None:
        if isinstance(self.store, FakeLedger):
            self.store.closed = False

    def restart(self, event: Event) -> None:
        self._count()
        if event.kind == "shut":
            assert isinstance(self.store, FakeLedger)
            self.store.closed = True
        elif event.kind != "crash":
            cold = event.kind == "cold"
            self.clock.reboot(off_seconds=event.passed_ns / SECOND)
            self.boots += 1
            self.error_ns = event.error_seconds * SECOND if cold else 0
            self.host = replace(HERE, boot_id=f"boot-{self.boots}", clock_synchronized=not cold)
        self.account = self._start()

    def synchronise(self) -> None:
        self.host = self.account.host = replace(self.host, clock_synchronized=True)
        self.error_ns = 0

    def advance(self, node: NodeSample) -> None:
        now = self.clock.now()
        self.account.advance(node, replace(now, wall_ns=now.wall_ns + self.error_ns))

    def tick(self, report: GpuSample | GpuFault) -> None:
        self.advance(a_node(report))
        if self.known_since is None and self._first is None:
            self._first = (self.clock.wall_ns, self.energy_mj)

    def flush(self) -> None:
        """As the flush thread does it."""
        with suppress(LedgerError):
            recovered = self.store.reopen()
            if recovered is not None:
                self.account.join(recovered)
            self.store.write(self.account.take())
            self.known_since = self.known_since or self._first

    def end(self) -> None:
        """A last good tick at a right clock, written."""
        self.synchronise()
        self.open()
        self.flush()
        self.happen(Event("tick", SECOND))
        self.flush()
        self._count()

    def _pass(self, ns: int) -> None:
        self.clock.move(ns=ns)
        self.energy_mj += POWER_MW * ns // SECOND

    def _start(self) -> Account:
        if self.known_since is None:
            self._first = None
        return Account(self.policy, self.store.recover(), self.host)

    def _count(self) -> None:
        if self.known_since is not None:
            self.counted += self.account.counters.total("gpufin_cost_total")


def check_rental(node: Node, rows: dict[EntryKey, tuple[int, int]]) -> None:
    """The ledger holds the price times the time since it knows the card: no more, no less."""
    assert node.known_since is not None
    lived_ns = node.clock.wall_ns - node.known_since[0]
    money = sum(nanos for nanos, _ in rows.values())
    time = sum(q for key, (_, q) in rows.items() if key.component == Component.RENTAL)
    assert time == lived_ns
    assert money == lived_ns * 3_330_000_000 // (3_600 * SECOND)
    assert node.counted <= money
    months = node.account.months.snapshot(MONTHS)
    assert sum(sums.cost for sums in months.values()) == money
    assert months == node.store.recover().months


passed = st.one_of(
    st.just(SECOND), st.integers(1, 3 * SECOND), st.just(600 * SECOND), st.just(10**15)
)


errors = st.sampled_from([0, -90, 18_000, -200 * 86_400, 300 * 86_400, -20_000 * 86_400])


def events(*kinds: str) -> st.SearchStrategy[list[Event]]:
    return st.lists(
        st.builds(Event, st.sampled_from(kinds), passed, errors), min_size=3, max_size=40
    )


ONE_BOOT = ("tick", "tick", "tick", "blind", "silent", "flush", "full", "crash")


@given(day=events(*ONE_BOOT))
def test_crash_within_a_boot_loses_and_doubles_nothing(day: list[Event]) -> None:
    """On demand, killed at any moment: ledger, filled rows included, equals price times time."""
    store = FakeLedger()
    node = Node(store, ON_DEMAND)

    for event in day:
        node.happen(event)
    node.end()

    check_rental(node, store.rows)


@given(day=events(*ONE_BOOT, "reboot"))
def test_reboot_of_a_reserved_card_loses_and_doubles_nothing(day: list[Event]) -> None:
    """Reserved, over kills and reboots however long: the meter runs by the wall clock."""
    store = FakeLedger()
    node = Node(store, RESERVED)

    for event in day:
        node.happen(event)
    node.end()

    check_rental(node, store.rows)


@given(day=events(*ONE_BOOT, "flush", "cold", "cold", "reboot", "synchronise", "shut", "open"))
def test_no_sequence_of_restarts_before_the_clock_is_right_loses_or_doubles(
    day: list[Event],
) -> None:
    """Reserved: clocks that are wrong at first, drivers that hang at boot, and crashes in between."""
    store = FakeLedger()
    node = Node(store, RESERVED)

    node.happen(Event("tick", SECOND))
    node.flush()
    for event in day:
        node.happen(event)
    node.end()

    check_rental(node, store.rows)
    assert node.account.unreconciled_nanos == 0


@given(day=events(*ONE_BOOT, "synchronise"), error_seconds=errors)
def test_a_wrong_clock_within_a_boot_matters_to_no_sum(
    day: list[Event], error_seconds: int
) -> None:
    """On demand: the boot clock measures every gap, whatever the wall shows meanwhile."""
    store = FakeLedger()
    node = Node(store, ON_DEMAND)
    node.happen(Event("cold", 0, error_seconds))

    for event in day:
        node.happen(event)
    node.end()

    check_rental(node, store.rows)


@given(day=events(*ONE_BOOT, "counterless"))
def test_crash_loses_and_doubles_no_energy(day: list[Event]) -> None:
    """The device's counter bridges kills, hangs and unreadable counters to the millijoule."""
    store = FakeLedger()
    node = Node(store, OWNED)

    node.happen(Event("tick", SECOND))
    node.flush()
    for event in day:
        node.happen(event)
    node.end()

    energy = sum(q for key, (_, q) in store.rows.items() if key.component == Component.ENERGY)
    assert node.known_since is not None
    assert energy == node.energy_mj - node.known_since[1]


@given(day=events(*ONE_BOOT, "shut", "shut", "open"))
def test_a_ledger_that_opens_late_costs_no_energy(day: list[Event]) -> None:
    """The counter's difference from the last row to the first sample of the process is filled, once."""
    store = FakeLedger()
    node = Node(store, OWNED)

    node.happen(Event("tick", SECOND))
    node.flush()
    for event in day:
        node.happen(event)
    node.end()

    energy = sum(q for key, (_, q) in store.rows.items() if key.component == Component.ENERGY)
    assert node.known_since is not None
    assert energy == node.energy_mj - node.known_since[1]
    assert node.account.unreconciled_nanos == 0


@settings(max_examples=12)
@given(day=events(*ONE_BOOT, "cold", "synchronise"))
def test_crash_over_the_real_ledger_loses_and_doubles_nothing(day: list[Event]) -> None:
    """The same with SQLite in between, opened anew by each life."""
    with TemporaryDirectory() as directory:
        node = Node(SqliteLedger(Path(directory), source="simulated"), RESERVED)
        node.happen(Event("tick", SECOND))
        node.flush()

        for event in day:
            if event.kind in {"crash", "cold"}:
                node.store.close()
                node.store = SqliteLedger(Path(directory), source="simulated")
            node.happen(event)
        node.end()

        rows = rows_of(Path(directory) / FILE_NAME)
        check_rental(node, rows)
        node.store.close()
