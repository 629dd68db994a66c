"""Lost, hung, vanished and late cards, and drivers that come and go, under the real agent."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.devices.harness import AgentProcess, Page
from tests.nvml.library import GPU_IS_LOST, UNINITIALIZED, Card, Script
from tests.nvml.profiles import H100

Start = Callable[..., AgentProcess]

READINGS = {
    "gpufin_gpu_utilization_ratio",
    "gpufin_gpu_memory_used_bytes",
    "gpufin_gpu_memory_total_bytes",
    "gpufin_gpu_power_watts",
    "gpufin_gpu_power_limit_watts",
    "gpufin_gpu_temperature_celsius",
    "gpufin_gpu_processes",
}
DOWN, UNKNOWN, ACTIVE = 0, 1, 4
TRY_AGAIN = 75
NO_PERMISSION, NO_DRIVER, MISMATCH = 4, 9, 18


def working(script: Script, count: int) -> list[Card]:
    cards = [script.add(H100, gpu_utilization=80, power_mw=500_000) for _ in range(count)]
    for card in cards:
        script.process(card, 100 + card.number, 1 << 30)
    return cards


def names(page: Page, card: Card) -> set[str]:
    return {name for name, _ in page.series_of(card.uuid)}


def state(page: Page, card: Card) -> float:
    return page.value("gpufin_gpu_state", uuid=card.uuid)


def up(page: Page, card: Card) -> float:
    return page.value("gpufin_gpu_up", uuid=card.uuid)


def booked_ns(state_directory: Path) -> dict[tuple[str, str], int]:
    """Priced time in the ledger of an agent that has ended, by card and state."""
    with closing(sqlite3.connect(state_directory / "ledger.sqlite")) as ledger:
        rows = ledger.execute(
            "SELECT uuid, state, SUM(quantity) FROM entry WHERE component = 'rental' GROUP BY 1, 2"
        )
        return {(uuid, state): quantity for uuid, state, quantity in rows}


def all_active(page: Page, cards: list[Card]) -> bool:
    return all(state(page, card) == ACTIVE for card in cards)


def assert_says_nothing_of(page: Page, card: Card) -> None:
    """No reading of a card is exported: neither NaN, nor 0, nor the last value."""
    assert not READINGS & names(page, card)


def watch(agent: AgentProcess, first: Page, seconds: float) -> tuple[list[Page], float]:
    """Scrape four times a second; the pages, and the seconds from the first to the last."""
    begun, pages = time.monotonic(), [first]
    while time.monotonic() - begun < seconds:
        time.sleep(0.25)
        pages.append(agent.page())
    return pages, time.monotonic() - begun


def assert_acceptance_3(page: Page, lost: Card, hung: Card, others: dict[Card, set[str]]) -> None:
    """One scrape with a lost and a hung card among eight: the others are whole."""
    for card, whole in others.items():
        assert names(page, card) == whole
        assert (up(page, card), state(page, card)) == (1, ACTIVE)
    assert (up(page, lost), state(page, lost)) == (0, DOWN)
    assert (up(page, hung), state(page, hung)) == (0, UNKNOWN)
    assert_says_nothing_of(page, lost)
    assert_says_nothing_of(page, hung)
    assert page.value("gpufin_ticks_late_total") == 0
    assert page.value("gpufin_driver_up") == 1
    assert page.value("gpufin_gpus_expected") == 8
    assert page.value("gpufin_gpus_present") == 6
    assert page.value("gpufin_collector_success", collector="devices") == 0
    assert page.value("gpufin_tick_duration_seconds") < 0.8


def test_one_lost_and_one_hung_card_leave_six_complete_and_the_tick_on_time(
    script: Script, start: Start
) -> None:
    """Acceptance 3: in every scrape six cards have every series; the tick keeps its second."""
    cards = working(script, 8)
    lost, hung = cards[2], cards[0]  # the first card read is the worst to hang
    agent = start(script, interval=1).ready()
    before = agent.eventually(
        lambda page: len(page.all("gpufin_gpu_energy_joules_total")) == 8, "energy of eight cards"
    )
    whole = {card: names(before, card) for card in cards}
    assert all(series >= READINGS for series in whole.values())
    script.lose(lost)
    hang = script.hang("nvmlDeviceGetPowerUsage", card=hung)
    script.settle()
    fault_seen = agent.eventually(
        lambda page: state(page, lost) == DOWN and state(page, hung) == UNKNOWN, "both are told"
    )
    pages, elapsed = watch(agent, fault_seen, 5)
    others = {card: series for card, series in whole.items() if card not in {lost, hung}}
    for page in pages:
        assert_acceptance_3(page, lost, hung, others)
    ticks = pages[-1].value("gpufin_ticks_total") - pages[0].value("gpufin_ticks_total")
    assert abs(ticks - elapsed) <= 1
    assert pages[-1].value("gpufin_readers_abandoned_total") == 1
    assert pages[-1].value("gpufin_tick_duration_seconds") < 0.1  # the hang was paid for once

    # The hung call returns; only then may the driver be opened again, and the lost card is found.
    script.remove(hang)
    script.bring_back(lost, index=6)
    script.settle()
    healed = agent.eventually(lambda page: up(page, lost) == 1, "the lost card is back", 10)
    assert healed.labels("gpufin_gpu_up", uuid=lost.uuid)["gpu"] == "6"
    assert names(healed, lost) >= whole[lost] - {"gpufin_gpu_energy_joules_total"}
    moved = healed.all("gpufin_gpu_state_seconds_total", uuid=lost.uuid, state="down")
    assert [labels["gpu"] for labels, _ in moved] == ["6"]
    assert state(healed, hung) == UNKNOWN  # its back-off of half a minute runs
    for line in (f"the call that hung at {hung.uuid} came back", f"{lost.uuid} gives no sample",
                 f"{lost.uuid} answers again"):  # fmt: skip
        assert agent.log().count(line) == 1, line
    assert agent.stop() == 0


def test_two_hung_cards_end_the_process_for_its_supervisor(script: Script, start: Start) -> None:
    """A library that hangs twice is given up: exit code 75, promptly, with one reason."""
    cards = working(script, 4)
    agent = start(script).ready()
    for card in cards[1:3]:
        script.hang("nvmlDeviceGetUtilizationRates", card=card)
    script.settle()
    begun = time.monotonic()
    assert agent.ends() == TRY_AGAIN
    assert time.monotonic() - begun < 6
    assert agent.log().count("a new process is needed") == 1
    assert "Traceback" not in agent.log()


def test_a_library_that_hangs_as_a_whole_makes_all_unknown_and_ends_the_process(
    script: Script, start: Start
) -> None:
    """The time it hangs is booked as unknown for every card; then a new process is asked for."""
    cards = working(script, 4)
    agent = start(script, interval=1).ready()
    agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
    script.hang_library()
    script.settle()
    assert agent.ends() == TRY_AGAIN
    booked = booked_ns(agent.state)
    for card in cards:
        assert booked[card.uuid, "unknown"] >= 800_000_000
        assert booked[card.uuid, "active"] >= 1_000_000_000
    assert "down" not in {state for _, state in booked}


def test_a_driver_not_there_at_start_is_told_and_waited_for(script: Script, start: Start) -> None:
    """The agent stays up and ready without a driver, and reads cards without a restart."""
    cards = working(script, 2)
    absent = script.driver_fails(NO_DRIVER)
    agent = start(script).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 2, "ticks")
    assert page.value("gpufin_driver_up") == 0
    assert page.labels("gpufin_driver_info") == {
        "driver_version": "",
        "reason": "DRIVER_NOT_LOADED",
        "code": "9",
    }
    assert page.value("gpufin_gpus_expected") == 0
    assert page.value("gpufin_collector_success", collector="devices") == 0
    script.remove(*absent)
    script.settle()
    page = agent.eventually(lambda page: page.all("gpufin_gpu_up"), "cards", 10)
    assert [up(page, card) for card in cards] == [1, 1]
    assert page.value("gpufin_driver_up") == 1
    assert page.labels("gpufin_driver_info")["reason"] == ""
    assert agent.log().count("the driver does not answer") == 1


def test_a_late_driver_that_refuses_us_ends_the_process(script: Script, start: Start) -> None:
    """NO_PERMISSION after DRIVER_NOT_LOADED: a new process resolves its devices anew."""
    working(script, 1)
    absent = script.driver_fails(NO_DRIVER)
    agent = start(script).ready()
    script.remove(*absent)
    script.driver_fails(NO_PERMISSION)
    script.settle()
    assert agent.ends() == TRY_AGAIN


def test_a_mismatch_at_start_stays_up_with_the_reason(script: Script, start: Start) -> None:
    """The kernel module is older than the library: no restart helps, so there is none."""
    working(script, 1)
    script.driver_fails(MISMATCH)
    agent = start(script).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 4, "ticks")
    assert page.value("gpufin_driver_up") == 0
    facts = page.labels("gpufin_driver_info")
    assert (facts["reason"], facts["code"]) == ("LIB_RM_VERSION_MISMATCH", "18")
    assert agent.stop() == 0


def test_an_upgrade_under_a_running_agent_ends_the_process(script: Script, start: Start) -> None:
    """The library in memory is the old one for ever."""
    working(script, 2)
    agent = start(script).ready()
    script.reload_driver(script.now(), upgraded=True)
    script.settle()
    assert agent.ends() == TRY_AGAIN


@pytest.mark.parametrize("code", [UNINITIALIZED, GPU_IS_LOST])
def test_a_driver_reload_is_survived_and_energy_does_not_fall(
    script: Script, start: Start, code: int
) -> None:
    """Cards come back by themselves; the counter's restart is counted, the sum never falls."""
    cards = working(script, 2)
    for card in cards:
        card.energy_base_mj = 9_000_000_000
    agent = start(script).ready()
    before = agent.eventually(
        lambda page: page.get("gpufin_gpu_energy_joules_total", uuid=cards[0].uuid), "energy"
    )
    script.reload_driver(script.now(), code=code)
    script.settle()
    energies = [before.value("gpufin_gpu_energy_joules_total", uuid=cards[0].uuid)]

    def recovered(page: Page) -> bool:
        energies.append(page.value("gpufin_gpu_energy_joules_total", uuid=cards[0].uuid))
        return all(
            page.get("gpufin_gpu_energy_anomalies_total", uuid=card.uuid, kind="reset") == 1
            for card in cards
        )

    agent.eventually(lambda page: up(page, cards[0]) == 0, "the reload is seen")
    page = agent.eventually(recovered, "both counters restarted")
    assert energies == sorted(energies)
    assert energies[-1] - energies[0] < 500 * 10  # joules of some seconds, not of a lifetime
    assert all_active(page, cards)
    assert page.value("gpufin_driver_up") == 1


