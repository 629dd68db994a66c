"""Repricing over random lives: an unchanged table changes nothing, a late one is as one in time.

Records that follow each other, with gaps, two exchange rates under one id, lives that end; states and
teams that share hours, hours of which a part is booked; months that begin inside an hour.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st

from agent.cost.energy import Tariff
from agent.cost.prices import Price, PriceTable
from agent.cost.rates import FOREVER_NS
from agent.ledger.entry import Component, Entry, EntryKey
from agent.ledger.period import day_hours
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import BY_HOST, Books, Interval, post
from agent.ledger.reprice import TIME, Terms, corrections
from agent.ledger.reprice_energy import ENERGY
from agent.ledger.span import Known
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState
from tests.builders import CARD, HOUR, SECOND, a_card, a_rental, a_table, a_tariff, an_owned
from tests.properties.days import TARIFFS, ZONES, Turn, days, policies, starts as day_starts
from tests.properties.test_conservation import play

MINUTE = 60 * SECOND
HOURS = 4
STARTS = (
    "2026-10-17T08:00:00+00:00",
    "2026-10-31T17:00:00+00:00",  # a month begins in Kathmandu at 18:15
    "2026-11-01T02:00:00+00:00",  # in St. John's at 02:30, in New York two hours later
    "2026-10-31T22:00:00+00:00",  # in Berlin at 23:00
    "2026-10-03T14:00:00+00:00",  # Lord Howe puts the clock forward by half an hour
)
starts = st.sampled_from([int(datetime.fromisoformat(each).timestamp()) for each in STARTS])
Rows = dict[EntryKey, tuple[int, int]]
amounts = st.fractions("0.01", "20", max_denominator=997)


@dataclass(frozen=True)
class Stay:
    """What a card does for a while, ``after_ns`` after what it did before."""

    after_ns: int
    length_ns: int
    state: CardState
    team: str
    energy_mj: int | None
    filled: bool
    ticks: int
    """Into how many bookings it falls; every other one is idle."""


@dataclass(frozen=True)
class Contract:
    """A record from some minute on, if any, until the next one's."""

    kind: str
    amount: Fraction
    other: Fraction
    change_ns: int
    """Where the exchange rate changes, or the life ends."""
    host_mw: int

    def prices(self, number: int, start_ns: int, from_ns: int, to_ns: int) -> Iterator[Price]:
        dated = {"valid_from_ns": from_ns, "valid_to_ns": to_ns}
        name, change_ns = f"p{number}", start_ns + self.change_ns
        if self.kind == "rented":
            yield a_rental(self.amount, id=name, **dated)  # type: ignore[arg-type]  # not the tier
        elif self.kind == "abroad":
            cut_ns = min(max(change_ns, from_ns), to_ns)
            for amount, begin, end in ((self.amount, from_ns, cut_ns), (self.other, cut_ns, to_ns)):
                if begin < end:
                    yield a_rental(amount, id=name, valid_from_ns=begin, valid_to_ns=end)
        elif self.kind.startswith("owned"):
            opex = "0.6271" if self.kind == "owned, run" else None
            life = {"in_service_ns": start_ns - HOUR, "end_of_life_ns": max(1, change_ns)}
            owned = an_owned(id=name, opex=opex, host_mw=self.host_mw, **life)  # type: ignore[arg-type]  # no text
            yield replace(owned, **dated)  # type: ignore[arg-type]  # dates are dates


moments = st.integers(0, HOURS * 60).map(lambda minute: minute * MINUTE)
whole_hours = st.integers(0, HOURS).map(lambda hour: hour * HOUR)
contracts = st.builds(
    Contract,
    kind=st.sampled_from(["none", "rented", "abroad", "owned", "owned, run"]),
    amount=amounts,
    other=amounts,
    change_ns=moments,
    host_mw=st.sampled_from([0, 175_001]),
)
stays = st.builds(
    Stay,
    after_ns=st.sampled_from([0, 0, 0, 7 * MINUTE, 50 * MINUTE + 1]),
    length_ns=st.one_of(st.integers(1, HOUR), moments.map(lambda ns: ns + 1)),
    state=st.sampled_from(CardState),
    team=st.sampled_from(["a", "b"]),
    energy_mj=st.none() | st.integers(0, 10**10),
    filled=st.booleans(),
    ticks=st.sampled_from([1, 1, 2, 61]),
)
lives = st.lists(stays, min_size=1, max_size=8)


