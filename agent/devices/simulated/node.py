"""A simulated node: which cards it has, what they are used for, what goes wrong with them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agent.devices.simulated.chance import between, chance
from agent.devices.simulated.course import Course
from agent.devices.simulated.faults import Fault, faults_of, revivals_ns
from agent.devices.simulated.loads import MEMORY_PERMILLE, Load
from agent.devices.simulated.models import MEBIBYTE, MODELS, CardModel
from agent.samples.device import GpuIdentity, ProcessKind, ProcessSample
from agent.samples.instant import Instant
from agent.samples.reading import Missing, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCard:
    """One card; ``starts_at_hour`` is the hour of its users' day at simulated time 0."""

    model: CardModel
    load: Load
    starts_at_hour: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedNode:
    """A node, whole: two equal ones give equal readings at equal times.

    Simulated time is the clock's boottime times ``time_scale``: counters go on when the process
    starts again within one boot, and start from 0 with the boot, as a driver's do.
    """

    cards: tuple[SimulatedCard, ...]
    seed: int = 1
    time_scale: int = 1
    faults: tuple[Fault, ...] = ()
    driver_version: str = "590.48.01"

    def __post_init__(self) -> None:
        if self.time_scale < 1:
            raise ValueError(f"time_scale is {self.time_scale}, not 1 or more")

    def simulated_ns(self, now: Instant) -> int:
        """Simulated time, in nanoseconds since boot."""
        return now.boottime_ns * self.time_scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is true of one card of a node; ``faults`` are its own and everybody's."""

    identity: GpuIdentity
    seed: int
    model: CardModel
    load: Load
    course: Course
    faults: tuple[Fault, ...]

    @property
    def memory_held_bytes(self) -> int:
        """What its process holds, 0 without one; constant as long as it is loaded."""
        low, high = MEMORY_PERMILLE[self.load]
        permille = between(low, high, self.seed, self.identity.index, "memory")
        return self.model.memory_total_bytes * permille // 1_000 // MEBIBYTE * MEBIBYTE

    def processes(self, simulated_ns: int) -> tuple[ProcessSample, ...]:
        """Who holds it; whoever was on a lost card comes back under another pid."""
        held = self.memory_held_bytes
        if not held:
            return ()
        life = len(revivals_ns(self.faults, simulated_ns))
        pid = LEAST_PID + chance(self.seed, self.identity.index, "pid", life) % 1_000_000
        return (ProcessSample(pid, ProcessKind.COMPUTE, held),)


LEAST_PID = 5_000_000
"""Above Linux's ``PID_MAX_LIMIT`` of 4,194,304: no process of the machine can be meant."""


@lru_cache(maxsize=8)
def cards_of(node: SimulatedNode) -> tuple[Card, ...]:
    """The cards of the node, by index."""
    return tuple(
        Card(
            identity=_identity(node.seed, index, card.model),
            seed=node.seed,
            model=card.model,
            load=card.load,
            course=Course(
                seed=node.seed,
                index=index,
                model=card.model,
                load=card.load,
                starts_at_hour=card.starts_at_hour,
            ),
            faults=faults_of(node.faults, index),
        )
        for index, card in enumerate(node.cards)
    )


def _identity(seed: int, index: int, model: CardModel) -> GpuIdentity:
    digits = f"{chance(seed, index, 'uuid', 0):016x}{chance(seed, index, 'uuid', 1):016x}"
    edges = itertools.pairwise((0, 8, 12, 16, 20, 32))
    domain, bus = divmod(index, 240)
    hidden = "memory_total_bytes" in model.unsupported
    memory: Reading[int] = Missing.NOT_SUPPORTED if hidden else model.memory_total_bytes
    return GpuIdentity(
        uuid="GPU-" + "-".join(digits[start:end] for start, end in edges),
        index=index,
        model=model.name,
        pci_bus_id=f"{domain:08X}:{0x10 + bus:02X}:00.0",
        memory_total_bytes=memory,
    )


_DEMO_LOADS = (
    *(Load.LLM_DIURNAL, Load.TRAINING, Load.NOTEBOOK, Load.LLM_DIURNAL),
    *(Load.TRAINING, Load.LLM_DIURNAL, Load.EMPTY, Load.LLM_DIURNAL),
)


def demo_cards(count: int = 8, models: Sequence[str] = ("h100",)) -> tuple[SimulatedCard, ...]:
    """Cards that show every state at once: in eight, 4 serve, 2 train, 1 is a notebook, 1 is empty.

    Serving cards live six hours apart, and their night lasts six: one in four is always parked.
    ``models`` are keys of ``MODELS``, dealt in turn.
    """
    return tuple(_demo_cards(count, models))


def _demo_cards(count: int, models: Sequence[str]) -> Iterator[SimulatedCard]:
    starts = itertools.cycle((9, 15, 21, 3))
    loads = itertools.cycle(_DEMO_LOADS)
    for name, load in zip(itertools.islice(itertools.cycle(models), count), loads, strict=False):
        starts_at_hour = next(starts) if load is Load.LLM_DIURNAL else 9
        yield SimulatedCard(model=MODELS[name], load=load, starts_at_hour=starts_at_hour)
