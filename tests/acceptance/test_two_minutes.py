"""Two minutes of the whole line: agents, a real Prometheus, money against the clock, kill -9 on the way."""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.programs import Agent, Prometheus, fetch, running, tool
from tests.nvml.library import Card, Script, build, environment
from tests.nvml.profiles import H100, L40S, MIB
from tests.nvml.timeline import Timeline

SECONDS = 125
KILLS_AT = (35, 60, 62.5, 90)
PRICE = 2.5
PRICES = [
    {
        "id": "h100",
        "kind": "rented",
        "match": {"model": "NVIDIA H100*"},
        "price_per_gpu_hour": PRICE,
    },
    {
        "id": "l40s",
        "kind": "owned",
        "match": {"model": "NVIDIA L40S"},
        "purchase_price": 9000,
        "cards": 1,
        "in_service": "2026-01-01",
        "life_years": 5,
    },
]
ELECTRICITY = [{"price_per_kilowatt_hour": 3, "pue": 1.5, "unusual": True}]
"""Dear enough for energy to show in two minutes."""
CONFIG = {"prices": PRICES, "electricity": ELECTRICITY, "flush_seconds": 5}


@dataclass
class Run:
    """What is left of the two minutes: Prometheus still answers, the agents are stopped."""

    prometheus: Prometheus
    simulated: Agent
    scripted: Agent
    killed: Agent
    owned: Card
    metrics_page: str
    killed_script: Script
    restarts: list[float]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Three agents for two minutes; one of them is killed four times."""
    base = tmp_path_factory.mktemp("two-minutes")
    library = build(base / "library").parent
    eight = Script(base / "eight.script")
    for number in range(8):
        card = eight.add(H100, memory=20_000 * MIB, gpu_utilization=97 if number < 6 else 0)
        eight.process(card, 4_000 + number, 19_000 * MIB)
    eight.write()
    two = Script(base / "two.script")
    two.add(H100, gpu_utilization=97)
    owned = two.add(L40S, gpu_utilization=50)
    owned.power = Timeline.of((0, 100_000), (3, 100_000, 320_000), (7, 250_000), period=10)
    two.write()
    simulated = Agent(base / "simulated", CONFIG, ("demo", "--cards", "8"))
    scripted = Agent(base / "scripted", CONFIG, environment=environment(library, eight.path))
    killed = Agent(base / "killed", CONFIG, environment=environment(library, two.path))
    agents = {"simulated": simulated, "scripted": scripted, "killed": killed}
    prometheus = Prometheus(base / "prometheus", agents)
    restarts = []
    with running(*agents.values(), prometheus):
        begin = time.monotonic()
        for moment in KILLS_AT:
            time.sleep(begin + moment - time.monotonic())
            killed.stop(signal.SIGKILL)
            time.sleep(0.5)
            killed.start()
            restarts.append(time.time())
        time.sleep(max(0, begin + SECONDS - time.monotonic()))
        page = fetch(scripted.url())
        assert page is not None
        for agent in agents.values():
            assert agent.stop() == 0
        yield Run(prometheus, simulated, scripted, killed, owned, page, two, restarts)


@pytest.mark.parametrize("node", ["simulated", "scripted"])
def test_cost_in_prometheus_equals_price_times_time(run: Run, node: str) -> None:
    """Between the first and the last scrape the counter rose by price x time, within a tick and 0.1 %."""
    sums = run.prometheus.samples(f'gpufin_cost_total{{node="{node}"}}')
    (first, *_, last) = sums
    booked, due = sums[last] - sums[first], 8 * PRICE * (last - first) / 3_600

    print(f"{node}: {last - first:.1f} s, booked {booked:.9f}, price x time {due:.9f}")
    assert last - first > SECONDS - 10
    assert abs(booked - due) <= 8 * PRICE / 3_600 + 0.001 * due


def test_promtool_finds_nothing_to_say_about_the_metrics(run: Run) -> None:
    """``promtool check metrics`` prints nothing."""
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=run.metrics_page.encode(),
        capture_output=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_increase_never_exceeds_the_ledger_of_a_killed_agent(run: Run) -> None:
    """What Prometheus saw rise, kills included, is never more than the ledger holds."""
    ledger = _ledger(run.killed.state)
    increase = run.prometheus.value('sum(increase(gpufin_cost_total{node="killed"}[5m]))')

    print(f"increase {increase:.9f}, ledger {ledger:.9f}")
    assert 0.75 * ledger < increase <= ledger  # the rest is the time between kill and restart


def test_counters_start_at_zero_and_the_ledger_continues(run: Run) -> None:
    """After each kill the counters begin anew and the month goes on from where it was."""
    counters = run.prometheus.samples('gpufin_cost_total{node="killed"}')
    month = run.prometheus.samples('gpufin_month_cost{node="killed"}')
    lasts = [max(t for t in counters if t < restart - 0.4) for restart in run.restarts]
    firsts = [min(t for t in counters if t > restart) for restart in run.restarts]

    begun = [min(counters), *run.restarts[:-1]]
    three_seconds_worth = 2 * (PRICE + 1.2) * 3 / 3_600

    for begin, last, first in zip(begun, lasts, firsts, strict=True):
        assert counters[first] <= three_seconds_worth
        assert month[first] >= month[last] > 0
        if last - begin > 10:  # the life of 2.5 s may end before a scrape has seen it count
            assert counters[first] < counters[last]
    assert (
        sum(last - begin > 10 for begin, last in zip(begun, lasts, strict=True))
        == len(KILLS_AT) - 1
    )


def test_the_killed_ledger_holds_every_second_once(run: Run) -> None:
    """The rented card's ledger equals price x time over four kills, and so does its time."""
    with closing(sqlite3.connect(run.killed.state / "ledger.sqlite")) as database:
        nanos, span_ns = database.execute(
            "SELECT SUM(nanos), SUM(quantity) FROM entry WHERE component = 'rental'"
        ).fetchone()
        filled = database.execute(
            "SELECT SUM(quantity) FROM entry WHERE component = 'rental' AND filled"
        ).fetchone()[0]
        until = database.execute("SELECT MAX(wall_ns) FROM checkpoint").fetchone()[0]
    sums = run.prometheus.samples('gpufin_cost_total{node="killed"}')

    # It was started just before Prometheus was, and stopped just after the last scrape.
    print(f"booked {span_ns / 1e9:.3f} s of which filled {filled / 1e9:.3f} s")
    assert nanos == pytest.approx(PRICE * 1e9 * span_ns / 3_600e9, abs=1)
    assert until / 1e9 - min(sums) <= span_ns / 1e9 <= until / 1e9 - min(sums) + 20
    assert 0.5e9 * len(KILLS_AT) <= filled <= len(KILLS_AT) * 20e9


