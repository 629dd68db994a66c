"""The simulated node behind the door that real cards stand behind."""

import threading
from dataclasses import replace
from typing import Any

from agent.devices.simulated.faults import (
    Fault,
    FaultKind,
    energy_span_ns,
    happening,
    jumped_mj,
    refused_readings,
)
from agent.devices.simulated.node import Card, SimulatedNode, cards_of
from agent.errors import DriverError, GpuError
from agent.ports import Clock, DeviceSource, Session
from agent.samples.device import GpuIdentity, GpuSample
from agent.samples.reading import Missing
from agent.units import NANOSECONDS_PER_SECOND

UNINITIALIZED = 1
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
GPU_IS_LOST = 15
UNKNOWN = 999
"""NVML return codes. Source: nvml.h, hardware.md 1.2."""

HANG_POLL_S = 0.05
DRIVER_BYTES = 4 << 20
"""What a card without any process shows as used, below 1 % of every model. Judgement."""


class SimulatedSource(DeviceSource):
    """Readings of a ``SimulatedNode`` at the time of ``clock``.

    ``release`` frees readers that hang; one reader thread at a time, as for any source.
    """

    def __init__(self, clock: Clock, node: SimulatedNode) -> None:
        self._clock = clock
        self._node = node
        self._cards = cards_of(node)
        self._by_uuid = {card.identity.uuid: card for card in self._cards}
        self._driver_faults = tuple(f for f in node.faults if f.kind is FaultKind.DRIVER_DOWN)
        self._opened_ns: int | None = None
        self.release = threading.Event()

    @property
    def kind(self) -> str:
        """``simulated``."""
        return "simulated"

    def open(self) -> Session:
        """Start anew; see ``DeviceSource``.

        Raises:
            DriverError: an injected fault has the driver down.
        """
        now_ns = self._node.simulated_ns(self._clock.now())
        if happening(self._driver_faults, FaultKind.DRIVER_DOWN, now_ns):
            self._opened_ns = None
            raise DriverError("driver not loaded (simulated)", code=DRIVER_NOT_LOADED)
        self._opened_ns = now_ns
        return Session(self._node.driver_version, len(self._cards), self.census())

    def identify(self, index: int) -> GpuIdentity:
        """Name a card; one that is lost is listed by the driver but does not open.

        Raises:
            GpuError: it is lost.
        """
        card = self._cards[index]
        if happening(card.faults, FaultKind.LOST, self._node.simulated_ns(self._clock.now())):
            raise GpuError("fell off the bus (simulated)", code=GPU_IS_LOST, lost=True)
        return card.identity

    def census(self) -> int:
        """The number of cards, which does not change."""
        return len(self._cards)

    def read(self, uuid: str) -> GpuSample:
        """What the card with this UUID reads now.

        Raises:
            GpuError: there is none, or an injected fault keeps it from answering.
            DriverError: not open, or an injected fault had the driver down since it was opened.
        """
        now = self._clock.now()
        now_ns = self._node.simulated_ns(now)
        opened_ns = self._require_driver(now_ns)
        card = self._by_uuid.get(uuid)
        if card is None:
            raise GpuError("no such card (simulated)", code=NOT_FOUND)
        if card.faults:
            if hang := happening(card.faults, FaultKind.HANG, now_ns):
                self._hang(hang)
                now = self._clock.now()
                now_ns = self._node.simulated_ns(now)
            _require_card(card, now_ns, opened_ns)
        return sample_of(card, now_ns, now.boottime_ns)

    def close(self) -> None:
        """Let go of the driver; readers that hang go on hanging, as real ones would."""
        self._opened_ns = None

    def _require_driver(self, now_ns: int) -> int:
        """When it was opened, in simulated time, if that still holds."""
        if self._opened_ns is None:
            raise DriverError("not open (simulated)", code=UNINITIALIZED)
        for fault in self._driver_faults:
            if fault.bars(now_ns, self._opened_ns):
                code = DRIVER_NOT_LOADED if fault.covers(now_ns) else UNINITIALIZED
                raise DriverError("driver went away (simulated)", code=code)
        return self._opened_ns

    def _hang(self, fault: Fault) -> None:
        while fault.covers(self._node.simulated_ns(self._clock.now())):
            if self.release.wait(HANG_POLL_S):
                return


def _require_card(card: Card, now_ns: int, opened_ns: int) -> None:
    for fault in card.faults:
        if fault.kind is FaultKind.LOST and fault.bars(now_ns, opened_ns):
            raise GpuError("fell off the bus (simulated)", code=GPU_IS_LOST, lost=True)
        if fault.kind is FaultKind.GAP and fault.covers(now_ns):
            raise GpuError("unknown error (simulated)", code=UNKNOWN)


def sample_of(card: Card, simulated_ns: int, boottime_ns: int) -> GpuSample:
    """What the card's driver says at this simulated time, stamped with the agent's own."""
    second = simulated_ns // NANOSECONDS_PER_SECOND
    since_ns, until_ns = energy_span_ns(card.faults, simulated_ns)
    course = card.course
    # Before the last start of the counter nothing counts: the integral is subtracted whole.
    since_mj = course.energy_mj(since_ns) if since_ns else 0
    sample = GpuSample(
        uuid=card.identity.uuid,
        boottime_ns=boottime_ns,
        utilization_percent=course.utilization_percent(second),
        memory_used_bytes=DRIVER_BYTES + card.memory_held_bytes,
        memory_total_bytes=card.model.memory_total_bytes,
        power_mw=course.power_mw(second),
        power_limit_mw=card.model.power_limit_mw,
        energy_mj=course.energy_mj(until_ns) - since_mj + jumped_mj(card.faults, simulated_ns),
        temperature_celsius=course.temperature_celsius(second),
        processes=card.processes(simulated_ns),
    )
    if refused := card.model.unsupported | refused_readings(card.faults, simulated_ns):
        missing: dict[str, Any] = dict.fromkeys(refused, Missing.NOT_SUPPORTED)
        return replace(sample, **missing)
    return sample
