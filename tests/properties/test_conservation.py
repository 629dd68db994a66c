"""Conservation: whatever happens, all ways of summing the same money agree."""

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from agent.ledger.account import Account
from agent.ledger.batch import Recovered
from agent.ledger.entry import Component, EntryKey
from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason, GpuIdentity
from tests.builders import (
    CARD,
    HERE,
    SECOND,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    an_account,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger
from tests.properties.days import MONTHS, Turn, days, policies, starts

Rows = dict[EntryKey, tuple[int, int]]
Sums = dict[str, dict[tuple[str, ...], int]]
START_MJ = 5 * 10**9


def play(
    policy: AccountPolicy, day: list[Turn], look: list[Sums] | None = None, start: int | None = None
) -> Account:
    """Run a day; ``look`` takes the counters after each tick."""
    clock, account, energy_mj = FakeClock(), an_account(policy), START_MJ
    if start is not None:
        clock.wall_ns = start * SECOND
    for turn in day:
        clock.move(ns=turn.passed_ns)
        clock.step(turn.step_seconds)
        energy_mj += turn.passed_ns * 300_000 // SECOND
        account.advance(turn.node(clock.boottime_ns, energy_mj), clock.now())
        if look is not None:
            look.append({name: dict(s) for name, s in account.counters.snapshot().items()})
    return account


def by_card(sums: Sums, name: str) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for labels, amount in sums.get(name, {}).items():
        found[labels[0]] += amount
    return dict(found)


@given(policy=policies(), day=days, start=starts)
def test_states_components_and_teams_sum_to_the_same_cost(
    policy: AccountPolicy, day: list[Turn], start: int
) -> None:
    """Per card its states and components agree; over the node the teams do too; to the nano."""
    seen: list[Sums] = []

    account = play(policy, day, seen, start)

    for sums in seen:
        assert by_card(sums, "gpufin_cost_total").items() <= (
            by_card(sums, "gpufin_cost_component_total").items()
        )
    total = account.counters.total
    assert total("gpufin_cost_total") == total("gpufin_cost_component_total")
    assert total("gpufin_cost_total") == total("gpufin_team_cost_total")


@given(policy=policies(), day=days, start=starts)
def test_ledger_rows_counters_and_months_agree(
    policy: AccountPolicy, day: list[Turn], start: int
) -> None:
    """In one life nothing is filled: rows, counters and month gauges hold the same money."""
    account = play(policy, day, start=start)

    rows = account.take().rows
    money = sum(nanos for nanos, _ in rows.values())
    months = account.months.snapshot(MONTHS)
    assert money == account.counters.total("gpufin_cost_total")
    assert money == sum(sums.cost for sums in months.values())
    idle = sum(nanos for key, (nanos, _) in rows.items() if key.state in {"held", "idle"})
    assert idle == sum(sums.idle + sums.exempt_idle for sums in months.values())
    assert all(nanos >= 0 and quantity >= 0 for nanos, quantity in rows.values())


@given(policy=policies(), day=days)
def test_state_seconds_are_the_time_that_passed(policy: AccountPolicy, day: list[Turn]) -> None:
    """Each card is in exactly one state at any time; no time is lost, none counted twice.

    That of a card there was no time for is booked later.
    """
    seen: list[Sums] = []
    play(policy, day, seen)
    owed: dict[str, int] = defaultdict(int)

    for turn, (before, after) in zip(day[1:], pairwise(seen), strict=True):
        old = by_card(before, "gpufin_gpu_state_seconds_total")
        new = by_card(after, "gpufin_gpu_state_seconds_total")
        skipped = {uuid for uuid, says, *_ in turn.reports if says == FaultReason.NO_TIME}
        for uuid in {*old, *new, *owed}:
            if uuid not in old or uuid not in new:
                owed[uuid] = 0  # it came or was given up
                continue
            owed[uuid] += turn.passed_ns
            booked = new[uuid] - old[uuid]
            assert booked == owed[uuid] or (booked == 0 and uuid in skipped)
            assert owed[uuid] - booked <= policy.max_gap_ns
            owed[uuid] -= booked


@given(policy=policies(), day=days)
def test_counters_never_fall(policy: AccountPolicy, day: list[Turn]) -> None:
    """A series rises or stands still; one that a given-up card takes along comes back from 0."""
    seen: list[Sums] = []

    play(policy, day, seen)

    for before, after in pairwise(seen):
        for name, sums in before.items():
            for labels, amount in sums.items():
                assert after[name].get(labels, amount) >= amount


@given(policy=policies(), day=days)
def test_energy_rows_are_the_energy_counter(policy: AccountPolicy, day: list[Turn]) -> None:
    """Every millijoule in the counter is in the ledger and none besides, unless time stood still."""
    day = [turn for turn in day if turn.passed_ns]

    account = play(policy, day)

    rows = account.take().rows
    drawn = {Component.ENERGY, Component.UNPRICED_ENERGY}
    booked = sum(
        q for key, (_, q) in rows.items() if key.component in drawn and key.method != "host"
    )
    assert booked == account.counters.total("gpufin_gpu_energy_joules_total")


intervals = st.lists(st.integers(1, 7 * SECOND), min_size=1, max_size=60)


@given(per_hour=st.fractions("0.01", "20", max_denominator=9_973), passed=intervals)
def test_bill_does_not_depend_on_the_ticking(per_hour: Fraction, passed: list[int]) -> None:
    """However the time is cut, the sum is the exact rational bill, less than 1e-9 rounded off."""
    clock, account = FakeClock(), an_account(a_policy(a_rental(per_hour)))
    account.advance(a_node(a_sample()), clock.now())

    for ns in passed:
        account.advance(a_node(a_sample()), clock.move(ns=ns))

    exact = per_hour * 10**9 * sum(passed) / (3_600 * SECOND)
    assert account.counters.total("gpufin_cost_total") == exact.numerator // exact.denominator


@given(
    passed=intervals,
    powers=st.lists(st.integers(0, 700_000), min_size=60, max_size=60),
)
def test_owned_bill_is_the_exact_sum_of_capital_and_energy(
    passed: list[int], powers: list[int]
) -> None:
    """Each component by itself is off by less than 1e-9 of the currency."""
    policy = a_policy(an_owned(end_of_life_ns=10**19 // 3))
    clock, account, energy_mj = FakeClock(), an_account(policy), 0
    account.advance(a_node(a_sample(clock.boottime_ns, energy_mj=0)), clock.now())

    for ns, power in zip(passed, powers, strict=False):
        clock.move(ns=ns)
        energy_mj += power * ns // SECOND
        sample = a_sample(clock.boottime_ns, energy_mj=energy_mj, power_mw=power)
        account.advance(a_node(sample), clock.now())

    (rate,) = policy.table.prices[0].rates
    energy_price = policy.table.tariff_at(clock.wall_ns)
    assert energy_price is not None
    components = account.counters.snapshot()["gpufin_cost_component_total"]
    exact = {
        "capital": rate.nanos_per_ns * sum(passed),
        "energy": energy_price.nanos_per_mj * energy_mj,
    }
    for component, nanos in exact.items():
        assert components[CARD, "0", component, "USD"] == nanos.numerator // nanos.denominator


@given(passed=intervals, flushes=st.sets(st.integers(0, 59)))
def test_flushes_change_nothing(passed: list[int], flushes: set[int]) -> None:
    """However often the sums are carried away, and fail to be, the ledger ends up the same."""
    clock, store = FakeClock(), FakeLedger()
    account = an_account()
    account.advance(a_node(a_sample()), clock.now())

    for number, ns in enumerate(passed):
        account.advance(a_node(a_sample()), clock.move(ns=ns))
        if number in flushes:
            batch = account.take()
            if number % 2:
                account.pending.put_back(batch.rows)
            else:
                store.write(batch)
    store.write(account.take())

    booked = sum(nanos for nanos, _ in store.rows.values())
    assert booked == account.counters.total("gpufin_cost_total")
    assert booked == sum(passed) * 2_500_000_000 // (3_600 * SECOND)


def test_a_card_in_a_batch_is_whole() -> None:
    """What is recovered is an identity, not a reference into the running account."""
    account = Account(a_policy(), Recovered(ledger_id="none"), HERE)
    account.advance(a_node(a_sample()), FakeClock().now())

    (known,) = account.take().gpus

    assert isinstance(known.identity, GpuIdentity)
    with pytest.raises(AttributeError):
        known.identity.index = 3  # type: ignore[misc]  # it is frozen: that is the point
