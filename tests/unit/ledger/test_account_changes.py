"""The account of one node: another policy, another program's corrections, exemptions."""

from dataclasses import replace
from fractions import Fraction

import pytest

from agent.cost.energy import CarbonIntensity
from agent.ledger.batch import News
from agent.ledger.entry import MonthKey, MonthSums
from agent.ledger.posting import Emissions
from agent.usage.exemption import Exemption
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.usage.team import TeamRule
from agent.usage.timetable import Timetable
from tests.builders import (
    CARD,
    OTHER_CARD,
    PROCESS,
    UTC,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.unit.ledger.life import LABELS, OWNED, PER_SECOND, RENTED, Life, booked

STANDBY = Exemption(
    name="standby", match=CardMatch(uuid=CARD), hours=Timetable(zone=UTC, otherwise=True)
)
DEAR = a_policy(a_rental("7.20", id="dear"), teams=[TeamRule("mine", CardMatch(model="NVIDIA*"))])


@pytest.fixture
def life() -> Life:
    life = Life(FakeClock())
    life.tick(a_sample(utilization=90))
    life.tick(a_sample(utilization=90))
    return life


# ---- another policy


def test_another_policy_prices_and_charges_from_now_on(life: Life) -> None:
    """What is booked stays; the next second costs the new price and is charged to the new team."""
    life.account.use(DEAR)

    life.tick(a_sample(utilization=90))
    life.flush()

    assert booked(life.rows(price_id="rented", team="unattributed")) == PER_SECOND
    assert booked(life.rows(price_id="dear", team="mine")) == 2 * PER_SECOND
    assert life.account.unreconciled_nanos == 0


def test_series_of_another_policy_begin_at_zero(life: Life) -> None:
    """A team or component that is new stands at 0 in the scrape before it rises."""
    life.account.use(replace(OWNED, teams=DEAR.teams))

    components = life.counter("gpufin_cost_component_total")
    assert components[*LABELS, "capital", "USD"] == components[*LABELS, "energy", "USD"] == 0
    assert components[*LABELS, "rental", "USD"] == PER_SECOND
    teams = {labels[0]: value for labels, value in life.counter("gpufin_team_cost_total").items()}
    assert teams["mine"] == 0


def test_card_retired_by_another_policy_leaves_and_is_told(life: Life) -> None:
    """It is not expected from the next tick on, and what it cost stays."""
    life.account.use(replace(RENTED, retired=frozenset({CARD})))

    life.tick(a_sample(utilization=90))

    assert life.account.cards == {}
    assert life.account.notes == [f"{CARD}: not expected any more, it is retired"]
    assert life.account.unreconciled_nanos == 0
    assert life.cost() == PER_SECOND


# ---- what another program wrote into the ledger


def test_corrections_reach_the_months_and_no_counter(life: Life) -> None:
    """The ledger's sums, and what waits for the flush on top; counters know nothing of it."""
    key = MonthKey("2026-10", "unattributed", "USD")
    life.flush()
    life.tick(a_sample(utilization=90))

    life.account.resync(
        News(ledger_id="l", months={key: MonthSums(50 * PER_SECOND, 5)}, retired=frozenset())
    )

    months = life.account.months.snapshot(["2026-10"])
    assert months[key] == MonthSums(51 * PER_SECOND, 5)
    assert life.cost() == 2 * PER_SECOND
    assert life.account.unreconciled_nanos == 0


def test_card_retired_by_command_leaves(life: Life) -> None:
    """And does not come back by answering, as long as it is retired."""
    life.account.resync(News(ledger_id="l", months={}, retired=frozenset({CARD})))

    life.tick(a_sample(utilization=90))

    assert life.account.cards == {}
    assert CARD in life.account.take().gone


# ---- exemptions


@pytest.mark.parametrize("state", [CardState.IDLE, CardState.HELD])
def test_exempt_idle_time_is_marked_and_is_no_idle_cost(state: CardState) -> None:
    """The state stays, the row names the exemption, the month tells it apart."""
    life = Life(FakeClock(), policy=replace(RENTED, exemptions=(STANDBY,)))
    sample = a_sample(processes=(PROCESS,) if state is CardState.HELD else ())
    life.tick(sample)
    life.tick(sample)
    life.flush()

    assert booked(life.rows(state=state, exempt="standby")) == PER_SECOND
    (sums,) = life.account.months.snapshot(["2026-10"]).values()
    assert sums == MonthSums(PER_SECOND, 0, 0, PER_SECOND)


def test_an_exempt_card_that_works_is_not_marked() -> None:
    """An exemption is about idle time alone."""
    life = Life(FakeClock(), policy=replace(RENTED, exemptions=(STANDBY,)))
    life.tick(a_sample(utilization=90))
    life.tick(a_sample(utilization=90), a_sample(uuid=OTHER_CARD))
    life.tick(a_sample(utilization=90), a_sample(uuid=OTHER_CARD))
    life.flush()

    assert {key.exempt for key in life.rows()} == {""}


def test_idle_owned_card_is_sunk_but_for_its_energy() -> None:
    """Capital and running cost go on whatever one does; the energy would stop."""
    life = Life(FakeClock(), policy=a_policy(an_owned(opex="0.627854")))
    for _ in range(3):
        life.tick(life.sample(energy_mj=life.clock.boottime_ns // 10_000_000))

    (sums,) = life.account.months.snapshot(["2026-10"]).values()
    components = life.counter("gpufin_cost_component_total")
    assert sums.avoidable_idle == components[*LABELS, "energy", "USD"] > 0
    assert sums.idle == sums.cost == sum(components.values())


# ---- carbon


def test_carbon_of_energy_is_counted_in_nanograms() -> None:
    """200 J at 500 g and a PUE of 1: 27.8 mg; unknown intensity counts nothing."""
    intensity = CarbonIntensity("flat", Fraction(500), Fraction(1))
    known = Emissions(expected=True, intensity=intensity)
    life = Life(FakeClock(), policy=replace(OWNED, emissions=known))
    life.tick(life.sample(energy_mj=0))
    life.tick(life.sample(energy_mj=200_000))
    life.account.emissions = Emissions(expected=True)
    life.tick(life.sample(energy_mj=400_000))
    life.flush()

    assert (
        life.counter("gpufin_carbon_grams_total")[LABELS] == 200_000 * 500 * 10**9 // 3_600_000_000
    )
    unknown = [quantity for _, quantity in life.rows(component="carbon_unknown").values()]
    assert unknown == [200_000]


def test_the_time_in_which_a_card_was_retired_is_never_paid_for() -> None:
    """Retired by the file or by a command; brought back after three days, listed meanwhile or not."""
    retired = a_policy(a_rental("3.60"), retired=[CARD])
    for policy, listed in ((retired, True), (retired, False), (RENTED, True), (RENTED, False)):
        first = Life(FakeClock())
        first.tick(a_sample())
        first.flush()
        if policy is RENTED:
            first.store.retired = frozenset({CARD})
        second = Life(first.clock, first.store, policy)
        second.node(a_node(a_sample()) if listed else a_node())
        second.flush()
        second.clock.move(3 * 86_400)
        first.store.retired = frozenset()
        second.account.resync(News(ledger_id="fake", months={}, retired=frozenset()))
        second.account.use(RENTED)
        second.tick(a_sample())
        second.tick(a_sample())
        second.flush()

        assert sum(quantity for _, quantity in second.rows(filled=True).values()) == 0
