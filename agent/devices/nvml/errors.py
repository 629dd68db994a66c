"""What each NVML return code means for us: one complete map, proven complete by a test.

Source: the ``nvmlReturn_t`` table of NVML 13 (``pynvml.NVML_ERROR_*``); which codes end a card and
which the whole session follows what exporters in the field learned (design.md, section 3).
"""

from enum import Enum, auto
from typing import NoReturn

from agent.errors import DriverError, GpuError
from agent.samples.reading import Missing


class Scope(Enum):
    """How far a failed call reaches."""

    READING = auto()
    """This reading alone is missing."""
    CARD = auto()
    """The card is lost: no call on it succeeds until it is reset."""
    DRIVER = auto()
    """No card answers any more; the library must be opened again."""


CODES: dict[int, tuple[str, Scope, Missing]] = {
    # SUCCESS can arrive as an error: pynvml raises it when a process utilisation query finds no samples.
    0: ("SUCCESS", Scope.READING, Missing.NO_DATA),
    1: ("UNINITIALIZED", Scope.DRIVER, Missing.FAILED),
    2: ("INVALID_ARGUMENT", Scope.READING, Missing.FAILED),
    3: ("NOT_SUPPORTED", Scope.READING, Missing.NOT_SUPPORTED),
    4: ("NO_PERMISSION", Scope.READING, Missing.NO_PERMISSION),
    5: ("ALREADY_INITIALIZED", Scope.READING, Missing.FAILED),
    6: ("NOT_FOUND", Scope.READING, Missing.NO_DATA),
    7: ("INSUFFICIENT_SIZE", Scope.READING, Missing.FAILED),
    8: ("INSUFFICIENT_POWER", Scope.READING, Missing.FAILED),
    9: ("DRIVER_NOT_LOADED", Scope.DRIVER, Missing.FAILED),
    10: ("TIMEOUT", Scope.READING, Missing.TIMEOUT),
    11: ("IRQ_ISSUE", Scope.READING, Missing.FAILED),
    12: ("LIBRARY_NOT_FOUND", Scope.DRIVER, Missing.FAILED),
    # Raised by pynvml at the call, not at import, where the driver is older than the function.
    13: ("FUNCTION_NOT_FOUND", Scope.READING, Missing.NOT_SUPPORTED),
    14: ("CORRUPTED_INFOROM", Scope.READING, Missing.FAILED),
    15: ("GPU_IS_LOST", Scope.CARD, Missing.FAILED),
    16: ("RESET_REQUIRED", Scope.CARD, Missing.FAILED),
    17: ("OPERATING_SYSTEM", Scope.READING, Missing.FAILED),
    18: ("LIB_RM_VERSION_MISMATCH", Scope.DRIVER, Missing.FAILED),
    19: ("IN_USE", Scope.READING, Missing.FAILED),
    20: ("MEMORY", Scope.READING, Missing.FAILED),
    21: ("NO_DATA", Scope.READING, Missing.NO_DATA),
    22: ("VGPU_ECC_NOT_SUPPORTED", Scope.READING, Missing.NOT_SUPPORTED),
    23: ("INSUFFICIENT_RESOURCES", Scope.READING, Missing.FAILED),
    24: ("FREQ_NOT_SUPPORTED", Scope.READING, Missing.NOT_SUPPORTED),
    25: ("ARGUMENT_VERSION_MISMATCH", Scope.READING, Missing.NOT_SUPPORTED),
    26: ("DEPRECATED", Scope.READING, Missing.NOT_SUPPORTED),
    27: ("NOT_READY", Scope.READING, Missing.NO_DATA),
    28: ("GPU_NOT_FOUND", Scope.DRIVER, Missing.FAILED),
    29: ("INVALID_STATE", Scope.READING, Missing.FAILED),
    30: ("RESET_TYPE_NOT_SUPPORTED", Scope.READING, Missing.NOT_SUPPORTED),
    999: ("UNKNOWN", Scope.READING, Missing.FAILED),
}

UNKNOWN = 999
INVALID_ARGUMENT = 2
NOT_FOUND = 6
NO_PERMISSION = 4
FUNCTION_NOT_FOUND = 13
ARGUMENT_VERSION_MISMATCH = 25
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
LIB_RM_VERSION_MISMATCH = 18


class NvmlCallError(Exception):
    """One NVML call failed with ``code``; unlike pynvml's own error it can be compared and hashed."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(name_of(code))


def name_of(code: int) -> str:
    """The name of a code, without the ``NVML_ERROR_`` in front."""
    return CODES[code][0] if code in CODES else f"code {code}"


def scope_of(error: NvmlCallError) -> Scope:
    """How far a failed call reaches."""
    return CODES.get(error.code, CODES[UNKNOWN])[1]


def missing_or_raise(error: NvmlCallError) -> Missing:
    """Why a reading is missing.

    Raises:
        GpuError: the code speaks of the whole card.
        DriverError: the code speaks of the whole driver.
    """
    _, scope, missing = CODES.get(error.code, CODES[UNKNOWN])
    if scope is Scope.CARD:
        raise GpuError(name_of(error.code), code=error.code, lost=True) from error
    if scope is Scope.DRIVER:
        raise_driver(error)
    return missing


def raise_driver(error: NvmlCallError, *, restart: bool = False) -> NoReturn:
    """Raise the error of the whole driver that a failed call stands for."""
    raise DriverError(name_of(error.code), code=error.code, restart=restart) from error
