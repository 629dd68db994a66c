"""The simulated node behind the door of real cards."""

import threading
import timeit
from dataclasses import fields

import pytest

from agent.devices.simulated.faults import READINGS, Fault, FaultKind
from agent.devices.simulated.loads import Load
from agent.devices.simulated.models import MODELS
from agent.devices.simulated.node import SimulatedCard, SimulatedNode, demo_cards
from agent.devices.simulated.source import SimulatedSource
from agent.errors import DriverError, GpuError
from agent.ports import identities_of
from agent.samples.device import GpuSample
from agent.samples.instant import Instant
from agent.samples.reading import Missing

SECOND = 1_000_000_000


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.second = 0

    def now(self) -> Instant:
        return Instant(self.second * SECOND, self.second * SECOND)


class Bench:
    """A source of one training card (unless told otherwise), opened at second 0."""

    def __init__(self, *faults: Fault, cards: tuple[SimulatedCard, ...] = ()) -> None:
        self.clock = HandClock()
        default = (SimulatedCard(model=MODELS["h100"], load=Load.TRAINING),)
        self.node = SimulatedNode(cards=cards or default, faults=faults)
        self.source = SimulatedSource(self.clock, self.node)
        self.uuids = [gpu.uuid for gpu in identities_of(self.source)]

    def read(self, second: int, card: int = 0) -> GpuSample:
        self.clock.second = second
        return self.source.read(self.uuids[card])


def energy(sample: GpuSample) -> int:
    assert not isinstance(sample.energy_mj, Missing)
    return sample.energy_mj


def test_source_says_that_it_is_simulated() -> None:
    """Nobody can take these cards for real ones."""
    assert Bench().source.kind == "simulated"


def test_open_lists_the_cards_in_order() -> None:
    """The inventory has every card of the node with its index, model and memory."""
    bench = Bench(cards=demo_cards(3, ("h100", "l40s", "t4")))

    gpus = identities_of(bench.source)

    assert [gpu.index for gpu in gpus] == [0, 1, 2]
    assert [gpu.model for gpu in gpus] == ["NVIDIA H100 80GB HBM3", "NVIDIA L40S", "Tesla T4"]
    assert gpus[0].memory_total_bytes == 85_520_809_984


def test_read_fills_every_reading() -> None:
    """A healthy H100 leaves nothing out, and the sample carries the agent's own time."""
    sample = Bench().read(100)

    values = [getattr(sample, field.name) for field in fields(sample)]
    assert not any(isinstance(value, Missing) for value in values)
    assert sample.boottime_ns == 100 * SECOND


def test_read_leaves_out_what_the_model_lacks() -> None:
    """A P100 has no energy counter: not supported, not zero."""
    sample = Bench(cards=demo_cards(1, ("p100",))).read(100)

    assert sample.energy_mj is Missing.NOT_SUPPORTED
    assert sample.power_mw not in {0, Missing.NOT_SUPPORTED}


def test_read_needs_an_open_source() -> None:
    """Before ``open()`` and after ``close()`` no card answers."""
    bench = Bench()
    bench.source.close()

    with pytest.raises(DriverError, match="not open"):
        bench.read(1)


def test_read_of_an_unknown_card_fails() -> None:
    """A UUID the node does not have is that card's fault only."""
    bench = Bench()

    with pytest.raises(GpuError, match="no such card"):
        bench.source.read("GPU-0")


def test_energy_goes_on_in_another_process() -> None:
    """A new source with the same seed, in the same boot, continues the counter."""
    first, second = Bench(), Bench()

    gained = energy(second.read(1_000)) - energy(first.read(999))

    assert gained == first.read(999).power_mw


def test_lost_card_needs_open_after_it_is_back() -> None:
    """Lost while it lasts, lost to old handles afterwards, back with a new ``open()``."""
    bench = Bench(Fault(kind=FaultKind.LOST, start_s=10, end_s=20))

    for second in (10, 19, 25):
        with pytest.raises(GpuError) as caught:
            bench.read(second)
        assert caught.value.lost
        assert caught.value.code == 15
    bench.source.open()

    assert energy(bench.read(25)) < energy(bench.read(9))


