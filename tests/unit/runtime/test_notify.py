"""What is said to a service manager, over a real datagram socket."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.runtime.notify import Notifier
from agent.units import nanoseconds

PERIOD = {"WATCHDOG_USEC": "4000000"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        yield channel


def heard(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


def notifier(manager: socket.socket, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(manager.getsockname()), **more})


def test_ready_status_and_stopping_are_systemds_words(manager: socket.socket) -> None:
    """The lines of sd_notify(3), readiness and status in one datagram."""
    said = notifier(manager)
    said.ready("8 of 8 cards")
    said.status("7 of 8 cards")
    said.stopping()
    assert heard(manager) == ["READY=1\nSTATUS=8 of 8 cards", "STATUS=7 of 8 cards", "STOPPING=1"]


def test_the_watchdog_is_fed_four_times_in_its_period(manager: socket.socket) -> None:
    """At once, and then no more often than a quarter of the period."""
    said = notifier(manager, **PERIOD)
    for tenth in range(41):
        said.alive(nanoseconds(1_000 + tenth / 10))
    assert heard(manager) == ["WATCHDOG=1"] * 5


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"WATCHDOG_USEC": "never"},
        {"WATCHDOG_USEC": ""},
        {**PERIOD, "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
def test_no_watchdog_is_fed_that_is_not_ours(manager: socket.socket, more: dict[str, str]) -> None:
    """Without a period, with nonsense for one, or one meant for another process."""
    notifier(manager, **more).alive(1)
    assert heard(manager) == []


def test_a_watchdog_meant_for_this_process_is_fed(manager: socket.socket) -> None:
    """WATCHDOG_PID names us."""
    notifier(manager, **PERIOD, WATCHDOG_PID=str(os.getpid())).alive(1)
    assert heard(manager) == ["WATCHDOG=1"]


def test_an_abstract_address_is_understood() -> None:
    """Containers get `@name`, which stands for a leading zero byte."""
    name = f"gpufin-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(2)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert channel.recv(100) == b"STOPPING=1"


def test_nobody_to_tell_is_no_error(tmp_path: Path) -> None:
    """Without a manager, or with one that has gone, nothing happens."""
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        said = Notifier({**environment, **PERIOD})
        said.ready("fine")
        said.alive(1)


def test_a_manager_that_does_not_read_holds_nothing_up(manager: socket.socket) -> None:
    """A full queue costs a tick no more than a second."""
    said = notifier(manager)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        filler.connect(manager.getsockname())
        with suppress(BlockingIOError):
            while filler.send(b"x"):
                pass
    started = time.monotonic()
    said.status("anybody there?")
    assert time.monotonic() - started < 1.5
