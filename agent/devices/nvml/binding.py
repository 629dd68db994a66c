"""The calls we make into NVML, typed, and no more; the only importer of ``pynvml``.

Every failure leaves as ``NvmlCallError`` with its code: pynvml's own error object cannot be hashed,
and comparing it with anything but another one raises AttributeError.
Units are NVML's own, named in each docstring.
"""

from collections.abc import Callable
from typing import Any, NewType, TypeVar

import pynvml

from agent.devices.nvml.errors import (
    ARGUMENT_VERSION_MISMATCH,
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNKNOWN,
    NvmlCallError,
)
from agent.errors import DriverError

T = TypeVar("T")
Handle = NewType("Handle", object)


def refuse_look_alike() -> None:
    """Make sure that ``pynvml`` is NVIDIA's own module.

    Raises:
        DriverError: another distribution that brings a module of this name shadows it.
    """
    if not hasattr(pynvml, "_nvmlGetFunctionPointer"):
        raise DriverError(
            "the module pynvml is not NVIDIA's: uninstall the distribution 'pynvml', keep 'nvidia-ml-py'"
        )


def call(function: Callable[..., T], *arguments: object) -> T:
    """Call a pynvml function.

    Raises:
        NvmlCallError: with the NVML code of the failure.
    """
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise NvmlCallError(int(error.value)) from None
    except pynvml.NVMLLibraryMismatchError:  # not an NVMLError: a struct newer than the driver
        raise NvmlCallError(ARGUMENT_VERSION_MISMATCH) from None
    except (UnicodeDecodeError, ValueError, OSError):  # garbage where a name or an id should be
        raise NvmlCallError(UNKNOWN) from None


def init() -> None:
    """Load the library if need be and start a session."""
    call(pynvml.nvmlInit)


def shutdown() -> None:
    """End the session; the library stays loaded in this process, even after a driver upgrade."""
    call(pynvml.nvmlShutdown)


def driver_version() -> str:
    """Such as ``580.65.06``."""
    return str(call(pynvml.nvmlSystemGetDriverVersion))


def count() -> int:
    """Cards the driver lists, those that cannot be opened included."""
    return int(call(pynvml.nvmlDeviceGetCount))


def handle(index: int) -> Handle:
    """The handle at an index; it dies with the session and with the card."""
    return Handle(call(pynvml.nvmlDeviceGetHandleByIndex, index))


def uuid(card: Handle) -> str:
    """Such as ``GPU-…``."""
    return str(call(pynvml.nvmlDeviceGetUUID, card))


def name(card: Handle) -> str:
    """The product name, such as ``NVIDIA H100 80GB HBM3``."""
    return str(call(pynvml.nvmlDeviceGetName, card))


def pci_bus_id(card: Handle) -> str:
    """Such as ``00000000:0F:00.0``."""
    return str(call(pynvml.nvmlDeviceGetPciInfo, card).busId)


def mig_profiles(card: Handle) -> tuple[str, ...]:
    """Profiles of its MIG instances, such as ``1g.10gb``; empty where MIG is off or there are none.

    An instance is named after the card it is cut from: ``NVIDIA H100 80GB HBM3 MIG 1g.10gb``.
    """
    current, _ = call(pynvml.nvmlDeviceGetMigMode, card)
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return ()
    found: list[str] = []
    for index in range(int(call(pynvml.nvmlDeviceGetMaxMigDeviceCount, card))):
        try:
            instance = call(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, card, index)
        except NvmlCallError as error:
            if error.code not in {NOT_FOUND, INVALID_ARGUMENT}:  # an empty slot
                raise
            continue
        _, found_mark, profile = name(Handle(instance)).rpartition(" MIG ")
        if found_mark:
            found.append(profile)
    return tuple(found)


def utilization_percent(card: Handle) -> int:
    """Share of the last 1/6 to 1 s in which at least one kernel ran, 0 to 100."""
    return int(call(pynvml.nvmlDeviceGetUtilizationRates, card).gpu)


def memory_bytes(card: Handle) -> tuple[int, int]:
    """(used, total) in bytes; used without what the driver reserves.

    Version 2 of the call needs driver 510; before it, used contains the reserved part.
    The version argument is the constant with the struct's size in it: a plain 2 is refused with 25.
    """
    try:
        info: Any = call(pynvml.nvmlDeviceGetMemoryInfo, card, pynvml.nvmlMemory_v2)
    except NvmlCallError as error:
        if error.code not in {FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH}:
            raise
        info = call(pynvml.nvmlDeviceGetMemoryInfo, card)
    return int(info.used), int(info.total)


def power_mw(card: Handle) -> int:
    """Board power in milliwatts: instantaneous or a 1 s mean, by family."""
    return int(call(pynvml.nvmlDeviceGetPowerUsage, card))


def power_limit_mw(card: Handle) -> int:
    """The limit in force, in milliwatts."""
    return int(call(pynvml.nvmlDeviceGetEnforcedPowerLimit, card))


def energy_mj(card: Handle) -> int:
    """Millijoules since the driver was loaded or the card reset; Volta and later."""
    return int(call(pynvml.nvmlDeviceGetTotalEnergyConsumption, card))


def temperature_celsius(card: Handle) -> int:
    """Die temperature."""
    try:
        return int(call(pynvml.nvmlDeviceGetTemperatureV, card, pynvml.NVML_TEMPERATURE_GPU))
    except NvmlCallError as error:
        if error.code not in {FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH}:
            raise
        return int(call(pynvml.nvmlDeviceGetTemperature, card, pynvml.NVML_TEMPERATURE_GPU))


def compute_processes(card: Handle) -> list[tuple[int, int | None]]:
    """(host pid, bytes or None where unknown) of processes with a compute context."""
    return _processes(
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
        card,
    )


def graphics_processes(card: Handle) -> list[tuple[int, int | None]]:
    """(host pid, bytes or None where unknown) of processes with a graphics context."""
    return _processes(
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
        card,
    )


def _processes(
    newer: Callable[..., Any], older: Callable[..., Any], card: Handle
) -> list[tuple[int, int | None]]:
    """Version 3 came with driver 510; version 2 has the same fields."""
    try:
        rows = call(newer, card)
    except NvmlCallError as error:
        if error.code not in {FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH}:
            raise
        rows = call(older, card)
    return [(int(process.pid), process.usedGpuMemory) for process in rows]
