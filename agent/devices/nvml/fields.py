"""The table of readings: which call gives which field of a sample, and what to beware of.

Adding a reading is one row here, one field of ``GpuSample`` and one metric of the catalogue.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.devices.nvml import binding
from agent.devices.nvml.binding import Handle
from agent.devices.nvml.errors import CODES, NvmlCallError
from agent.samples.device import ProcessKind, ProcessSample
from agent.samples.reading import Missing, Reading

Value = int | tuple[int, int] | tuple[ProcessSample, ...]

MAX_PERCENT = 100
MAX_BOARD_MW = 5_000_000
"""Of power and its limit; the largest known module (GB300) is limited to 2,900 W."""
MAX_PROCESSES = 512
"""Of one card; more is a broken answer, and a page must stay bounded."""


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """One reading.

    ``fields`` are the fields of ``GpuSample`` that ``read`` gives, in order; ``unit`` is theirs.
    ``plausible`` says of a value whether it can be true; a false one is missing, never clamped.
    """

    fields: tuple[str, ...]
    call: str
    unit: str
    read: Callable[[Handle], Value]
    plausible: Callable[[Value], bool]
    quirk: str


def _processes(card: Handle) -> tuple[ProcessSample, ...]:
    seen: dict[int, ProcessSample] = {}
    for kind, listing in (
        (ProcessKind.COMPUTE, binding.compute_processes),
        (ProcessKind.GRAPHICS, binding.graphics_processes),
    ):
        try:
            rows = listing(card)
        except NvmlCallError as error:
            unsupported = CODES.get(error.code, CODES[999])[2] is Missing.NOT_SUPPORTED
            if kind is ProcessKind.GRAPHICS and unsupported:
                continue  # data-centre cards without a graphics mode
            raise
        for pid, used in rows:
            memory: Reading[int] = Missing.NO_DATA if used is None else used
            seen.setdefault(pid, ProcessSample(pid, kind, memory))
    return tuple(seen[pid] for pid in sorted(seen))


def _whole(value: Value) -> bool:
    return isinstance(value, int) and value >= 0


def _board_power(value: Value) -> bool:
    # 0 and 2**32 - 1 are what a broken sensor says; the latter, believed, bills 4.3 MW.
    return isinstance(value, int) and 0 < value <= MAX_BOARD_MW


def _percent(value: Value) -> bool:
    return isinstance(value, int) and 0 <= value <= MAX_PERCENT


def plausible_memory(value: Value) -> bool:
    """Whether (used, total) in bytes can be true."""
    # Some unified-memory drivers answer SUCCESS with a total of 0: that is "not supported".
    if not isinstance(value, tuple):
        return False
    used, total = value
    return isinstance(used, int) and isinstance(total, int) and 0 <= used <= total and total > 0


def _listing(value: Value) -> bool:
    # Struct versions that do not match the driver (535 era) give pids that cannot be.
    return (
        isinstance(value, tuple)
        and len(value) <= MAX_PROCESSES
        and all(isinstance(row, ProcessSample) and 0 < row.pid <= 2**22 for row in value)
    )


READINGS: tuple[ReadingRow, ...] = (
    ReadingRow(
        ("utilization_percent",),
        "nvmlDeviceGetUtilizationRates",
        "percent",
        binding.utilization_percent,
        _percent,
        "Share of time with any kernel running, not efficiency; not supported while MIG is on.",
    ),
    ReadingRow(
        ("memory_used_bytes", "memory_total_bytes"),
        "nvmlDeviceGetMemoryInfo_v2, else nvmlDeviceGetMemoryInfo",
        "bytes",
        binding.memory_bytes,
        plausible_memory,
        "v1 counts the driver's reserved part as used; total 0 on unified memory means not supported.",
    ),
    ReadingRow(
        ("power_mw",),
        "nvmlDeviceGetPowerUsage",
        "milliwatts",
        binding.power_mw,
        _board_power,
        "A 1 s mean from Ampere on (GA100 instantaneous); the board, not the host.",
    ),
    ReadingRow(
        ("power_limit_mw",),
        "nvmlDeviceGetEnforcedPowerLimit",
        "milliwatts",
        binding.power_limit_mw,
        _board_power,
        "Not supported on laptops and unified-memory chips.",
    ),
    ReadingRow(
        ("energy_mj",),
        "nvmlDeviceGetTotalEnergyConsumption",
        "millijoules",
        binding.energy_mj,
        _whole,
        "Restarts with the driver and with a card reset; not before Volta; often not under vGPU.",
    ),
    ReadingRow(
        ("temperature_celsius",),
        "nvmlDeviceGetTemperatureV, else nvmlDeviceGetTemperature",
        "degrees Celsius",
        binding.temperature_celsius,
        lambda value: isinstance(value, int),
        "The die; memory temperature is another reading.",
    ),
    ReadingRow(
        ("processes",),
        "nvmlDeviceGetComputeRunningProcesses, nvmlDeviceGetGraphicsRunningProcesses",
        "bytes",
        _processes,
        _listing,
        "Host pids; memory unknown on some platforms; a failed query is not an empty list.",
    ),
)
"""Source of calls, units and quirks: the NVML 13 header and the field reports in the project's notes."""
