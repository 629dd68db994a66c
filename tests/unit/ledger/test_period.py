"""The calendar that money is told in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from agent.ledger.period import (
    HOUR_NS,
    HOUR_SECONDS,
    month_at,
    month_before,
    month_of_label,
    slices,
)
from agent.units import NANOSECONDS_PER_SECOND


def wall_ns(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp()) * NANOSECONDS_PER_SECOND


@pytest.mark.parametrize(
    ("zone", "year", "month", "hours"),
    [
        ("UTC", 2026, 3, 744),
        ("America/New_York", 2026, 3, 743),
        ("America/New_York", 2026, 11, 721),
        ("UTC", 2026, 2, 672),
        ("UTC", 2028, 2, 696),
        ("UTC", 2100, 2, 672),
        ("Europe/Berlin", 2026, 10, 745),
        ("Europe/Berlin", 2026, 3, 743),
        ("Pacific/Kiritimati", 2026, 1, 744),
        ("Etc/GMT+12", 2026, 1, 744),
        ("Asia/Kathmandu", 2026, 2, 672),
        ("Australia/Lord_Howe", 2026, 4, 720.5),
        ("Africa/Casablanca", 2029, 2, 671),
    ],
)
def test_month_has_its_true_length(zone: str, year: int, month: int, hours: float) -> None:
    """671 to 745 hours: leap years and clock changes count, in any zone."""
    found = month_of_label(year, month, ZoneInfo(zone))

    assert (found.end - found.start) / HOUR_SECONDS == hours


@pytest.mark.parametrize(
    ("zone", "at", "label"),
    [
        ("UTC", "2026-11-30T23:59:59", "2026-11"),
        ("UTC", "2026-12-01T00:00:00", "2026-12"),
        ("Pacific/Kiritimati", "2026-11-30T09:59:59", "2026-11"),
        ("Pacific/Kiritimati", "2026-11-30T10:00:00", "2026-12"),
        ("Etc/GMT+12", "2026-12-01T11:59:59", "2026-11"),
        ("Etc/GMT+12", "2026-12-01T12:00:00", "2026-12"),
        ("America/New_York", "2026-11-01T03:59:59", "2026-10"),
        ("America/New_York", "2026-11-01T04:00:00", "2026-11"),
        ("America/Havana", "2026-11-01T05:30:00", "2026-11"),
        ("America/Asuncion", "2023-10-01T04:00:00", "2023-10"),
        ("UTC", "2027-01-01T00:00:00", "2027-01"),
    ],
)
def test_month_begins_at_local_midnight(zone: str, at: str, label: str) -> None:
    """A moment belongs to the month of the fleet's zone, also where midnight is skipped or doubled."""
    moment_ns = wall_ns(at)

    month = month_at(moment_ns, ZoneInfo(zone))

    assert month.label == label
    assert month.start <= moment_ns // NANOSECONDS_PER_SECOND < month.end


def test_month_before_ends_where_this_one_starts() -> None:
    """Over the end of a year too."""
    zone = ZoneInfo("Europe/Berlin")
    january = month_at(wall_ns("2027-01-15T00:00:00"), zone)

    december = month_before(january, zone)

    assert december.label == "2026-12"
    assert december.end == january.start


def test_slices_end_at_hours_and_months() -> None:
    """Nepal's midnight lies inside a UTC hour: that hour holds two months."""
    zone = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
    start_ns = wall_ns("2026-10-31T17:30:00")

    found = list(slices(start_ns, wall_ns("2026-10-31T19:10:00"), zone))

    minutes = [(each.end_ns - each.start_ns) // (60 * NANOSECONDS_PER_SECOND) for each in found]
    assert minutes == [30, 15, 45, 10]
    assert [piece.month for piece in found] == ["2026-10"] * 2 + ["2026-11"] * 2
    assert [piece.hour * NANOSECONDS_PER_SECOND % HOUR_NS for piece in found] == [0] * 4


def test_slices_of_nothing_are_none() -> None:
    """An interval of no length, or one that ends before it starts, has no part."""
    assert not list(slices(5, 5, ZoneInfo("UTC")))
    assert not list(slices(6, 5, ZoneInfo("UTC")))
