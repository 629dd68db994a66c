"""What names a card, and what else of it hardly changes.

The UUID alone is needed: a card whose name or bus id cannot be read is measured and paid for all the
same, under what is known of it.
"""

from collections.abc import Callable
from typing import TypeVar

from agent.devices.nvml import binding
from agent.devices.nvml.binding import Handle
from agent.devices.nvml.errors import NvmlCallError
from agent.devices.nvml.fields import plausible_memory
from agent.samples.device import GpuIdentity
from agent.samples.reading import Missing, Reading

T = TypeVar("T")


def identity_of(index: int, card: Handle) -> GpuIdentity:
    """Name a card.

    Raises:
        NvmlCallError: it has no UUID to tell.
    """
    memory = _told(binding.memory_bytes, card)
    total: Reading[int] = Missing.NO_DATA
    if memory is not None and plausible_memory(memory):
        total = memory[1]
    return GpuIdentity(
        uuid=binding.uuid(card),
        index=index,
        model=_told(binding.name, card) or "",
        pci_bus_id=_told(binding.pci_bus_id, card) or "",
        memory_total_bytes=total,
        mig_profiles=_told(binding.mig_profiles, card) or (),
    )


def _told(call: Callable[[Handle], T], card: Handle) -> T | None:
    try:
        return call(card)
    except NvmlCallError:
        return None
