"""The doors between the core and the world, as Protocols."""

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from agent.errors import GpuError
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
class Session:
    """What the driver says when it is opened: how many cards it lists, and what ``census`` saw then."""

    driver_version: str
    """Empty when the driver would not tell."""
    count: int
    census: Hashable = None


class DeviceSource(Protocol):
    """The cards of this node.

    Called by reader threads, never by the tick thread or a scrape: any call may block for ever in a
    driver.  One thread calls at a time, but that naming a card may go on beside other calls.
    """

    @property
    def kind(self) -> str:
        """Where readings come from: ``nvml``, ``simulated`` or ``replay``."""
        ...

    def open(self) -> Session:
        """Start, or start anew, the driver library; touches no card.

        Raises:
            DriverError: the driver does not answer.
        """
        ...

    def identify(self, index: int) -> GpuIdentity:
        """Find the card at an index and name it; what cannot be told but the UUID is left open.

        Asked again for a card that is known, it looks anew at what may have changed meanwhile.

        Raises:
            GpuError: the card does not open.
        """
        ...

    def census(self) -> Hashable:
        """What differs from before when cards came or went; cheap.

        Raises:
            DriverError: the driver does not answer.
        """
        ...

    def read(self, uuid: str) -> GpuSample:
        """Read one card; a reading it cannot give is a ``Missing`` with its reason.

        Raises:
            GpuError: this card does not answer.
            DriverError: the code speaks of the whole driver; whether that is true, the others tell.
        """
        ...

    def close(self) -> None:
        """Let go of the driver; never raises."""
        ...


def identities_of(source: DeviceSource) -> list[GpuIdentity]:
    """Open a source and name its cards; those that do not open are left out.

    Raises:
        DriverError: the driver does not answer.
    """
    found = []
    for index in range(source.open().count):
        with suppress(GpuError):
            found.append(source.identify(index))
    return found


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
