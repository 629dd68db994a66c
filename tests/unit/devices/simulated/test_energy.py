"""What the agent books of a simulated hour, against its true integral."""

from dataclasses import dataclass

import pytest

from agent.devices.simulated.faults import Fault, FaultKind
from agent.devices.simulated.node import SimulatedNode, cards_of, demo_cards
from agent.devices.simulated.source import SimulatedSource
from agent.errors import GpuError
from agent.ledger.account import Account
from agent.ports import identities_of
from agent.samples.device import FaultReason, GpuFault, GpuSample, NodeSample
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR
from tests.builders import SECOND, a_policy, a_tariff, an_account, an_owned
from tests.fakes.clock import FakeClock

HOURS = 1
SECONDS = HOURS * 3_600
MODELS_DEALT = ("h100", "l40s", "h100", "t4")


def faults(kind: FaultKind, *starts: int, seconds: int = 0) -> tuple[Fault, ...]:
    return tuple(Fault(kind=kind, start_s=start, end_s=start + seconds) for start in starts)


RESETS = faults(FaultKind.COUNTER_RESET, 617, 2_000, 3_499)
JUMPS = faults(FaultKind.COUNTER_JUMP, 500, 2_500)
FREEZES = faults(FaultKind.COUNTER_FREEZE, 1_000, 2_750, seconds=150)
GAPS = faults(FaultKind.GAP, 1_500, seconds=40)
BY_POWER = (Fault(kind=FaultKind.NOT_SUPPORTED, start_s=0, readings=frozenset({"energy_mj"})),)


@dataclass(frozen=True)
class Case:
    name: str
    faults: tuple[Fault, ...]
    bound: float
    anomalies: dict[str, int]
    """Of each card."""


CASES = [
    Case("counter", (), 0.001, {}),
    Case("counter with gaps", GAPS, 0.001, {}),
    Case("counter with resets", RESETS, 0.001, {"reset": 3}),
    Case("counter with jumps", JUMPS, 0.001, {"jump": 2}),
    Case("counter with freezes", FREEZES, 0.01, {"freeze": 2}),
    Case(
        "all of them",
        (*RESETS, *JUMPS, *FREEZES, *GAPS),
        0.01,
        {"reset": 3, "jump": 2, "freeze": 2},
    ),
    Case("power", BY_POWER, 0.01, {}),
]


def run(case: Case) -> tuple[Account, SimulatedNode]:
    """An hour of eight cards, a sample each second."""
    node = SimulatedNode(cards=demo_cards(8, MODELS_DEALT), seed=5, faults=case.faults)
    clock = FakeClock(boottime_ns=0)
    source = SimulatedSource(clock, node)
    identities = {gpu.uuid: gpu for gpu in identities_of(source)}
    account = an_account(a_policy(an_owned(), tariffs=[a_tariff("0.12")]))
    for _ in range(SECONDS + 1):
        reports: dict[str, GpuSample | GpuFault] = {}
        for uuid in identities:
            try:
                reports[uuid] = source.read(uuid)
            except GpuError:
                reports[uuid] = GpuFault(uuid, FaultReason.FAILED)
        account.advance(
            NodeSample(identities=identities, reports=reports, driver_up=True), clock.now()
        )
        clock.move(1)
    return account, node


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_energy_is_that_of_the_simulation(case: Case) -> None:
    """0.1 % by counter, 1 % by power at 1 s, whatever the counter does; and so is its money."""
    account, node = run(case)

    counters = account.counters.snapshot()
    joules = counters["gpufin_gpu_energy_joules_total"]
    anomalies = counters["gpufin_gpu_energy_anomalies_total"]
    true_total = 0
    for card in cards_of(node):
        true = card.course.energy_mj(SECONDS * SECOND)
        true_total += true
        labels = (card.identity.uuid, str(card.identity.index))
        assert joules[labels] == pytest.approx(true, rel=case.bound), card.load
        found = {
            kind: count for (*gpu, kind), count in anomalies.items() if (*gpu,) == labels and count
        }
        assert found == case.anomalies
    money = sum(
        nanos
        for labels, nanos in counters["gpufin_cost_component_total"].items()
        if "energy" in labels
    )
    exact = true_total / MILLIJOULES_PER_KILOWATT_HOUR * 1.4 * 0.12
    assert money / 1e9 == pytest.approx(exact, rel=case.bound)
