"""Which price record holds, and what it comes to."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, strategies as st

from agent.cost.energy import Tariff
from agent.cost.prices import Price, overlaps
from agent.usage.match import globs_intersect
from tests.builders import (
    CARD,
    HOUR,
    MODEL,
    OTHER_CARD,
    SECOND,
    a_card,
    a_rental,
    a_table,
    a_tariff,
    an_owned,
)

YEAR_8760 = 5 * 8_760 * HOUR
EXACT_2026_TO_2031 = (5 * 365 + 1) * 24 * HOUR
"""2028 has a day more."""


def per_hour(price: Price) -> Fraction:
    return sum((rate.nanos_per_ns for rate in price.rates), Fraction(0)) * HOUR / 10**9


def price_of_energy(tariff: Tariff) -> Fraction:
    return tariff.at(0).nanos_per_mj


# ---- which record


def test_record_for_the_uuid_comes_before_the_model() -> None:
    """A price for the card itself beats one for its model, wherever it stands."""
    table = a_table(a_rental(id="model"), a_rental(id="card", uuid=CARD))

    found = table.at(a_card(), 0), table.at(a_card(OTHER_CARD), 0)

    assert [price and price.id for price in found] == ["card", "model"]


def test_gap_of_the_uuid_record_falls_back_to_the_model() -> None:
    """When the card's own record has ended, that of its model holds."""
    table = a_table(a_rental(id="model"), a_rental(id="card", uuid=CARD, valid_to_ns=10))

    assert [table.at(a_card(), moment).id for moment in (9, 10)] == ["card", "model"]  # type: ignore[union-attr]  # None fails the test


def test_validity_is_half_open() -> None:
    """A record holds from its first moment until just before its end; in between is a gap."""
    table = a_table(
        a_rental(id="old", valid_to_ns=100), a_rental(id="new", valid_from_ns=200, valid_to_ns=300)
    )

    found = [table.at(a_card(), moment) for moment in (99, 100, 199, 200, 299, 300)]

    assert [price.id if price else None for price in found] == [
        "old",
        None,
        None,
        "new",
        "new",
        None,
    ]


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("*", True),
        (MODEL, True),
        ("NVIDIA H100*", True),
        ("nvidia h100*", False),
        ("NVIDIA H?00 *", True),
        ("H100", False),
        ("*H100*", True),
    ],
)
def test_model_globs_match_as_people_expect(glob: str, matches: bool) -> None:
    """Star and question mark are wildcards, case counts, and a part of a name is not the name."""
    assert a_rental(model=glob).match.matches(a_card(), {}) is matches


def test_terms_of_an_hour_change_where_a_rate_may_change() -> None:
    """Begin and end of validity and of a life cut the hour; it is covered without a gap."""
    table = a_table(
        a_rental(id="a", valid_to_ns=100),
        an_owned(in_service_ns=100, end_of_life_ns=500),
        a_rental(id="other", model="nothing", valid_from_ns=7),
    )

    terms = table.terms(a_card(), 0)

    assert [(each.start_ns, each.end_ns, each.price and each.price.id) for each in terms] == [
        (0, 100, "a"),
        (100, 500, "owned"),
        (500, HOUR, "owned"),
    ]
    assert [len(each.rates) for each in terms] == [1, 1, 0]


# ---- overlap


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        (a_rental(id="a"), a_rental(id="b"), True),
        (a_rental(id="a", valid_to_ns=5), a_rental(id="b", valid_from_ns=5), False),
        (a_rental(id="a", valid_to_ns=6), a_rental(id="b", valid_from_ns=5), True),
        (a_rental(id="a", uuid=CARD), a_rental(id="b", uuid=CARD), True),
        (a_rental(id="a", uuid=CARD), a_rental(id="b", uuid=OTHER_CARD), False),
        (a_rental(id="a", uuid=CARD), a_rental(id="b", model="*"), False),
        (a_rental(id="a", model="*H100*"), a_rental(id="b", model="NVIDIA *"), True),
        (a_rental(id="a", model="*H100"), a_rental(id="b", model="*L40S"), False),
    ],
)
def test_overlap_needs_the_same_cards_at_the_same_time(
    first: Price, second: Price, overlap: bool
) -> None:
    """Two records clash when they can hold for one card at one moment at the same level."""
    assert bool(overlaps([first, second])) is overlap
    assert bool(overlaps([second, first])) is overlap


