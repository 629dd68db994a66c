"""The reader threads: what one card, or the driver, does must not cost the others."""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from agent.errors import GpuError
from agent.runtime.roster import REOPEN_BACK_OFF_SECONDS
from agent.runtime.shift import RETRY_BACK_OFF_SECONDS, Deadlines
from agent.samples.device import GpuSample, fault_of
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


def test_a_card_set_aside_is_not_read_by_a_new_session(bench: Bench) -> None:
    """It is named again with the others, and its back-off goes on."""
    bench.collect()
    bench.source.hang("A")
    bench.source.faults["B"] = LOST
    bench.collect()
    bench.source.release("A")
    bench.clock.advance(10)
    until(lambda: bench.collect() and bench.source.reads[""] == 2)
    assert bench.collect() == {**ALL_OK, "A": "hung", "B": "lost"}
    assert bench.source.reads["A"] == 2


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


def test_a_driver_that_all_cards_say_is_gone_is_gone(bench: Bench) -> None:
    """Every card says so, so no report is published; the driver is opened again."""
    bench.collect()
    bench.source.faults |= dict.fromkeys("ABCD", no_driver(1))
    node = bench.sample()
    assert (dict(node.reports), node.driver_up, node.driver_code) == ({}, False, 1)
    bench.source.faults.clear()
    bench.clock.advance(REOPEN_BACK_OFF_SECONDS[0] + 0.01)
    assert bench.collect() == ALL_OK


@pytest.mark.parametrize(("code", "word"), [(28, "lost"), (1, "failed"), (9, "failed")])
def test_one_card_that_speaks_for_the_driver_speaks_for_itself(
    bench: Bench, code: int, word: str
) -> None:
    """While others answer, a code of the whole driver is that card's own; it is seldom opened anew for it."""
    bench.collect()
    bench.source.faults["B"] = no_driver(code)
    for _ in range(3):
        node = bench.sample()
        assert node.driver_up
        assert {uuid: fault_of(report) for uuid, report in node.reports.items()} == (
            {**dict.fromkeys("ACD"), "B": word}
        )
    for _ in range(5):
        bench.clock.advance(REOPEN_BACK_OFF_SECONDS[-1] / 6)
        assert bench.collect() == {**ALL_OK, "B": word}
    assert bench.source.reads[""] == 2
    for _ in range(4):
        bench.clock.advance(REOPEN_BACK_OFF_SECONDS[-1] / 6)
        bench.collect()
    assert bench.source.reads[""] == 3  # now and then it is tried once more
    del bench.source.faults["B"]
    assert bench.collect() == ALL_OK
    bench.source.faults["B"] = no_driver(code)  # another time, another attempt
    bench.collect()
    bench.clock.advance(2)
    assert bench.collect() == {**ALL_OK, "B": word}
    assert bench.source.reads[""] == 4


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
    bench.source.faults |= dict.fromkeys("BCD", no_driver(1))
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


# ---- naming cards


@pytest.mark.parametrize("index", range(4))
def test_a_card_that_hangs_when_it_is_named_costs_the_others_nothing(
    bench: Bench, index: int
) -> None:
    """At the start of an agent, too: the others are read in the first cycle, whichever it is."""
    hung = "ABCD"[index]
    bench.expected = set("ABCD")
    bench.source.hang(f"#{index}")
    others = {uuid: "ok" for uuid in "ABCD" if uuid != hung}
    assert bench.collect() == {**others, hung: "opening"}
    assert bench.took < CYCLE_SECONDS
    assert bench.reader.take_abandoned() == 0  # a card that is initialised takes seconds
    assert bench.reader.unreadable == 1
    bench.clock.advance(OPEN_SECONDS)
    for _ in range(3):
        node = bench.sample()
        assert {uuid: fault_of(each) for uuid, each in node.reports.items()} == (
            {**dict.fromkeys(others), hung: "hung"}
        )
        assert (node.driver_up, node.settled) == (True, True)
        assert bench.took < READ_SECONDS
    assert bench.reader.take_abandoned() == 1
    assert not bench.reader.exhausted
    bench.source.release(f"#{index}")
    until(lambda: bench.collect() and not bench.reader._stuck)
    bench.clock.advance(RETRY_BACK_OFF_SECONDS[0] + 1)
    until(lambda: bench.collect() == ALL_OK)


@pytest.fixture
def patient() -> Iterator[Bench]:
    """Where naming a card may take long."""
    bench = Bench(open_seconds=30)
    yield bench
    bench.end()


def test_cards_that_are_initialised_for_long_are_named_in_the_end(patient: Bench) -> None:
    """Without a persistence daemon the first touch of each card takes seconds: none is given up."""
    bench = patient
    for index in range(4):
        bench.source.hang(f"#{index}")
    bench.expected = {"A"}
    assert bench.collect() == {"A": "opening"}
    for index in range(4):
        bench.source.release(f"#{index}")
    until(lambda: bench.collect() == ALL_OK)
    assert bench.reader.take_abandoned() == 0
    assert bench.source.reads[""] == 1


def test_a_reading_beside_a_card_that_is_initialised_is_not_taken_for_hung(
    patient: Bench,
) -> None:
    """A driver may hold a lock while it initialises a card; the others wait, and are not quarantined."""
    bench = patient
    bench.source.hang("#3")
    bench.expected = set("ABCD")
    bench.collect()
    bench.source.hang("A")
    assert bench.collect()["A"] == "no_time"
    bench.source.release("A")
    bench.source.release("#3")
    until(lambda: bench.collect() == ALL_OK)
    assert bench.reader.take_abandoned() == 0


