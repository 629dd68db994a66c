"""How much time the agent was away, and whether that time may be booked after the fact.

The meter of a rented or owned card runs while the agent is down; what it cost is known, what the
card did is not.  Such time is booked as ``unknown`` and marked filled, into the ledger alone.
"""

from dataclasses import dataclass

from agent.cost.prices import Tier
from agent.samples.instant import Instant

WITHOUT_LIMIT = frozenset({Tier.OWNED, Tier.RESERVED})
"""Paid for whether the node runs or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What tells this machine and this boot apart from others."""

    machine_id: str
    boot_id: str
    clock_synchronized: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Up to when a card has been booked, written in the same transaction as the money."""

    uuid: str
    model: str
    until: Instant
    boot_id: str
    machine_id: str
    energy_mj: int | None
    """The device's own counter when it was last read, None where it has none."""
    energy_at_ns: int = 0
    """When that was, on the boot clock: earlier than ``until`` when the card did not answer."""


@dataclass(frozen=True, slots=True)
class NotFilled:
    """Why a gap stays empty; ``later`` when the reason may go away."""

    reason: str
    later: bool = False


def gap_to_fill(
    checkpoint: Checkpoint, *, now: Instant, host: Host, tier: Tier | None, max_fill_ns: int
) -> int | NotFilled:
    """The time since a checkpoint that may be booked, ending now, in nanoseconds.

    Within one boot the boot clock measures the gap, so the wall clock need not be trusted.
    """
    if checkpoint.machine_id != host.machine_id:
        return NotFilled("the ledger comes from another machine")
    if host.boot_id and checkpoint.boot_id == host.boot_id:
        return max(0, now.boottime_ns - checkpoint.until.boottime_ns)
    if not host.machine_id:
        return NotFilled("the machine has no id that would tell it from a copy of it")
    duration_ns = now.wall_ns - checkpoint.until.wall_ns
    return _over_a_reboot(duration_ns, host=host, tier=tier, max_fill_ns=max_fill_ns)


def _over_a_reboot(
    duration_ns: int, *, host: Host, tier: Tier | None, max_fill_ns: int
) -> int | NotFilled:
    """Across boots only the wall clock tells: synchronised, and not behind the last row.

    A card rented by the hour (``tier`` on demand, spot or None) is filled only up to ``max_fill_ns``:
    a stopped instance is not paid for.
    """
    if not host.clock_synchronized:
        return NotFilled("the machine was rebooted and its clock is not synchronised", later=True)
    if duration_ns < 0:
        return NotFilled("the clock is behind the last ledger row")
    if tier not in WITHOUT_LIMIT and duration_ns > max_fill_ns:
        return NotFilled(
            "the machine was off for longer than max_fill, and a stopped instance is not paid for"
        )
    return duration_ns


def counter_goes_on(checkpoint: Checkpoint, host: Host) -> bool:
    """Whether the device's own counter can be compared with a checkpoint's: one boot of one machine."""
    same_boot = checkpoint.boot_id == host.boot_id and checkpoint.machine_id == host.machine_id
    return bool(host.boot_id) and same_boot and checkpoint.energy_mj is not None
