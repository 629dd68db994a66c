"""A month is billed: the ledger against a calculation by hand from the raw facts.

Eight cards, mixed prices, a price that changes within an hour, the night in which the clock goes back,
three times when the agent is away, a card that leaves, a price that comes late.
"""

import json
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import pytest

from agent.config.decode import load_settings
from agent.ledger.account import Account
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.samples.device import GpuIdentity, GpuSample, NodeSample, ProcessKind, ProcessSample
from agent.samples.instant import Instant
from agent.storage.ledger import SqliteLedger
from tests.acceptance import month_trace as trace
from tests.acceptance.month_bill import Bill, bill

PROCESS = ProcessSample(4_711, ProcessKind.COMPUTE, 1 << 30)
BOOT_NS = 1_000 * 10**9
PRICES = [
    {
        "id": "on-demand",
        "match": {"model": "NVIDIA H100*"},
        "price_per_instance_hour": 20,
        "cards_per_instance": 8,
        "valid_to": "2026-10-14T10:20:15+02:00",
    },
    {
        "id": "on-demand-dearer",
        "match": {"model": "NVIDIA H100*"},
        "price_per_gpu_hour": 3.10,
        "valid_from": "2026-10-14T10:20:15+02:00",
    },
    {
        "id": "reserved",
        "match": {"uuid": trace.RESERVED},
        "tier": "reserved",
        "price_per_gpu_hour": 2.00,
        "discount_ratio": 0.05,
    },
    {
        "id": "spot",
        "match": {"uuid": trace.SPOT},
        "tier": "spot",
        "price_per_gpu_hour": 1.20,
        "currency": "EUR",
    },
]
LATE = {
    "id": "late",
    "match": {"model": "Tesla T4"},
    "price_per_gpu_hour": 0.526,
    "valid_from": "2026-10-05T06:30:00+02:00",
}
CONFIG = {
    "currency": "USD",
    "timezone": "Europe/Berlin",
    "interval_seconds": 10,
    "exchange_rates": [
        {"currency": "EUR", "rate": 1.08, "valid_to": "2026-10-20"},
        {"currency": "EUR", "rate": 1.10, "valid_from": "2026-10-20"},
    ],
    "electricity": [
        {
            "id": "grid",
            "price_per_kilowatt_hour": 0.12,
            "pue": 1.4,
            "bands": [
                {
                    "name": "peak",
                    "price_per_kilowatt_hour": 0.24,
                    "from": "16:00",
                    "to": "21:00",
                    "weekdays": ["mon", "tue", "wed", "thu", "fri"],
                },
                {"name": "night", "price_per_kilowatt_hour": 0.08, "from": "22:00", "to": "06:00"},
            ],
        }
    ],
}
OWNED = {
    "id": "owned",
    "kind": "owned",
    "match": {"model": "NVIDIA L40S"},
    "purchase_price": 72_000,
    "salvage_value": 7_200,
    "cards": 8,
    "in_service": "2025-06-01",
    "life_years": 5,
    "maintenance_ratio_per_year": 0.05,
    "space_price_per_kilowatt_month": 150,
    "space_kilowatts": 4,
    "staff_price_per_year": 6_000,
    "host_watts_per_gpu": 60,
}


def config(directory: Path, *prices: dict[str, object]) -> Path:
    rented = [price | {"kind": "rented"} for price in prices]
    path = directory / "config.yaml"
    path.write_text(json.dumps(CONFIG | {"prices": [*rented, OWNED]}))
    return path


