"""How the composition root wires what no part knows of another."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import agent.app
from agent.app import Agent, Origin
from agent.config.decode import Settings, settings_of
from agent.config.schema import Config
from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.source import SimulatedSource
from tests.fakes.clock import FakeClock


def settings(directory: Path) -> Settings:
    return replace(
        settings_of(Config(currency="USD", source="simulated")), state_directory=directory, port=0
    )


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Agent]:
    """An agent that was made and never runs."""
    chosen, clock = settings(tmp_path), FakeClock()
    source = SimulatedSource(clock, SimulatedNode(cards=demo_cards(1)))
    made = Agent(chosen, source, clock, Origin(None, lambda: chosen))
    yield made
    made._store.close()
    made._channel.close()


def test_a_clock_that_steps_is_not_believed_in_the_tick_that_finds_it(
    wired: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody set it: the kernel says at once that it is out of step, and nobody may book by it."""
    monkeypatch.setattr(agent.app, "clock_synchronized", lambda: False)
    account, ticker = wired._account, wired._ticker
    account.host = replace(account.host, clock_synchronized=True)
    clock = FakeClock()
    ticker._watch_clock(clock.now())
    assert account.host.clock_synchronized

    clock.step(-30 * 86_400)
    ticker._watch_clock(clock.now())

    assert not account.host.clock_synchronized
