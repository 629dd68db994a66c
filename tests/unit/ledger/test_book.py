"""The running sums of this process."""

import pytest

from agent.ledger.book import Counters, Months, Pending, Sums
from agent.ledger.entry import Component, Entry, MonthKey, MonthSums
from tests.builders import a_key

RESEARCH = MonthKey("1970-01", "research", "USD")


def test_counters_start_at_zero_and_add() -> None:
    """Adding 0 makes a series appear."""
    counters = Counters()

    counters.add("a", ("x",), 0)
    counters.add("a", ("y",), 3)
    counters.add("a", ("y",), 4)

    assert counters.snapshot() == {"a": {("x",): 0, ("y",): 7}}
    assert counters.total("a") == 7
    assert counters.total("none") == 0


def test_counters_snapshot_is_a_copy() -> None:
    """A scraper's picture does not change under it."""
    counters = Counters()
    counters.add("a", (), 1)

    before = counters.snapshot()
    counters.add("a", (), 1)

    assert before == {"a": {(): 1}}


def test_counters_follow_a_card_to_its_new_index() -> None:
    """Series that begin with the old labels carry their sums over, others stay."""
    counters = Counters()
    counters.add("a", ("GPU", "0", "idle"), 5)
    counters.add("a", ("OTHER", "0", "idle"), 1)

    counters.relabel(("GPU", "0"), ("GPU", "3"))

    assert counters.snapshot() == {"a": {("GPU", "3", "idle"): 5, ("OTHER", "0", "idle"): 1}}


def test_counters_total_keeps_what_is_forgotten() -> None:
    """A card that left takes its series along; sums over all cards still reconcile."""
    counters = Counters()
    counters.add("a", ("GPU", "0"), 5)
    counters.add("a", ("OTHER", "1"), 2)

    counters.forget(("GPU", "0"))

    assert counters.snapshot() == {"a": {("OTHER", "1"): 2}}
    assert counters.total("a") == 7


def test_months_sum_cost_and_its_idle_part() -> None:
    """Held and idle money is in both sums, the rest in the first alone; filled money counts."""
    months = Months({RESEARCH: MonthSums(100, 10)})

    months.add(
        [
            Entry(a_key(state="active"), 1, 0),
            Entry(a_key(state="held"), 2, 0),
            Entry(a_key(state="idle"), 4, 0),
            Entry(a_key(state="unknown", filled=True), 8, 0),
            Entry(a_key(component=Component.UNPRICED, team="nobody"), 0, 99),
        ]
    )

    assert months.snapshot(["1970-01"]) == {RESEARCH: MonthSums(115, 16, 6)}


def test_months_survive_a_clock_that_steps_away_and_back() -> None:
    """A wrong wall clock shows another month for a while; the true one is not forgotten."""
    months = Months({RESEARCH: MonthSums(100, 10)})

    away = months.snapshot(["2031-05"])
    back = months.snapshot(["1970-01"])

    assert away == {}
    assert back == {RESEARCH: MonthSums(100, 10)}


def test_pending_rows_sum_by_key() -> None:
    """One row for a key, however many entries."""
    pending = Pending()
    pending.add([Entry(a_key(), 1, 10), Entry(a_key(), 2, 20), Entry(a_key(state="idle"), 4, 40)])

    assert len(pending) == 2
    assert pending.take() == {a_key(): (3, 30), a_key(state="idle"): (4, 40)}
    assert len(pending) == 0


def test_pending_rows_put_back_join_those_that_came_since() -> None:
    """What could not be written is written with the next flush, once."""
    pending = Pending()
    pending.add([Entry(a_key(), 1, 10)])
    rows = pending.take()
    pending.add([Entry(a_key(), 2, 20)])

    pending.put_back(rows)

    assert pending.take() == {a_key(): (3, 30)}


# ---- all of them together


def kept() -> Sums:
    """Ten nanos of an earlier process, seven of this one, five filled, two corrected."""
    sums = Sums({RESEARCH: MonthSums(10)})
    sums.keep([Entry(a_key(), 7, 1)])
    for name in ("cost", "cost_component", "team_cost"):
        sums.counters.add(f"gpufin_{name}_total", ("x",), 7)
    sums.keep([Entry(a_key(filled=True), 5, 1)], filled=True)
    sums.resync({RESEARCH: MonthSums(12)})
    return sums


def test_sums_that_agree_are_reconciled() -> None:
    """Filled and corrected money is in the months and no counter: that is no difference."""
    sums = kept()

    assert sums.unreconciled_nanos == 0
    assert sums.months.total() == 10 + 7 + 5 + 2
    assert len(sums.pending) == 2


@pytest.mark.parametrize("name", ["cost", "cost_component", "team_cost"])
def test_counter_that_differs_is_seen(name: str) -> None:
    """By how much, whichever it is: a defect is made visible, not clamped."""
    sums = kept()

    sums.counters.add(f"gpufin_{name}_total", ("x",), 3)

    assert sums.unreconciled_nanos == 3


@pytest.mark.parametrize("nanos", [3, -3])
def test_months_that_differ_are_seen(nanos: int) -> None:
    """More or less than the counters have grown by."""
    sums = kept()

    sums.months.add([Entry(a_key(), nanos, 1)])

    assert sums.unreconciled_nanos == 3
