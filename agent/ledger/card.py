"""One expected card between two ticks."""

from dataclasses import dataclass, field, replace

from agent.ledger.fill import Checkpoint, Gap, Moment
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample, fault_of
from agent.samples.instant import Instant
from agent.samples.reading import Missing
from agent.usage.energy import EnergyAnomaly, EnergyMeter, EnergyStep, advance
from agent.usage.state import Activity

GONE = frozenset({FaultReason.LOST, FaultReason.VANISHED})
"""A card that is down by itself; without a driver nothing is known of it."""


@dataclass(slots=True)
class Card:
    """What the account remembers of a card; ``given_to`` is its team, empty when it has none."""

    identity: GpuIdentity
    given_to: str
    last_seen_wall_ns: int
    met: Instant
    """When this process began to book it."""
    booked_until_boottime_ns: int
    report: GpuSample | GpuFault
    activity: Activity = field(default_factory=Activity)
    meter: EnergyMeter = field(default_factory=EnergyMeter)
    down_ns: int = 0
    """For how long it has been down while the driver answered."""
    gaps: tuple[Gap, ...] = ()
    """Time before this process that is not booked.  It waits until the driver has said whether the card
    is there and, after a reboot, until the clock can be trusted."""
    told_to_wait: bool = False
    """The operator knows that it waits."""
    filled_ns: int | None = None
    first: GpuSample | None = None
    """The first sample of this process: where its own metering began."""
    resumed: bool = False
    """The meter goes on from an earlier process, and the counter has not moved since."""

    @property
    def labels(self) -> tuple[str, str]:
        """The labels ``uuid`` and ``gpu``."""
        return (self.identity.uuid, str(self.identity.index))

    @property
    def sought(self) -> bool:
        """Whether the driver has not said yet if it is there."""
        return fault_of(self.report) is FaultReason.OPENING

    def hear(self, report: GpuSample | GpuFault) -> GpuSample | GpuFault:
        """What to make of a report: where no time was left to ask, a fault told before goes on."""
        unasked = fault_of(report) is FaultReason.NO_TIME
        return self.report if unasked and fault_of(self.report) is not None else report

    def metered(self, max_gap_ns: int) -> tuple[EnergyStep, EnergyAnomaly | None]:
        """The energy since the sample before, from the report at hand, and what was odd about it."""
        sample = self.report
        if not isinstance(sample, GpuSample):
            return EnergyStep(None, self.meter.method), None
        self.first = self.first or sample
        counter_at_ns = self.meter.counter_at_ns
        self.meter, step = advance(self.meter, sample, max_gap_ns=max_gap_ns)
        if self.resumed and self.meter.counter_at_ns != counter_at_ns:
            self.resumed = False
            if step.anomaly is EnergyAnomaly.RESET:  # what was used before it nobody knows
                return EnergyStep(None, step.method), step.anomaly
        return step, step.anomaly

    def checkpoint(self, last: Moment, machine_id: str) -> Checkpoint:
        """Up to when it is booked, with what is still open before; ``last`` is the last tick."""
        meter = self.meter
        # What a frozen or silent counter holds back is booked already, by power.
        resumable = not meter.frozen and not meter.bridged_mj
        until_ns = self.booked_until_boottime_ns
        wall_ns = last.at.wall_ns - (last.at.boottime_ns - until_ns)
        return Checkpoint(
            uuid=self.identity.uuid,
            model=self.identity.model,
            until=Instant(until_ns, wall_ns),
            boot_id=last.boot_id,
            machine_id=machine_id,
            energy_mj=meter.counter_mj if resumable else None,
            energy_at_ns=meter.counter_at_ns if resumable else 0,
            trusted=last.trusted,
            gaps=self.gaps,
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


def still_known(now: GpuIdentity, before: GpuIdentity) -> GpuIdentity:
    """A card as the driver names it now; what it does not tell any more stays as it was."""
    memory = now.memory_total_bytes
    return replace(
        now,
        model=now.model or before.model,
        pci_bus_id=now.pci_bus_id or before.pci_bus_id,
        memory_total_bytes=before.memory_total_bytes if isinstance(memory, Missing) else memory,
    )
