"""What the cards say, from the script through the real pynvml to a scrape, value by value."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.catalog import CATALOG, MAX_SERIES_PER_CARD
from agent.devices.nvml.fields import MAX_PROCESSES, READINGS
from tests.devices.harness import AgentProcess, Page, Probe
from tests.nvml.library import NOT_SUPPORTED, Card, Script, build
from tests.nvml.profiles import H100, L40S, PROFILES, RTX_4090, T4, Profile
from tests.nvml.timeline import Timeline

GIB = 1 << 30
MAPPED_SYMBOLS = {
    "utilization": ("nvmlDeviceGetUtilizationRates",),
    "memory_used": ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"),
    "power": ("nvmlDeviceGetPowerUsage",),
    "power_limit": ("nvmlDeviceGetEnforcedPowerLimit",),
    "energy": ("nvmlDeviceGetTotalEnergyConsumption",),
    "temperature": ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"),
    "processes": (
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
    ),
}
"""The symbols behind each reading; to lose one is to lose the reading."""
GAUGES = {
    "utilization": "gpufin_gpu_utilization_ratio",
    "memory_used": "gpufin_gpu_memory_used_bytes",
    "memory_total": "gpufin_gpu_memory_total_bytes",
    "power": "gpufin_gpu_power_watts",
    "power_limit": "gpufin_gpu_power_limit_watts",
    "temperature": "gpufin_gpu_temperature_celsius",
    "processes": "gpufin_gpu_processes",
    "energy": "gpufin_gpu_energy_joules_total",
}

Start = Callable[..., AgentProcess]
ProbeStart = Callable[..., Probe]


@dataclass(frozen=True)
class Node:
    """A scrape of one agent, and the cards of its script by what is peculiar to them."""

    page: Page
    cards: dict[str, Card]


def telling(script: Script, profile: Profile, number: int) -> Card:
    """A card on which no two readings have the same digits."""
    card = script.add(
        profile,
        power_mw=50_123 + number,
        gpu_utilization=37 + number,
        memory_utilization=91,
        memory=3 * GIB + 4_097 * number + 1,
    )
    card.temperature = Timeline.constant(61 + number)
    card.power_limit_mw = profile.power_limits_mw[0] + 1_007
    card.energy_base_mj = 987_654_321_012_345 + number
    for pid in range(1000, 1002 + number):
        script.process(card, pid, GIB)
    return card


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Node:
    """One agent over every profile, and over cards that each lack one reading."""
    directory = tmp_path_factory.mktemp("readings")
    script = Script(directory / "script")
    cards = {p.name: telling(script, p, number) for number, p in enumerate(PROFILES)}
    for reading, symbols in MAPPED_SYMBOLS.items():
        card = cards[f"no {reading}"] = script.add(L40S, gpu_utilization=3)
        card.unsupported |= frozenset(symbols)
    cards["mig"] = script.add(H100)
    cards["mig"].enable_mig()
    cards["no memory at all"] = script.add(replace(L40S, memory_total=0, memory_reserved=0))
    cards["200 %"] = script.add(H100, gpu_utilization=200)
    cards["absurd power"] = script.add(H100, power_mw=2**32 - 1)
    cards["0 W"] = script.add(L40S, power_mw=0)
    cards["absurd limit"] = script.add(H100)
    cards["absurd limit"].power_limit_mw = 2**32 - 1
    cards["refused power"] = script.add(T4)
    script.fail("nvmlDeviceGetPowerUsage", code=4, card=cards["refused power"])
    cards["unknown memory"] = script.add(H100)
    script.process(cards["unknown memory"], 4242, None)
    with AgentProcess(directory / "agent", script, library) as agent:
        agent.ready()
        page = agent.eventually(lambda page: page.value("gpufin_ticks_total") >= 3, "three ticks")
    return Node(page, cards)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_reading_is_the_scripts_value_in_base_units(node: Node, profile: Profile) -> None:
    """Ratios, bytes, watts and degrees of all four families are exported as the card has them."""
    card, page = node.cards[profile.name], node.page
    expected = {
        "gpufin_gpu_utilization_ratio": card.gpu_utilization.value(0) / 100,
        "gpufin_gpu_memory_used_bytes": card.memory.value(0),
        "gpufin_gpu_memory_total_bytes": profile.memory_total,
        "gpufin_gpu_power_watts": card.power.value(0) / 1000,
        "gpufin_gpu_power_limit_watts": card.power_limit_mw / 1000,
        "gpufin_gpu_temperature_celsius": card.temperature.value(0),
        "gpufin_gpu_processes": 2 + card.number,
        "gpufin_gpu_up": 1,
        "gpufin_gpu_state": 4,
    }
    assert {name: page.value(name, uuid=card.uuid, gpu=str(card.number)) for name in expected} == (
        expected
    )
    assert page.missing(card.uuid) == {}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_facts_of_a_card_are_the_scripts(node: Node, profile: Profile) -> None:
    """The info series carries model, bus id, driver and how the energy is known."""
    card = node.cards[profile.name]
    facts = node.page.labels("gpufin_gpu_info", uuid=card.uuid)
    assert facts == {
        "uuid": card.uuid,
        "gpu": str(card.number),
        "model": profile.name,
        "driver_version": "590.48.01",
        "pci_bus_id": card.bus_id,
        "source": "nvml",
        "energy_source": "counter",
        "price_id": "rented",
        "team": "",
    }


@pytest.mark.parametrize("reading", MAPPED_SYMBOLS)
def test_a_reading_not_supported_is_absent_and_named(node: Node, reading: str) -> None:
    """Each reading a card cannot give is no series, not 0, and the page says which and why."""
    card, page = node.cards[f"no {reading}"], node.page
    lost = {reading, "memory_total"} if reading == "memory_used" else {reading}
    assert page.missing(card.uuid) == dict.fromkeys(lost, "not_supported")
    absent = {name for name, metric in GAUGES.items() if page.get(metric, uuid=card.uuid) is None}
    assert absent == lost - {"energy"}  # without a counter the energy is integrated from power
    assert page.value("gpufin_gpu_up", uuid=card.uuid) == 1


def test_energy_without_a_counter_says_that_it_is_integrated(node: Node) -> None:
    """The method of the energy is told apart."""
    uuid = node.cards["no energy"].uuid
    assert node.page.labels("gpufin_gpu_info", uuid=uuid)["energy_source"] == "integrated"


def test_mig_takes_the_utilisation_away(node: Node) -> None:
    """A card in MIG mode has no utilisation, and its state is not guessed."""
    uuid = node.cards["mig"].uuid
    assert node.page.missing(uuid) == {"utilization": "not_supported"}
    assert node.page.value("gpufin_gpu_state", uuid=uuid) == 1


def test_a_memory_of_zero_bytes_is_missing(node: Node) -> None:
    """SUCCESS with a total of 0, as unified-memory drivers answer, is no reading."""
    uuid = node.cards["no memory at all"].uuid
    assert node.page.missing(uuid) == {"memory_used": "no_data", "memory_total": "no_data"}
    assert node.page.all("gpufin_gpu_memory_total_bytes", uuid=uuid) == []


@pytest.mark.parametrize(
    ("which", "reading", "metric"),
    [
        ("absurd power", "power", "gpufin_gpu_power_watts"),
        ("0 W", "power", "gpufin_gpu_power_watts"),
        ("absurd limit", "power_limit", "gpufin_gpu_power_limit_watts"),
    ],
)
def test_a_power_that_no_board_draws_is_missing(
    node: Node, which: str, reading: str, metric: str
) -> None:
    """What a broken sensor says (0, or all bits set) is neither exported nor billed."""
    uuid = node.cards[which].uuid
    assert node.page.missing(uuid) == {reading: "no_data"}
    assert node.page.all(metric, uuid=uuid) == []


def test_an_impossible_utilisation_is_missing_not_clamped(node: Node) -> None:
    """200 % is neither 2 nor 1 nor activity."""
    uuid = node.cards["200 %"].uuid
    assert node.page.missing(uuid) == {"utilization": "no_data"}
    assert node.page.get("gpufin_gpu_utilization_ratio", uuid=uuid) is None
    assert node.page.value("gpufin_gpu_state", uuid=uuid) == 1


def test_a_refused_reading_says_so(node: Node) -> None:
    """NO_PERMISSION is told apart from NOT_SUPPORTED, and takes one reading."""
    uuid = node.cards["refused power"].uuid
    assert node.page.missing(uuid) == {"power": "no_permission"}


def test_a_process_of_unknown_memory_counts(node: Node) -> None:
    """A process whose memory the platform does not tell holds the card all the same."""
    uuid = node.cards["unknown memory"].uuid
    assert node.page.value("gpufin_gpu_processes", uuid=uuid) == 1
    assert node.page.value("gpufin_gpu_state", uuid=uuid) == 3


def test_no_card_has_more_series_than_promised(node: Node) -> None:
    """At most 45 default series a card, whatever it lacks; and no value is NaN."""
    counts = {name: len(node.page.series_of(card.uuid)) for name, card in node.cards.items()}
    assert min(counts.values()) > 15
    assert max(counts.values()) <= MAX_SERIES_PER_CARD
    assert not [
        name
        for name, samples in node.page.samples.items()
        if any(math.isnan(value) for _, value in samples)
    ]


def test_no_card_has_more_series_of_a_metric_than_the_catalog_says(node: Node) -> None:
    """``per_card`` bounds each metric, and together they stay within the promise."""
    for metric in CATALOG:
        for name, card in node.cards.items():
            count = len(node.page.all(metric.name, uuid=card.uuid))
            assert count <= metric.per_card, f"{metric.name} of {name}"
    assert sum(metric.per_card for metric in CATALOG) <= MAX_SERIES_PER_CARD


# ---- the source alone


def sample_of(probe: Probe, card: Card) -> Any:
    sample = probe.read(card.uuid)
    assert sample["uuid"] == card.uuid, sample
    return sample


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_energy_counter_is_read_whole(
    script: Script, probe: ProbeStart, profile: Profile
) -> None:
    """A counter beyond 32 and 53 bits arrives to the millijoule."""
    script.fixed_time = 1_234.5
    card = telling(script, profile, 2)
    card.energy_base_mj = (1 << 60) + 1
    source = probe()
    source.open()
    assert sample_of(source, card)["energy_mj"] == script.energy_mj(card, 1_234.5)
    assert script.energy_mj(card, 1_234.5) > 1 << 60


def test_an_old_driver_is_read_by_the_first_version_of_memory(
    script: Script, probe: ProbeStart, tmp_path: Path
) -> None:
    """Without version 2 the reserve counts as used, as that driver has it; nothing else changes."""
    card = telling(script, H100, 0)
    source = probe(other_library=build(tmp_path / "old", {"nvmlDeviceGetMemoryInfo_v2"}))
    source.open()
    sample = sample_of(source, card)
    assert sample["memory_used_bytes"] == card.memory.value(0) + H100.memory_reserved
    assert sample["memory_total_bytes"] == H100.memory_total
    assert sample["temperature_celsius"] == 61


def test_memory_of_a_struct_too_new_falls_back(script: Script, probe: ProbeStart) -> None:
    """A driver that has the symbol but refuses the struct (25) is read by version 1."""
    card = telling(script, H100, 0)
    script.fail("nvmlDeviceGetMemoryInfo_v2", code=25)
    source = probe()
    source.open()
    assert sample_of(source, card)["memory_total_bytes"] == H100.memory_total


@pytest.mark.parametrize("how", ["no symbol", "refused version"])
def test_an_old_driver_is_read_by_the_first_call_of_temperature(
    script: Script, probe: ProbeStart, tmp_path: Path, how: str
) -> None:
    """Without nvmlDeviceGetTemperatureV the older call gives the temperature."""
    card = telling(script, T4, 3)
    other = None
    if how == "no symbol":
        other = build(tmp_path / "old", {"nvmlDeviceGetTemperatureV"})
    else:
        script.fail("nvmlDeviceGetTemperatureV", code=25)
    source = probe(other_library=other)
    source.open()
    assert sample_of(source, card)["temperature_celsius"] == 64


def test_a_function_missing_in_the_driver_takes_its_reading(
    script: Script, probe: ProbeStart, tmp_path: Path
) -> None:
    """FunctionNotFound comes at the call, not at import, and is "not supported"."""
    card = telling(script, H100, 0)
    source = probe(other_library=build(tmp_path / "old", {"nvmlDeviceGetEnforcedPowerLimit"}))
    source.open()
    sample = sample_of(source, card)
    assert sample["power_limit_mw"] == "not_supported"
    assert sample["power_mw"] == 50_123


@pytest.mark.parametrize(("count", "told"), [(MAX_PROCESSES, True), (MAX_PROCESSES + 1, False)])
def test_a_list_of_more_processes_than_can_be_is_missing(
    script: Script, probe: ProbeStart, count: int, told: bool
) -> None:
    """A broken answer must not fill a page; it is no list, rather than a part of one."""
    card = script.add(H100)
    for pid in range(1, count + 1):
        script.process(card, pid, GIB)
    source = probe()
    source.open()
    processes = sample_of(source, card)["processes"]
    assert len(processes) == count if told else processes == "no_data"


def test_processes_are_merged_over_the_lists(script: Script, probe: ProbeStart) -> None:
    """A process of both kinds is one, and unknown memory is missing, not 0."""
    card = script.add(RTX_4090)
    script.process(card, 30, GIB, kind="graphics")
    script.process(card, 20, None)
    script.process(card, 10, 2 * GIB)
    script.process(card, 10, GIB, kind="graphics")
    source = probe()
    source.open()
    assert sample_of(source, card)["processes"] == [
        {"pid": 10, "kind": "compute", "used_memory_bytes": 2 * GIB},
        {"pid": 20, "kind": "compute", "used_memory_bytes": "no_data"},
        {"pid": 30, "kind": "graphics", "used_memory_bytes": GIB},
    ]


def test_a_card_without_graphics_still_lists_its_processes(
    script: Script, probe: ProbeStart
) -> None:
    """A graphics list not supported does not make the compute list unknown."""
    card = script.add(H100)
    card.unsupported |= {"nvmlDeviceGetGraphicsRunningProcesses_v3"}
    script.process(card, 10, GIB)
    source = probe()
    source.open()
    assert [row["pid"] for row in sample_of(source, card)["processes"]] == [10]


@pytest.mark.parametrize("kind", ["Compute", "Graphics"])
def test_a_failed_process_query_is_not_an_empty_list(
    script: Script, probe: ProbeStart, kind: str
) -> None:
    """Whether anybody holds the card is unknown then."""
    card = script.add(H100)
    script.fail(f"nvmlDeviceGet{kind}RunningProcesses_v3", code=999)
    source = probe()
    source.open()
    assert sample_of(source, card)["processes"] == "failed"


def test_impossible_pids_are_missing(script: Script, probe: ProbeStart) -> None:
    """Struct versions that do not match the driver give pids no kernel has."""
    card = script.add(H100)
    script.process(card, 4_000_000_000, GIB)
    source = probe()
    source.open()
    assert sample_of(source, card)["processes"] == "no_data"


def test_an_unsupported_call_is_made_once_for_a_card_and_session(
    script: Script, probe: ProbeStart
) -> None:
    """Probing remembers per card what is not supported, and forgets it with the session."""
    lacking, whole = script.add(L40S), script.add(L40S)
    for symbols in MAPPED_SYMBOLS.values():
        lacking.unsupported |= frozenset(symbols)
    source = probe()

    def calls_of(reads: int) -> dict[str, int]:
        before = source.calls()
        for _ in range(reads):
            sample_of(source, lacking)
            sample_of(source, whole)
        after = source.calls()
        return {
            row: sum(after.get(s, 0) - before.get(s, 0) for s in symbols)
            for row, symbols in MAPPED_SYMBOLS.items()
        }

    source.open()
    first, later = calls_of(1), calls_of(10)
    source.open()
    again = calls_of(1)
    per_read = {row: count // 10 for row, count in later.items()}
    assert all(count == 10 * per_read[row] for row, count in later.items()), later
    assert all(first[row] > per_read[row] for row in first), (first, later)
    assert again == first


def test_a_transient_failure_is_tried_again(script: Script, probe: ProbeStart) -> None:
    """A call that failed once is made at the next tick, and its value is back."""
    card = script.add(H100, power_mw=333_000)
    script.fail("nvmlDeviceGetPowerUsage", code=999, count=1)
    script.fail("nvmlDeviceGetTemperatureV", code=10, count=1)
    source = probe()
    source.open()
    first = sample_of(source, card)
    assert (first["power_mw"], first["temperature_celsius"]) == ("failed", "timeout")
    second = sample_of(source, card)
    assert (second["power_mw"], second["temperature_celsius"]) == (333_000, 41)


def test_a_card_of_which_nothing_can_be_read_has_failed(script: Script, probe: ProbeStart) -> None:
    """A sample without a single reading would claim that the card answers."""
    card = script.add(H100)
    source = probe()
    source.open()
    script.fail(code=999, card=card)
    script.settle()
    answer = source.read(card.uuid)
    assert (answer["error"], answer["lost"]) == ("GpuError", False)


def test_the_table_of_readings_names_calls_that_are_made(script: Script, probe: ProbeStart) -> None:
    """Each row's first call shows in the library's counters, so the table does not lie."""
    card = script.add(H100)
    script.process(card, 10, GIB)
    source = probe()
    source.open()
    sample_of(source, card)
    made = {name for name, count in source.calls().items() if count}
    for row in READINGS:
        named = row.call.replace(", else", ",").split(", ")[0]
        assert {named, f"{named}_v3"} & made, row.call
    assert source.calls().get("nvmlDeviceGetMemoryInfo", 0) == 0
    assert NOT_SUPPORTED == 3
