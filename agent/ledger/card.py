"""One expected card between two ticks."""

from dataclasses import dataclass, field

from agent.ledger.fill import Checkpoint, Host
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample
from agent.samples.instant import Instant
from agent.usage.energy import EnergyMeter
from agent.usage.state import Activity


@dataclass(frozen=True, slots=True)
class UnfilledEnergy:
    """A gap whose time is booked and whose energy waits for the device counter's first reading."""

    start_wall_ns: int
    end_wall_ns: int


@dataclass(frozen=True, slots=True)
class Away:
    """The time from an earlier process's checkpoint to the moment this one met the card, not filled yet.

    It waits until the driver has said whether the card is there and, after a reboot, until the clock
    can be trusted; ``told`` when the operator knows that it waits.
    """

    checkpoint: Checkpoint
    until_boottime_ns: int
    told: bool = False


@dataclass(slots=True)
class Card:
    """What the account remembers of a card; ``given_to`` is its team, empty when it has none."""

    identity: GpuIdentity
    given_to: str
    last_seen_wall_ns: int
    booked_until_boottime_ns: int
    report: GpuSample | GpuFault
    activity: Activity = field(default_factory=Activity)
    meter: EnergyMeter = field(default_factory=EnergyMeter)
    down_ns: int = 0
    """For how long it has been down while the driver answered."""
    away: Away | None = None
    filled_ns: int | None = None
    unfilled: UnfilledEnergy | None = None

    @property
    def labels(self) -> tuple[str, str]:
        """The labels ``uuid`` and ``gpu``."""
        return (self.identity.uuid, str(self.identity.index))

    def checkpoint(self, wall_ns: int, host: Host) -> Checkpoint:
        """Up to when it is booked; ``wall_ns`` is that moment on the wall clock."""
        meter = self.meter
        # What a frozen or silent counter holds back is booked already, by power.
        resumable = not meter.frozen and not meter.bridged_mj
        return Checkpoint(
            uuid=self.identity.uuid,
            model=self.identity.model,
            until=Instant(self.booked_until_boottime_ns, wall_ns),
            boot_id=host.boot_id,
            machine_id=host.machine_id,
            energy_mj=meter.counter_mj if resumable else None,
            energy_at_ns=meter.counter_at_ns if resumable else 0,
        )


def report_of(uuid: str, node: NodeSample) -> GpuSample | GpuFault:
    """What a node sample says of an expected card, also when it does not name it."""
    report = node.reports.get(uuid)
    if report is not None:
        return report
    if not node.settled:
        return GpuFault(uuid, FaultReason.HUNG)
    return GpuFault(
        uuid, FaultReason.VANISHED if node.driver_up else FaultReason.DRIVER, node.driver_code
    )
