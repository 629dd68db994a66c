"""Energy from the card's counter and from its power, against the integral the script was made of."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.devices.harness import AgentProcess, Page
from tests.nvml.library import Card, Script
from tests.nvml.profiles import H100
from tests.nvml.timeline import Timeline

INTERVAL = 0.25
BEGIN, TOP_FROM, TOP_TO, END = 4.0, 8.0, 10.0, 14.0
TOP_MW = 600_000
FAULT_AT, FROZEN_UNTIL = 7.0, 13.0
"""Up to the top and down again; nothing before and after, so that the instants of the agent's
first and last sample do not matter, and slopes, so that trapezia can follow."""
POWER = Timeline.of((0, 0), (BEGIN, 0, TOP_MW), (TOP_FROM, TOP_MW), (TOP_TO, TOP_MW, 0), (END, 0))


@dataclass(frozen=True)
class Run:
    """The last scrape, and all energies seen of each card on the way."""

    page: Page
    cards: dict[str, Card]
    course: dict[str, list[float]]

    def relative_error(self, name: str) -> float:
        card = self.cards[name]
        true = card.used_mj(0, END) / 1000
        return self.page.value("gpufin_gpu_energy_joules_total", uuid=card.uuid) / true - 1

    def anomalies(self, name: str) -> dict[str, float]:
        found = self.page.all("gpufin_gpu_energy_anomalies_total", uuid=self.cards[name].uuid)
        return {labels["kind"]: value for labels, value in found if value}


def run_over(directory: Path, library: Path) -> Run:
    """One agent over the same load on cards whose counters misbehave in different ways."""
    script = Script(directory / "script")
    kinds = ("counter", "stepping", "none", "reset", "jump", "freeze", "catch up")
    cards = {kind: script.add(H100, gpu_utilization=90) for kind in kinds}
    for card in cards.values():
        card.power = POWER
        card.energy_base_mj = 5_000_000_000
    cards["stepping"].energy_step_ms = 100
    cards["none"].without_energy()
    cards["reset"].reset_energy(FAULT_AT)
    cards["jump"].jump_energy(FAULT_AT, 40_000_000_000)
    cards["freeze"].freeze_energy(FAULT_AT, FROZEN_UNTIL)
    cards["catch up"].freeze_energy(FAULT_AT, FROZEN_UNTIL, mode="catch_up")
    course: dict[str, list[float]] = {kind: [] for kind in kinds}
    with AgentProcess(directory / "agent", script, library, interval=INTERVAL) as agent:
        agent.ready()
        assert script.now() < BEGIN, "the machine is too slow for this test"
        while script.now() < END + 3 * INTERVAL:
            time.sleep(0.4)
            page = agent.page()
            for kind, card in cards.items():
                energy = page.get("gpufin_gpu_energy_joules_total", uuid=card.uuid)
                course[kind] += [] if energy is None else [energy]
        return Run(agent.page(), cards, course)


def test_energy_is_true_whatever_the_counter_does(tmp_path: Path, library: Path) -> None:
    """By counter to 0.1 %, by power to 1 %; each lie is found, counted once, and none makes it fall.

    One test, because its run takes long.  A jump and a standstill are bridged by power; what the
    counter missed between its last good reading and a reset or standstill is lost (one interval).
    """
    run = run_over(tmp_path, library)
    true = run.cards["counter"].used_mj(0, END) / 1000
    one_interval = TOP_MW / 1000 * INTERVAL * 1.2 / true
    bounds = {
        "counter": (-0.001, 0.001, {}),
        "stepping": (-0.001, 0.001, {}),
        "none": (-0.01, 0.01, {}),
        "reset": (-one_interval, 0.001, {"reset": 1}),
        "jump": (-0.01, 0.01, {"jump": 1}),
        "freeze": (-one_interval, 0.01, {"freeze": 1}),
        "catch up": (-one_interval, 0.01, {"freeze": 1}),
    }
    wrong = {
        kind: (run.relative_error(kind), run.anomalies(kind))
        for kind, (low, high, anomalies) in bounds.items()
        if not low <= run.relative_error(kind) <= high or run.anomalies(kind) != anomalies
    }
    assert wrong == {}
    for kind, energies in run.course.items():
        assert len(energies) > 10, kind
        assert energies == sorted(energies), kind