NAMES = ["".join(name) for length in range(7) for name in product("ab", repeat=length)]
globs = st.text("ab*?", max_size=4)


@given(first=globs, second=globs)
def test_globs_intersect_agrees_with_trying_every_name(first: str, second: str) -> None:
    """Two globs intersect exactly when some name matches both."""
    one, two = a_rental(model=first or "x"), a_rental(model=second or "x")
    if first and second:
        by_trial = any(
            all(each.match.matches(a_card(model=name), {}) for each in (one, two)) for name in NAMES
        )
        assert globs_intersect(first, second) is by_trial
        assert globs_intersect(second, first) is by_trial


# ---- what it comes to


def test_rental_for_an_hour_costs_its_price() -> None:
    """2.50 an hour is exactly 2.50 for an hour."""
    assert per_hour(a_rental("2.50")) == Fraction("2.50")


def test_straight_line_over_8760_hour_years_is_the_textbook_figure() -> None:
    """280,000 less 28,000 over 5 years of 8,760 h and 8 cards is 0.719178 an hour (finops 5.1)."""
    price = an_owned(end_of_life_ns=YEAR_8760)

    assert float(per_hour(price)) == pytest.approx(0.719178, abs=5e-7)


def test_straight_line_over_the_calendar_is_exact() -> None:
    """Over the exact life, leap day included, the whole is purchase less salvage, to the fraction."""
    price = an_owned(end_of_life_ns=EXACT_2026_TO_2031)

    (rate,) = price.rates
    assert rate.nanos_per_ns * EXACT_2026_TO_2031 == Fraction(252_000, 8) * 10**9
    assert float(per_hour(price)) == pytest.approx(31_500 / 43_824, abs=1e-12)
    assert float(per_hour(price)) < 0.719178


def test_rate_ends_with_the_life() -> None:
    """After the life the rate is nothing, never negative, and before it is in service too."""
    table = a_table(an_owned(in_service_ns=10, end_of_life_ns=10 + YEAR_8760))

    rates = [
        table.rate_per_hour(a_card(), moment, 0)
        for moment in (9, 10, 9 + YEAR_8760, 10 + YEAR_8760)
    ]

    assert rates == pytest.approx([0, 0.719178, 0.719178, 0], abs=5e-7)


def test_energy_costs_tariff_times_pue() -> None:
    """7 kWh at the board, PUE 1.4, 0.12 for a kWh come to 1.176 exactly."""
    assert price_of_energy(a_tariff()) * 25_200_000_000 == Fraction("1.176") * 10**9


def test_rate_now_contains_the_power_of_an_owned_card_and_its_host() -> None:
    """(700 + 175) W x 1.4 x 0.12 are 0.147 an hour on top of the capital (finops 5.1)."""
    table = a_table(an_owned(end_of_life_ns=YEAR_8760, host_mw=175_000))

    with_power = table.rate_per_hour(a_card(), SECOND, 700_000)

    assert with_power == pytest.approx(0.719178 + 0.147, abs=5e-7)


def test_rate_of_an_owned_card_is_not_known_without_its_power_or_a_tariff() -> None:
    """Missing is not zero: a rate without its energy would be too low."""
    assert a_table(an_owned()).rate_per_hour(a_card(), SECOND, None) is None
    assert a_table(an_owned(), tariffs=()).rate_per_hour(a_card(), SECOND, 700_000) is None


def test_rental_contains_its_energy() -> None:
    """Power adds nothing to a rental."""
    assert a_table(a_rental("2.5")).rate_per_hour(a_card(), 0, 700_000) == 2.5


def test_tariff_is_exact_for_any_figures() -> None:
    """No rounding between tariff, PUE and millijoule."""
    tariff = a_tariff("0.2871", pue="1.37")

    assert price_of_energy(tariff) * 3_600_000_000 == Fraction("0.2871") * Fraction("1.37") * 10**9
