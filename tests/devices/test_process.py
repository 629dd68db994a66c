"""The agent as a process: signals, exit codes, what it says and how often."""

import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.devices.harness import REPOSITORY, AgentProcess, Page, free_port, wait_until
from tests.nvml.library import Script, environment, read_counters
from tests.nvml.profiles import H100, L40S

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
    assert script.counters is not None
    assert read_counters(script.counters)["nvmlShutdown"] == 1  # the driver was let go of


def test_the_end_books_the_turn_that_was_under_way(script: Script, start: Start) -> None:
    """A signal in the middle of a slow reading: the flush thread writes at once, the turn comes after it."""
    card = script.add(H100)
    script.latency("nvmlDeviceGetUtilizationRates", ms=600, card=card)
    agent = start(script, interval=2, flush=NEVER).ready()
    seen = agent.page().value("gpufin_ticks_total")
    page = agent.eventually(lambda page: page.value("gpufin_ticks_total") > seen, "a tick")
    booked = sum(value for _, value in page.all("gpufin_gpu_state_seconds_total"))
    time.sleep(1.7)  # into the reading of the next one
    assert agent.stop() == 0
    assert booked_seconds(agent.state) > booked + 1.5


def test_signals_of_others_do_not_end_it(script: Script, start: Start) -> None:
    """A hangup before it is up is a reload, one of the signals it sends itself is nothing."""
    script.add(H100)
    agent = start(script)
    blocks = Path(f"/proc/{agent.process.pid}/status")
    wait_until(lambda: "SigBlk:\t0000000000004203" in blocks.read_text(), 10, "signals blocked")
    agent.process.send_signal(signal.SIGHUP)
    agent.process.send_signal(signal.SIGUSR1)
    agent.ready()
    wait_until(lambda: "was read anew" in agent.log(), 10, "the reload")
    agent.process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    assert agent.answers()
    assert agent.stop() == 0


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


def test_what_only_a_restart_puts_into_force_is_said(script: Script, start: Start) -> None:
    """An interval stays as it is; another currency is refused with all that the file says beside it."""
    card = script.add(H100)
    agent = start(script).ready()
    config = agent.config.read_text()
    stamp = "gpufin_config_last_reload_success_timestamp_seconds"
    begun = agent.page().value(stamp)

    agent.config.write_text(config.replace("interval_seconds: 0.5", "interval_seconds: 2"))
    agent.process.send_signal(signal.SIGHUP)
    page = agent.eventually(lambda page: page.value(stamp) > begun, "the new file")
    assert "WARNING only a restart puts into force: interval_ns" in agent.log()

    begun = page.value(stamp)
    agent.config.write_text(config.replace("USD", "EUR").replace("3.60", "7.20"))
    agent.process.send_signal(signal.SIGHUP)
    page = agent.eventually(
        lambda page: page.value("gpufin_config_last_reload_successful") == 0, "the refusal"
    )
    assert "currency: EUR instead of USD needs a restart" in agent.log()
    assert page.value(stamp) == begun
    assert page.get("gpufin_cost_rate_per_hour", uuid=card.uuid) == 3.60


def test_a_file_that_blocks_holds_up_nothing(script: Script, start: Start, tmp_path: Path) -> None:
    """A pipe where the carbon intensity should be: it is told, and the end comes as always."""
    script.add(H100)
    agent = start(script, flush=NEVER).ready()
    os.mkfifo(tmp_path / "co2")
    carbon = f"carbon: {{file: {tmp_path / 'co2'}, pue: 1.2}}\n"
    agent.config.write_text(agent.config.read_text() + carbon)
    agent.process.send_signal(signal.SIGHUP)
    agent.eventually(
        lambda page: page.get("gpufin_collector_success", collector="carbon") == 0, "the failure"
    )
    assert "co2: cannot be read: it is not a file" in agent.log()
    assert agent.stop() == 0
    assert booked_seconds(agent.state) > 0


def test_a_configuration_that_blocks_holds_up_no_end(
    script: Script, start: Start, tmp_path: Path
) -> None:
    """As a hung file system does: signals are taken by a thread that reads no file."""
    script.add(H100)
    agent = start(script).ready()
    agent.config.rename(tmp_path / "aside")
    os.mkfifo(agent.config)
    agent.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert agent.answers()
    assert agent.stop() == 0


def test_a_card_without_a_price_is_told_with_the_first_picture(
    script: Script, start: Start
) -> None:
    """Not a minute later, and its cost is not called 0."""
    card = script.add(L40S)
    script.add(H100)
    script.latency("nvmlInitWithFlags", ms=1_000)  # the jobs' first run sees no cards
    agent = start(script, interval=0.2, models="*H100*").ready()
    agent.eventually(
        lambda page: page.get("gpufin_collector_success", collector="prices") == 0, "the check", 5
    )
    assert f"WARNING {card.uuid} has no price" in agent.log()
    assert "INFO 2 of 2 cards, 1 unpriced, 3.60 USD/h" in agent.log()


def test_a_ledger_that_is_removed_is_a_failed_one(script: Script, start: Start) -> None:
    """The sums of memory go into a new one when its directory is there again."""
    script.add(H100)
    agent = start(script, interval=0.2, flush=0.5).ready()
    ledger_ok = ("gpufin_collector_success", {"collector": "ledger"})

    def healthy(page: Page) -> bool:
        return page.get(ledger_ok[0], **ledger_ok[1]) == 1

    agent.eventually(healthy, "a flush")
    shutil.rmtree(agent.state)
    agent.eventually(lambda page: not healthy(page), "the failure")
    assert "ledger.sqlite: was removed or replaced while the agent ran" in agent.log()
    agent.state.mkdir()
    agent.eventually(healthy, "a new ledger")
    assert agent.stop() == 0
    assert booked_seconds(agent.state) > 0


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
    assert agent.log() == (
        f"gpufin: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another with --listen HOST:PORT or the key listen\n"
    )
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


def test_nothing_is_ready_while_the_driver_has_not_answered(
    script: Script, start: Start, tmp_path: Path
) -> None:
    """Neither for a service manager nor for a load balancer; the metrics say what is."""
    script.add(H100)
    hang = script.hang("nvmlInitWithFlags")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.1)
        agent = start(script, variables={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        wait_until(lambda: agent.answers("/metrics"), 15, "metrics")
        page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "ticks")
        assert page.value("gpufin_driver_up") == 0
        assert page.get("gpufin_collector_success", collector="prices") is None
        assert agent.get("/-/ready")[:2] == (503, b"not ready: the driver has not answered yet\n")
        with pytest.raises(TimeoutError):
            manager.recv(4096)
        script.remove(hang)
        script.settle()
        agent.ready()
        manager.settimeout(10)
        assert manager.recv(4096).startswith(b"READY=1")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["run", "--simulate-without-driver", "--listen", "127.0.0.1:0"], 0),
        (["explain-price"], 1),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_a_command_that_asks_a_hung_driver_can_be_ended(
    script: Script, library: Path, tmp_path: Path, command: list[str], code: int
) -> None:
    """Ctrl-C works, and after a while the person is told what is waited for."""
    script.hang("nvmlInitWithFlags")
    script.write()
    config = tmp_path / "config.yaml"
    config.write_text(f"currency: USD\nstate_directory: {tmp_path / 'state'}\n")
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *command, "--config", str(config)],
        env={**os.environ, **environment(library.parent, script.path)},
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "waiting for the NVIDIA driver, at most 60 s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == code
