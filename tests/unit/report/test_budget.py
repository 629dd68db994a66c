"""Budgets held against rows: whose money counts, how fast it goes, and when nothing can be said."""

from fractions import Fraction
from typing import Any

import pytest

from agent.ledger.entry import Component, EntryKey, MonthKey
from agent.ledger.period import Month
from agent.report.budget import Budget, BudgetStatus, Spending, spending, statuses
from agent.report.forecast import (
    DAY,
    HOUR,
    Look,
    Past,
    burn,
    forecast,
    hours_to_exhaustion,
    total_in_line,
)
from tests.builders import a_key

MARCH = Month("1970-01", 0, 744 * HOUR)
UNIT = 10**9
BUDGET = 30_000


def look_at(hours: int, **changes: int) -> Look:
    given: dict[str, Any] = {"month_start": 0, "month_end": MARCH.end, "known_since": 0} | changes
    return Look(now=hours * HOUR, **given)


def row(hour: int, money: int, **changes: Any) -> tuple[str, EntryKey, tuple[int, int]]:
    return ("l", a_key(hour=hour * HOUR)._replace(**changes), (money * UNIT, 0))


def held(
    rows: list[tuple[str, EntryKey, tuple[int, int]]],
    look: Look | None,
    *budgets: Budget,
    cluster: str | None = None,
    spot: frozenset[str] = frozenset(),
) -> tuple[Spending, list[BudgetStatus]]:
    ahead = [(MonthKey("1970-01", "research", "USD"), 100 * UNIT)]
    found = spending(MARCH, look, (rows, rows), ahead=ahead, spot=spot)
    windows = {"1h": HOUR, "6h": 6 * HOUR}
    return found, list(statuses(budgets, found, cluster=cluster, windows=windows, pace=DAY))


def a_budget(name: str = "all", amount: int = BUDGET, **scope: str) -> Budget:
    return Budget(name=name, amount=amount * UNIT, currency="USD", **scope)


@pytest.mark.parametrize(
    ("spend", "hours", "ratio"),
    [(150, 1, "3.72"), (600, 6, "2.48"), (12_000, 240, "1.24")],
)
def test_burn_has_the_figures_of_the_example(spend: int, hours: int, ratio: str) -> None:
    """30,000 in a March of 744 hours: 40.322581 an hour is what it allows."""
    assert burn(spend, hours, BUDGET, 744) == Fraction(ratio)
    assert round(float(Fraction(BUDGET, 744)), 6) == 40.322581


@pytest.mark.parametrize(
    ("share", "window", "ratio"), [("0.02", 1, 14.4), ("0.05", 6, 6), ("0.10", 72, 1)]
)
def test_burn_of_a_share_in_a_window(share: str, window: int, ratio: float) -> None:
    """2 % of a month of 720 hours in one of them is 14.4 times too fast."""
    spend = Fraction(share) * 1_000

    assert float(burn(spend, window, 1_000, 720)) == ratio


def test_exhaustion_and_the_straight_line_have_the_figures_of_the_example() -> None:
    """12,000 of 30,000 after 240 hours, 900 in the last day: 480 hours, and 37,200 in a line."""
    rows = [row(hour, 0) for hour in range(240)] + [row(0, 11_100), row(239, 900)]

    found, (status,) = held(rows, look_at(240), a_budget())

    assert status.spent == 12_000 * UNIT
    assert status.exhausted_in == 480
    assert found.look is not None
    assert total_in_line(found.of("USD"), found.look) == 37_200 * UNIT


def test_what_is_spent_already_lasts_no_time() -> None:
    """Never a negative one; and for ever when nothing is spent any more."""
    assert hours_to_exhaustion(-5, 10, 24) == 0
    assert hours_to_exhaustion(5, 0, 24) is None


def test_a_budget_counts_its_own_money_only() -> None:
    """By team, by currency, and by cluster only when the ledgers are said to be of it."""
    rows = [
        row(0, 1),
        row(0, 2, team="other"),
        row(0, 4, currency="EUR"),
        row(0, 8, component=Component.CARBON),
    ]
    budgets = [
        a_budget("all"),
        a_budget("research", team="research"),
        a_budget("nobody", team="nobody"),
        a_budget("east", cluster="east"),
    ]

    _, unknown = held(rows, look_at(48), *budgets)
    _, east = held(rows, look_at(48), *budgets, cluster="east")

    assert {each.budget.name: each.spent // UNIT for each in unknown} == {
        "all": 3,
        "research": 1,
        "nobody": 0,
    }
    assert {each.budget.name: each.spent // UNIT for each in east}["east"] == 3


def test_energy_and_spot_follow_use_and_the_rest_the_clock() -> None:
    """Only what follows use is drawn on from the past: 2 an hour of energy, 3 of a spot card."""
    rows = [row(hour, 7) for hour in range(48)]
    rows += [
        row(hour, 2, component=Component.ENERGY, price_id="grid", method="counter")
        for hour in range(48)
    ]
    rows += [row(hour, 3, price_id="cheap") for hour in range(48)]

    found, _ = held(rows, look_at(48), spot=frozenset({"cheap"}))

    expected = found.forecast_of("USD")
    assert expected is not None
    assert (expected.spent, expected.fixed) == (12 * 48 * UNIT, 100 * UNIT)
    assert expected.variable == 5 * 696 * UNIT
    assert (expected.by_pattern, expected.margin) == (False, None)


@pytest.mark.parametrize(
    "look",
    [
        look_at(20),
        look_at(400, known_since=390 * HOUR),
        look_at(744),
        look_at(760),
    ],
    ids=["young", "new fleet late in the month", "the last moment", "over"],
)
def test_nothing_is_forecast_without_data_or_time(look: Look) -> None:
    """A day at the least; and a month that is over has no future."""
    past = Past(spent=1, fixed_ahead=2, variable={}, present=frozenset())

    assert forecast(past, look) is None


def test_a_month_that_is_over_has_only_what_was_spent() -> None:
    """No burn, no forecast, no exhaustion."""
    _, (status,) = held([row(0, 15_000)], None, a_budget())

    assert status.used == Fraction(1, 2)
    assert (status.forecast, status.burn, status.exhausted_in) == (None, {}, None)


def test_hours_without_data_count_as_the_mean_of_the_others() -> None:
    """Prometheus or the agents were away for a day of the week: it was not free."""
    whole = {hour * HOUR: UNIT for hour in range(192)}
    holes = {hour: nanos for hour, nanos in whole.items() if not 100 <= hour // HOUR < 124}
    week = look_at(192)

    with_all, with_holes = (
        forecast(Past(spent=0, fixed_ahead=0, variable=each, present=frozenset(each)), week)
        for each in (whole, holes)
    )

    assert with_all is not None
    assert with_holes is not None
    assert with_all.variable == 552 * UNIT
    assert with_holes.variable == pytest.approx(with_all.variable, rel=0.05)
    assert with_all.margin == 0