@st.composite
def tables(
    draw: st.DrawFn, start: int, zone: ZoneInfo, edges: st.SearchStrategy[int] = moments
) -> PriceTable:
    start_ns = start * SECOND
    cuts = sorted(draw(st.sets(edges, max_size=4)))
    bounds = [0, *(start_ns + cut for cut in cuts), FOREVER_NS]
    prices = [
        price
        for number, (begin, end) in enumerate(pairwise(bounds))
        for price in draw(contracts).prices(number, start_ns, begin, end)
    ]
    cut_ns = start_ns + draw(edges)
    changing: Sequence[Tariff] = (
        a_tariff("0.10", valid_to_ns=cut_ns),
        a_tariff("0.31", id="after", valid_from_ns=cut_ns),
    )
    tariffs = draw(
        st.sampled_from([*(tuple(make(zone) for make in each) for each in TARIFFS), changing])
    )
    return a_table(*(prices or [a_rental(model="nothing")]), tariffs=tariffs)


@st.composite
def cases(
    draw: st.DrawFn, edges: st.SearchStrategy[int] = moments
) -> tuple[int, ZoneInfo, PriceTable, PriceTable]:
    start, zone = draw(starts), draw(st.sampled_from(ZONES))
    before, after = (draw(tables(start, zone, edges)) for _ in range(2))
    return start, zone, before, after