def test_a_vanished_card_is_down_and_stays_expected(script: Script, start: Start) -> None:
    """A card the driver no longer lists costs on, and is never told to answer."""
    cards = working(script, 3)
    agent = start(script).ready()
    agent.eventually(lambda page: all_active(page, cards), "active")
    script.vanish(cards[1])
    script.settle()
    page = agent.eventually(
        lambda page: page.value("gpufin_ticks_total") > 8 and state(page, cards[1]) == DOWN, "down"
    )
    time.sleep(2)  # over a reopening: the session that begins does not list it
    page = agent.page()
    assert (up(page, cards[1]), state(page, cards[1])) == (0, DOWN)
    assert_says_nothing_of(page, cards[1])
    assert page.value("gpufin_gpus_expected") == 3
    assert page.value("gpufin_gpus_present") == 2
    assert page.value("gpufin_collector_success", collector="devices") == 0
    assert all_active(page, [cards[0], cards[2]])
    assert page.get("gpufin_cost_total", uuid=cards[1].uuid, state="down")
    assert agent.log().count(f"{cards[1].uuid} gives no sample") == 1
    assert "answers again" not in agent.log()


def test_a_card_lost_before_the_start_is_told(script: Script, start: Start) -> None:
    """A card the agent has never seen has no name, but silence would be a lie."""
    cards = working(script, 2)
    script.lose(cards[1])
    agent = start(script).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
    assert page.value("gpufin_gpus_present") == 1
    assert page.value("gpufin_collector_success", collector="devices") == 0
    assert agent.log().count("cannot be opened") == 1
    script.bring_back(cards[1])
    script.settle()
    page = agent.eventually(lambda page: page.value("gpufin_gpus_present") == 2, "both", 10)
    assert page.value("gpufin_collector_success", collector="devices") == 1


