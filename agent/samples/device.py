"""What one card, and the node with all its cards, looked like at one instant."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.samples.reading import Missing, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuIdentity:
    """A card; its UUID is its identity, the index is for people and may change."""

    uuid: str
    index: int
    model: str
    pci_bus_id: str
    memory_total_bytes: Reading[int] = Missing.NO_DATA
    mig_profiles: tuple[str, ...] = ()
    """Profiles of its MIG instances, such as ``1g.10gb``; empty without MIG."""


class ProcessKind(StrEnum):
    """Which of NVML's process lists a process stands in."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One process with a context on a card; the pid is the host's."""

    pid: int
    kind: ProcessKind
    used_memory_bytes: Reading[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """The readings of one card, taken at ``boottime_ns``, in NVML's own integer units."""

    uuid: str
    boottime_ns: int
    utilization_percent: Reading[int] = Missing.NO_DATA
    memory_used_bytes: Reading[int] = Missing.NO_DATA
    memory_total_bytes: Reading[int] = Missing.NO_DATA
    power_mw: Reading[int] = Missing.NO_DATA
    power_limit_mw: Reading[int] = Missing.NO_DATA
    energy_mj: Reading[int] = Missing.NO_DATA
    temperature_celsius: Reading[int] = Missing.NO_DATA
    processes: Reading[tuple[ProcessSample, ...]] = Missing.NO_DATA

    def missing(self) -> Iterator[tuple[str, Missing]]:
        """The readings without a value, by name, and why."""
        for reading, field_name in READINGS:
            value = getattr(self, field_name)
            if isinstance(value, Missing):
                yield reading, value


READINGS: tuple[tuple[str, str], ...] = (
    ("utilization", "utilization_percent"),
    ("memory_used", "memory_used_bytes"),
    ("memory_total", "memory_total_bytes"),
    ("power", "power_mw"),
    ("power_limit", "power_limit_mw"),
    ("energy", "energy_mj"),
    ("temperature", "temperature_celsius"),
    ("processes", "processes"),
)
"""Name of a reading, and its field of ``GpuSample``."""


class FaultReason(StrEnum):
    """Why a card gave no sample."""

    LOST = "lost"
    """It fell off the bus, or needs a reset: expected, paid for, not answering."""
    VANISHED = "vanished"
    """The driver no longer lists it."""
    DRIVER = "driver"
    """The driver as a whole does not answer."""
    OPENING = "opening"
    """The driver is being opened anew, for a card that was lost; nothing can be read meanwhile."""
    HUNG = "hung"
    """A call on it passed its deadline; what it does is unknown."""
    FAILED = "failed"
    """It answered with an error that says nothing of its state."""
    NO_TIME = "no_time"
    """The others took all the time of this tick, or its own answer did not arrive in it: nothing is wrong
    with it, and its time is booked with its next reading."""


@dataclass(frozen=True, slots=True)
class GpuFault:
    """A card that gave no sample, and why; ``code`` is NVML's where there is one."""

    uuid: str
    reason: FaultReason
    code: int | None = None


def fault_of(report: GpuSample | GpuFault) -> FaultReason | None:
    """Why there is no sample, None where there is one."""
    return report.reason if isinstance(report, GpuFault) else None


def answers(report: GpuSample | GpuFault) -> bool:
    """Whether a card answered when it was last asked."""
    return isinstance(report, GpuSample) or report.reason is FaultReason.NO_TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSample:
    """All that the reader delivered for one tick.

    ``reports`` holds a sample or a fault for every card the source knows, and for expected ones that may
    be among those it has not named yet.
    ``driver_reason`` is empty when the driver answers.
    ``settled`` is False while the reader has no answer yet: what it does not report is unknown then,
    not gone.
    """

    identities: Mapping[str, GpuIdentity] = field(default_factory=dict)
    reports: Mapping[str, GpuSample | GpuFault] = field(default_factory=dict)
    driver_up: bool = False
    settled: bool = True
    driver_reason: str = ""
    driver_code: int | None = None
    driver_version: str = ""
