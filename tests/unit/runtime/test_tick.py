"""One turn after another: what is counted, told and published, and when it gives up."""

import logging
import threading
from dataclasses import dataclass, field, replace
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from agent.cost.prices import Price, PriceTable, Tier
from agent.cost.rates import hourly
from agent.errors import GpuError, TryAgain
from agent.ledger.account import Account
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.runtime.health import Health
from agent.runtime.picture import Facts, Published
from agent.runtime.shift import Deadlines
from agent.runtime.tick import Ticker, together
from agent.samples.device import FaultReason, GpuFault
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.view import ConfigHealth, View
from tests.builders import a_table, an_owned
from tests.fakes.store import FakeLedger
from tests.unit.runtime.blocking_source import Bench, no_driver

SECOND = 1_000_000_000


@dataclass
class Turns:
    """A ticker over cards A and B."""

    bench: Bench = field(default_factory=lambda: Bench("AB"))
    views: list[View] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        price = Price(
            id="p",
            tier=Tier.ON_DEMAND,
            rates=(hourly(Fraction(36), "rental"),),
            match=CardMatch(model="*"),
        )
        policy = AccountPolicy(table=PriceTable([price], currency="USD"), zone=ZoneInfo("UTC"))
        host = Host(machine_id="m", boot_id="b", clock_synchronized=True)
        self.account = Account(policy, FakeLedger().recover(), host)
        self.published = Published()
        self.health = Health()
        self.ticker = Ticker(
            clock=self.bench.clock,
            reader=self.bench.reader,
            account=self.account,
            book_lock=threading.Lock(),
            published=self.published,
            health=self.health,
            facts=Facts(source="nvml", started_wall_ns=0, stale_after_ns=SECOND),
            interval_ns=SECOND // 5,
            config_health=lambda: ConfigHealth(0),
            on_turn=self.views.append,
            on_clock_step=lambda: self.steps.append(1),
        )

    def counter(self, name: str) -> int:
        return self.account.counters.total(name)


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_a_turn_publishes_what_it_tells(turns: Turns) -> None:
    """The view that scrapes get is the one the watchdog and readiness hear of."""
    view = turns.ticker.turn()
    assert turns.published.current() is view
    assert turns.views == [view]
    assert [card.identity.uuid for card in view.cards] == ["A", "B"]
    assert view.fresh_until_boottime_ns == view.at.boottime_ns + SECOND
    assert view.collectors["devices"].success
    assert view.tick_seconds is None
    following = turns.ticker.turn()
    assert following.tick_seconds is not None
    assert 0 < following.tick_seconds < 0.5
    turns.bench.end()


def test_a_view_does_not_change_with_later_turns(turns: Turns) -> None:
    """Scrapes may hold on to it for as long as they like."""
    view = turns.ticker.turn()
    before = dict(view.counters["gpufin_ticks_total"])
    turns.bench.clock.advance(2)
    turns.ticker.turn()
    assert view.counters["gpufin_ticks_total"] == before == {(): 1}
    turns.bench.end()


def test_counters_of_the_agent_stand_at_0_from_the_first_turn(turns: Turns) -> None:
    """A counter that is born at 1 is never seen to rise."""
    view = turns.ticker.turn()
    for name in (
        "gpufin_ticks_late_total",
        "gpufin_clock_steps_total",
        "gpufin_readers_abandoned_total",
    ):
        assert view.counters[name] == {(): 0}
    turns.bench.end()


def test_changes_are_told_once_each(turns: Turns, caplog: pytest.LogCaptureFixture) -> None:
    """A card that is lost and then no longer listed does not answer again."""
    caplog.set_level(logging.INFO)
    turns.ticker.turn()
    turns.bench.source.faults["B"] = GpuError("GPU_IS_LOST", code=15, lost=True)
    turns.bench.source.listed.remove("B")
    for _ in range(4):
        turns.bench.clock.advance(2)
        turns.ticker.turn()
    view = turns.views[-1]
    assert [card.state for card in view.cards][1] is CardState.DOWN
    assert not view.collectors["devices"].success
    assert [r.message for r in caplog.records if "B" in r.message] == ["B gives no sample: lost"]
    turns.bench.source.listed.append("B")
    del turns.bench.source.faults["B"]
    turns.bench.clock.advance(100)
    turns.ticker.turn()
    assert [r.message for r in caplog.records if "B" in r.message][1:] == ["B answers again"]
    turns.bench.end()


