"""What stays as it was booked, and what moves, in hours that several states, records or layouts share."""

from dataclasses import replace
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from agent.cost.prices import Price
from agent.ledger.entry import Component
from agent.ledger.posting import Books, Interval, post, post_energy
from agent.ledger.span import Known
from agent.usage.energy import EnergyMethod
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from tests.builders import CARD, HOUR, SECOND, UTC, a_card, a_rental, a_table, an_owned
from tests.unit.ledger.test_reprice import NOTHING, START_NS, Rows, by_use, corrected, summed

MINUTE = 60 * SECOND
HALF = START_NS + HOUR // 2
KATHMANDU = ZoneInfo("Asia/Kathmandu")
MONTH_BEGINS = 1_793_470_500 * SECOND
"""18:15 UTC, midnight in Kathmandu."""


def stay(begin_ns: int, end_ns: int, state: CardState = CardState.ACTIVE) -> Interval:
    return Interval(
        gpu=a_card(),
        team="research",
        state=state,
        start_wall_ns=begin_ns,
        end_wall_ns=end_ns,
        energy_mj=(end_ns - begin_ns) * 7 // 10**7,
        energy_method=EnergyMethod.COUNTER,
    )


def lived(*stays: Interval, prices: tuple[Price, ...], zone: ZoneInfo = UTC) -> Rows:
    books = Books(a_table(*prices), zone, {})
    return summed([entry for each in stays for entry in post(each, books)])


def two_states() -> tuple[Interval, Interval]:
    """Idle for ten minutes, active for the rest of the hour."""
    cut = START_NS + 10 * MINUTE
    return stay(START_NS, cut, CardState.IDLE), stay(cut, START_NS + HOUR)


def test_a_gap_before_a_price_stays_unpriced_in_every_state() -> None:
    """The idle minutes were all before the record began, which the idle row alone does not tell."""
    prices = (a_rental("6.00", id="new", valid_from_ns=HALF),)

    assert corrected(lived(*two_states(), prices=prices), a_table(*prices)) == []


def test_a_record_edited_in_place_is_booked_anew_under_its_own_id() -> None:
    """2 was 3 until half past; the other half, and who had it, stays."""

    def prices(until: str) -> tuple[Price, ...]:
        return (
            a_rental(until, id="old", valid_to_ns=HALF),
            a_rental("6", id="new", valid_from_ns=HALF),
        )

    rows = lived(*two_states(), prices=prices("2"))

    found = corrected(rows, a_table(*prices("3")))

    assert summed(found, rows).keys() >= rows.keys()
    assert {entry.key.price_id for entry in found} == {"old"}
    assert by_use(summed(found, rows)) == by_use(lived(*two_states(), prices=prices("3")))


@pytest.mark.parametrize("length", [HOUR, 40 * MINUTE])
def test_a_record_with_two_rates_is_right_in_any_share_of_them(length: int) -> None:
    """One id with two exchange rates; a life that ends at half past: nothing to correct."""
    spot = a_rental("1.20", id="spot")
    rates = [
        replace(spot, rates=tuple(rate.times(Fraction(factor)) for rate in spot.rates))
        for factor in ("1.08", "2.00")
    ]
    abroad = (replace(rates[0], valid_to_ns=HALF), replace(rates[1], valid_from_ns=HALF))
    ends = (an_owned(end_of_life_ns=HALF, opex="0.5"),)

    for prices in (abroad, ends):
        rows = lived(stay(START_NS + HOUR - length, START_NS + HOUR), prices=prices)

        assert corrected(rows, a_table(*prices)) == []


def test_a_changed_exchange_rate_is_seen() -> None:
    """Of a whole hour: 1.08 and 2.00 became 1.08 and 1.10."""
    spot = a_rental("1.20", id="spot")

    def prices(second: str) -> tuple[Price, ...]:
        first, then = (
            replace(spot, rates=tuple(rate.times(Fraction(factor)) for rate in spot.rates))
            for factor in ("1.08", second)
        )
        return replace(first, valid_to_ns=HALF), replace(then, valid_from_ns=HALF)

    rows = lived(*two_states(), prices=prices("2.00"))

    found = corrected(rows, a_table(*prices("1.10")))

    assert sum(entry.nanos for entry in found) == -540_000_000
    assert by_use(summed(found, rows)) == by_use(lived(*two_states(), prices=prices("1.10")))


def test_a_month_that_begins_in_an_hour_keeps_its_price() -> None:
    """October's quarter of an hour is not charged at November's contract."""
    prices = (a_rental("6.00", id="november", valid_from_ns=MONTH_BEGINS),)
    rows = lived(stay(MONTH_BEGINS - HOUR, MONTH_BEGINS + HOUR), prices=prices, zone=KATHMANDU)

    assert corrected(rows, a_table(*prices), zone=KATHMANDU) == []


