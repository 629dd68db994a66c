"""Late and changed prices: correcting rows, exact and never twice."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st

from agent.cost.energy import Tariff
from agent.cost.prices import Price, PriceTable
from agent.cost.rates import FOREVER_NS
from agent.ledger.entry import Component, Entry, EntryKey
from agent.ledger.posting import Books, Interval, post
from agent.ledger.reprice import Terms, corrections
from agent.ledger.span import Known
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState
from tests.builders import (
    CARD,
    HOUR,
    MODEL,
    SECOND,
    UTC,
    a_card,
    a_rental,
    a_table,
    a_tariff,
    an_owned,
)

START = 1_792_224_000
START_NS = START * SECOND
Rows = dict[EntryKey, tuple[int, int]]
NOTHING = a_rental(model="nothing")
EVER = {CARD: (Known(0, FOREVER_NS, a_card()),)}


def booked(
    table: PriceTable, length_ns: int = HOUR, energy_mj: int = 3_600_000_000, state: str = "active"
) -> Rows:
    """An interval from the start, posted."""
    interval = Interval(
        gpu=a_card(),
        team="research",
        state=CardState(state),
        start_wall_ns=START_NS,
        end_wall_ns=START_NS + length_ns,
        energy_mj=energy_mj,
        energy_method=EnergyMethod.COUNTER,
    )
    return summed(post(interval, Books(table, UTC, {})))


def summed(entries: list[Entry], rows: Rows | None = None) -> Rows:
    sums: Rows = dict(rows or {})
    for entry in entries:
        nanos, quantity = sums.get(entry.key, (0, 0))
        sums[entry.key] = (nanos + entry.nanos, quantity + entry.quantity)
    return sums


def corrected(
    rows: Rows,
    table: PriceTable,
    number: int = 1,
    *,
    zone: ZoneInfo = UTC,
    also_removed: bool = False,
    days: ZoneInfo | None = None,
    cards: Mapping[str, Sequence[Known]] = EVER,
) -> list[Entry]:
    terms = Terms(table=table, zone=zone, cards=cards, also_removed=also_removed)
    return corrections(rows.items(), terms, number=number, days=days)


def by_use(rows: Rows) -> dict[tuple[str, str], tuple[int, int]]:
    """Component and price id to money and quantity, corrections added in."""
    sums: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, (nanos, quantity) in rows.items():
        before = sums[key.component, key.price_id]
        sums[key.component, key.price_id] = (before[0] + nanos, before[1] + quantity)
    return {use: amounts for use, amounts in sums.items() if amounts != (0, 0)}


def test_a_late_price_turns_unpriced_hours_into_money() -> None:
    """What was unpriced is taken back and booked at the price, as it would have been in time."""
    rows, late = booked(a_table(NOTHING), 3 * HOUR), a_table(a_rental("2.50"))

    found = corrected(rows, late)

    assert {entry.key.correction for entry in found} == {1}
    assert by_use(summed(found, rows)) == by_use(booked(late, 3 * HOUR))
    assert {entry.key.state for entry in found} == {CardState.ACTIVE}


def test_a_late_price_that_begins_within_an_hour_takes_its_share_of_it() -> None:
    """Half past: half of the unpriced hour."""
    rows = booked(a_table(NOTHING))
    late = a_table(a_rental("2.50", valid_from_ns=START_NS + HOUR // 2))

    found = summed(corrected(rows, late), rows)

    assert by_use(found)[Component.RENTAL, "rented"] == (1_250_000_000, HOUR // 2)
    assert by_use(found)[Component.UNPRICED, ""] == (0, HOUR // 2)


def test_hours_at_the_right_price_are_left_alone() -> None:
    """A change within the hour was booked to the nanosecond: nothing is spread anew."""
    table = a_table(
        a_rental("2.50", id="old", valid_to_ns=START_NS + 700 * SECOND),
        a_rental("3.10", id="new", valid_from_ns=START_NS + 900 * SECOND),
    )

    assert corrected(booked(table), table) == []


def test_a_changed_amount_is_the_difference() -> None:
    """2.50 was booked, 2.20 is right: 0.30 an hour comes back, and no time with it."""
    rows = booked(a_table(a_rental("2.50")), 2 * HOUR)

    found = corrected(rows, a_table(a_rental("2.20")))

    assert sum(entry.nanos for entry in found) == -600_000_000
    assert sum(entry.quantity for entry in found) == 0


def test_a_late_owned_price_prices_the_energy_too() -> None:
    """Energy of an unpriced card was a quantity; an owned card pays for it."""
    rows, late = booked(a_table(NOTHING)), a_table(an_owned(opex="0.627854"))

    found = by_use(summed(corrected(rows, late), rows))

    assert found == by_use(booked(late))
    assert found[Component.ENERGY, "grid"] == (168_000_000, 3_600_000_000)


def test_a_late_tariff_prices_unpriced_energy() -> None:
    """And leaves the capital alone."""
    without, late = a_table(an_owned(), tariffs=()), a_table(an_owned())

    found = corrected(booked(without), late)

    assert {entry.key.component for entry in found} == {"unpriced_energy", "energy"}
    assert by_use(summed(found, booked(without))) == by_use(booked(late))


def test_compacted_days_are_repriced_over_the_day() -> None:
    """A row that stands for a day takes its share of a price that begins at noon."""
    day = START // 86_400 * 86_400
    key = next(iter(booked(a_table(NOTHING), energy_mj=0)))._replace(hour=day)
    late = a_table(a_rental("2.50", valid_from_ns=(day + 43_200) * SECOND))

    found = corrected({key: (0, 24 * HOUR)}, late, days=UTC)

    rental = [entry for entry in found if entry.key.component == Component.RENTAL]
    assert [(entry.nanos, entry.quantity) for entry in rental] == [(30_000_000_000, 12 * HOUR)]


amounts = st.fractions("0.01", "20", max_denominator=997)
cuts = st.integers(0, 3 * HOUR).map(lambda ns: START_NS + ns)


def rentals(old: Fraction, new: Fraction, cut: int, gap: int) -> tuple[Price, ...]:
    return (
        a_rental(old, id="old", valid_to_ns=cut),
        a_rental(new, id="new", valid_from_ns=cut + gap),
    )


records: st.SearchStrategy[tuple[Price, ...]] = st.one_of(
    st.just((NOTHING,)),
    st.builds(rentals, amounts, amounts, cuts, st.sampled_from([0, 1, 1_800 * SECOND])),
    st.builds(lambda opex: (an_owned(opex=opex),), st.sampled_from([None, "0.5"])),
)
tariff_sets: st.SearchStrategy[tuple[Tariff, ...]] = st.sampled_from(
    [(), (a_tariff(),), (a_tariff("0.31", valid_from_ns=START_NS + HOUR + 1, id="late"),)]
)
tables = st.builds(lambda prices, tariffs: a_table(*prices, tariffs=tariffs), records, tariff_sets)
TIME = {Component.RENTAL, Component.CAPITAL, Component.UNPRICED}
ENERGY = {Component.ENERGY, Component.UNPRICED_ENERGY}


def total(rows: Rows, components: set[str]) -> int:
    return sum(quantity for key, (_, quantity) in rows.items() if key.component in components)


@given(before=tables, after=tables, length=st.integers(1, 3 * HOUR), energy=st.integers(0, 10**10))
def test_corrections_conserve_time_and_energy_and_settle(
    before: PriceTable, after: PriceTable, length: int, energy: int
) -> None:
    """No nanosecond and no millijoule is lost; the second run finds nothing; money is never negative."""
    rows = booked(before, length, energy)

    once = summed(corrected(rows, after, also_removed=True), rows)

    assert total(once, TIME) == total(rows, TIME) == length
    assert total(once, ENERGY) == total(rows, ENERGY) == energy
    assert corrected(once, after, number=2, also_removed=True) == []
    assert all(nanos >= 0 and quantity >= 0 for nanos, quantity in by_use(once).values())


@given(before=tables, price=amounts, length=st.integers(1, 3 * HOUR))
def test_one_price_for_all_time_is_price_times_time(
    before: PriceTable, price: Fraction, length: int
) -> None:
    """Whatever was booked before: off by less than 1e-9 of the currency."""
    rows = booked(before, length, 0)
    right = a_table(a_rental(price, id="right"))

    once = by_use(summed(corrected(rows, right, also_removed=True), rows))

    exact = price * 10**9 * length / HOUR
    assert once[Component.RENTAL, "right"] == (exact.numerator // exact.denominator, length)


def test_a_card_that_left_is_priced_by_what_its_rows_say() -> None:
    """UUID and model stand in the row."""
    rows = booked(a_table(NOTHING))

    found = corrected(rows, a_table(a_rental(model=MODEL)), cards={})

    assert sum(entry.nanos for entry in found) == 2_500_000_000
