"""The reader threads: what one card, or the driver, does must not cost the others."""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from agent.errors import GpuError
from agent.runtime.shift import REOPEN_BACK_OFF_SECONDS, RETRY_BACK_OFF_SECONDS, Deadlines
from agent.samples.device import GpuSample
from agent.units import nanoseconds
from tests.unit.runtime.blocking_source import (
    CYCLE_SECONDS,
    OPEN_SECONDS,
    READ_SECONDS,
    Bench,
    no_driver,
)

ALL_OK = dict.fromkeys("ABCD", "ok")
LOST = GpuError("GPU_IS_LOST", code=15, lost=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.end()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_the_first_cycle_opens_and_reads_every_card(bench: Bench) -> None:
    """Nothing waits for a second tick."""
    node = bench.sample()
    assert {uuid: isinstance(report, GpuSample) for uuid, report in node.reports.items()} == (
        dict.fromkeys("ABCD", True)
    )
    assert (node.driver_up, node.settled, node.driver_reason, node.driver_version) == (
        *(True, True, ""),
        "1.2",
    )
    assert bench.source.reads == dict.fromkeys(["", *"ABCD"], 1)


def test_one_thread_alone_calls_the_driver(bench: Bench) -> None:
    """Never the tick's thread, never two at once, and the same one for every cycle."""
    for _ in range(5):
        assert bench.collect() == ALL_OK
    assert len(bench.source.threads) == 1
    assert threading.get_ident() not in bench.source.threads
    assert bench.source.most_at_once == 1


@pytest.mark.parametrize("card", "ABCD")
def test_a_hung_card_is_abandoned_and_a_successor_reads_the_rest_in_the_same_cycle(
    bench: Bench, card: str
) -> None:
    """The others are whole, the hung one is told, and the cycle ends in time, whichever it is."""
    bench.collect()
    bench.source.hang(card)
    assert bench.collect() == {**ALL_OK, card: "hung"}
    assert READ_SECONDS <= bench.took < CYCLE_SECONDS
    assert bench.reader.take_abandoned() == 1
    assert bench.reader.take_abandoned() == 0


def test_a_hung_card_is_not_read_again_and_costs_no_more_time(bench: Bench) -> None:
    """Quarantine: later cycles go on without it, quickly, for as long as its call hangs."""
    bench.collect()
    bench.source.hang("A")
    bench.collect()
    for _ in range(3):
        bench.clock.advance(1_000)
        assert bench.collect() == {**ALL_OK, "A": "hung"}
        assert bench.took < READ_SECONDS
    assert bench.source.reads["A"] == 2
    assert bench.reader.take_abandoned() == 1
    assert not bench.reader.exhausted


def test_a_hung_card_is_read_again_after_its_call_returned_and_the_back_off(bench: Bench) -> None:
    """Both conditions are needed, and the time counts from the return."""
    bench.collect()
    bench.source.hang("C")
    bench.collect()
    bench.clock.advance(10_000)
    bench.source.release("C")
    until(lambda: bench.collect() and bench.reader._aside["C"].retry_at_ns)
    bench.clock.advance(RETRY_BACK_OFF_SECONDS[0] - 5)
    assert bench.collect() == {**ALL_OK, "C": "hung"}
    bench.clock.advance(6)
    assert bench.collect() == ALL_OK
    assert bench.source.most_at_once == 1


def test_the_back_off_grows_with_each_hang_and_starts_anew_after_a_good_read(bench: Bench) -> None:
    """A card that hangs whenever it is touched is touched less and less."""
    bench.collect()

    def hang_and_return() -> float:
        bench.source.hang("D")
        assert bench.collect()["D"] == "hung"
        bench.source.release("D")
        until(lambda: bench.collect() and bench.reader._aside["D"].retry_at_ns)
        retry_at_ns = bench.reader._aside["D"].retry_at_ns or 0
        wait = (retry_at_ns - bench.clock.now().boottime_ns) / 1e9
        bench.clock.advance(wait + 0.01)
        return round(wait)

    waits = [hang_and_return() for _ in range(5)]
    assert waits == [*RETRY_BACK_OFF_SECONDS, RETRY_BACK_OFF_SECONDS[-1]]
    assert bench.collect() == ALL_OK
    assert hang_and_return() == RETRY_BACK_OFF_SECONDS[0]


def test_the_late_result_of_an_abandoned_reader_is_dropped(bench: Bench) -> None:
    """A value from before the hang never stands for a card that is read now, nor for a hung one."""
    bench.collect()
    bench.source.power_mw = 666
    bench.source.hang("B")
    bench.collect()
    bench.source.power_mw = 1_000
    bench.source.release("B")
    until(lambda: bench.reader._stuck[0].ended)
    for _ in range(3):
        node = bench.sample()
        assert not isinstance(node.reports["B"], GpuSample)
        assert {r.power_mw for r in node.reports.values() if isinstance(r, GpuSample)} == {1_000}


def test_a_card_slower_than_the_cycle_but_within_its_deadline_is_not_abandoned(
    bench: Bench,
) -> None:
    """A call that is under way when the cycle ends goes on; its card is unknown for that tick."""
    bench = Bench("ABC")
    slow = READ_SECONDS * 0.8

    def later(name: str) -> None:
        timer = threading.Timer(slow, bench.source.release, [name])
        timer.start()

    bench.collect()
    abandoned = 0
    for _ in range(2):
        bench.source.hang("A")
        later("A")
        assert bench.collect()["A"] == "ok"
        abandoned += bench.reader.take_abandoned()
    assert abandoned == 0
    bench.end()


def test_two_hung_cards_mean_a_new_process(bench: Bench) -> None:
    """After two abandoned readers nothing is read, every card is unknown, and it says so."""
    bench.collect()
    bench.source.hang("A")
    bench.source.hang("B")
    bench.collect()
    bench.collect()
    node = bench.sample()
    assert bench.reader.exhausted
    assert not node.settled
    assert not node.driver_up
    assert all(not isinstance(report, GpuSample) for report in node.reports.values())
    assert {
        str(report.reason) for report in node.reports.values() if hasattr(report, "reason")
    } == {"hung"}
    assert bench.reader.take_abandoned() == 2


def test_a_second_hang_after_the_first_came_back_is_not_the_end(bench: Bench) -> None:
    """Only two at once are."""
    bench.collect()
    for card in "AB":
        bench.source.hang(card)
        bench.collect()
        bench.source.release(card)
        until(lambda: bench.collect() and not bench.reader._stuck)
    assert not bench.reader.exhausted
    assert bench.collect() == {**ALL_OK, "A": "hung", "B": "hung"}


def test_an_unexpected_exception_fails_that_card_alone_and_is_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours in one reading neither ends the reader nor fills the log."""
    bench.source.faults["B"] = TypeError("a defect")
    for _ in range(4):
        assert bench.collect() == {**ALL_OK, "B": "failed"}
    assert len([r for r in caplog.records if "unexpectedly" in r.message]) == 1
    assert len(bench.source.threads) == 1
    del bench.source.faults["B"]
    assert bench.collect() == ALL_OK


def test_a_failed_card_is_read_again_at_the_next_cycle(bench: Bench) -> None:
    """An error that says nothing of the card's state needs no back-off."""
    bench.source.faults["C"] = GpuError("UNKNOWN", code=999)
    assert bench.collect()["C"] == "failed"
    del bench.source.faults["C"]
    assert bench.collect() == ALL_OK
    assert bench.source.reads[""] == 1


def test_a_lost_card_makes_the_driver_be_opened_again_with_growing_pauses(bench: Bench) -> None:
    """The others are read in every cycle meanwhile, those that open included."""
    bench.collect()
    bench.source.faults["B"] = LOST
    bench.source.listed.remove("B")  # found by no session that begins now
    assert bench.collect() == {**ALL_OK, "B": "lost"}
    rest = dict.fromkeys("ACD", "ok")
    for number, pause in enumerate((*REOPEN_BACK_OFF_SECONDS, REOPEN_BACK_OFF_SECONDS[-1]), 1):
        bench.clock.advance(pause - 0.7)
        assert bench.collect().items() >= rest.items()
        assert bench.source.reads[""] == number
        bench.clock.advance(0.8)
        assert bench.collect() == rest
        assert bench.source.reads[""] == number + 1


def test_a_lost_card_that_is_back_is_read_and_the_next_loss_is_met_at_once(bench: Bench) -> None:
    """Healing sets the pauses back; the index may be another."""
    bench.collect()
    for _ in range(2):
        bench.source.faults["A"] = LOST
        bench.source.listed.remove("A")
        bench.collect()
        for pause in REOPEN_BACK_OFF_SECONDS[:3]:
            bench.clock.advance(pause + 0.01)
            bench.collect()
        del bench.source.faults["A"]
        bench.source.listed.append("A")
        bench.clock.advance(REOPEN_BACK_OFF_SECONDS[3] + 0.01)
        node = bench.sample()
        assert isinstance(node.reports["A"], GpuSample)
        assert node.identities["A"].index == 3
    opened = bench.source.reads[""]
    bench.clock.advance(100_000)
    assert bench.collect() == ALL_OK
    assert bench.source.reads[""] == opened


def test_a_card_the_driver_will_not_name_is_told_and_looked_for(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A card lost before the agent ever saw it has no UUID: the count is all there is to tell."""
    bench.source.unreadable = 1
    assert bench.collect() == ALL_OK
    assert bench.reader.unreadable == 1
    for pause in REOPEN_BACK_OFF_SECONDS[:2]:
        bench.clock.advance(pause + 0.01)
        bench.collect()
    assert bench.source.reads[""] == 3
    assert len([r for r in caplog.records if "cannot be opened" in r.message]) == 1
    bench.source.unreadable = 0
    bench.clock.advance(REOPEN_BACK_OFF_SECONDS[2] + 0.01)
    bench.collect()
    assert bench.reader.unreadable == 0


def test_a_lost_card_beside_a_hung_one_keeps_its_turn(bench: Bench) -> None:
    """The driver is not opened beside a stuck call; when that returns, it is opened at once."""
    bench.collect()
    bench.source.hang("A")
    bench.source.faults["B"] = LOST
    for _ in range(8):
        assert bench.collect() == {**ALL_OK, "A": "hung", "B": "lost"}
        bench.clock.advance(700)
    assert bench.source.reads[""] == 1
    bench.source.release("A")
    until(lambda: bench.collect() and bench.source.reads[""] == 2)


def test_a_driver_that_does_not_answer_is_tried_again_with_growing_pauses(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Absent at start: settled with its reason and code, logged once, read once it is there."""
    bench.source.faults[""] = no_driver()
    node = bench.sample()
    assert (node.settled, node.driver_up, node.driver_reason, node.driver_code) == (
        *(True, False),
        "DRIVER_NOT_LOADED",
        9,
    )
    for number, pause in enumerate(REOPEN_BACK_OFF_SECONDS, 1):
        bench.clock.advance(pause - 0.5)
        bench.collect()
        assert bench.source.reads[""] == number
        bench.clock.advance(0.6)
        bench.collect()
        assert bench.source.reads[""] == number + 1
    assert not bench.reader.exhausted
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    del bench.source.faults[""]
    bench.clock.advance(601)
    assert bench.collect() == ALL_OK


def test_a_driver_lost_in_the_middle_of_a_cycle_takes_every_report(bench: Bench) -> None:
    """What was read before the driver went is not published beside what was not."""
    bench.collect()
    bench.source.faults["C"] = no_driver(1)
    node = bench.sample()
    assert (dict(node.reports), node.driver_up, node.driver_code) == ({}, False, 1)
    del bench.source.faults["C"]
    bench.clock.advance(REOPEN_BACK_OFF_SECONDS[0] + 0.01)
    assert bench.collect() == ALL_OK


def test_a_driver_that_asks_for_a_new_process_gets_one(bench: Bench) -> None:
    """A replaced driver is not waited for."""
    bench.source.faults[""] = no_driver(18, restart=True)
    bench.collect()
    assert bench.reader.exhausted


def test_an_opening_that_hangs_is_waited_for_and_then_given_up(bench: Bench) -> None:
    """Opening initialises cards and may take long; a hung one leaves no session to read from."""
    bench.source.hang("")
    started = time.monotonic()
    node = bench.sample()
    assert not node.settled
    while not bench.reader.exhausted:
        assert time.monotonic() - started < 10 * OPEN_SECONDS
        node = bench.sample()
    assert time.monotonic() - started >= OPEN_SECONDS
    assert (node.driver_up, node.settled) == (False, False)


def test_a_reopening_that_hangs_makes_cards_unknown_not_lost(bench: Bench) -> None:
    """The session was ended before: that no card can be read says nothing of the cards."""
    bench.collect()
    bench.source.faults["B"] = LOST
    bench.collect()
    bench.source.hang("")
    for card in "ACD":  # what the source answers without a session
        bench.source.faults[card] = LOST
    bench.clock.advance(REOPEN_BACK_OFF_SECONDS[0] + 0.01)
    for _ in range(3):
        assert set(bench.collect().values()) <= {
            "hung"
        }  # unreported cards of an unsettled node too
    node = bench.sample()
    assert (bench.reader.exhausted, node.settled, node.driver_up) == (True, False, False)


def test_a_driver_lost_beside_a_hung_call_asks_for_a_new_process(bench: Bench) -> None:
    """Nothing can be opened beside a stuck call, so waiting for it would be for ever."""
    bench.collect()
    bench.source.hang("A")
    bench.collect()
    bench.source.faults["B"] = no_driver(1)
    bench.collect()
    assert bench.reader.exhausted


def test_stopping_lets_go_of_the_driver(bench: Bench) -> None:
    """The reader's own thread ends the session."""
    bench.collect()
    bench.reader.stop()
    assert bench.source.closed == 1


def test_stopping_does_not_wait_for_a_hung_call(bench: Bench) -> None:
    """A stop takes no longer than it says, and never closes the library under a call."""
    bench.collect()
    bench.source.hang("A")
    bench.collect()
    started = time.monotonic()
    bench.reader.stop(wait_seconds=0.2)
    assert time.monotonic() - started < 0.5
    assert bench.source.closed == 0


def test_pauses_only_grow() -> None:
    """Back-offs are sorted, so that trouble is met with patience."""
    for pauses in (REOPEN_BACK_OFF_SECONDS, RETRY_BACK_OFF_SECONDS):
        assert all(a < b for a, b in itertools.pairwise(pauses))


@pytest.mark.parametrize("interval", [0.5, 1.0, 10.0])
def test_one_hang_and_the_rest_fit_into_an_interval(interval: float) -> None:
    """A call is given up early enough for a successor, and the cycle ends before the next tick."""
    deadlines = Deadlines.of_interval(nanoseconds(interval))
    assert 2 * deadlines.read_ns <= deadlines.cycle_ns < nanoseconds(interval)


def test_a_card_that_is_cold_is_not_taken_for_hung() -> None:
    """A confidential-computing card takes 0.1 s, at the shortest interval too."""
    assert Deadlines.of_interval(nanoseconds(0.1)).read_ns >= nanoseconds(0.2)


def test_slow_cards_share_the_shortage_of_time() -> None:
    """Cards whose calls take long, each within its deadline, starve no other for ever."""
    bench = Bench("ABCD")
    answered: Counter[str] = Counter()
    try:
        bench.collect()
        bench.source.slow = dict.fromkeys("ABC", 0.14)
        for _ in range(4):
            answered.update(uuid for uuid, word in bench.collect().items() if word == "ok")
    finally:
        bench.end()
    assert min(answered[uuid] for uuid in "ABCD") >= 2, answered
