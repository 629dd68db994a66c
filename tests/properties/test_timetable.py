"""Hours in local time, over zones and clock changes."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st

from agent.usage.timetable import QUARTER_SECONDS, Timetable, When
from tests.properties.days import ZONES

AWKWARD = [
    "2026-03-08",  # New York forward
    "2026-11-01",  # and back
    "2026-03-29",  # Europe forward
    "2026-10-25",
    "2026-04-05",  # Lord Howe and Chatham back
    "2026-10-04",
    "2028-02-29",
    "2026-12-31",
]
quarters = st.integers(0, 96).map(lambda quarter: quarter * 15)
whens = st.builds(
    When,
    from_minute=quarters,
    to_minute=quarters,
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    months=st.sampled_from([frozenset(range(1, 13)), frozenset({3, 10}), frozenset({2, 12})]),
    holidays=st.sampled_from([None, True, False]),
)


def plainly(when: When, local: datetime, *, holiday: bool) -> bool:
    """The same, minute by minute on the clock on the wall."""
    begin, end = when.from_minute, when.to_minute
    hours = set(range(begin, end)) if begin < end else set(range(end)) | set(range(begin, 1_440))
    return (
        (local.hour * 60 + local.minute) in hours
        and local.weekday() in when.weekdays
        and local.month in when.months
        and (when.holidays is None or when.holidays == holiday)
    )


@given(
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(AWKWARD),
    entries=st.lists(whens, max_size=3),
    holiday=st.booleans(),
    minute=st.integers(-720, 2_160),
)
def test_value_is_that_of_the_local_clock(
    zone: ZoneInfo, day: str, entries: list[When], holiday: bool, minute: int
) -> None:
    """On days on which clocks change too, and in zones of any offset."""
    date = datetime.fromisoformat(day).date()
    table = Timetable(
        zone=zone,
        entries=tuple((when, number) for number, when in enumerate(entries)),
        otherwise=-1,
        holidays=frozenset({date}) if holiday else frozenset(),
    )
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=minute)
    local = moment.astimezone(zone)

    expected = next(
        (
            number
            for number, when in enumerate(entries)
            if plainly(when, local, holiday=holiday and local.date() == date)
        ),
        -1,
    )

    assert table.at(int(moment.timestamp())) == expected


@given(
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(AWKWARD),
    entries=st.lists(whens, min_size=1, max_size=3),
    hour=st.integers(-14, 38),
)
def test_changes_of_an_hour_are_all_its_changes(
    zone: ZoneInfo, day: str, entries: list[When], hour: int
) -> None:
    """Between two of them the value of every minute is the same."""
    table = Timetable(
        zone=zone,
        entries=tuple((when, number) for number, when in enumerate(entries)),
        otherwise=-1,
    )
    start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) + hour * 3_600

    changes = list(table.changes(start))

    minutes = [(start + 60 * minute, table.at(start + 60 * minute)) for minute in range(60)]
    seen = [moment for (_, before), (moment, value) in pairwise(minutes) if value != before]
    assert changes == seen
    assert all(moment % QUARTER_SECONDS == 0 for moment in changes)
