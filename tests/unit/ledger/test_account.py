"""The account of one node: what a running agent books."""

from dataclasses import replace

import pytest

from agent.cost.prices import Tier
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.usage.team import TeamRule
from tests.builders import (
    CARD,
    MODEL,
    SECOND,
    a_policy,
    a_rental,
    a_sample,
)
from tests.fakes.clock import FakeClock
from tests.unit.ledger.life import LABELS, OWNED, PER_SECOND, RENTED, Life


@pytest.fixture
def life() -> Life:
    return Life(FakeClock())


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
    life = Life(
        FakeClock(), policy=replace(RENTED, teams=(TeamRule("mine", CardMatch(model="NVIDIA*")),))
    )

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


def test_money_of_a_card_paid_by_the_clock_is_spent_or_ahead(life: Life) -> None:
    """Both together are the month's whole sum at every tick, to the 1e-9."""
    life.tick(a_sample())
    sums = set()
    for _ in range(5):
        life.tick(a_sample(), seconds=7)
        ahead = sum(life.account.take().ahead.values())
        sums.add(ahead + life.account.months.total())

    (whole,) = sums
    assert whole > 0


def test_money_that_follows_use_has_a_counter_and_is_not_ahead() -> None:
    """A spot card's time, and energy."""
    spot = Life(FakeClock(), policy=a_policy(a_rental("3.60", tier=Tier.SPOT)))
    spot.tick(a_sample())
    spot.tick(a_sample(utilization=90))
    owned = Life(FakeClock(), policy=OWNED)
    owned.tick(owned.sample(energy_mj=0))
    owned.tick(owned.sample(energy_mj=500_000))

    name = "gpufin_team_variable_cost_total"
    assert spot.counter(name)["unattributed", "USD"] == PER_SECOND == spot.cost()
    assert set(spot.account.take().ahead.values()) == {0}
    energy = owned.counter("gpufin_cost_component_total")[*LABELS, "energy", "USD"]
    assert sum(owned.counter(name).values()) == energy > 0
    assert sum(owned.account.take().ahead.values()) > 0


def test_a_difference_between_sums_is_shown(life: Life) -> None:
    """Whoever looks at the account sees that of its sums."""
    life.tick(a_sample())
    life.tick(a_sample())
    assert life.account.unreconciled_nanos == 0

    life.account.counters.add("gpufin_cost_total", (*LABELS, "active", "USD"), 5)

    assert life.account.unreconciled_nanos == 5
