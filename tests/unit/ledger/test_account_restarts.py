"""The account of one node: over restarts, by way of the ledger."""

from dataclasses import replace

import pytest

from agent.samples.device import FaultReason
from agent.samples.reading import Missing
from agent.usage.state import CardState
from tests.builders import (
    CARD,
    HERE,
    HOUR,
    REBOOTED,
    SECOND,
    a_card,
    a_fault,
    a_node,
    a_sample,
    an_account,
)
from tests.fakes.clock import FakeClock
from tests.unit.ledger.life import LABELS, OWNED, PER_SECOND, Life, booked


@pytest.fixture
def life() -> Life:
    return Life(FakeClock())


def test_restart_fills_the_time_into_the_ledger_alone(life: Life) -> None:
    """Filled money is in the rows and months, marked and unknown; counters start at 0."""
    life.tick(a_sample())
    life.tick(a_sample())
    life.flush()
    life.clock.move(899)

    after = Life(life.clock, life.store)
    after.tick(a_sample())
    after.flush()

    filled = after.rows(filled=True)
    assert {key.state for key in filled} == {CardState.UNKNOWN}
    assert booked(filled) == 900 * PER_SECOND
    assert booked(after.store.rows) == 901 * PER_SECOND
    assert after.cost() == 0
    assert after.account.cards[CARD].filled_ns == 900 * SECOND
    months = after.account.months.snapshot(["2026-10"])
    assert sum(sums.cost for sums in months.values()) == 901 * PER_SECOND


def test_restart_that_cannot_be_filled_says_why(life: Life) -> None:
    """The machine was off for longer than max_fill: nothing is booked, the reason is told."""
    life.tick(a_sample())
    life.flush()
    life.clock.reboot(off_seconds=7_200)

    after = Life(life.clock, life.store, host=REBOOTED)
    after.tick(a_sample())
    after.flush()

    assert booked(after.store.rows) == 0
    assert any("max_fill" in note for note in after.account.notes)
    assert after.account.cards[CARD].filled_ns is None


def test_owned_card_is_filled_over_a_long_reboot() -> None:
    """It depreciates while the node is off; its counter started anew, so no energy is filled."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=10**9))
    life.flush()
    life.clock.reboot(off_seconds=86_400)

    after = Life(life.clock, life.store, OWNED, REBOOTED)
    after.tick(after.sample(energy_mj=2 * 10**9))
    after.flush()

    assert {key.component for key in after.rows(filled=True)} == {"capital"}
    assert sum(quantity for _, quantity in after.rows(filled=True).values()) == 86_401 * SECOND


def test_energy_of_the_gap_is_filled_from_the_counter() -> None:
    """The device counted on while the agent was away; the ledger gets it, the counter does not."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=1_000))
    life.flush()
    life.clock.move(99)

    after = Life(life.clock, life.store, OWNED)
    after.tick(after.sample(energy_mj=9_001_000))
    after.flush()

    assert sum(q for _, q in after.rows(filled=True, component="energy").values()) == 9_000_000
    assert after.counter("gpufin_gpu_energy_joules_total") == {}


def test_energy_of_the_gap_waits_for_the_counter_over_two_restarts() -> None:
    """A card that does not answer in the second life is made up for in the third, once."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=1_000))
    life.flush()
    second = Life(life.clock, life.store, OWNED)
    second.tick(a_fault(FaultReason.HUNG), seconds=60)
    second.flush()

    third = Life(life.clock, life.store, OWNED)
    third.tick(third.sample(energy_mj=9_001_000))
    third.tick(third.sample(energy_mj=9_002_000))
    third.flush()

    assert sum(q for _, q in third.rows(component="energy").values()) == 9_001_000


@pytest.mark.parametrize("garbage", [10**12, 2**64 - 1])
def test_energy_beyond_what_the_board_can_draw_is_not_filled(garbage: int) -> None:
    """A counter that shows nonsense after a restart is no bill."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=1_000))
    life.flush()

    after = Life(life.clock, life.store, OWNED)
    after.tick(after.sample(energy_mj=garbage))
    after.flush()

    assert not after.rows(component="energy")


