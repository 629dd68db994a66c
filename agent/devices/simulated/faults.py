"""What can be made to go wrong on a simulated node, and when."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum

from agent.samples.device import GpuSample
from agent.units import NANOSECONDS_PER_SECOND

JUMP_MJ = 10**12
"""What no board can draw within an interval. Source: leaps seen in the field, hardware.md 2.4."""
READINGS = frozenset(field.name for field in fields(GpuSample)) - {"uuid", "boottime_ns"}
"""Names of the readings that ``FaultKind.NOT_SUPPORTED`` can take away."""


class FaultKind(StrEnum):
    """What goes wrong."""

    LOST = "lost"
    """The card falls off the bus; back after the end and a new ``open()``.

    It comes back with its energy counter, its processes and its engine started anew.
    """
    NOT_SUPPORTED = "not_supported"
    """``readings`` are refused."""
    COUNTER_RESET = "counter_reset"
    """The energy counter starts from 0 at ``start_s``."""
    COUNTER_FREEZE = "counter_freeze"
    """The energy counter stands still, then jumps to where it should be."""
    COUNTER_JUMP = "counter_jump"
    """The energy counter shows ``JUMP_MJ`` more from ``start_s`` on."""
    GAP = "gap"
    """Every read fails with an error that says nothing of the card."""
    HANG = "hang"
    """Every read blocks until the end, or until ``SimulatedSource.release`` is set."""
    DRIVER_DOWN = "driver_down"
    """No card answers and nothing opens; after the end, ``open()`` anew. Counters go on."""
    ENGINE_RESTART = "engine_restart"
    """The inference engine's counters start from 0 at ``start_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong from ``start_s`` until before ``end_s``, in simulated seconds.

    ``card`` is an index, or None for every card. Without an end it never gets well.
    """

    kind: FaultKind
    start_s: int
    end_s: int | None = None
    card: int | None = None
    readings: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if unknown := self.readings - READINGS:
            raise ValueError(f"no such readings: {sorted(unknown)}")
        if self.end_s is not None and self.end_s < self.start_s:
            raise ValueError(f"ends at {self.end_s} s, before it starts at {self.start_s} s")

    @property
    def start_ns(self) -> int:
        """When it starts, in simulated nanoseconds."""
        return self.start_s * NANOSECONDS_PER_SECOND

    def ended(self, simulated_ns: int) -> bool:
        """Whether it is over."""
        return self.end_s is not None and simulated_ns >= self.end_s * NANOSECONDS_PER_SECOND

    def covers(self, simulated_ns: int) -> bool:
        """Whether it is happening."""
        return self.start_ns <= simulated_ns and not self.ended(simulated_ns)

    def bars(self, simulated_ns: int, opened_ns: int) -> bool:
        """Whether handles got at ``opened_ns`` are useless, as they stay after its end."""
        return self.start_ns <= simulated_ns and not self.ended(opened_ns)


def faults_of(faults: Iterable[Fault], card: int) -> tuple[Fault, ...]:
    """Those that touch this card."""
    return tuple(fault for fault in faults if fault.card in {None, card})


def happening(faults: Iterable[Fault], kind: FaultKind, simulated_ns: int) -> Fault | None:
    """The first fault of this kind that is happening."""
    return next((f for f in faults if f.kind is kind and f.covers(simulated_ns)), None)


def revivals_ns(faults: Iterable[Fault], simulated_ns: int) -> list[int]:
    """When the card came back from being lost, so far."""
    return [
        fault.end_s * NANOSECONDS_PER_SECOND
        for fault in faults
        if fault.kind is FaultKind.LOST and fault.end_s is not None and fault.ended(simulated_ns)
    ]


def counting_since_ns(faults: tuple[Fault, ...], kind: FaultKind, simulated_ns: int) -> int:
    """When a counter last started from 0: a fault of ``kind``, the card's return, or time 0."""
    starts = (f.start_ns for f in faults if f.kind is kind and f.start_ns <= simulated_ns)
    return max((0, *starts, *revivals_ns(faults, simulated_ns)))


def energy_span_ns(faults: tuple[Fault, ...], simulated_ns: int) -> tuple[int, int]:
    """(from, to) of the time whose energy the card's counter shows now."""
    since_ns = counting_since_ns(faults, FaultKind.COUNTER_RESET, simulated_ns)
    freeze = happening(faults, FaultKind.COUNTER_FREEZE, simulated_ns)
    until_ns = simulated_ns if freeze is None else freeze.start_ns
    return since_ns, max(since_ns, until_ns)


def jumped_mj(faults: tuple[Fault, ...], simulated_ns: int) -> int:
    """By how much the counter shows too much now."""
    since_ns, until_ns = energy_span_ns(faults, simulated_ns)
    jumps = (fault for fault in faults if fault.kind is FaultKind.COUNTER_JUMP)
    return JUMP_MJ * sum(since_ns <= fault.start_ns <= until_ns for fault in jumps)


def refused_readings(faults: Iterable[Fault], simulated_ns: int) -> frozenset[str]:
    """Readings that the card refuses now because of faults."""
    return frozenset[str]().union(
        *(
            fault.readings
            for fault in faults
            if fault.kind is FaultKind.NOT_SUPPORTED and fault.covers(simulated_ns)
        )
    )
