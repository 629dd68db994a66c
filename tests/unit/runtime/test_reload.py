"""The configuration while the agent runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import ConfigError, Fault
from agent.runtime.reload import Reloader
from tests.fakes.clock import FakeClock


class Watched:
    """A file whose text is the setting; one that says ``bad`` is faulty."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "config.yaml"
        self.path.write_text("one")
        self.applied: list[str] = []
        self.clock = FakeClock()
        self.reloader = Reloader(self.path, self._load, self.applied.append, self.clock)

    def _load(self) -> str:
        if (text := self.path.read_text()) == "bad":
            raise ConfigError([Fault(str(self.path), "prices", "is wrong"), Fault("f", "k", "too")])
        return text


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_file_that_stays_is_not_read_again(watched: Watched) -> None:
    """Looking is cheap: nothing is applied without a change."""
    assert watched.reloader.poll()
    assert watched.applied == []


def replaced(path: Path, text: str) -> None:
    other = path.with_name("new")
    other.write_text(text)
    other.replace(path)


def relinked(path: Path, text: str) -> None:
    """As Kubernetes updates a mounted ConfigMap."""
    target = path.with_name(f"target-{text}")
    target.write_text(text)
    link = path.with_name("link")
    link.symlink_to(target)
    link.replace(path)


@pytest.mark.parametrize("change", [Path.write_text, replaced, relinked])
def test_a_change_is_applied_once(watched: Watched, change: Callable[[Path, str], object]) -> None:
    """Written in place, moved over or linked anew; with the moment it was read."""
    watched.clock.move(60)
    change(watched.path, "another")

    assert [watched.reloader.poll(), watched.reloader.poll()] == [True, True]

    assert watched.applied == ["another"]
    assert watched.reloader.health.read_at_wall_ns == watched.clock.wall_ns


def test_a_faulty_file_keeps_the_old_settings_and_says_so(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Every fault is logged, the metric says 0 and keeps the date of what is in force."""
    before = watched.reloader.health.read_at_wall_ns
    watched.clock.move(60)
    watched.path.write_text("bad")

    assert not watched.reloader.poll()
    assert not watched.reloader.poll()

    assert watched.applied == []
    assert watched.reloader.health.read_at_wall_ns == before
    assert [record.message for record in caplog.records] == [
        f"{watched.path}: prices: is wrong",
        "f: k: too",
        "the configuration is refused: the one before stays in force",
    ]


def test_settings_that_need_a_restart_are_refused_like_a_faulty_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is said, by metric and log, is that the file is not in force."""
    path, clock = tmp_path / "config.yaml", FakeClock()
    path.write_text("USD")

    def refuse(text: str) -> None:
        raise ConfigError([Fault(str(path), "currency", f"{text} needs a restart")])

    reloader = Reloader(path, path.read_text, refuse, clock)
    before = reloader.health.read_at_wall_ns
    clock.move(60)
    path.write_text("EURO")

    assert not reloader.poll()
    assert reloader.health.read_at_wall_ns == before
    assert "currency: EURO needs a restart" in caplog.text
    assert "was read anew" not in caplog.text


def test_a_repaired_file_is_good_again(watched: Watched) -> None:
    """The next good file is applied and ends the complaint."""
    watched.path.write_text("bad")
    watched.reloader.poll()
    watched.path.write_text("good again")

    assert watched.reloader.poll()
    assert watched.applied == ["good again"]
