"""The account of one node: cards come and go."""

from dataclasses import replace

import pytest

from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason, NodeSample
from agent.usage.state import CardState
from tests.builders import (
    CARD,
    OTHER_CARD,
    a_card,
    a_fault,
    a_node,
    a_sample,
)
from tests.fakes.clock import FakeClock
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