def test_a_lost_card_does_not_answer_while_the_driver_is_opened(
    turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    """While nothing can be read nothing is heard of any card: what was said of it goes on."""
    caplog.set_level(logging.INFO)
    turns.ticker.turn()
    turns.bench.source.faults["B"] = GpuError("GPU_IS_LOST", code=15, lost=True)
    turns.ticker.turn()
    turns.bench.source.slow[""] = 0.6
    turns.bench.reader._deadlines = Deadlines(
        read_ns=SECOND // 10, cycle_ns=SECOND // 5, open_ns=5 * SECOND
    )
    turns.bench.clock.advance(2)
    view = turns.ticker.turn()
    assert {card.report for card in view.cards} == {
        GpuFault(uuid, FaultReason.OPENING) for uuid in "AB"
    }
    for _ in range(4):
        turns.ticker.turn()
    assert [r.message for r in caplog.records if " B " in f" {r.message} "] == [
        "B gives no sample: lost"
    ]
    assert not [r for r in caplog.records if r.message.startswith("A ")]
    turns.bench.end()


def test_slow_cards_are_told_once_with_their_number(
    turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a line a tick: a slow card is no news, and no failure."""
    turns.bench.source.slow = dict.fromkeys("AB", 0.1)
    turns.bench.reader._deadlines = Deadlines(read_ns=SECOND // 5, cycle_ns=SECOND * 15 // 100)
    for _ in range(2):
        turns.ticker.turn()
    for _ in range(8):
        assert turns.ticker.turn().collectors["devices"].success
    (record,) = caplog.records
    assert record.message.startswith("no time was left in a tick to read 1 of 2 cards")
    turns.bench.end()


def test_a_node_without_cards_is_no_success() -> None:
    """An agent that is to measure cards and has none has not done what it is there for."""
    turns = Turns(Bench(""))
    view = turns.ticker.turn()
    assert view.driver_up
    assert not view.collectors["devices"].success
    turns.bench.end()


def test_a_card_without_a_sample_costs_its_time(turns: Turns) -> None:
    """A rate without its power is told for one that is lost, and not for one that was not read."""
    turns.account.use(replace(turns.account.policy, table=a_table(an_owned())))
    turns.bench.source.faults["B"] = GpuError("GPU_IS_LOST", code=15, lost=True)
    working, lost = turns.ticker.turn().cards
    assert working.rate_per_hour is not None
    assert lost.rate_per_hour is not None
    assert 0 < lost.rate_per_hour < working.rate_per_hour
    turns.bench.reader.interrupt()
    working, _ = turns.ticker.turn().cards
    assert working.report == GpuFault("A", FaultReason.NO_TIME)
    assert working.rate_per_hour is None
    turns.bench.end()


def test_an_idle_spell_began_when_it_began_whatever_the_clock_says_now(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set right does not make a card idle since 1970."""
    real, shift = turns.bench.clock.now, 0

    def stepped() -> object:
        now = real()
        return type(now)(now.boottime_ns, now.wall_ns + shift)

    monkeypatch.setattr(turns.bench.clock, "now", stepped)
    turns.bench.source.utilization_percent = 0
    turns.ticker.turn()
    turns.bench.clock.advance(2)
    before = turns.ticker.turn().cards[0].idle_since_wall_ns or 0
    shift = 20 * 365 * 86_400 * SECOND
    view = turns.ticker.turn()
    after = view.cards[0].idle_since_wall_ns or 0
    assert abs(after - before - shift) <= SECOND // 10
    assert 1.8 < (view.at.wall_ns - after) / SECOND < 3
    turns.bench.end()


def test_cards_that_cannot_be_named_fail_the_collector(turns: Turns) -> None:
    """A node with a card nobody can read is not a success, though every report is good."""
    turns.bench.source.unreadable = 1
    assert not turns.ticker.turn().collectors["devices"].success
    turns.bench.end()


def test_a_step_of_the_wall_clock_is_counted_and_passed_on(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs planned by wall time hear of it; drift of less than a second is no step."""
    real = turns.bench.clock.now
    shift = 0

    def stepped() -> object:
        now = real()
        return type(now)(now.boottime_ns, now.wall_ns + shift)

    monkeypatch.setattr(turns.bench.clock, "now", stepped)
    turns.ticker.turn()
    shift = 900_000_000
    turns.ticker.turn()
    assert turns.steps == []
    shift = -3600 * SECOND
    turns.ticker.turn()
    turns.ticker.turn()
    assert turns.steps == [1]
    assert turns.counter("gpufin_clock_steps_total") == 1
    turns.bench.end()


def test_it_turns_on_time_until_told_to_stop(turns: Turns) -> None:
    """Turns are counted from a fixed beginning, so none drifts; none is late."""
    stop = threading.Event()
    thread = threading.Thread(target=turns.ticker.run, args=(stop,))
    thread.start()
    stop.wait(1.1)
    stop.set()
    thread.join(2)
    assert not thread.is_alive()
    assert turns.counter("gpufin_ticks_total") in {5, 6}
    assert turns.counter("gpufin_ticks_late_total") == 0
    begun = [view.at.boottime_ns for view in turns.views]
    assert all(abs(b - begun[0] - i * SECOND // 5) < SECOND // 10 for i, b in enumerate(begun))
    turns.bench.end()


def test_missed_turns_are_skipped_and_the_late_one_is_counted(turns: Turns) -> None:
    """After a suspension there is one turn, not a burst of them."""
    stop = threading.Event()
    thread = threading.Thread(target=turns.ticker.run, args=(stop,))
    thread.start()
    stop.wait(0.3)
    before = turns.counter("gpufin_ticks_total")
    turns.bench.clock.advance(60)
    stop.wait(0.5)
    stop.set()
    thread.join(2)
    assert turns.counter("gpufin_ticks_late_total") == 1
    assert turns.counter("gpufin_ticks_total") - before <= 4
    turns.bench.end()


def test_it_gives_up_when_only_a_new_process_helps(turns: Turns) -> None:
    """The last picture is published first: nobody is left with readings that are none."""
    turns.bench.source.faults[""] = no_driver(18, restart=True)
    with pytest.raises(TryAgain):
        turns.ticker.run(threading.Event())
    assert len(turns.views) == 1
    assert not turns.views[0].driver_up
    turns.bench.end()


def test_what_is_to_be_said_of_many_cards_is_said_once() -> None:
    """A restart of a node with eight cards is one line, and a card of its own keeps its name."""
    notes = [
        *(f"GPU-{n}: filled 1.1 s since the last run" for n in range(8)),
        "GPU-3: it is retired",
    ]

    assert list(together(notes)) == [
        "8 cards: filled 1.1 s since the last run",
        "GPU-3: it is retired",
    ]