# ---- at the start of an agent


def known_to_the_ledger(script: Script, start: Start) -> Path:
    """The state directory of an agent that has seen all cards and has ended."""
    agent = start(script, flush=0.5).ready()
    agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
    assert agent.stop() == 0
    return agent.state


@pytest.mark.parametrize("known", [True, False])
def test_a_card_that_hangs_in_its_lookup_at_the_start_costs_the_others_nothing(
    script: Script, start: Start, known: bool
) -> None:
    """Seven cards have every series from the first page on; the eighth is expected and unknown."""
    cards = working(script, 8)
    state_directory = known_to_the_ledger(script, start) if known else None
    script.hang(card=cards[3])
    agent = start(script, interval=1, state=state_directory).ready()
    others = [card for card in cards if card is not cards[3]]
    page = agent.eventually(lambda page: page.value("gpufin_gpus_present") == 7, "seven", 4)
    pages, _ = watch(agent, page, 4)
    for page in pages:
        assert all(names(page, card) >= READINGS for card in others)
        assert all_active(page, others)
        assert page.value("gpufin_driver_up") == 1
        assert page.value("gpufin_gpus_expected") == (8 if known else 7)
        assert page.value("gpufin_collector_success", collector="devices") == 0
        if known:
            assert (up(page, cards[3]), state(page, cards[3])) == (0, UNKNOWN)
            assert_says_nothing_of(page, cards[3])
    assert page.value("gpufin_ticks_late_total") <= 1
    assert agent.log().count("naming the card at index 3 takes long") == 1
    assert agent.process.poll() is None


