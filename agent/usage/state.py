"""In which state a card spent the time up to a tick: exactly one of five, decided causally."""

from dataclasses import dataclass, replace
from enum import StrEnum

from agent.samples.device import FaultReason, GpuFault, GpuSample
from agent.samples.reading import Missing
from agent.units import nanoseconds


class CardState(StrEnum):
    """What a paid-for card was doing."""

    ACTIVE = "active"
    HELD = "held"
    """Somebody holds it (a process, a loaded model) and it computes nothing."""
    IDLE = "idle"
    """Nobody holds it."""
    UNKNOWN = "unknown"
    """It could not be read, or the agent was not there."""
    DOWN = "down"
    """Expected, paid for, not answering."""


STATE_CODES: dict[CardState, int] = {
    CardState.DOWN: 0,
    CardState.UNKNOWN: 1,
    CardState.IDLE: 2,
    CardState.HELD: 3,
    CardState.ACTIVE: 4,
}
"""Values of ``gpufin_gpu_state``."""

IDLE_STATES = frozenset({CardState.HELD, CardState.IDLE})
"""States in which a card is paid for, known to be well, and computes nothing."""


@dataclass(frozen=True, slots=True)
class ActivityPolicy:
    """When a card counts as working."""

    active_percent: int = 5
    """Utilisation from which on a sample is active."""
    idle_after_ns: int = nanoseconds(60)
    """How long ``active`` persists after the last activity (checkpoints, gaps between batches)."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What must be remembered of one card between ticks.

    ``quiet_ns`` is the time without activity so far, None before the first valid sample;
    unreadable time is not counted into it.
    ``idle_since_ns`` is when the present spell of held or idle began, on the boot clock, which never steps;
    None in any other state.
    """

    quiet_ns: int | None = None
    idle_since_ns: int | None = None
    state: CardState = CardState.UNKNOWN


def next_activity(
    before: Activity,
    report: GpuSample | GpuFault | None,
    *,
    elapsed_ns: int,
    now_ns: int,
    policy: ActivityPolicy,
) -> Activity:
    """The state of the ``elapsed_ns`` that end at ``now_ns``, from this and earlier samples only.

    A card first seen quiet counts as quiet for long: what came before is not ours to claim.
    An unreadable card is ``unknown`` (``down`` when lost or vanished); its quiet time stands still.
    """
    if not isinstance(report, GpuSample):
        return replace(before, state=_absent_state(report), idle_since_ns=None)
    utilization = report.utilization_percent
    if isinstance(utilization, Missing):
        return replace(before, state=CardState.UNKNOWN, idle_since_ns=None)
    if utilization >= policy.active_percent:
        return Activity(quiet_ns=0, state=CardState.ACTIVE)
    unheard_ns = policy.idle_after_ns + 1 if before.quiet_ns is None else before.quiet_ns
    quiet_ns = unheard_ns + elapsed_ns
    if quiet_ns <= policy.idle_after_ns:  # the interval that ends right then is active still
        return Activity(quiet_ns=quiet_ns, state=CardState.ACTIVE)
    state = _quiet_state(report)
    since = now_ns - elapsed_ns if before.idle_since_ns is None else before.idle_since_ns
    return Activity(
        quiet_ns=quiet_ns, idle_since_ns=since if state in IDLE_STATES else None, state=state
    )


def _absent_state(report: GpuFault | None) -> CardState:
    if report is None:
        return CardState.UNKNOWN
    gone = report.reason in {FaultReason.LOST, FaultReason.VANISHED, FaultReason.DRIVER}
    return CardState.DOWN if gone else CardState.UNKNOWN


def _quiet_state(sample: GpuSample) -> CardState:
    if sample.processes is Missing.NOT_SUPPORTED:
        return CardState.IDLE  # it has no process list; that it is quiet is known all the same
    # A failed process query is not "nobody is there": whether the card is held is unknown.
    if isinstance(sample.processes, Missing):
        return CardState.UNKNOWN
    return CardState.HELD if sample.processes else CardState.IDLE
