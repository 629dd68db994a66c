"""The account of one node: cards come and go."""

from dataclasses import replace

import pytest

from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason, NodeSample, fault_of
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from tests.builders import (
    CARD,
    OTHER_CARD,
    SECOND,
    a_card,
    a_fault,
    a_node,
    a_policy,
    a_rental,
    a_sample,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger
from tests.unit.ledger.life import LABELS, OWNED, PER_SECOND, RENTED, Life, booked


@pytest.fixture
def life() -> Life:
    return Life(FakeClock())


def test_vanished_card_is_down_and_still_paid_for(life: Life) -> None:
    """The driver does not list it any more: it costs, in the state down."""
    life.tick(a_sample())

    life.node(a_node(cards=[]))

    assert life.counter("gpufin_cost_total")[*LABELS, "down", "USD"] == PER_SECOND


@pytest.mark.parametrize(
    ("node", "state"),
    [
        (a_node(driver_up=False, cards=[]), CardState.DOWN),
        (a_node(driver_up=False, settled=False, cards=[]), CardState.UNKNOWN),
        (a_node(a_fault(FaultReason.HUNG)), CardState.UNKNOWN),
        (a_node(a_fault(FaultReason.LOST)), CardState.DOWN),
    ],
)
def test_card_without_a_sample_has_the_state_of_its_reason(
    life: Life, node: NodeSample, state: CardState
) -> None:
    """A driver that is gone makes cards down; one that has not answered yet, unknown."""
    life.tick(a_sample())

    life.node(node)

    assert life.account.cards[CARD].activity.state is state


def test_a_driver_that_is_gone_gives_up_no_card(life: Life) -> None:
    """Nothing is known of its cards: they are paid for, and are not taken for vanished, however long."""
    life.tick(a_sample())
    for _ in range(3):
        life.node(a_node(driver_up=False, cards=[]), seconds=3_000)

    card = life.account.cards[CARD]
    assert fault_of(card.report) is FaultReason.DRIVER
    assert card.down_ns == 0
    assert life.counter("gpufin_gpu_missing_readings_total")[*LABELS, "all", "driver"] == 3


def test_a_card_that_there_was_no_time_for_is_booked_with_its_next_reading(life: Life) -> None:
    """A slow card is active all along, though it is read every other tick only; the skip is counted."""
    life.tick(a_sample(utilization=90))
    for _ in range(3):
        life.tick(a_fault(FaultReason.NO_TIME))
        assert life.account.cards[CARD].activity.state is CardState.ACTIVE
        life.tick(a_sample(utilization=90))

    seconds = {
        labels[2]: ns / SECOND
        for labels, ns in life.counter("gpufin_gpu_state_seconds_total").items()
    }
    assert seconds == {**dict.fromkeys(CardState, 0), CardState.ACTIVE: 6}
    assert life.cost() == 6 * PER_SECOND
    assert life.account.unreconciled_nanos == 0
    missing = life.counter("gpufin_gpu_missing_readings_total")
    assert missing[*LABELS, "all", "no_time"] == 3


def test_a_card_that_there_is_never_time_for_becomes_unknown(life: Life) -> None:
    """After max_gap nobody can say what it did, and the time of that is booked."""
    life.tick(a_sample(utilization=90))
    for _ in range(8):
        life.tick(a_fault(FaultReason.NO_TIME))

    card = life.account.cards[CARD]
    assert (card.activity.state, fault_of(card.report)) == (CardState.UNKNOWN, FaultReason.HUNG)
    assert life.cost() == 8 * PER_SECOND
    unknown = life.counter("gpufin_gpu_state_seconds_total")[*LABELS, CardState.UNKNOWN]
    assert unknown == 8 * SECOND


def test_a_lost_card_that_there_was_no_time_for_is_lost_still(life: Life) -> None:
    """Nothing new was heard of it."""
    life.tick(a_sample())
    life.tick(a_fault(FaultReason.LOST))
    life.tick(a_fault(FaultReason.NO_TIME))

    assert life.account.cards[CARD].activity.state is CardState.DOWN
    assert life.counter("gpufin_cost_total")[*LABELS, "down", "USD"] == 2 * PER_SECOND


def test_a_checkpoint_says_up_to_when_a_card_is_booked(life: Life) -> None:
    """On both clocks, of a card that there was no time for too: a restart fills from there."""
    life.tick(a_sample())
    life.tick(a_fault(FaultReason.NO_TIME), seconds=2)

    (checkpoint,) = life.account.take().checkpoints
    assert life.clock.boottime_ns - checkpoint.until.boottime_ns == 2 * SECOND
    assert life.clock.wall_ns - checkpoint.until.wall_ns == 2 * SECOND


def test_what_a_card_does_not_tell_any_more_stays_known(life: Life) -> None:
    """Name, bus id and memory of a UUID do not change; another MIG profile does."""
    whole = replace(a_card(), memory_total_bytes=80 << 30, mig_profiles=("7g.80gb",))
    bare = replace(a_card(), model="", pci_bus_id="")
    life.node(a_node(a_sample(), cards=[whole]))
    life.node(a_node(a_sample(), cards=[bare]))

    assert life.account.cards[CARD].identity == replace(whole, mig_profiles=())


def test_a_card_whose_memory_is_told_late_gets_its_series() -> None:
    """A price that holds from then on has counters that stood at 0 before."""
    price = replace(a_rental("3.60"), match=CardMatch(model="*", memory_gb=80))
    life = Life(FakeClock(), policy=a_policy(price))
    life.tick(a_sample())
    assert "gpufin_cost_total" not in life.account.counters.snapshot()
    known = replace(a_card(), memory_total_bytes=80 << 30)
    life.account.advance(a_node(a_sample(), cards=[known]), life.clock.now())

    assert life.counter("gpufin_cost_total")[*LABELS, "idle", "USD"] == 0


def test_the_ledgers_cards_are_expected_before_the_first_tick() -> None:
    """The reader looks for them from the first cycle on; retired ones it leaves alone."""
    clock, store = FakeClock(), FakeLedger()
    first = Life(clock, store)
    first.tick(a_sample(), a_sample(uuid=OTHER_CARD))
    first.flush()

    assert Life(clock, store).account.expected == {CARD, OTHER_CARD}
    retired = replace(RENTED, retired=frozenset({OTHER_CARD}))
    second = Life(clock, store, policy=retired)
    assert second.account.expected == {CARD}
    second.tick(a_sample())
    assert second.account.expected == {CARD}


def test_a_card_that_is_still_sought_is_not_filled_yet() -> None:
    """Whether it is there decides what the time away costs."""
    clock, store = FakeClock(), FakeLedger()
    first = Life(clock, store)
    first.tick(a_sample())
    first.flush()
    clock.move(100)
    second = Life(clock, store)
    second.tick(a_fault(FaultReason.OPENING))
    assert second.account.cards[CARD].filled_ns is None
    second.tick(a_sample())
    assert second.account.cards[CARD].filled_ns == 101 * SECOND


@pytest.mark.parametrize(("policy", "hours"), [(RENTED, 1), (OWNED, 720)])
def test_vanished_card_is_given_up_after_max_down(policy: AccountPolicy, hours: int) -> None:
    """A rented card costs an hour more, an owned one thirty days; then its series end."""
    life = Life(FakeClock(), policy=policy)
    life.tick(a_sample())

    life.node(a_node(cards=[]), seconds=hours * 3_600)
    assert CARD in life.account.cards
    life.node(a_node(cards=[]))

    assert CARD not in life.account.cards
    assert any("max_down" in note for note in life.account.notes)
    assert not [labels for labels in life.counter("gpufin_cost_total") if labels[:2] == LABELS]


@pytest.mark.parametrize("listed", [True, False])
def test_card_that_was_given_up_stays_gone_until_it_answers(life: Life, listed: bool) -> None:
    """A lost card that the driver still lists is not expected anew for another max_down."""
    gone = a_node(a_fault(FaultReason.LOST)) if listed else a_node(cards=[])
    life.tick(a_sample())
    life.lose_for_good(gone)
    cost = life.cost()

    for _ in range(3):
        life.node(gone)
    assert not life.account.cards
    life.tick(a_sample())
    life.tick(a_sample())

    assert life.cost() == cost + PER_SECOND


def test_sums_still_reconcile_after_a_card_left(life: Life) -> None:
    """States, components and teams sum to the same although a card took its series along."""
    life.tick(a_sample(), a_sample(uuid=OTHER_CARD))
    life.tick(a_sample(), a_sample(uuid=OTHER_CARD))
    life.lose_for_good(a_node(a_sample(uuid=OTHER_CARD)))

    assert set(life.account.cards) == {OTHER_CARD}
    totals = {
        life.account.counters.total(f"gpufin_{name}_total")
        for name in ("cost", "cost_component", "team_cost")
    }
    assert totals == {(3_603 + 3_602) * PER_SECOND}
    assert life.account.unreconciled_nanos == 0


def test_card_that_was_given_up_is_not_filled_after_a_restart(life: Life) -> None:
    """Its old checkpoint is gone from the ledger: restarts book nothing for it, let alone again."""
    life.tick(a_sample())
    life.tick(a_sample())
    life.flush()
    life.lose_for_good()
    life.flush()
    before = booked(life.store.rows)

    for _ in range(3):
        life.clock.move(3 * 86_400)
        life = Life(life.clock, life.store)
        life.node(a_node(cards=[]))
        life.flush()

    assert booked(life.store.rows) == before
    assert not life.account.cards


def test_gone_cards_are_told_to_the_ledger_until_they_answer_again(life: Life) -> None:
    """Each batch names them, so that one that could not be written loses nothing."""
    life.tick(a_sample())
    life.lose_for_good()

    assert list(life.account.take().gone) == [CARD]
    assert list(life.account.take().gone) == [CARD]
    life.tick(a_sample())
    assert list(life.account.take().gone) == []


def test_card_under_another_index_keeps_its_sums(life: Life) -> None:
    """The UUID is the card; the index is for people and may change."""
    life.tick(a_sample())
    life.tick(a_sample())

    life.node(a_node(a_sample(), cards=[a_card(index=5)]))

    assert set(life.counter("gpufin_gpu_state_seconds_total")) == {
        (CARD, "5", state) for state in CardState
    }
    assert life.cost() == 2 * PER_SECOND
    assert any("moved from index 0 to 5" in note for note in life.account.notes)


def test_retired_card_is_neither_expected_nor_paid_for() -> None:
    """Whether the driver lists it or the ledger remembers it."""
    life = Life(FakeClock())
    life.tick(a_sample())
    life.flush()
    retired = Life(life.clock, life.store, replace(RENTED, retired=frozenset({CARD})))

    retired.tick(a_sample())
    retired.tick(a_sample())
    retired.flush()

    assert not retired.account.cards
    assert booked(retired.store.rows) == 0
    assert not retired.store.recover().checkpoints