def test_cards_of_the_ledger_are_told_without_a_driver(script: Script, start: Start) -> None:
    """The kernel module is older than the library: each card is expected, down, and up 0."""
    cards = working(script, 2)
    state_directory = known_to_the_ledger(script, start)
    script.driver_fails(MISMATCH)
    agent = start(script, state=state_directory).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
    assert [(up(page, card), state(page, card)) for card in cards] == [(0, DOWN)] * 2
    assert page.value("gpufin_gpus_expected") == 2
    assert page.value("gpufin_driver_up") == 0
    for card in cards:
        assert_says_nothing_of(page, card)


def test_a_card_of_the_ledger_that_is_absent_at_the_start_is_looked_for(
    script: Script, start: Start
) -> None:
    """It is down, and back without a restart."""
    cards = working(script, 2)
    state_directory = known_to_the_ledger(script, start)
    script.vanish(cards[1])
    agent = start(script, state=state_directory).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
    assert (up(page, cards[1]), state(page, cards[1])) == (0, DOWN)
    script.bring_back(cards[1])
    script.settle()
    agent.eventually(lambda page: up(page, cards[1]) == 1, "it is back", 30)


@pytest.mark.parametrize("there", [0, 1])
def test_cards_that_come_late_are_found(script: Script, start: Start, there: int) -> None:
    """Nobody knows of them: they are found by counting, every ten seconds."""
    cards = working(script, 2)
    for card in cards[there:]:
        script.vanish(card)
    agent = start(script).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
    assert page.value("gpufin_gpus_expected") == there
    assert page.value("gpufin_collector_success", collector="devices") == there
    for card in cards[there:]:
        script.bring_back(card)
    script.settle()
    agent.eventually(lambda page: page.value("gpufin_gpus_present") == 2, "both", 30)