def test_cards_are_named_anew_every_minute_one_in_a_cycle(bench: Bench) -> None:
    """MIG and memory may have changed; one naming a cycle is not felt."""
    bench.collect()
    assert bench.source.named == dict.fromkeys(range(4), 1)
    bench.source.memory_total_bytes = 80 << 30
    bench.clock.advance(61)
    for cycle in range(1, 6):
        bench.collect()
        assert bench.source.named.total() == 4 + min(cycle, 4)
    node = bench.sample()
    assert {each.memory_total_bytes for each in node.identities.values()} == {80 << 30}
    assert bench.source.reads[""] == 1


def test_a_known_card_that_cannot_be_named_anew_goes_on_as_it_was(bench: Bench) -> None:
    """Its reading tells whether it is lost."""
    bench.collect()
    bench.source.faults["#1"] = GpuError("UNKNOWN", code=999)
    bench.clock.advance(61)
    for _ in range(5):
        assert bench.collect() == ALL_OK
    assert bench.reader.unreadable == 0
    assert bench.source.reads[""] == 1


def test_a_memory_size_that_a_reading_tells_names_the_card_too(bench: Bench) -> None:
    """Prices by memory hold as soon as it is known."""
    bench.source.sample_memory_bytes = 80 << 30
    node = bench.sample()
    assert {each.memory_total_bytes for each in node.identities.values()} == {80 << 30}


# ---- cards that come later


def test_an_expected_card_that_is_not_listed_is_looked_for(bench: Bench) -> None:
    """Remembered by the ledger, absent at the start: the driver is opened again until it is back."""
    bench.source.listed.remove("D")
    bench.expected = set("ABCD")
    rest = dict.fromkeys("ABC", "ok")
    for pause in (0, *REOPEN_BACK_OFF_SECONDS[:2]):
        bench.clock.advance(pause + 0.01)
        assert bench.collect() == rest
    assert bench.source.reads[""] == 3
    bench.source.listed.append("D")
    bench.clock.advance(REOPEN_BACK_OFF_SECONDS[2] + 0.01)
    assert bench.collect() == ALL_OK


def test_a_card_that_nobody_expects_any_more_is_not_looked_for(bench: Bench) -> None:
    """A retired card interrupts nobody."""
    bench.collect()
    bench.source.faults["D"] = LOST
    bench.source.listed.remove("D")
    bench.collect()
    bench.clock.advance(2)
    bench.collect()
    bench.expected.discard("D")
    opened = bench.source.reads[""]
    bench.collect()
    for _ in range(3):
        bench.clock.advance(REOPEN_BACK_OFF_SECONDS[-1])
        bench.collect()
    assert bench.source.reads[""] <= opened + 1  # what was planned already


def test_a_driver_without_cards_is_opened_again_until_it_has_some() -> None:
    """No card is no success on a node that is measured."""
    bench = Bench("")
    try:
        for pause in (0, *REOPEN_BACK_OFF_SECONDS[:2]):
            bench.clock.advance(pause + 0.01)
            node = bench.sample()
            assert (node.driver_up, dict(node.reports)) == (True, {})
        assert bench.source.reads[""] == 3
        bench.source.listed.append("A")
        bench.clock.advance(REOPEN_BACK_OFF_SECONDS[2] + 0.01)
        assert bench.collect() == {"A": "ok"}
    finally:
        bench.end()


def test_a_card_that_comes_is_noticed_by_the_count(bench: Bench) -> None:
    """Every ten seconds cards are counted; another count means another session."""
    bench.collect()
    bench.source.listed.append("E")
    bench.clock.advance(9)
    assert bench.collect() == ALL_OK
    bench.clock.advance(2)
    assert bench.collect() == ALL_OK
    assert bench.source.reads[""] == 1
    bench.clock.advance(REOPEN_BACK_OFF_SECONDS[0] + 0.01)
    assert bench.collect() == {**ALL_OK, "E": "ok"}
    bench.clock.advance(1_000)
    bench.collect()
    bench.collect()
    assert bench.source.reads[""] == 2


# ---- time


def test_a_standstill_of_the_process_is_not_a_hung_card(bench: Bench) -> None:
    """Who overslept has no right to say that a call took too long."""
    bench.collect()
    bench.source.slow = dict.fromkeys("ABCD", READ_SECONDS / 2)
    for delay in (0.01, READ_SECONDS / 2, READ_SECONDS):
        threading.Timer(delay, bench.clock.advance, [2]).start()
        assert bench.collect() == ALL_OK
    assert bench.reader.take_abandoned() == 0


def test_a_call_that_nobody_watched_gets_a_grace(bench: Bench) -> None:
    """A standstill between two cycles, in the middle of a slow call."""
    bench.collect()
    bench.source.slow = dict.fromkeys("ABCD", READ_SECONDS * 0.7)
    found = bench.collect()
    assert "no_time" in found.values()
    bench.clock.advance(5)
    bench.collect()
    assert bench.reader.take_abandoned() == 0


def test_a_stop_ends_the_cycle_that_is_waited_for(bench: Bench) -> None:
    """However long an interval is, a stop takes no longer for it; what answers is read still."""
    bench = Bench("AB", read_seconds=5, cycle_seconds=9)
    bench.collect()
    bench.source.hang("B")
    timer = threading.Timer(0.1, bench.reader.interrupt)
    timer.start()
    assert bench.collect() == {"A": "ok", "B": "no_time"}
    assert bench.took < 1.5
    assert bench.collect() == {"A": "no_time", "B": "no_time"}
    bench.end()


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
