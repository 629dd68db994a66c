"""What is concluded from the answers of a cycle."""

import pytest

from agent.errors import DriverError
from agent.ports import Session
from agent.runtime.roster import Roster
from agent.runtime.shift import OPEN, Job, Task
from agent.samples.device import FaultReason, GpuFault, GpuIdentity
from tests.builders import SECOND


@pytest.fixture
def roster() -> Roster:
    """A session of cards A and B, both named, nothing read in this cycle."""
    roster = Roster()
    roster.take(OPEN, Session("1.2", 2), 0)
    for index, uuid in enumerate("AB"):
        identity = GpuIdentity(uuid=uuid, index=index, model="M", pci_bus_id="0")
        roster.take(Job(Task.NAME, index=index), identity, 0)
    return roster


def gone(code: int = 1) -> DriverError:
    return DriverError("UNINITIALIZED", code=code)


@pytest.mark.parametrize(("hung", "up"), [((), True), (("B",), False)])
def test_the_only_card_heard_does_not_speak_for_one_there_was_no_time_for(
    roster: Roster, hung: tuple[str, ...], up: bool
) -> None:
    """Whether the driver is gone waits for the other to be asked, unless that one cannot answer."""
    roster.take(Job(Task.READ, "A"), gone(), SECOND)

    roster.settle(SECOND, waiting=False, hung=hung)

    assert (roster.session is not None) is up


def test_two_cards_that_agree_are_believed(roster: Roster) -> None:
    """Nobody contradicts them."""
    for uuid in "AB":
        roster.take(Job(Task.READ, uuid), gone(), SECOND)

    roster.settle(SECOND, waiting=False, hung=())

    assert roster.session is None
    assert roster.error is not None
    assert roster.error.code == 1


def test_a_known_card_that_cannot_be_named_anew_is_not_missing(roster: Roster) -> None:
    """No session is opened for it: its readings tell whether it is there."""
    roster.expected = {"A", "B"}
    roster.take(Job(Task.NAME, index=1), GpuFault("", FaultReason.FAILED, 999), SECOND)

    roster.settle(SECOND, waiting=False, hung=())

    jobs = roster.jobs(3 * SECOND, alone=True, busy=lambda _: False)
    assert OPEN not in jobs
    assert {job.uuid for job in jobs} == {"A", "B"}
