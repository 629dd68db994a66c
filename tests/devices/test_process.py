"""The agent as a process: signals, exit codes, what it says and how often."""

import itertools
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.devices.harness import AgentProcess, Page, free_port, wait_until
from tests.nvml.library import Script
from tests.nvml.profiles import H100

Start = Callable[..., AgentProcess]

NEVER = 300
"""A flush interval longer than any test."""


def booked_seconds(state: Path) -> float:
    with closing(sqlite3.connect(state / "ledger.sqlite")) as ledger:
        (booked,) = ledger.execute(
            "SELECT SUM(quantity) FROM entry WHERE component = 'rental'"
        ).fetchone()
        return float(booked or 0) / 1e9


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_ends_in_order_with_the_ledger_written(
    script: Script, start: Start, ending: signal.Signals
) -> None:
    """Exit 0 within two seconds, and nothing waits for a flush that is far off."""
    script.add(H100)
    agent = start(script, interval=0.2, flush=NEVER).ready()
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 5, "ticks")
    seen = sum(value for _, value in page.all("gpufin_gpu_state_seconds_total"))
    begun = time.monotonic()
    assert agent.stop(ending) == 0
    assert time.monotonic() - begun < 2
    assert seen - 0.01 <= booked_seconds(agent.state) < seen + 1
    assert agent.log().splitlines()[-1].endswith("INFO stopped")
    assert "Traceback" not in agent.log()


def test_a_hangup_reads_the_configuration_anew(script: Script, start: Start) -> None:
    """A new price holds from then on; a faulty file changes nothing, says so and is survived."""
    card = script.add(H100)
    agent = start(script, interval=0.2).ready()
    config = agent.config.read_text()

    def reload(text: str) -> None:
        agent.config.write_text(text)
        agent.process.send_signal(signal.SIGHUP)

    def rate(page: Page) -> float | None:
        return page.get("gpufin_cost_rate_per_hour", uuid=card.uuid)

    agent.eventually(lambda page: rate(page) == 3.60, "the price of the start")
    reload(config.replace("3.60", "7.20").replace("id: rented", "id: dear"))
    page = agent.eventually(lambda page: rate(page) == 7.20, "the new price")
    assert page.value("gpufin_config_last_reload_successful") == 1
    reload(config.replace("price_per_gpu_hour", "price"))
    page = agent.eventually(
        lambda page: page.value("gpufin_config_last_reload_successful") == 0, "the fault"
    )
    assert rate(page) == 7.20
    assert "prices[0].price: unknown key" in agent.log()
    reload(config)
    page = agent.eventually(lambda page: rate(page) == 3.60, "the repaired file")
    assert page.value("gpufin_config_last_reload_successful") == 1
    assert page.value("gpufin_unreconciled_nanos") == 0
    assert agent.stop() == 0


def test_a_change_of_the_file_is_found_without_a_signal(script: Script, start: Start) -> None:
    """Within the ten seconds between two looks."""
    card = script.add(H100)
    agent = start(script).ready()
    agent.config.write_text(agent.config.read_text().replace("3.60", "7.20"))

    agent.eventually(
        lambda page: page.get("gpufin_cost_rate_per_hour", uuid=card.uuid) == 7.20, "the new price"
    )


def test_it_ends_in_order_beside_a_hung_card(script: Script, start: Start) -> None:
    """A call that never returns holds up neither the end nor its exit code."""
    cards = [script.add(H100) for _ in range(2)]
    agent = start(script, flush=NEVER).ready()
    script.hang(card=cards[0])
    script.settle()
    agent.eventually(lambda page: page.value("gpufin_readers_abandoned_total") == 1, "abandoned")
    begun = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - begun < 3
    assert booked_seconds(agent.state) > 0.5


def test_a_port_in_use_is_one_clear_line(script: Script, start: Start) -> None:
    """Exit 1 with the address and the reason, before anything else is touched."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        agent = start(script, port=port)
        assert agent.ends() == 1
    assert agent.log() == f"gpufin: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not agent.state.exists()


def test_a_second_agent_on_one_state_directory_is_one_clear_line(
    script: Script, start: Start
) -> None:
    """One writer: the second exits 1 and the first goes on."""
    script.add(H100)
    first = start(script).ready()
    second = start(script, state=first.state, port=free_port())
    assert second.ends() == 1
    assert len(second.log().splitlines()) == 1
    assert second.log().startswith("gpufin: ")
    assert str(first.state) in second.log()
    assert first.answers()


def test_a_state_directory_that_cannot_be_made_is_one_clear_line(
    script: Script, start: Start, tmp_path: Path
) -> None:
    """Exit 1, no traceback."""
    (tmp_path / "file").write_text("in the way")
    agent = start(script, state=tmp_path / "file" / "state")
    assert agent.ends() == 1
    assert len(agent.log().splitlines()) == 1


def test_faults_are_logged_once_not_each_tick(script: Script, start: Start) -> None:
    """Ten ticks with cards that fail in different ways log what one tick does."""
    cards = [script.add(H100) for _ in range(4)]
    script.fail(code=999, card=cards[0])
    script.fail("nvmlDeviceGetPowerUsage", code=999, card=cards[1])
    cards[2].unsupported |= {"nvmlDeviceGetUtilizationRates"}
    script.fail("nvmlDeviceGetName", code=999, card=cards[3])
    agent = start(script, interval=0.2).ready()
    agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 10, "ticks")
    lines = agent.log().splitlines()
    assert len(lines) == len({line.split(" ", 2)[2] for line in lines})
    assert len(lines) <= 6, lines


def test_a_service_manager_hears_of_it(script: Script, start: Start, tmp_path: Path) -> None:
    """READY once cards are read, WATCHDOG four times in its period, STOPPING at the end."""
    script.add(H100)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        agent = start(script, interval=0.1, variables=variables)
        heard: list[tuple[float, str]] = []

        def hear() -> str:
            text = manager.recv(4096).decode()
            heard.append((time.monotonic(), text))
            return text

        wait_until(lambda: hear().startswith("READY=1"), 10, "ready")
        assert "STATUS=1 of 1 cards" in heard[-1][1]
        while len(heard) < 6:
            hear()
        pings = [at for at, text in heard if text == "WATCHDOG=1"]
        assert len(pings) >= 4
        pauses = [after - before for before, after in itertools.pairwise(pings)]
        assert all(0.4 < pause < 1.0 for pause in pauses[1:]), pauses
        agent.process.send_signal(signal.SIGTERM)
        wait_until(lambda: hear() == "STOPPING=1", 10, "stopping")
        assert agent.ends() == 0
        assert sum("READY=1" in text for _, text in heard) == 1
