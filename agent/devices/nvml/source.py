"""The cards of this node through NVML.

Runs on reader threads alone.  What a card can tell is probed on the card itself each time it is named,
never concluded from its family: virtualisation, MIG and drivers change the answer.
"""

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from agent.devices.nvml import binding
from agent.devices.nvml.binding import Handle
from agent.devices.nvml.errors import (
    DRIVER_NOT_LOADED,
    LIB_RM_VERSION_MISMATCH,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    UNKNOWN,
    NvmlCallError,
    Scope,
    missing_or_raise,
    name_of,
    raise_driver,
    scope_of,
)
from agent.devices.nvml.fields import READINGS, ReadingRow, Value
from agent.devices.nvml.identity import identity_of
from agent.errors import GpuError
from agent.ports import Clock, DeviceSource, Session
from agent.samples.device import GpuIdentity, GpuSample
from agent.samples.reading import Missing

_NO_DRIVER = frozenset({DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND})
_REFUSED = frozenset({NO_PERMISSION, UNKNOWN})
_KERNEL_LIST = Path("/proc/driver/nvidia/gpus")
"""One directory for each card that the kernel module drives.  A session of NVML may go on to count the
cards there were when it began."""
_BROKEN = frozenset({Missing.FAILED, Missing.TIMEOUT})


@dataclass(slots=True)
class _Card:
    handle: Handle
    unsupported: set[str] = field(default_factory=set)
    """Calls that need not be made again."""


class NvmlSource(DeviceSource):
    """``DeviceSource`` over the NVML library of this machine."""

    kind = "nvml"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cards: dict[str, _Card] = {}
        self._begun = False
        self._was_open = False
        self._saw_no_driver = False
        self._census: Hashable = None

    def open(self) -> Session:
        """Start a new session; see ``DeviceSource``."""
        binding.refuse_look_alike()
        self.close()
        try:
            binding.init()
        except NvmlCallError as error:
            raise_driver(error, restart=self._only_a_new_process_helps(error.code))
        self._begun = True
        try:
            count = binding.count()
        except NvmlCallError as error:
            raise_driver(error)
        try:
            version = binding.driver_version()
        except NvmlCallError:
            version = ""  # nothing depends on it
        self._was_open = True
        self._census = (count, _listed_by_the_kernel())
        return Session(version, count, self._census)

    def identify(self, index: int) -> GpuIdentity:
        """Find a card and name it, and forget what it could not tell; see ``DeviceSource``."""
        try:
            handle = binding.handle(index)
            identity = identity_of(index, handle)
        except NvmlCallError as error:
            lost = scope_of(error) is Scope.CARD
            raise GpuError(name_of(error.code), code=error.code, lost=lost) from error
        self._cards[identity.uuid] = _Card(handle)
        return identity

    def census(self) -> Hashable:
        """Cards that the driver counts, and those the kernel has handed to it; see ``DeviceSource``."""
        try:
            self._census = (binding.count(), _listed_by_the_kernel())
        except NvmlCallError as error:
            if scope_of(error) is Scope.DRIVER:
                raise_driver(error)
        return self._census

    def read(self, uuid: str) -> GpuSample:
        """Read one card; see ``DeviceSource``."""
        card = self._cards.get(uuid)
        if card is None:
            raise GpuError("the driver does not list it", lost=True)
        values: dict[str, Any] = {}
        for row in READINGS:
            values.update(zip(row.fields, _read_row(card, row), strict=True))
        missing = {value for value in values.values() if isinstance(value, Missing)}
        if missing & _BROKEN and all(isinstance(value, Missing) for value in values.values()):
            raise GpuError("no reading succeeded")
        return GpuSample(uuid=uuid, boottime_ns=self._clock.now().boottime_ns, **values)

    def close(self) -> None:
        """End the session, if there is one."""
        self._cards = {}
        if self._begun:
            self._begun = False
            with suppress(NvmlCallError):  # the driver went away under it: it is over either way
                binding.shutdown()

    def _only_a_new_process_helps(self, code: int) -> bool:
        if code in _NO_DRIVER:
            self._saw_no_driver = True
            return False
        if code == LIB_RM_VERSION_MISMATCH:
            # The library in this process is from before a driver upgrade and stays loaded.  In a
            # fresh process the same code means that the kernel module is old: restarting is no cure.
            return self._was_open
        # A driver that arrived after us and may not be opened: systemd resolved the device classes of
        # the unit when it started us, before there were any.
        return self._saw_no_driver and code in _REFUSED


def _listed_by_the_kernel() -> tuple[str, ...]:
    try:
        return tuple(sorted(path.name for path in _KERNEL_LIST.iterdir()))
    except OSError:  # no such module, or another kind of driver
        return ()


def _read_row(card: _Card, row: ReadingRow) -> tuple[Value | Missing, ...]:
    width = len(row.fields)
    if row.call in card.unsupported:
        return (Missing.NOT_SUPPORTED,) * width
    try:
        value = row.read(card.handle)
    except NvmlCallError as error:
        missing = missing_or_raise(error)
        if missing is Missing.NOT_SUPPORTED:
            card.unsupported.add(row.call)
        return (missing,) * width
    if not row.plausible(value):
        return (Missing.NO_DATA,) * width
    return cast("tuple[Value, ...]", value) if width > 1 else (value,)
