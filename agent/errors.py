"""Errors of the agent.

::

    GpufinError
     ├── ConfigError        the operator's input is wrong; holds every fault        (exit code 2)
     ├── DriverError        the driver or its library does not answer as a whole
     ├── GpuError           one card does not answer
     ├── LedgerError        the ledger cannot be opened or written
     └── TryAgain           only a new process can help; a supervisor restarts us   (exit code 75)
"""

from dataclasses import dataclass

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75
"""``EX_TEMPFAIL`` of sysexits.h."""


class GpufinError(Exception):
    """Any error this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file: where, what, and what would be right."""

    file: str
    key: str
    problem: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.problem}"


class ConfigError(GpufinError):
    """The operator's input is wrong; ``faults`` lists everything that is."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class DriverError(GpufinError):
    """The driver or its library does not answer as a whole.

    ``code`` is the NVML return code, or None where the source has none.
    ``restart`` says that only a new process can help.
    """

    def __init__(self, reason: str, *, code: int | None = None, restart: bool = False) -> None:
        self.reason = reason
        self.code = code
        self.restart = restart
        super().__init__(reason if code is None else f"{reason} (NVML code {code})")


class GpuError(GpufinError):
    """One card does not answer; ``lost`` when it fell off the bus or needs a reset."""

    def __init__(self, reason: str, *, code: int | None = None, lost: bool = False) -> None:
        self.reason = reason
        self.code = code
        self.lost = lost
        super().__init__(reason if code is None else f"{reason} (NVML code {code})")


class LedgerError(GpufinError):
    """The ledger cannot be opened or written."""


class TryAgain(GpufinError):  # noqa: N818 - named after the exit status it stands for
    """Only a new process can help; the supervisor restarts us."""