def lived(life: Sequence[Stay], start: int, table: PriceTable, zone: ZoneInfo) -> Rows:
    """A life from ``start``, booked in time."""
    books, rows, now = Books(table, zone, {}), Rows(), start * SECOND
    for stay in life:
        now += stay.after_ns
        ends = [now + stay.length_ns * (tick + 1) // stay.ticks for tick in range(stay.ticks)]
        for number, end in enumerate(ends):
            energy = stay.energy_mj
            interval = Interval(
                gpu=a_card(),
                team=stay.team,
                state=CardState.IDLE if number % 2 else stay.state,
                start_wall_ns=now,
                end_wall_ns=end,
                energy_mj=None if energy is None else energy // stay.ticks,
                energy_method=EnergyMethod.COUNTER,
                filled=stay.filled,
            )
            rows = added(rows, post(interval, books))
            now = end
    return rows


def added(rows: Rows, entries: Sequence[Entry]) -> Rows:
    for entry in entries:
        nanos, quantity = rows.get(entry.key, (0, 0))
        rows[entry.key] = (nanos + entry.nanos, quantity + entry.quantity)
    return rows


def in_days(rows: Rows, zone: ZoneInfo) -> Rows:
    """As compaction leaves them."""
    days = Rows()
    for key, amounts in rows.items():
        day = key._replace(hour=day_hours(key.hour, zone)[0])
        added(days, [Entry(day, *amounts)])
    return days


def corrected(
    rows: Rows,
    table: PriceTable,
    zone: ZoneInfo,
    *,
    number: int = 1,
    days: ZoneInfo | None = None,
    also_removed: bool = True,
) -> list[Entry]:
    cards = {CARD: (Known(0, FOREVER_NS, a_card()),)}
    terms = Terms(table=table, zone=zone, cards=cards, also_removed=also_removed)
    return corrections(rows.items(), terms, number=number, days=days)


def sums(rows: Rows, *parts: str) -> dict[tuple[object, ...], tuple[int, int]]:
    """By these parts of the key, corrections added in."""
    found: dict[tuple[object, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, (nanos, quantity) in rows.items():
        place = tuple(getattr(key, part) for part in parts)
        found[place] = (found[place][0] + nanos, found[place][1] + quantity)
    return {place: each for place, each in found.items() if each != (0, 0)}


def time_of(rows: Rows) -> dict[EntryKey, int]:
    """Nanoseconds by hour, state and team: the components of one id carry the same time."""
    most: dict[EntryKey, int] = defaultdict(int)
    for place, (_, quantity) in sums(
        {key: each for key, each in rows.items() if key.component in TIME},
        *(part for part in EntryKey._fields if part != "correction"),
    ).items():
        key = EntryKey(*place)._replace(component="")  # type: ignore[arg-type]  # in this order
        most[key] = max(most[key], quantity)
    found: dict[EntryKey, int] = defaultdict(int)
    for key, quantity in most.items():
        found[key._replace(price_id="")] += quantity
    return found


def energy_of(rows: Rows) -> dict[tuple[object, ...], tuple[int, int]]:
    """Measured millijoules by hour, state and team, without their money."""
    measured = {
        key: (0, quantity)
        for key, (_, quantity) in rows.items()
        if key.component in ENERGY and key.method != BY_HOST
    }
    return sums(measured, "hour", "month", "state", "team", "filled", "method")


@given(case=cases(), life=lives)
def test_repricing_with_an_unchanged_table_is_nothing(
    case: tuple[int, ZoneInfo, PriceTable, PriceTable], life: list[Stay]
) -> None:
    """Whatever the card did, by the hour and by the compacted day."""
    start, zone, table, _ = case

    rows = lived(life, start, table, zone)

    assert corrected(rows, table, zone, also_removed=False) == []
    assert corrected(in_days(rows, zone), table, zone, days=zone, also_removed=False) == []


@given(policy=policies(), day=days, start=day_starts)
def test_repricing_what_an_agent_booked_is_nothing(
    policy: AccountPolicy, day: list[Turn], start: int
) -> None:
    """With faults, gaps, lives that end and hosts that draw; but for clocks that are set back."""
    forward = [replace(turn, step_seconds=max(0, turn.step_seconds)) for turn in day]
    rows = play(policy, forward, start=start).pending.take()

    terms = Terms(table=policy.table, zone=policy.zone, cards={})

    assert corrections(rows.items(), terms, number=1) == []
    days_of = in_days(rows, policy.zone).items()
    assert corrections(days_of, terms, number=1, days=policy.zone) == []


@given(case=cases(), life=lives, compacted=st.booleans(), also_removed=st.booleans())
def test_repricing_conserves_and_settles(
    case: tuple[int, ZoneInfo, PriceTable, PriceTable],
    life: list[Stay],
    compacted: bool,
    also_removed: bool,
) -> None:
    """No nanosecond and no measured millijoule is lost; twice is once; nothing is negative."""
    start, zone, before, after = case
    rows, days = lived(life, start, before, zone), None
    if compacted:
        rows, days = in_days(rows, zone), zone

    found = corrected(rows, after, zone, days=days, also_removed=also_removed)
    once = added(dict(rows), found)

    assert time_of(once) == time_of(rows)
    assert energy_of(once) == energy_of(rows)
    assert corrected(once, after, zone, number=2, days=days, also_removed=also_removed) == []
    net = sums(once, *(part for part in EntryKey._fields if part != "correction"))
    assert all(nanos >= 0 and quantity >= 0 for nanos, quantity in net.values())
    if not also_removed:
        left = before.ids - after.ids
        assert not [entry for entry in found if entry.key.price_id in left]


@given(case=cases(), life=lives)
def test_a_late_price_is_as_one_in_time(
    case: tuple[int, ZoneInfo, PriceTable, PriceTable], life: list[Stay]
) -> None:
    """For whole hours, however they are shared: per hour, component and id, to the rounding."""
    start, zone, before, after = case
    # Energy under a tariff that still holds stays, so a late tariff is not the same as one in time.
    after = PriceTable(after.prices, currency="USD", tariffs=before.tariffs)
    whole = [replace(stay, energy_mj=None, after_ns=0, filled=False) for stay in life]
    rest_ns = -sum(stay.length_ns for stay in whole) % HOUR
    whole.append(replace(whole[0], length_ns=rest_ns, ticks=1))
    rows = lived(whole, start, before, zone)

    once = added(dict(rows), corrected(rows, after, zone))

    parts = ("hour", "month", "component", "price_id")
    ours, right = (sums(each, *parts) for each in (once, lived(whole, start, after, zone)))
    for place in ours.keys() | right.keys():
        (nanos, quantity), (due, wanted) = ours.get(place, (0, 0)), right.get(place, (0, 0))
        slack = len(rows) + len(once) if place[2] in ENERGY else 0
        assert abs(quantity - wanted) <= slack
        assert abs(nanos - due) <= len(rows) + len(once)


@given(case=cases(whole_hours), life=lives)
def test_a_late_price_prices_energy_as_one_in_time(
    case: tuple[int, ZoneInfo, PriceTable, PriceTable], life: list[Stay]
) -> None:
    """Where nothing changes within an hour the energy of every state and team is right too."""
    start, zone, before, after = case
    if any(tariff.bands.entries for table in (before, after) for tariff in table.tariffs):
        before, after = (
            PriceTable(table.prices, currency="USD", tariffs=(a_tariff(),))
            for table in (before, after)
        )
    rows = lived(life, start, before, zone)

    once = added(dict(rows), corrected(rows, after, zone))

    parts = tuple(part for part in EntryKey._fields if part not in {"correction", "component"})
    wanted = lived(life, start, after, zone)
    energy = [
        sums(
            {key: each for key, each in every.items() if key.component == Component.ENERGY}, *parts
        )
        for every in (once, wanted)
    ]
    for place in energy[0].keys() | energy[1].keys():
        (nanos, quantity), (due, right) = (each.get(place, (0, 0)) for each in energy)
        assert abs(quantity - right) <= len(rows) + len(once)
        assert abs(nanos - due) <= len(rows) + len(once)
