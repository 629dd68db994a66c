"""The doors between the core and the world, as Protocols."""

from dataclasses import dataclass
from typing import Protocol

from agent.ledger.batch import Batch, News, Recovered
from agent.samples.device import GpuIdentity, GpuSample
from agent.samples.instant import Instant
from agent.view import View


class Clock(Protocol):
    """The only reader of time."""

    def now(self) -> Instant:
        """This moment."""
        ...


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the driver lists; ``unreadable`` counts cards it lists but would not identify."""

    driver_version: str
    gpus: tuple[GpuIdentity, ...]
    unreadable: int = 0


class DeviceSource(Protocol):
    """The cards of this node.

    Called by one reader thread at a time, never by the tick thread or a scrape: any call may block
    for ever in a driver.
    """

    @property
    def kind(self) -> str:
        """Where readings come from: ``nvml``, ``simulated`` or ``replay``."""
        ...

    def open(self) -> Inventory:
        """Start, or start anew, the driver library and list the cards.

        Raises:
            DriverError: the driver does not answer.
        """
        ...

    def read(self, uuid: str) -> GpuSample:
        """Read one card; a reading it cannot give is a ``Missing`` with its reason.

        Raises:
            GpuError: this card does not answer.
            DriverError: no card answers any more; open again.
        """
        ...

    def close(self) -> None:
        """Let go of the driver; never raises."""
        ...


class LedgerStore(Protocol):
    """The book of record of one node; one writer."""

    def recover(self) -> Recovered:
        """All that is needed to go on where the last process stopped.

        Without a ``ledger_id`` when the ledger cannot be used now.
        """
        ...

    def reopen(self) -> Recovered | None:
        """The same of a ledger that could not be used and can be now; None when there is no such change.

        Raises:
            LedgerError: it still cannot be used.
        """
        ...

    def write(self, batch: Batch) -> None:
        """Add a batch in one transaction: all of it or nothing.

        Raises:
            LedgerError: nothing was written; try again later with the same sums.
        """
        ...

    def news(self) -> News | None:
        """What another program wrote since the last look, or None.

        Raises:
            LedgerError: it cannot be read now.
        """
        ...

    def close(self) -> None:
        """Let go of the file and its lock."""
        ...


class ViewProvider(Protocol):
    """Where scrapes get the current picture."""

    def current(self) -> View | None:
        """The last published view, or None before the first tick."""
        ...