def test_the_killed_ledger_holds_every_joule_once(run: Run) -> None:
    """The owned card's energy equals the script's integral over the booked time within 0.1 %."""
    with closing(sqlite3.connect(run.killed.state / "ledger.sqlite")) as database:
        booked, nanos = database.execute(
            "SELECT SUM(quantity), SUM(nanos) FROM entry WHERE component = 'energy' AND uuid = ?",
            (run.owned.uuid,),
        ).fetchone()
        span_ns = database.execute(
            "SELECT SUM(quantity) FROM entry WHERE component = 'capital' AND uuid = ?",
            (run.owned.uuid,),
        ).fetchone()[0]
        until_ns = database.execute(
            "SELECT boottime_ns FROM checkpoint WHERE uuid = ?", (run.owned.uuid,)
        ).fetchone()[0]
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    end = run.killed_script.now() - (now_ns - until_ns) / 1e9
    true_mj = run.owned.used_mj(end - span_ns / 1e9, end)

    print(f"booked {booked} mJ, true {true_mj:.0f} mJ")
    assert booked == pytest.approx(true_mj, rel=0.001, abs=400)
    assert nanos == pytest.approx(booked / 3.6e9 * 1.5 * 3 * 1e9, abs=1)


def test_pages_have_no_defect_counters(run: Run) -> None:
    """Nothing was unreconciled, no tick was late, no reader was given up."""
    for metric in ("gpufin_unreconciled_nanos", "gpufin_readers_abandoned_total"):
        assert run.prometheus.value(f"max(max_over_time({metric}[5m]))") == 0, metric
    assert run.prometheus.value("max(max_over_time(gpufin_ticks_late_total[5m]))") <= 2


def _ledger(state: Path) -> float:
    with closing(sqlite3.connect(state / "ledger.sqlite")) as database:
        return int(database.execute("SELECT SUM(nanos) FROM entry").fetchone()[0]) / 1e9