def test_frozen_counter_is_not_gone_on_from_after_a_restart() -> None:
    """What a frozen counter holds back was booked by power; a restart must not book it again."""
    life = Life(FakeClock(), policy=OWNED)
    for _ in range(11):
        life.tick(life.sample(energy_mj=777, power_mw=100_000))
    life.flush()

    after = Life(life.clock, life.store, OWNED)
    after.tick(after.sample(energy_mj=777 + 1_100_000))
    after.flush()

    assert sum(q for _, q in after.rows(component="energy").values()) == 1_000_000


def test_failed_write_loses_and_doubles_nothing(life: Life) -> None:
    """Rows put back are written with the next batch."""
    life.tick(a_sample())
    life.tick(a_sample())
    batch = life.account.take()
    life.account.pending.put_back(batch.rows)
    life.tick(a_sample())
    life.flush()

    assert booked(life.store.rows) == 2 * PER_SECOND == life.cost()


def test_checkpoint_stands_where_the_money_ends(life: Life) -> None:
    """Booked up to the last tick, with the counter and when it was read."""
    life.tick(life.sample(energy_mj=4_000))
    seen_ns = life.clock.boottime_ns
    life.tick(a_fault(FaultReason.HUNG))

    (point,) = life.account.take().checkpoints

    assert point.until == life.clock.now()
    assert (point.energy_mj, point.energy_at_ns) == (4_000, seen_ns)


def test_ledger_of_another_machine_is_not_filled() -> None:
    """A disk that moved to another node brings no gap with it."""
    life = Life(FakeClock())
    life.tick(a_sample())
    life.flush()

    moved = Life(life.clock, life.store, host=replace(HERE, machine_id="other"))
    moved.tick(a_sample(), seconds=HOUR / SECOND)
    moved.flush()

    assert booked(moved.store.rows) == 0


def test_account_before_the_first_tick_writes_nothing() -> None:
    """A flush that comes early leaves what the ledger knows alone."""
    batch = an_account().take()

    assert not batch.rows
    assert not batch.checkpoints
    assert not batch.gpus
    assert not batch.gone


def test_unreadable_counter_leaves_the_gap_for_later() -> None:
    """A first sample without a counter does not use up the chance to fill; what was used since is live."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=1_000))
    life.flush()

    after = Life(life.clock, life.store, OWNED)
    after.tick(a_sample(life.clock.boottime_ns + SECOND, energy_mj=Missing.TIMEOUT))
    after.tick(after.sample(energy_mj=201_000))
    after.flush()

    assert sum(q for _, q in after.rows(component="energy", filled=True).values()) == 100_000
    assert sum(q for _, q in after.rows(component="energy", filled=False).values()) == 100_000
    assert after.counter("gpufin_gpu_energy_joules_total")[LABELS] == 100_000


def test_facts_of_a_card_may_change_under_one_index(life: Life) -> None:
    """A new bus id is taken over; no series moves."""
    life.tick(a_sample())

    life.node(a_node(a_sample(), cards=[replace(a_card(), pci_bus_id="00000000:FF:00.0")]))

    assert life.account.cards[CARD].identity.pci_bus_id == "00000000:FF:00.0"
    assert life.account.notes == []


def test_counter_that_went_back_in_the_gap_is_not_filled() -> None:
    """After a driver reload nobody knows what was used before it: nothing is filled, it is counted on."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=10**9))
    life.flush()

    after = Life(life.clock, life.store, OWNED)
    after.tick(after.sample(energy_mj=5_000))
    after.tick(after.sample(energy_mj=105_000))
    after.flush()

    assert not after.rows(component="energy", filled=True)
    assert sum(q for _, q in after.rows(component="energy").values()) == 100_000
    assert after.counter("gpufin_gpu_energy_anomalies_total")[*LABELS, "reset"] == 1
