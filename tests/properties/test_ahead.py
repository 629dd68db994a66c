"""What the time ahead costs is what it will be booked at."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, strategies as st

from agent.cost.prices import Price, PriceTable, Tier
from agent.ledger.posting import Books, Interval, post_time
from agent.usage.state import CardState
from tests.builders import UTC, a_card, a_rental, an_owned

NOW = 1_790_000_000 * 10**9
HOUR = 3_600 * 10**9
moments = st.integers(0, 40 * HOUR).map(lambda ns: NOW + ns)


@st.composite
def tables(draw: st.DrawFn) -> PriceTable:
    """Records one after the other, with gaps, spot among them, lives that end."""
    edges = sorted(draw(st.sets(moments, min_size=2, max_size=6)))
    prices: list[Price] = []
    for number, (start, end) in enumerate(pairwise(edges)):
        tier = draw(st.sampled_from([*Tier, None]))
        if tier is Tier.OWNED:
            life = draw(moments)
            owned = an_owned(id=f"p{number}", in_service_ns=NOW - HOUR, end_of_life_ns=life + 1)
            prices.append(replace(owned, valid_from_ns=start, valid_to_ns=end))
        elif tier is not None:
            amount = draw(st.fractions("0.01", "20", max_denominator=997))
            prices.append(
                a_rental(amount, id=f"p{number}", tier=tier, valid_from_ns=start, valid_to_ns=end)
            )
    return PriceTable(prices, currency="USD")


@given(table=tables(), steps=st.lists(moments, min_size=1, max_size=5).map(sorted), end=moments)
def test_time_ahead_costs_what_will_be_booked(
    table: PriceTable, steps: list[int], end: int
) -> None:
    """But for spot, at every moment on the way, to the rounding of each record."""
    for start in (*steps, steps[0]):  # and when the clock is set back
        card, last = a_card(), max(start, end)
        interval = Interval(
            gpu=card, team="", state=CardState.ACTIVE, start_wall_ns=start, end_wall_ns=last
        )
        booked = sum(
            entry.nanos
            for entry in post_time(interval, Books(table, UTC, {}))
            if not entry.variable
        )

        ahead = table.committed_nanos(card, start, last)

        assert 0 <= ahead - booked <= len(table.prices)


@given(table=tables(), end=moments)
def test_time_ahead_of_nothing_is_nothing(table: PriceTable, end: int) -> None:
    """The month is over."""
    assert table.committed_nanos(a_card(), end, end) == 0


def test_time_ahead_knows_the_price_of_next_week() -> None:
    """10 hours at 2, then 5 at 3."""
    edge = NOW + 10 * HOUR
    table = PriceTable(
        [
            a_rental(Fraction(2), id="old", valid_to_ns=edge),
            a_rental(Fraction(3), id="new", valid_from_ns=edge),
        ],
        currency="USD",
    )

    assert table.committed_nanos(a_card(), NOW, NOW + 15 * HOUR) == 35 * 10**9
