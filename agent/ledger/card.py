"""One expected card between two ticks."""

from dataclasses import dataclass, field

from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample
from agent.usage.energy import EnergyMeter
from agent.usage.state import Activity


@dataclass(frozen=True, slots=True)
class UnfilledEnergy:
    """A gap whose time is booked and whose energy waits for the device counter's first reading."""

    start_wall_ns: int
    end_wall_ns: int


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
    filled_ns: int | None = None
    unfilled: UnfilledEnergy | None = None

    @property
    def labels(self) -> tuple[str, str]:
        """The labels ``uuid`` and ``gpu``."""
        return (self.identity.uuid, str(self.identity.index))


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