# ---- one card among others


@pytest.mark.parametrize(
    ("code", "told"), [(28, DOWN), (UNINITIALIZED, UNKNOWN), (NO_DRIVER, UNKNOWN)]
)
def test_one_card_that_speaks_for_the_driver_takes_no_other(
    script: Script, start: Start, code: int, told: int
) -> None:
    """In every scrape the others are whole and the driver is up."""
    cards = working(script, 3)
    agent = start(script).ready()
    agent.eventually(lambda page: all_active(page, cards), "active")
    script.fail("nvmlDeviceGetPowerUsage", card=cards[2], code=code)
    script.settle()
    first = agent.eventually(lambda page: up(page, cards[2]) == 0, "it is told")
    for page in watch(agent, first, 4)[0]:
        assert page.value("gpufin_driver_up") == 1
        assert all_active(page, cards[:2])
        assert (up(page, cards[2]), state(page, cards[2])) == (0, told)
    assert agent.log().count("gives no sample") == 1
    assert "answers again" not in agent.log()


def test_a_lost_card_does_not_answer_while_the_driver_is_opened_anew(
    script: Script, start: Start
) -> None:
    """Without a persistence daemon opening takes seconds, in which nothing is heard of any card."""
    cards = working(script, 2)
    agent = start(script).ready()
    agent.eventually(lambda page: all_active(page, cards), "active")
    script.latency("nvmlInitWithFlags", ms=1500)
    script.lose(cards[1])
    script.settle()
    agent.eventually(lambda page: state(page, cards[0]) == UNKNOWN, "it is opened anew", 10)
    agent.eventually(lambda page: state(page, cards[0]) == ACTIVE, "it is open", 10)
    assert agent.log().count("gives no sample") == 1
    assert "answers again" not in agent.log()


def test_slow_cards_neither_flap_nor_fill_the_log(script: Script, start: Start) -> None:
    """Eight cards of 100 ms do not fit into half a second: each is read every other tick and stays active."""
    cards = working(script, 8)
    for card in cards:
        script.latency("nvmlDeviceGetPowerUsage", card=card, ms=100)
    agent = start(script, interval=0.5).ready()
    first = agent.eventually(lambda page: all_active(page, cards), "all are read", 15)
    pages, _ = watch(agent, first, 5)
    for page in pages:
        assert all_active(page, cards)
        assert page.value("gpufin_gpus_present") == 8
        assert page.value("gpufin_readers_abandoned_total") == 0
        assert page.value("gpufin_collector_success", collector="devices") == 1
    assert any(len(page.all("gpufin_gpu_power_watts")) < 8 for page in pages)  # missing is missing
    assert page.all("gpufin_gpu_missing_readings_total", reading="all", reason="no_time")
    for card in cards:
        spent = page.value("gpufin_gpu_state_seconds_total", uuid=card.uuid, state="active")
        assert spent > 4
    assert agent.log().count("no time was left") == 1
    assert "gives no sample" not in agent.log()


def test_a_stop_does_not_wait_for_a_hung_card(script: Script, start: Start) -> None:
    """At a long interval a cycle waits seconds for a call; a stop does not."""
    cards = working(script, 2)
    script.hang("nvmlDeviceGetTemperatureV", card=cards[0], begin=script.now() + 4)
    agent = start(script, interval=6).ready()
    time.sleep(6.5)
    begun = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - begun < 3