def gpufin(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Node:
    """The machine over the month: one agent after the other on one ledger."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.directory = directory
        self.path = config(directory, *PRICES)
        self.loads = trace.doings()
        self.counters = {uuid: trace.counters(course) for uuid, course in self.loads.items()}

    def play(self) -> None:
        boot = 0
        for number, (first, last) in enumerate(trace.runs()):
            boot += number > 0 and trace.AWAY[number - 1].boots
            offset_ns = BOOT_NS - trace.BEGIN * 10**9 if not boot else BOOT_NS - first * 10**9
            killed = number < len(trace.AWAY) and not trace.AWAY[number].boots
            self._live(first, last, f"boot-{boot}", offset_ns, killed=killed)

    def _live(self, first: int, last: int, boot: str, offset_ns: int, *, killed: bool) -> None:
        store = SqliteLedger(self.state, source="nvml", machine_id="m")
        host = Host(machine_id="m", boot_id=boot, clock_synchronized=True)
        account = Account(self._policy(), store.recover(), host)
        for moment in range(first, last + 1, trace.STEP):
            if moment == trace.LATE_KNOWN:
                self.path = config(self.directory, *PRICES, LATE)
                account.use(self._policy())
            now = Instant(moment * 10**9 + offset_ns, moment * 10**9)
            account.advance(self._sample(moment, now), now)
            if moment == trace.RETIRED:
                gpufin("inventory", "retire", trace.LEAVING, "--state-directory", str(self.state))
            if moment % trace.FLUSH == 0 or (moment == last and not killed):
                store.write(account.take())
                news = store.news()
                if news is not None:
                    account.resync(news)
                assert account.unreconciled_nanos == 0
        store.close()

    def _policy(self) -> AccountPolicy:
        return load_settings(self.path).policy

    def _sample(self, moment: int, now: Instant) -> NodeSample:
        step = (moment - trace.BEGIN) // trace.STEP
        there = [
            card for card in trace.CARDS if card[0] != trace.LEAVING or moment < trace.VANISHED
        ]
        reports = {}
        for uuid, _ in there:
            doing = self.loads[uuid][step]
            reports[uuid] = GpuSample(
                uuid=uuid,
                boottime_ns=now.boottime_ns,
                utilization_percent=doing.utilization,
                power_mw=doing.watts * 1_000,
                power_limit_mw=700_000,
                energy_mj=self.counters[uuid][step],
                processes=(PROCESS,) if doing.held else (),
            )
        identities = {
            uuid: GpuIdentity(uuid=uuid, index=index, model=model, pci_bus_id=str(index))
            for index, (uuid, model) in enumerate(there)
        }
        return NodeSample(
            identities=identities,
            reports=reports,
            driver_up=True,
            settled=True,
            driver_reason="",
        )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    node = Node(tmp_path_factory.mktemp("month"))
    node.play()
    state = str(node.state)
    arguments = ("--config", str(node.path), "--state-directory", state, "--other-machine")
    print(gpufin("ledger", "reprice", *arguments, "--reason", "the T4 contract came late"))
    return node


@pytest.fixture(scope="module")
def by_hand() -> Bill:
    return bill()


@pytest.fixture(scope="module")
def booked(node: Node) -> Bill:
    with closing(sqlite3.connect(node.state / "ledger.sqlite")) as database:
        rows = database.execute(
            "SELECT state, component, SUM(nanos) FROM entry WHERE month = '2026-10' "
            "AND component IN ('rental', 'capital', 'opex', 'energy') GROUP BY state, component"
        ).fetchall()
    return {(state, component): Fraction(nanos, 10**9) for state, component, nanos in rows}


def test_the_total_is_right_to_the_cent(booked: Bill, by_hand: Bill) -> None:
    """And by component too."""
    ours, due = (sum(money.values(), Fraction(0)) for money in (booked, by_hand))

    print(f"ledger {float(ours):.6f}, by hand {float(due):.6f}, off by {float(ours - due):.9f}")
    assert abs(ours - due) < Fraction("0.005")
    for component in ("rental", "capital", "opex", "energy"):
        assert abs(_of(booked, 1, component) - _of(by_hand, 1, component)) < Fraction("0.005")


@pytest.mark.parametrize("state", ["active", "held", "idle", "unknown", "down"])
def test_the_split_by_state_is_right(booked: Bill, by_hand: Bill, state: str) -> None:
    """To the cent."""
    ours, due = _of(booked, 0, state), _of(by_hand, 0, state)

    print(f"{state}: ledger {float(ours):.6f}, by hand {float(due):.6f}")
    assert due > 0
    assert abs(ours - due) < Fraction("0.005")


def test_the_ledger_verifies_and_has_nothing_left_to_correct(node: Node) -> None:
    """Clean after all of it; repricing again adds no row."""
    assert "good" in gpufin("ledger", "verify", str(node.state))
    arguments = (
        "--config",
        str(node.path),
        "--state-directory",
        str(node.state),
        "--other-machine",
    )
    assert gpufin("ledger", "reprice", *arguments, "--reason", "again").startswith("0 rows were")


def test_the_late_price_begins_in_an_hour_of_two_states(node: Node) -> None:
    """So that a correction which does not look at them all together would be seen above."""
    first = (trace.LATE_FROM // 3_600 * 3_600 - trace.BEGIN) // trace.STEP

    doing = node.loads[trace.LATE][first + 1 : first + 1 + 3_600 // trace.STEP]

    assert len(set(doing)) > 1


def test_what_stays_unpriced_is_the_time_before_the_late_price(node: Node) -> None:
    """Four days and six and a half hours, less nothing: the agent was there all the while."""
    with closing(sqlite3.connect(node.state / "ledger.sqlite")) as database:
        (quantity,) = database.execute(
            "SELECT SUM(quantity) FROM entry WHERE component = 'unpriced'"
        ).fetchone()

    assert quantity == (trace.LATE_FROM - trace.BEGIN) * 10**9


def _of(money: Bill, place: int, name: str) -> Fraction:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for key, amount in money.items():
        sums[key[place]] += amount
    return sums[name]
