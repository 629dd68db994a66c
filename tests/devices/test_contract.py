"""What both sources must give alike, and the shipped example's prices over the scripted library."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.source import SimulatedSource
from agent.errors import GpuError
from agent.runtime.clock import SystemClock
from tests.devices.harness import REPOSITORY, AgentProcess, Probe
from tests.nvml.library import Script
from tests.nvml.profiles import H100, L40S

Ask = Callable[[str], Any]


def simulated_source() -> Ask:
    """Evaluates as `Probe` does, in this process."""
    cards = demo_cards(2, ("h100", "l40s"))
    source = SimulatedSource(SystemClock(), SimulatedNode(cards=cards, seed=1))

    def plain(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return value

    def ask(expression: str) -> Any:
        try:
            return plain(eval(expression, {"source": source}))  # noqa: S307 - the tests' own words
        except GpuError as error:
            return {"error": "GpuError", **vars(error)}

    return ask


@pytest.fixture(params=["simulated", "nvml"])
def ask(request: pytest.FixtureRequest, script: Script, probe: Callable[..., Probe]) -> Ask:
    """A source of an H100 and an L40S that work, asked by expressions over ``source``."""
    if request.param == "simulated":
        return simulated_source()
    for profile in (H100, L40S):
        card = script.add(profile, gpu_utilization=80, power_mw=200_000)
        script.process(card, 100, 1 << 30)
    return probe()


def test_every_source_counts_its_cards_and_names_each(ask: Ask) -> None:
    """Model, memory and bus id are what prices, teams and people go by."""
    session = ask("source.open()")
    assert session["count"] == 2
    assert session["driver_version"]
    assert ask("source.census()") == session["census"]
    gpus = [ask(f"source.identify({index})") for index in range(2)]
    assert [gpu["index"] for gpu in gpus] == [0, 1]
    assert [gpu["model"] for gpu in gpus] == ["NVIDIA H100 80GB HBM3", "NVIDIA L40S"]
    assert [round(gpu["memory_total_bytes"] / (1 << 30)) for gpu in gpus] == [80, 45]
    assert all(gpu["uuid"].startswith("GPU-") and gpu["pci_bus_id"] for gpu in gpus)
    assert [gpu["mig_profiles"] for gpu in gpus] == [[], []]


def test_every_source_reads_what_it_has_named(ask: Ask) -> None:
    """The memory that names a card is the one that is read from it."""
    ask("source.open()")
    for index in range(2):
        gpu = ask(f"source.identify({index})")
        assert ask(f"source.identify({index})") == gpu
        sample = ask(f"source.read({gpu['uuid']!r})")
        assert sample["uuid"] == gpu["uuid"]
        assert sample["memory_total_bytes"] == gpu["memory_total_bytes"]
        assert all(isinstance(value, int | str | list) for value in sample.values())


def test_every_source_says_of_an_unknown_card_that_it_does_not_answer(ask: Ask) -> None:
    """A UUID that is not there is an error of that card alone."""
    ask("source.open()")
    assert ask("source.read('GPU-nowhere')")["error"] == "GpuError"


def test_the_shipped_example_prices_the_cards_it_names(
    script: Script, start: Callable[..., AgentProcess]
) -> None:
    """Model, memory and form factor of the example hold on real NVML."""
    cards = [script.add(H100), script.add(L40S)]
    example = (REPOSITORY / "config.example.yaml").read_text().replace("{", "{{").replace("}", "}}")
    for key, value in (("listen", "127.0.0.1:{port}"), ("state_directory", "{state}")):
        example, found = re.subn(rf"^{key}: .*$", f"{key}: {value}", example, flags=re.MULTILINE)
        assert found == 1
    agent = start(script, config=example).ready()
    page = agent.page()
    priced = [page.labels("gpufin_gpu_info", uuid=card.uuid)["price_id"] for card in cards]
    assert priced == ["h100-on-demand-2026", "l40s-owned-2025"]
    assert agent.log().count("has no price") == 0
