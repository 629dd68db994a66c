"""What can be made to go wrong."""

import pytest

from agent.devices.simulated.faults import (
    Fault,
    FaultKind,
    counting_since_ns,
    energy_span_ns,
    faults_of,
    refused_readings,
)

SECOND = 1_000_000_000


def a_fault(kind: FaultKind, start_s: int = 10, end_s: int | None = 20) -> Fault:
    return Fault(kind=kind, start_s=start_s, end_s=end_s)


def test_fault_holds_from_start_until_before_its_end() -> None:
    """The start belongs to it, the end does not."""
    fault = a_fault(FaultKind.GAP)

    covered = [fault.covers(second * SECOND) for second in (9, 10, 19, 20)]

    assert covered == [False, True, True, False]


def test_fault_without_end_stays() -> None:
    """What has no end never gets well."""
    assert a_fault(FaultKind.LOST, end_s=None).covers(10**18)


def test_fault_refuses_an_end_before_its_start() -> None:
    """A fault that ends before it starts is a mistake of whoever wrote it."""
    with pytest.raises(ValueError, match="before it starts"):
        a_fault(FaultKind.GAP, start_s=10, end_s=9)


def test_fault_refuses_readings_that_do_not_exist() -> None:
    """A misspelt reading is told at once."""
    with pytest.raises(ValueError, match="power_w"):
        Fault(kind=FaultKind.NOT_SUPPORTED, start_s=0, readings=frozenset({"power_w"}))


def test_fault_of_no_card_touches_every_card() -> None:
    """Without an index a fault is everybody's."""
    everybody = Fault(kind=FaultKind.GAP, start_s=0)
    second = Fault(kind=FaultKind.GAP, start_s=0, card=1)

    assert faults_of((everybody, second), 0) == (everybody,)
    assert faults_of((everybody, second), 1) == (everybody, second)


def test_counter_counts_since_its_last_reset() -> None:
    """Of several resets the latest that has come counts."""
    resets = (a_fault(FaultKind.COUNTER_RESET, 10), a_fault(FaultKind.COUNTER_RESET, 30, 30))

    since = [counting_since_ns(resets, FaultKind.COUNTER_RESET, at * SECOND) for at in (9, 10, 31)]

    assert since == [0, 10 * SECOND, 30 * SECOND]


def test_counter_starts_anew_when_a_lost_card_returns() -> None:
    """A card that fell off the bus was reset: it counts since its return."""
    lost = (a_fault(FaultKind.LOST),)

    assert energy_span_ns(lost, 19 * SECOND) == (0, 19 * SECOND)
    assert energy_span_ns(lost, 25 * SECOND) == (20 * SECOND, 25 * SECOND)


def test_frozen_counter_shows_the_start_of_the_freeze() -> None:
    """While frozen it shows what it showed at the start, and afterwards the truth."""
    frozen = (a_fault(FaultKind.COUNTER_FREEZE),)

    assert energy_span_ns(frozen, 15 * SECOND) == (0, 10 * SECOND)
    assert energy_span_ns(frozen, 21 * SECOND) == (0, 21 * SECOND)


def test_counter_reset_while_frozen_shows_zero() -> None:
    """A reset is stronger than a freeze: the span is empty, never negative."""
    both = (a_fault(FaultKind.COUNTER_FREEZE), a_fault(FaultKind.COUNTER_RESET, 15))

    assert energy_span_ns(both, 17 * SECOND) == (15 * SECOND, 15 * SECOND)


def test_refused_readings_add_up_while_they_last() -> None:
    """Two overlapping faults refuse what either refuses."""
    faults = tuple(
        Fault(kind=FaultKind.NOT_SUPPORTED, start_s=0, end_s=end_s, readings=frozenset({name}))
        for name, end_s in (("power_mw", 10), ("energy_mj", 20))
    )

    assert refused_readings(faults, 5 * SECOND) == {"power_mw", "energy_mj"}
    assert refused_readings(faults, 15 * SECOND) == {"energy_mj"}
    assert refused_readings(faults, 25 * SECOND) == frozenset()
