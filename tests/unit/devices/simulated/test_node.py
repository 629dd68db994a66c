"""The node, whole."""

import re
from collections import Counter

import pytest

from agent.devices.simulated.faults import Fault, FaultKind
from agent.devices.simulated.loads import Load
from agent.devices.simulated.models import MODELS
from agent.devices.simulated.node import (
    LEAST_PID,
    SimulatedCard,
    SimulatedNode,
    cards_of,
    demo_cards,
)
from agent.samples.instant import Instant

SECOND = 1_000_000_000


def test_identities_look_like_nvml_s() -> None:
    """UUIDs and bus ids have NVML's form and occur once each, on any number of cards."""
    identities = [card.identity for card in cards_of(SimulatedNode(cards=demo_cards(300)))]

    uuid = re.compile(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    bus = re.compile(r"[0-9A-F]{8}:[0-9A-F]{2}:00\.0")
    assert all(uuid.fullmatch(identity.uuid) for identity in identities)
    assert all(bus.fullmatch(identity.pci_bus_id) for identity in identities)
    assert len({identity.uuid for identity in identities}) == 300
    assert len({identity.pci_bus_id for identity in identities}) == 300
    assert [identity.index for identity in identities] == list(range(300))


def test_identity_depends_on_seed_and_index_only() -> None:
    """A card keeps its UUID when its neighbours, its use or the speed of time change."""
    short = SimulatedNode(cards=demo_cards(1), seed=7)
    long = SimulatedNode(cards=demo_cards(4), seed=7, time_scale=60)
    other = SimulatedNode(cards=demo_cards(1), seed=8)

    first, same, another = (cards_of(node)[0].identity.uuid for node in (short, long, other))

    assert first == same != another


def test_demo_shows_every_state_at_any_hour() -> None:
    """Of eight cards three serve and one is parked, two train, one is a notebook and one is empty."""
    cards = cards_of(SimulatedNode(cards=demo_cards(8)))
    serving = [card for card in cards if card.load is Load.LLM_DIURNAL]

    assert Counter(card.load for card in cards) == {
        Load.LLM_DIURNAL: 4,
        Load.TRAINING: 2,
        Load.NOTEBOOK: 1,
        Load.EMPTY: 1,
    }
    for hour in range(24):
        busy = sum(card.course.segment(hour * 3_600).running > 0 for card in serving)
        assert busy == 3


def test_demo_deals_models_in_turn() -> None:
    """A mixed node is one argument."""
    names = [card.model.name for card in demo_cards(3, ("h100", "t4"))]

    assert names == ["NVIDIA H100 80GB HBM3", "Tesla T4", "NVIDIA H100 80GB HBM3"]


@pytest.mark.parametrize(
    ("load", "low", "high"),
    [
        (Load.LLM_DIURNAL, 0.87, 0.92),
        (Load.TRAINING, 0.74, 0.95),
        (Load.NOTEBOOK, 0.04, 0.30),
        (Load.EMPTY, 0.0, 0.0),
    ],
)
def test_memory_is_held_as_the_load_needs(load: Load, low: float, high: float) -> None:
    """What the process holds lies in the range of its load, on every card."""
    held = SimulatedNode(cards=(SimulatedCard(model=MODELS["a100"], load=load),) * 20)

    shares = [c.memory_held_bytes / c.model.memory_total_bytes for c in cards_of(held)]

    assert low <= min(shares) <= max(shares) <= high


def test_processes_cannot_be_those_of_this_machine() -> None:
    """The pid is stable and above any that Linux gives; an empty card has none."""
    training, empty = cards_of(SimulatedNode(cards=(demo_cards(8)[1], demo_cards(8)[6])))

    (first,), (later,) = training.processes(0), training.processes(10**15)

    assert first == later
    assert first.pid >= LEAST_PID
    assert first.used_memory_bytes == training.memory_held_bytes
    assert empty.processes(0) == ()


def test_processes_do_not_survive_a_lost_card() -> None:
    """Whoever was on it starts again under another pid."""
    lost = Fault(kind=FaultKind.LOST, start_s=10, end_s=20)
    (card,) = cards_of(SimulatedNode(cards=demo_cards(1), faults=(lost,)))

    assert card.processes(5 * SECOND) != card.processes(25 * SECOND)


def test_time_scale_speeds_up_the_node() -> None:
    """A minute of the clock is an hour of the node at 60."""
    node = SimulatedNode(cards=(), time_scale=60)

    assert node.simulated_ns(Instant(60 * SECOND, 0)) == 3_600 * SECOND


def test_time_scale_below_one_is_refused() -> None:
    """Time that stands still or runs back is a mistake."""
    with pytest.raises(ValueError, match="time_scale"):
        SimulatedNode(cards=(), time_scale=0)


def test_cards_of_one_kind_live_their_own_lives() -> None:
    """Two serving cards with the same users get their requests at different moments."""
    first, second = cards_of(SimulatedNode(cards=demo_cards(1) * 2))

    one, other = (
        [c.course.segment(s).running for s in range(0, 3_600, 30)] for c in (first, second)
    )

    assert sorted(one) == sorted(other)
    assert one != other
