"""How much time the agent was away, and whether that time may be booked after the fact.

The meter of a rented or owned card runs while the agent is down; what it cost is known, what the
card did is not.  Such time is booked as ``unknown`` and marked filled, into the ledger alone.

A gap that cannot be measured yet stays with the checkpoint of its card, so that no restart loses it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.samples.instant import Instant
from agent.units import NANOSECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What tells this machine and this boot apart from others."""

    machine_id: str
    boot_id: str
    clock_synchronized: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of one boot; ``trusted`` when a synchronised clock vouches for its wall time."""

    boot_id: str
    at: Instant
    trusted: bool

    def shares_boot_with(self, other: "Moment") -> bool:
        """Whether the boot clock measures the time between both; two empty ids prove nothing."""
        return bool(self.boot_id) and self.boot_id == other.boot_id

    def seen_from(self, now: "Moment") -> "Moment":
        """The same moment with the wall time that the boot clock gives it, counted back from ``now``."""
        if not self.shares_boot_with(now) or (self.trusted and not now.trusted):
            return self
        ago_ns = now.at.boottime_ns - self.at.boottime_ns
        return Moment(
            self.boot_id, Instant(self.at.boottime_ns, now.at.wall_ns - ago_ns), now.trusted
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that nobody has booked: from an earlier process's checkpoint to when a later one met the card."""

    start: Moment
    end: Moment

    @property
    def within_boot(self) -> bool:
        """Whether the boot clock alone measures it."""
        return self.start.shares_boot_with(self.end)

    def lies_in_hour_of(self, moment: "Moment") -> bool:
        """Whether it lies in the boot and UTC hour of a moment."""
        hours = {each.at.wall_ns // NANOSECONDS_PER_HOUR for each in (self.start, self.end, moment)}
        return self.end.shares_boot_with(moment) and len(hours) == 1

    @property
    def boottime_ns(self) -> int:
        """Its length by the boot clock, for a gap within one boot."""
        return max(0, self.end.at.boottime_ns - self.start.at.boottime_ns)


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
    trusted: bool = True
    """Whether a synchronised clock vouches for the wall time of ``until``."""
    gaps: tuple[Gap, ...] = ()
    """What is not booked of the time before ``until``, in the order of time."""


@dataclass(slots=True)
class TrueTime:
    """By how much the wall is ahead of this boot's clock, once a synchronised clock has told.

    What it told holds until the next boot, whatever somebody sets the clock to afterwards.
    """

    offset_ns: int | None = None

    def learn(self, now: Instant, host: Host) -> None:
        """Take what the clock shows, if it can be trusted now."""
        if host.clock_synchronized:
            self.offset_ns = now.wall_ns - now.boottime_ns

    def recall(self, checkpoint: Checkpoint, host: Host) -> None:
        """Take what an earlier process of this boot knew."""
        known = checkpoint.trusted and same_boot(checkpoint, host)
        if known and self.offset_ns is None:
            self.offset_ns = checkpoint.until.wall_ns - checkpoint.until.boottime_ns

    def moment(self, at: Instant, host: Host) -> Moment:
        """A moment of this boot, with its true wall time if that is known."""
        if self.offset_ns is None:
            return Moment(host.boot_id, at, trusted=False)
        true = Instant(at.boottime_ns, at.boottime_ns + self.offset_ns)
        return Moment(host.boot_id, true, trusted=True)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time of a gap, placed on the wall (UTC nanoseconds); ``rebooted``: the machine was off in it."""

    start_ns: int
    end_ns: int
    trusted: bool
    rebooted: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """What gaps have turned out to be: stretches, gaps that cannot be measured yet, and why others never."""

    stretches: tuple[Stretch, ...]
    waiting: tuple[Gap, ...]
    refused: tuple[str, ...]


def same_boot(checkpoint: Checkpoint, host: Host) -> bool:
    """Whether a checkpoint is of this boot of this machine: its boot clock and counters have gone on."""
    same = checkpoint.boot_id == host.boot_id and checkpoint.machine_id == host.machine_id
    return bool(host.boot_id) and same


def counter_goes_on(checkpoint: Checkpoint, host: Host) -> bool:
    """Whether the device's own counter can be compared with a checkpoint's."""
    return same_boot(checkpoint, host) and checkpoint.energy_mj is not None


def gaps_since(checkpoint: Checkpoint, met: Moment, host: Host) -> tuple[tuple[Gap, ...], str]:
    """What is unbooked before ``met``, and why the time since the checkpoint is not in it, or empty."""
    if checkpoint.machine_id != host.machine_id:
        return (), "the ledger comes from another machine"
    before = checkpoint.gaps
    gap = Gap(Moment(checkpoint.boot_id, checkpoint.until, checkpoint.trusted), met)
    if not gap.within_boot:
        if not host.machine_id:
            return before, "the machine has no id that would tell it from a copy of it"
        return (*before, gap), ""
    if before and before[-1].within_boot and before[-1].lies_in_hour_of(met):
        # A process that starts again each minute while the driver hangs must not pile them up.
        # Within an hour only: merging moves what was booked between to the front.
        boottime_ns = gap.start.at.boottime_ns - before[-1].boottime_ns
        wall_ns = gap.start.at.wall_ns - before[-1].boottime_ns
        start = Moment(gap.start.boot_id, Instant(boottime_ns, wall_ns), gap.start.trusted)
        return (*before[:-1], Gap(start, met)), ""
    return (*before, gap), ""


def measure(gaps: Sequence[Gap], now: Moment) -> Measured:
    """How long gaps are and where they lie, as far as that can be known now.

    Within one boot the boot clock measures a gap, so the wall clock need not be trusted.
    Across boots only the wall clock tells, trusted at both ends and not behind the last row.
    Between boots in which it never was, gaps are measured together.
    """
    stretches: list[Stretch] = []
    refused: list[str] = []
    chain: list[Gap] = []
    for gap in (Gap(gap.start.seen_from(now), gap.end.seen_from(now)) for gap in gaps):
        if gap.within_boot:
            end_ns = gap.end.at.wall_ns
            start_ns = end_ns - gap.boottime_ns
            stretches.append(Stretch(start_ns, end_ns, gap.end.trusted, rebooted=False))
            continue
        chain.append(gap)
        if gap.end.trusted:
            why_not = _refusal(chain)
            if why_not:
                refused.append(why_not)
            else:
                stretches += _over_reboots(chain)
            chain = []
    return Measured(tuple(stretches), tuple(chain), tuple(refused))


def _refusal(chain: Sequence[Gap]) -> str:
    if not chain[0].start.trusted:
        return "the clock was not synchronised when the last run ended"
    return "the clock is behind the last ledger row" if _away_ns(chain) < 0 else ""


def _away_ns(chain: Sequence[Gap]) -> int:
    """The whole time less what was booked in it: each boot's time by its own clock."""
    booked_ns = sum(
        after.start.at.boottime_ns - before.end.at.boottime_ns for before, after in pairwise(chain)
    )
    return chain[-1].end.at.wall_ns - chain[0].start.at.wall_ns - booked_ns


def _over_reboots(chain: Sequence[Gap]) -> Iterator[Stretch]:
    """Where the clocks between do not contradict the trusted ends they are believed, for the places only."""
    end_ns, rest_ns = chain[-1].end.at.wall_ns, _away_ns(chain)
    told = [moment.at.wall_ns for gap in chain for moment in (gap.start, gap.end)]
    early_ns = sum(gap.end.at.wall_ns - gap.start.at.wall_ns for gap in chain[:-1])
    if told == sorted(told) and early_ns <= rest_ns:
        rest_ns -= early_ns
        for gap in chain[:-1]:
            wall_ns = gap.start.at.wall_ns, gap.end.at.wall_ns
            yield Stretch(*wall_ns, trusted=True, rebooted=True)
    yield Stretch(end_ns - rest_ns, end_ns, trusted=True, rebooted=True)
