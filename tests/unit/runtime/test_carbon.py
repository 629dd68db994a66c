"""The carbon intensity of a file."""

import os
from fractions import Fraction
from pathlib import Path

import pytest

from agent.cost.energy import CarbonIntensity
from agent.errors import ConfigError, Fault
from agent.runtime.carbon import IntensityFile
from tests.fakes.clock import FakeClock

HOUR = 3_600 * 10**9


def parse(text: str) -> CarbonIntensity:
    if not text.strip().isdigit():
        raise ConfigError([Fault("", "", "is no number")])
    return CarbonIntensity("file", Fraction(text.strip()), Fraction(1))


class Kept:
    """A file changed at the clock's moment."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "co2"
        self.clock = FakeClock()
        self._file = IntensityFile(self.clock)

    def write(self, text: str) -> None:
        self.path.write_text(text)
        os.utime(self.path, ns=(self.clock.wall_ns, self.clock.wall_ns))

    def read(self) -> int | None:
        found = self._file.read(self.path, HOUR, parse)
        return None if found is None else int(found.grams_per_kwh)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_fresh_file_is_believed_until_it_is_too_old(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """The last nanosecond counts; too old is said once."""
    kept.write("380\n")
    kept.clock.move(ns=HOUR)
    assert kept.read() == 380
    kept.clock.move(ns=1)
    assert [kept.read(), kept.read()] == [None, None]
    assert len(caplog.messages) == 1
    assert "is older than 3600 s" in caplog.messages[0]


def test_a_missing_and_a_senseless_file_are_told(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Each in its own words, and again after it was good."""
    assert kept.read() is None
    kept.write("windy")
    assert kept.read() is None
    kept.write("380")
    assert kept.read() == 380
    kept.write("windy")
    assert kept.read() is None
    assert [message.split("co2: ")[1].split(";")[0] for message in caplog.messages] == [
        "cannot be read: No such file or directory",
        "is no number",
        "is no number",
    ]


def test_a_pipe_is_refused_at_once(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """One that nobody writes into would be waited for."""
    os.mkfifo(kept.path)
    assert kept.read() is None
    assert "it is not a file" in caplog.text
