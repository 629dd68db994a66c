"""The periods that people ask for."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from agent.report.period import period_before, period_of
from tests.properties.days import ZONES

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "zone", "hours", "before"),
    [
        ("2026-11", "UTC", 720, "2026-10"),
        ("2026-03", "America/New_York", 743, "2026-02"),
        ("2026-10", "Europe/Berlin", 745, "2026-09"),
        ("2026-01", "UTC", 744, "2025-12"),
        ("2026-Q4", "UTC", 2_208, "2026-Q3"),
        ("2026-Q1", "UTC", 2_160, "2025-Q4"),
        ("2026-10-25", "Europe/Berlin", 25, "2026-10-24..2026-10-25"),
        ("2026-11-01..2026-11-15", "UTC", 336, "2026-10-18..2026-11-01"),
    ],
)
def test_periods_have_their_real_hours_and_a_period_before(
    text: str, zone: str, hours: int, before: str
) -> None:
    """Months, quarters, days and spans of days, in the zone's own calendar."""
    period = period_of(text, ZoneInfo(zone))

    assert (period.label, period.hours) == (text, hours)
    assert period_before(period, ZoneInfo(zone)).label == before


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "2026-13", "2026-00", "2026-Q5", "2026-02-30", "2026-11-02..2026-11-02"),
        *("now", "2026-11-15..2026-11-01", "2026-1-1", "0000-01", "2026-11..2026-12"),
    ],
)
def test_what_is_no_period_says_what_is(text: str) -> None:
    """With all four forms."""
    with pytest.raises(ValueError, match=r"is no period: 2026-11, 2026-Q4, 2026-11-20 or"):
        period_of(text, UTC)


@given(
    zone=st.sampled_from(ZONES),
    first=st.dates(date(2020, 1, 1), date(2040, 1, 1)),
    days=st.integers(1, 400),
)
def test_the_period_before_ends_where_this_one_begins(
    zone: ZoneInfo, first: date, days: int
) -> None:
    """Without gap or overlap, in every zone."""
    for text in (f"{first}..{first + timedelta(days)}", f"{first:%Y-%m}"):
        period = period_of(text, zone)
        before = period_before(period, zone)
        assert before.end == period.start
        assert before.last == period.first
