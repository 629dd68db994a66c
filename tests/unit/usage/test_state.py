"""In which state a card spent its time."""

import pytest

from agent.samples.device import FaultReason, GpuFault, GpuSample
from agent.samples.reading import Missing
from agent.usage.state import (
    IDLE_STATES,
    STATE_CODES,
    Activity,
    ActivityPolicy,
    CardState,
    next_activity,
)
from tests.builders import PROCESS, SECOND, a_fault, a_sample

WORKING = a_sample(utilization=5)
QUIET = a_sample(utilization=4)
HELD = a_sample(utilization=0, processes=(PROCESS,))
UNREADABLE = a_sample(utilization=Missing.FAILED)


def run(
    *reports: GpuSample | GpuFault | None,
    before: Activity | None = None,
    policy: ActivityPolicy | None = None,
) -> list[Activity]:
    """What follows from one report a second."""
    activity, seen = before or Activity(), []
    for second, report in enumerate(reports):
        activity = next_activity(
            activity,
            report,
            elapsed_ns=SECOND,
            now_ns=second * SECOND,
            policy=policy or ActivityPolicy(),
        )
        seen.append(activity)
    return seen


def states(*reports: GpuSample | GpuFault | None) -> list[CardState]:
    return [activity.state for activity in run(*reports)]


def test_work_is_active_at_once() -> None:
    """Utilisation at 5 % is active, below it is not."""
    assert states(QUIET, WORKING) == [CardState.IDLE, CardState.ACTIVE]


def test_active_persists_for_idle_after() -> None:
    """A pause between batches stays active; after 60 s without activity the card is idle."""
    found = states(WORKING, *[QUIET] * 62)

    assert found[:61] == [CardState.ACTIVE] * 61
    assert found[61:] == [CardState.IDLE] * 2


def test_new_activity_starts_the_time_anew() -> None:
    """A single working sample gives another 60 s."""
    found = states(WORKING, *[QUIET] * 59, WORKING, *[QUIET] * 59)

    assert set(found) == {CardState.ACTIVE}


@pytest.mark.parametrize(("report", "state"), [(HELD, CardState.HELD), (QUIET, CardState.IDLE)])
def test_first_sight_of_a_quiet_card_claims_no_activity(
    report: GpuSample, state: CardState
) -> None:
    """What was before us is not ours to claim: a card first seen quiet is held or idle at once."""
    assert states(report) == [state]


def test_a_process_makes_the_difference_between_held_and_idle() -> None:
    """A quiet card with a process is held, without one idle, and one spell of quiet goes on."""
    found = run(HELD, HELD, QUIET)

    assert [activity.state for activity in found] == ["held", "held", "idle"]
    assert [activity.idle_since_ns for activity in found] == [-SECOND] * 3


@pytest.mark.parametrize(
    "reason", [reason for reason in Missing if reason is not Missing.NOT_SUPPORTED]
)
def test_failed_process_query_is_unknown(reason: Missing) -> None:
    """That nobody could be asked does not mean that nobody is there."""
    assert states(a_sample(processes=reason)) == [CardState.UNKNOWN]


def test_card_without_process_list_is_idle() -> None:
    """Where no process list exists, a quiet card is idle all the same."""
    assert states(a_sample(processes=Missing.NOT_SUPPORTED)) == [CardState.IDLE]


@pytest.mark.parametrize("reason", list(Missing))
def test_unreadable_utilisation_is_unknown(reason: Missing) -> None:
    """Without utilisation nothing is claimed, whatever the reason."""
    assert states(a_sample(utilization=reason)) == [CardState.UNKNOWN]


def test_unreadable_time_pauses_the_timer() -> None:
    """Quiet time before and after unreadable time counts, the unreadable time does not."""
    found = states(WORKING, *[QUIET] * 30, *[UNREADABLE] * 100, *[QUIET] * 31)

    assert found[31:131] == [CardState.UNKNOWN] * 100
    assert found[131:161] == [CardState.ACTIVE] * 30
    assert found[161] is CardState.IDLE


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (FaultReason.LOST, CardState.DOWN),
        (FaultReason.VANISHED, CardState.DOWN),
        (FaultReason.DRIVER, CardState.DOWN),
        (FaultReason.OPENING, CardState.UNKNOWN),
        (FaultReason.HUNG, CardState.UNKNOWN),
        (FaultReason.FAILED, CardState.UNKNOWN),
        (FaultReason.NO_TIME, CardState.UNKNOWN),
    ],
)
def test_fault_is_down_only_when_the_card_is_gone(reason: FaultReason, state: CardState) -> None:
    """Lost, vanished and driverless cards are down; one that hangs or fails is unknown."""
    assert states(a_fault(reason)) == [state]


def test_every_fault_reason_has_a_state() -> None:
    """A reason that is new needs a decision: this list is complete."""
    assert set(FaultReason) == {
        "lost",
        "vanished",
        "driver",
        "opening",
        "hung",
        "failed",
        "no_time",
    }


def test_nothing_said_of_a_card_is_unknown() -> None:
    """Without any report nothing is claimed."""
    assert states(None) == [CardState.UNKNOWN]


def test_idle_since_is_absent_outside_a_spell() -> None:
    """Work, unreadable time and faults end the spell; the next one has a beginning of its own."""
    found = run(QUIET, UNREADABLE, QUIET, a_fault(FaultReason.LOST), QUIET, WORKING)

    since = [activity.idle_since_ns for activity in found]
    assert since == [-SECOND, None, SECOND, None, 3 * SECOND, None]  # from the interval's start


def test_idle_since_is_absent_while_the_state_is_unknown() -> None:
    """A quiet card whose processes cannot be listed is neither held nor idle."""
    found = run(QUIET, a_sample(processes=Missing.FAILED), QUIET)

    assert [activity.idle_since_ns for activity in found] == [-SECOND, None, SECOND]


def test_idle_after_of_zero_is_idle_at_once() -> None:
    """The operator may want no grace at all."""
    policy = ActivityPolicy(idle_after_ns=0)

    assert run(WORKING, QUIET, policy=policy)[-1].state is CardState.IDLE


def test_threshold_is_the_operators() -> None:
    """Utilisation below the configured percentage is no activity."""
    assert run(WORKING, policy=ActivityPolicy(active_percent=6))[-1].state is CardState.IDLE


def test_state_codes_are_the_contract() -> None:
    """Boards and rules know the codes; every state has one of its own."""
    assert STATE_CODES == {"down": 0, "unknown": 1, "idle": 2, "held": 3, "active": 4}
    assert {"held", "idle"} == IDLE_STATES
