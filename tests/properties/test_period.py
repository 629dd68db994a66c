"""The calendar, over moments and zones."""

from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st

from agent.ledger.period import HOUR_NS, month_at, month_before, slices

SECOND = 1_000_000_000
zones = st.sampled_from(
    [
        "UTC",
        "America/New_York",
        "America/Havana",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Kiritimati",
        "Etc/GMT+12",
        "Africa/Casablanca",
        "America/St_Johns",
    ]
).map(ZoneInfo)
moments_ns = st.integers(1_577_836_800 * SECOND, 2_840_140_800 * SECOND)  # 2020 to 2059


@given(start_ns=moments_ns, zone=zones, length_ns=st.integers(1, 100 * HOUR_NS))
def test_slices_cover_an_interval_exactly(start_ns: int, zone: ZoneInfo, length_ns: int) -> None:
    """Without gap or overlap, each inside one hour and one month."""
    pieces = list(slices(start_ns, start_ns + length_ns, zone))

    assert pieces[0].start_ns == start_ns
    assert pieces[-1].end_ns == start_ns + length_ns
    assert all(before.end_ns == after.start_ns for before, after in pairwise(pieces))
    for piece in pieces:
        assert piece.start_ns < piece.end_ns
        last_ns = piece.end_ns - 1
        assert piece.hour * SECOND == piece.start_ns // HOUR_NS * HOUR_NS
        assert piece.start_ns // HOUR_NS == last_ns // HOUR_NS
        assert piece.month == month_at(piece.start_ns, zone).label == month_at(last_ns, zone).label


@given(moment_ns=moments_ns, zone=zones)
def test_every_moment_lies_in_exactly_its_month(moment_ns: int, zone: ZoneInfo) -> None:
    """Months follow each other without gap and hold 671 to 745 hours."""
    month = month_at(moment_ns, zone)

    assert month.start <= moment_ns // SECOND < month.end
    assert month_before(month, zone).end == month.start
    # Casablanca puts its clock forward in the Februaries of 2029 and 2030, when Ramadan ends then.
    assert 671 * 3_600 <= month.end - month.start <= 745 * 3_600