def test_an_hour_of_which_a_part_is_booked_takes_what_is_sure() -> None:
    """45 minutes unpriced, a price from half past: a quarter of an hour at least was at it."""
    rows = lived(stay(START_NS, START_NS + 45 * MINUTE), prices=(NOTHING,))

    found = by_use(summed(corrected(rows, a_table(a_rental("6", valid_from_ns=HALF))), rows))

    assert found[Component.RENTAL, "rented"] == (1_500_000_000, HOUR // 4)
    assert found[Component.UNPRICED, ""] == (0, HOUR // 2)


def test_time_beyond_the_hour_stays() -> None:
    """The clock was set back: an hour and twenty minutes in one hour, half of it at each price."""
    prices = (
        a_rental("2", id="old", valid_to_ns=HALF),
        a_rental("6", id="new", valid_from_ns=HALF),
    )
    again = stay(START_NS + 5 * MINUTE, START_NS + 25 * MINUTE)

    rows = lived(stay(START_NS, START_NS + HOUR), again, prices=prices)

    assert corrected(rows, a_table(*prices)) == []


def test_a_slewed_clock_is_no_correction() -> None:
    """Half a second more than the record held for, in an hour that the agent was not always there."""
    prices = (
        a_rental("2", id="old", valid_to_ns=HALF),
        a_rental("6", id="new", valid_from_ns=HALF),
    )
    slewed = stay(HALF - SECOND // 2, HALF)

    rows = lived(stay(START_NS, HALF), slewed, prices=prices)

    assert corrected(rows, a_table(*prices)) == []


def test_what_has_no_record_any_more_stays_unless_asked_for() -> None:
    """An expired record was tidied out of the file: its year is not wiped."""
    rows = lived(stay(START_NS, START_NS + HOUR), prices=(a_rental(id="expired"),))
    now = a_table(a_rental("2.20", id="now", valid_from_ns=START_NS + 9 * HOUR))

    found = summed(corrected(rows, now, also_removed=True), rows)

    assert corrected(rows, now) == []
    assert by_use(found)[Component.UNPRICED, ""] == (0, HOUR)


def test_money_in_another_currency_stays() -> None:
    """The file is in euros now; a rate for dollars it has not."""
    rows = lived(stay(START_NS, START_NS + HOUR), prices=(a_rental("2.50"),))
    dollars = {key._replace(currency="GBP"): amounts for key, amounts in rows.items()}

    assert corrected(dollars, a_table(a_rental("9"))) == []


def test_a_late_owned_price_books_the_host_too() -> None:
    """As it would have been in time, to the millijoule; and a figure that was forgotten."""
    late, without = an_owned(opex="0.6", host_mw=175_000), an_owned(opex="0.6")
    right = by_use(lived(*two_states(), prices=(late,)))

    for prices in ((NOTHING,), (without,)):
        rows = lived(*two_states(), prices=prices)
        found = corrected(rows, a_table(late))

        assert by_use(summed(found, rows)) == right
        assert {entry.key.method for entry in found} >= {"host"}


def test_a_card_that_is_rented_again_pays_for_no_host() -> None:
    """What the record does not say is taken back; what was measured stays, at no price."""
    rows = lived(*two_states(), prices=(an_owned(host_mw=175_000),))

    found = by_use(summed(corrected(rows, a_table(a_rental(id="owned"))), rows))

    assert found == by_use(lived(*two_states(), prices=(a_rental(id="owned"),)))


def test_a_record_that_changed_its_kind_is_booked_anew() -> None:
    """Rented under an id that is an owned card's now, energy and all."""
    rows = lived(*two_states(), prices=(a_rental("2", id="x"),))

    found = by_use(summed(corrected(rows, a_table(an_owned(id="x", opex="0.5"))), rows))

    assert found == by_use(lived(*two_states(), prices=(an_owned(id="x", opex="0.5"),)))


def test_hours_are_priced_by_what_the_card_was() -> None:
    """It was cut into instances at half past nine: before that the price of the whole card is right."""
    whole = a_rental("2", id="whole", model="*")
    cut = replace(a_rental("7", id="cut"), match=CardMatch(mig_profile="1g.10gb"))
    instances = replace(a_card(), mig_profiles=("1g.10gb",) * 7)
    at_ns = HALF + HOUR
    first = stay(START_NS, at_ns)
    then = replace(stay(at_ns, START_NS + 3 * HOUR), gpu=instances)
    rows = lived(first, then, prices=(whole, cut))
    flush = 10 * SECOND
    ever = {CARD: (Known(0, at_ns + flush, a_card()), Known(at_ns - flush, 2**62, instances))}

    assert corrected(rows, a_table(whole, cut), cards=ever) == []
    assert corrected(rows, a_table(whole, cut)) != []


def test_energy_that_reaches_back_further_than_its_time_stays_where_it_is() -> None:
    """A counter came back after a hang: its energy is filled over more than the rows of time were."""
    prices = (
        replace(an_owned(), valid_to_ns=HALF),
        a_rental("2", id="new", valid_from_ns=HALF),
    )
    at_rest = replace(stay(HALF, START_NS + HOUR, CardState.UNKNOWN), energy_mj=None, filled=True)
    back = replace(stay(START_NS, START_NS + HOUR, CardState.UNKNOWN), filled=True)
    books = Books(a_table(*prices), UTC, {})
    rows = summed([*post(at_rest, books), *post_energy(back, books)])
    assert any(key.component == Component.ENERGY and key.price_id for key in rows)

    assert corrected(rows, a_table(*prices)) == []
