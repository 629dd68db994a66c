"""From an interval to ledger entries."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from agent.cost.energy import CarbonIntensity, embodied_nanograms_per_ns
from agent.cost.prices import PriceTable
from agent.ledger.entry import Component, Entry
from agent.ledger.posting import Books, Emissions, Interval, Remainders, post
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState
from agent.usage.timetable import When
from tests.builders import (
    CARD,
    HOUR,
    SECOND,
    UTC,
    a_card,
    a_rental,
    a_table,
    a_tariff,
    an_owned,
)

START_NS = 1_792_224_000 * SECOND


def an_interval(
    duration_ns: int, energy_mj: int | None = None, start_ns: int = START_NS
) -> Interval:
    return Interval(
        gpu=a_card(),
        team="research",
        state=CardState.ACTIVE,
        start_wall_ns=start_ns,
        end_wall_ns=start_ns + duration_ns,
        energy_mj=energy_mj,
        energy_method=EnergyMethod.COUNTER,
    )


def posted(
    interval: Interval, table: PriceTable, remainders: Remainders | None = None
) -> list[Entry]:
    return post(interval, Books(table, UTC, {} if remainders is None else remainders))


def nanos(entries: list[Entry], component: str) -> int:
    return sum(entry.nanos for entry in entries if entry.key.component == component)


def test_rental_books_time_at_its_price() -> None:
    """An hour at 2.50 is 2.50, one row, with its price id, team and hour."""
    (entry,) = posted(an_interval(HOUR), a_table())

    assert (entry.nanos, entry.quantity) == (2_500_000_000, HOUR)
    key = entry.key
    assert (key.component, key.price_id, key.team, key.month) == (
        "rental",
        "rented",
        "research",
        "2026-10",
    )
    assert (key.method, key.filled, key.hour) == ("time", False, START_NS // SECOND)


def test_rental_books_energy_as_quantity_without_money() -> None:
    """The price contains the electricity: adding it would bill it twice."""
    entries = posted(an_interval(HOUR, 25_200_000), a_table())

    energy = next(entry for entry in entries if entry.key.component == Component.ENERGY)
    assert (energy.nanos, energy.quantity, energy.key.price_id) == (0, 25_200_000, "")


def test_owned_books_capital_and_energy() -> None:
    """7 kWh x 1.4 x 0.12 is 1.176, beside the depreciation."""
    table = a_table(an_owned(end_of_life_ns=START_NS + 43_800 * HOUR, in_service_ns=START_NS))

    entries = posted(an_interval(HOUR, 25_200_000_000), table)

    assert nanos(entries, Component.ENERGY) == 1_176_000_000
    assert nanos(entries, Component.CAPITAL) == 719_178_082


def test_owned_books_the_whole_price_over_its_life_and_nothing_after() -> None:
    """Depreciation sums to purchase less salvage to the last 1e-9, then it ends."""
    life_ns = 100 * 24 * HOUR
    table = a_table(an_owned(in_service_ns=START_NS, end_of_life_ns=START_NS + life_ns))

    entries = posted(an_interval(life_ns + 10 * HOUR, start_ns=START_NS - HOUR), table)

    assert nanos(entries, Component.CAPITAL) == 31_500 * 10**9
    assert sum(entry.quantity for entry in entries if entry.nanos) == life_ns
    assert sum(entry.quantity for entry in entries) == life_ns + 10 * HOUR  # priced, at nothing


def test_gap_in_the_prices_is_unpriced_time() -> None:
    """Time without a record is a quantity without money, to the nanosecond."""
    table = a_table(
        a_rental(id="old", valid_to_ns=START_NS + 7 * SECOND),
        a_rental(id="new", valid_from_ns=START_NS + 9 * SECOND),
    )

    entries = posted(an_interval(10 * SECOND, 10), table)

    time = {
        entry.key.price_id: entry.quantity for entry in entries if entry.key.component != "energy"
    }
    assert time == {"old": 7 * SECOND, "": 2 * SECOND, "new": SECOND}
    assert sum(entry.quantity for entry in entries if entry.key.component == "energy") == 10


def test_energy_is_spread_without_losing_a_millijoule() -> None:
    """Cut at an odd place, the parts sum to the whole."""
    interval = an_interval(3 * HOUR, 1_000_003, start_ns=START_NS + 1_234_567_891)

    entries = posted(interval, a_table())

    energy = [entry.quantity for entry in entries if entry.key.component == Component.ENERGY]
    assert len(energy) == 4
    assert sum(energy) == 1_000_003


def test_unmeasured_energy_books_nothing() -> None:
    """None is not 0: there is no row at all."""
    entries = posted(an_interval(HOUR, None), a_table())

    assert {entry.key.component for entry in entries} == {Component.RENTAL}


def test_owned_without_a_tariff_books_unpriced_energy() -> None:
    """No tariff, no guess: the quantity stands apart from energy that a rental contains."""
    entries = posted(an_interval(HOUR, 5), a_table(an_owned(), tariffs=()))

    (energy,) = [entry for entry in entries if entry.key.method != "time"]
    assert (energy.key.component, energy.nanos, energy.quantity) == ("unpriced_energy", 0, 5)


@pytest.mark.parametrize("parts", [1, 7, 3_600])
def test_many_small_bookings_equal_one(parts: int) -> None:
    """A price that no second divides: the pattern of ticks makes no difference."""
    table, remainders = a_table(a_rental(Fraction(1, 3))), Remainders()
    edges = [START_NS + HOUR * number // parts for number in range(parts + 1)]

    entries = [
        entry
        for start, end in pairwise(edges)
        for entry in posted(an_interval(end - start, start_ns=start), table, remainders)
    ]

    assert nanos(entries, Component.RENTAL) == 333_333_333
    assert Fraction(*remainders[CARD, Component.RENTAL, "rented"]) == Fraction(1, 3)


def test_remainder_survives_a_record_edited_in_place() -> None:
    """When the same id gets another price, what was left over is kept as far as it fits."""
    remainders: Remainders = {(CARD, Component.RENTAL, "rented"): (1, 2)}

    posted(an_interval(SECOND), a_table(a_rental("3.6")), remainders)

    assert remainders[CARD, Component.RENTAL, "rented"] == (500, 1_000)


def test_interval_of_no_length_books_nothing() -> None:
    """Two ticks at one moment: no row, no error."""
    assert posted(an_interval(0, 5), a_table()) == []


def test_tariffs_of_the_same_card_keep_apart() -> None:
    """A new tariff id has a remainder of its own."""
    remainders = Remainders()

    for tariff in (a_tariff(), a_tariff(Fraction(1, 7), id="other")):
        posted(an_interval(SECOND, 1), a_table(an_owned(), tariffs=[tariff]), remainders)

    assert {key[2] for key in remainders if key[1] == Component.ENERGY} == {"grid", "other"}


def test_energy_is_priced_by_the_band_of_its_local_hour() -> None:
    """Cut at 16:00 in Kolkata, which is half past an hour of UTC, and each part at its own price."""
    evening = When(from_minute=16 * 60, to_minute=21 * 60)
    tariff = a_tariff("0.10", (evening, "0.30"), zone=ZoneInfo("Asia/Kolkata"), pue="1")
    ten_utc = START_NS // HOUR * HOUR + (10 - START_NS // HOUR % 24) * HOUR

    entries = posted(
        an_interval(HOUR, 3_600_000_000, ten_utc), a_table(an_owned(), tariffs=[tariff])
    )

    energy = [entry for entry in entries if entry.key.component == Component.ENERGY]
    assert [(entry.key.price_id, entry.nanos) for entry in energy] == [
        ("grid", 50_000_000),
        ("grid/0", 150_000_000),
    ]


def test_host_power_is_energy_of_its_own_method() -> None:
    """175 W beside the card for an hour: 0.175 kWh x 1.4 x 0.12, and none for a filled hour."""
    table = a_table(an_owned(host_mw=175_000))
    live, filled = an_interval(HOUR), replace(an_interval(HOUR), filled=True)

    host = [entry for entry in posted(live, table) if entry.key.method == "host"]

    assert [(entry.nanos, entry.quantity) for entry in host] == [(29_400_000, 630_000_000)]
    assert all(entry.key.method != "host" for entry in posted(filled, table))


def test_carbon_follows_energy_and_time() -> None:
    """1 kWh at a PUE of 1.4 and 369.473 g: 517.2622 g; 318 kg over 5 years: 7.260274 g an hour."""
    intensity = CarbonIntensity("US", Fraction("369.473"), Fraction("1.4"))
    embodied = embodied_nanograms_per_ns(Fraction(318), 5 * 8_760 * HOUR)
    books = Books(
        a_table(),
        UTC,
        {},
        Emissions(expected=True, intensity=intensity, embodied_ng_per_ns=embodied),
    )

    entries = post(an_interval(HOUR, 3_600_000_000), books)

    grams = {
        entry.key.component: entry.quantity / 1e9
        for entry in entries
        if "carbon" in entry.key.component
    }
    assert grams == pytest.approx({"carbon": 517.2622, "carbon_embodied": 7.260274}, abs=5e-7)
    assert nanos(entries, Component.CARBON) == nanos(entries, Component.CARBON_EMBODIED) == 0


def test_energy_of_an_unknown_intensity_is_counted_as_such() -> None:
    """No figure, no grams: the energy stands in a row that says so."""
    books = Books(a_table(), UTC, {}, Emissions(expected=True))

    entries = post(an_interval(HOUR, 7), books)

    unknown = [entry for entry in entries if entry.key.component == Component.CARBON_UNKNOWN]
    assert [entry.quantity for entry in unknown] == [7]
    assert not [entry for entry in entries if entry.key.component == Component.CARBON]
