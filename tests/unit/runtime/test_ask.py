"""Asking the driver once, without ever waiting in it."""

import logging
import threading

import pytest

from agent.errors import DriverError
from agent.ports import Session, identities_of
from agent.runtime.ask import ask, driver_hangs
from tests.builders import a_card
from tests.fakes.source import FakeSource


class HungSource(FakeSource):
    """Opening it does not end before the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def open(self) -> Session:
        self.gate.wait(30)
        return super().open()


def test_the_answer_is_what_the_driver_lists() -> None:
    """And the driver is let go of."""
    source = FakeSource(a_card())

    assert ask(source, identities_of) == [a_card()]
    assert source.closed


def test_an_error_is_the_drivers_own() -> None:
    """With its code, which says what it means."""
    source = FakeSource()
    source.down = DriverError("DRIVER_NOT_LOADED", code=9)

    with pytest.raises(DriverError) as caught:
        ask(source, identities_of)

    assert caught.value.code == 9


def test_a_driver_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Who waits is told what for, and gets an error in the end."""
    caplog.set_level(logging.WARNING)
    source = HungSource()

    with pytest.raises(DriverError, match="it hangs"):
        ask(source, identities_of, patience_seconds=3.3)

    assert [record.message for record in caplog.records] == [
        "waiting for the NVIDIA driver, at most 3 s"
    ]
    assert driver_hangs()
    source.gate.set()
