"""The account of one node."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.ledger.account import Account
from agent.ledger.entry import EntryKey
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason, GpuFault, GpuSample, NodeSample
from agent.samples.reading import Missing
from agent.usage.state import CardState
from agent.usage.team import TeamRule
from tests.builders import (
    CARD,
    HERE,
    HOUR,
    MODEL,
    OTHER_CARD,
    REBOOTED,
    SECOND,
    a_card,
    a_fault,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    an_account,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger

PER_SECOND = 1_000_000
"""Nanos of a rental of 3.60 an hour."""
LABELS = (CARD, "0")
RENTED = a_policy(a_rental("3.60"))
OWNED = a_policy(an_owned())


class Life:
    """One process: an account over a store, driven by hand."""

    def __init__(
        self,
        clock: FakeClock,
        store: FakeLedger | None = None,
        policy: AccountPolicy = RENTED,
        host: Host = HERE,
    ) -> None:
        self.clock = clock
        self.store = store or FakeLedger()
        self.account = Account(policy, self.store.recover(), host)

    def tick(self, *reports: GpuSample | GpuFault, seconds: float = 1.0) -> None:
        self.node(a_node(*reports), seconds=seconds)

    def node(self, node: NodeSample, seconds: float = 1.0) -> None:
        self.account.advance(node, self.clock.move(seconds))

    def lose_for_good(self, node: NodeSample | None = None) -> None:
        """The card is away for longer than max_down."""
        self.node(node or a_node(cards=[]), seconds=3_601)
        self.node(node or a_node(cards=[]))

    def flush(self) -> None:
        self.store.write(self.account.take())

    def sample(self, **readings: int) -> GpuSample:
        """What the card says at the coming tick."""
        return a_sample(self.clock.boottime_ns + SECOND, **readings)  # type: ignore[arg-type]  # one of them is no reading

    def counter(self, name: str) -> Mapping[tuple[str, ...], int]:
        return self.account.counters.snapshot().get(name, {})

    def cost(self) -> int:
        return self.account.counters.total("gpufin_cost_total")

    def rows(self, **parts: object) -> dict[EntryKey, tuple[int, int]]:
        return {
            key: amounts
            for key, amounts in self.store.rows.items()
            if all(getattr(key, name) == part for name, part in parts.items())
        }


def booked(rows: Mapping[EntryKey, tuple[int, int]]) -> int:
    return sum(nanos for nanos, _ in rows.values())


@pytest.fixture
def life() -> Life:
    return Life(FakeClock())


# ---- a running agent


def test_counters_of_a_card_start_at_zero(life: Life) -> None:
    """The first tick shows every series the card may have, at 0, and books nothing."""
    life.tick(a_sample())

    counters = dict(life.account.counters.snapshot())
    del counters[
        "gpufin_gpu_missing_readings_total"
    ]  # born when a reading is missing, at that tick
    assert {value for sums in counters.values() for value in sums.values()} == {0}
    assert len(counters["gpufin_cost_total"]) == len(CardState)
    assert len(counters["gpufin_gpu_state_seconds_total"]) == len(CardState)
    assert len(counters["gpufin_gpu_energy_anomalies_total"]) == 3
    assert set(counters["gpufin_cost_component_total"]) == {(*LABELS, "rental", "USD")}


def test_tick_books_the_time_since_the_last_one(life: Life) -> None:
    """One second at 3.60 an hour is 0.001, in the state of the tick."""
    life.tick(a_sample())

    life.tick(a_sample(utilization=90))

    assert life.counter("gpufin_cost_total")[*LABELS, "active", "USD"] == PER_SECOND
    assert life.counter("gpufin_gpu_state_seconds_total")[*LABELS, "active"] == SECOND
    assert life.counter("gpufin_cost_component_total")[*LABELS, "rental", "USD"] == PER_SECOND
    assert life.counter("gpufin_team_cost_total")["unattributed", MODEL, "active", "USD"] == (
        PER_SECOND
    )


def test_team_of_a_card_is_charged() -> None:
    """A rule for the card's model gives its money to the team in every state."""
    life = Life(FakeClock(), policy=replace(RENTED, teams=(TeamRule("mine", model="NVIDIA*"),)))

    life.tick(a_sample())
    life.tick(a_sample())
    life.tick(a_sample(utilization=50))

    teams = {labels[0] for labels, sum_ in life.counter("gpufin_team_cost_total").items() if sum_}
    assert teams == {"mine"}


def test_long_interval_is_unknown(life: Life) -> None:
    """A suspended agent books all of the time, but claims nothing of what the card did."""
    life.tick(a_sample(utilization=90))

    life.tick(a_sample(utilization=90), seconds=600)

    assert life.counter("gpufin_cost_total")[*LABELS, "unknown", "USD"] == 600 * PER_SECOND
    assert life.cost() == 600 * PER_SECOND


def test_long_interval_pauses_the_idle_timer(life: Life) -> None:
    """Ten minutes nobody watched are not ten minutes of quiet."""
    life.tick(a_sample(utilization=90))

    life.tick(a_sample(), seconds=600)
    life.tick(a_sample())

    assert life.account.cards[CARD].activity.state is CardState.ACTIVE


@pytest.mark.parametrize("step", [-7_200.0, 7_200.0])
def test_step_of_the_wall_clock_neither_adds_nor_loses_money(life: Life, step: float) -> None:
    """Durations are the boot clock's."""
    life.tick(a_sample())

    life.clock.step(step)
    life.tick(a_sample())

    assert life.cost() == PER_SECOND


def test_energy_of_an_owned_card_is_money() -> None:
    """360 kJ are 0.1 kWh: 0.1 x 1.4 x 0.12, in energy joules and as a component."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=0))
    life.tick(life.sample(energy_mj=500_000))

    assert life.counter("gpufin_gpu_energy_joules_total")[LABELS] == 500_000
    components = life.counter("gpufin_cost_component_total")
    assert components[*LABELS, "energy", "USD"] == 500_000 * 168 // 3_600
    assert sum(components.values()) == life.cost()


def test_energy_anomaly_is_counted_and_told(life: Life) -> None:
    """A counter that jumps is seen in a series and in the log."""
    life.tick(life.sample(energy_mj=0))
    life.tick(life.sample(energy_mj=10**12))

    assert life.counter("gpufin_gpu_energy_anomalies_total")[*LABELS, "jump"] == 1
    assert any("jump" in note for note in life.account.notes)


def test_time_without_a_price_is_counted_as_unpriced() -> None:
    """No record, no money, but seconds that someone can be alerted by."""
    life = Life(FakeClock(), policy=a_policy(a_rental(model="Tesla T4")))
    life.tick(a_sample())
    life.tick(a_sample())

    assert life.counter("gpufin_unpriced_seconds_total")[LABELS] == SECOND
    assert life.cost() == 0
    assert life.account.months.snapshot(["2026-10"]) == {}


# ---- cards come and go


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


# ---- restarts


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
    assert sum(cost for cost, _ in months.values()) == 901 * PER_SECOND


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
    """A first sample without a counter does not use up the chance to fill."""
    life = Life(FakeClock(), policy=OWNED)
    life.tick(life.sample(energy_mj=1_000))
    life.flush()

    after = Life(life.clock, life.store, OWNED)
    after.tick(a_sample(life.clock.boottime_ns + SECOND, energy_mj=Missing.TIMEOUT))
    after.tick(after.sample(energy_mj=201_000))
    after.flush()

    assert sum(q for _, q in after.rows(component="energy", filled=True).values()) == 200_000


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