def test_lost_card_is_listed_as_unreadable() -> None:
    """While it is lost the others are named and it is counted; opening does not heal it."""
    lost = Fault(kind=FaultKind.LOST, start_s=10, end_s=20, card=0)
    bench = Bench(lost, cards=demo_cards(2))
    bench.clock.second = 15

    session = bench.source.open()

    assert session.count == 2
    assert bench.source.identify(1).index == 1
    with pytest.raises(GpuError) as refused:
        bench.source.identify(0)
    assert refused.value.lost
    with pytest.raises(GpuError):
        bench.read(25)


def test_lost_card_leaves_the_others_alone() -> None:
    """The other cards read on."""
    lost = Fault(kind=FaultKind.LOST, start_s=10, card=0)
    bench = Bench(lost, cards=demo_cards(2))

    assert bench.read(15, card=1) == Bench(cards=demo_cards(2)).read(15, card=1)


def test_driver_down_takes_all_cards_until_opened_anew() -> None:
    """While it is down nothing opens; afterwards old handles stay useless."""
    bench = Bench(Fault(kind=FaultKind.DRIVER_DOWN, start_s=10, end_s=20))
    before = energy(bench.read(9))

    with pytest.raises(DriverError, match="went away"):
        bench.read(21)
    bench.clock.second = 15
    with pytest.raises(DriverError, match="not loaded"):
        bench.source.open()
    bench.clock.second = 21
    bench.source.open()

    assert energy(bench.read(21)) > before


def test_gap_fails_without_losing_the_card() -> None:
    """A scrape gap is an error that says nothing of the card, and passes by itself."""
    bench = Bench(Fault(kind=FaultKind.GAP, start_s=10, end_s=20))

    with pytest.raises(GpuError) as caught:
        bench.read(15)

    assert not caught.value.lost
    assert bench.read(20) == Bench().read(20)


@pytest.mark.parametrize("reading", sorted(READINGS))
def test_not_supported_takes_away_one_reading(reading: str) -> None:
    """Any reading can be refused, and only that one is."""
    fault = Fault(kind=FaultKind.NOT_SUPPORTED, start_s=0, readings=frozenset({reading}))

    sample = Bench(fault).read(5)

    missing = {f.name for f in fields(sample) if isinstance(getattr(sample, f.name), Missing)}
    assert missing == {reading}
    assert getattr(sample, reading) is Missing.NOT_SUPPORTED


def test_counter_reset_starts_from_zero() -> None:
    """Right at the reset the counter is 0 and then counts what came since."""
    bench = Bench(Fault(kind=FaultKind.COUNTER_RESET, start_s=100))
    whole = Bench()

    assert energy(bench.read(99)) == energy(whole.read(99))
    assert energy(bench.read(100)) == 0
    assert energy(bench.read(150)) == energy(whole.read(150)) - energy(whole.read(100))


def test_counter_freeze_stands_then_jumps() -> None:
    """A frozen counter stands still; afterwards it has counted everything."""
    bench = Bench(Fault(kind=FaultKind.COUNTER_FREEZE, start_s=100, end_s=200))
    whole = Bench()

    assert energy(bench.read(199)) == energy(whole.read(100))
    assert energy(bench.read(200)) == energy(whole.read(200))


def test_hang_blocks_until_released() -> None:
    """A hung read gives nothing back until the test lets it go."""
    bench = Bench(Fault(kind=FaultKind.HANG, start_s=10))
    samples: list[GpuSample] = []
    reader = threading.Thread(target=lambda: samples.append(bench.read(15)), daemon=True)

    reader.start()
    reader.join(0.15)
    still_hanging = reader.is_alive()
    bench.source.release.set()
    reader.join(5)

    assert still_hanging
    assert samples == [Bench().read(15)]


def test_hang_ends_with_its_fault() -> None:
    """When simulated time passes the end, the read comes back with a reading of then."""
    bench = Bench(Fault(kind=FaultKind.HANG, start_s=10, end_s=20))
    samples: list[GpuSample] = []
    reader = threading.Thread(target=lambda: samples.append(bench.read(15)), daemon=True)

    reader.start()
    reader.join(0.15)
    bench.clock.second = 20
    reader.join(5)

    assert samples == [Bench().read(20)]


def test_read_costs_under_a_tenth_of_a_millisecond() -> None:
    """Eight cards each second must not be felt: under 100 microseconds a read."""
    bench = Bench(cards=demo_cards(8))
    bench.read(1_300)

    def a_round() -> None:
        for uuid in bench.uuids:
            bench.source.read(uuid)

    seconds = min(timeit.repeat(a_round, number=10, repeat=10)) / 80

    assert seconds < 0.000_1
