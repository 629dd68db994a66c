"""Money against a bill made by hand: second by second, from the raw contract, in plain Python."""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st

from agent.cost.energy import Tariff
from agent.cost.prices import Price, PriceTable
from agent.cost.rates import TimeRate
from agent.ledger.entry import MONEY_COMPONENTS
from agent.ledger.posting import Books, Interval, post
from agent.usage.energy import EnergyMethod
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.usage.timetable import When
from tests.builders import a_card, a_rental, a_tariff
from tests.properties.days import ZONES, starts

HOUR = 3_600
NANO = 10**9
SPAN = 3 * HOUR


@dataclass(frozen=True)
class Contract:
    """One record as an operator thinks of it: seconds from the start of the span, money an hour."""

    begin: int
    end: int
    per_hour: Fraction
    owned: bool


@dataclass(frozen=True)
class Band:
    """A tariff's band: local quarters of the day, and its price."""

    first: int
    last: int
    per_kwh: Fraction

    def holds(self, local: datetime) -> bool:
        quarter = local.hour * 4 + local.minute // 15
        if self.first < self.last:
            return self.first <= quarter < self.last
        return quarter >= self.first or quarter < self.last


@dataclass(frozen=True)
class Case:
    start: int
    zone: ZoneInfo
    contracts: tuple[Contract, ...]
    bands: tuple[Band, ...]
    flat: Fraction
    pue: Fraction
    watts: int
    cuts: tuple[int, ...]
    """Where ticks cut the span, in seconds."""


amounts = st.fractions("0.01", "20", max_denominator=997)
ends = st.integers(0, SPAN)
bands = st.builds(Band, first=st.integers(0, 95), last=st.integers(0, 95), per_kwh=amounts)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    edges = sorted(draw(st.sets(ends, min_size=2, max_size=5)))
    contracts = tuple(
        Contract(begin, end, draw(amounts), draw(st.booleans()))
        for begin, end in pairwise(edges)
        if draw(st.integers(0, 4))  # sometimes a gap
    )
    return Case(
        start=draw(starts) - draw(st.integers(0, 2 * HOUR)),
        zone=draw(st.sampled_from(ZONES)),
        contracts=contracts,
        bands=draw(st.lists(bands, max_size=3).map(tuple)),
        flat=draw(amounts),
        pue=draw(st.fractions(1, 2, max_denominator=100)),
        watts=draw(st.integers(0, 1_000)),
        cuts=tuple(sorted({0, SPAN, *draw(st.lists(ends, max_size=6))})),
    )


def booked(case: Case) -> dict[tuple[int, str], int]:
    """(UTC hour, month) to nanos, by the product."""
    table = PriceTable(
        [_price(number, each, case.start) for number, each in enumerate(case.contracts)],
        currency="USD",
        tariffs=[_tariff(case)],
    )
    books = Books(table, case.zone, {})
    found: dict[tuple[int, str], int] = {}
    for begin, end in pairwise(case.cuts):
        interval = Interval(
            gpu=a_card(),
            team="t",
            state=CardState.ACTIVE,
            start_wall_ns=(case.start + begin) * NANO,
            end_wall_ns=(case.start + end) * NANO,
            energy_mj=case.watts * 1_000 * (end - begin),
            energy_method=EnergyMethod.COUNTER,
        )
        for entry in post(interval, books):
            if entry.key.component in MONEY_COMPONENTS:
                key = (entry.key.hour, entry.key.month)
                found[key] = found.get(key, 0) + entry.nanos
    return {key: nanos for key, nanos in found.items() if nanos}


def _price(number: int, contract: Contract, start: int) -> Price:
    from_ns, to_ns = ((start + second) * NANO for second in (contract.begin, contract.end))
    rented = a_rental(contract.per_hour, id=f"p{number}", valid_from_ns=from_ns, valid_to_ns=to_ns)
    if not contract.owned:
        return rented
    rate = TimeRate("capital", rented.rates[0].nanos_per_ns)
    return Price(
        id=rented.id,
        tier=rented.tier,
        rates=(rate,),
        match=CardMatch(model="*"),
        valid_from_ns=from_ns,
        valid_to_ns=to_ns,
        bills_energy=True,
    )


def _tariff(case: Case) -> Tariff:
    given = [
        (When(from_minute=15 * band.first, to_minute=15 * band.last), str(band.per_kwh))
        for band in case.bands
    ]
    return a_tariff(case.flat, *given, pue=case.pue, zone=case.zone)


def by_hand(case: Case) -> dict[tuple[int, str], Fraction]:
    """The same, looking at each second by itself."""
    found: dict[tuple[int, str], Fraction] = {}
    for second in range(SPAN):
        holding = [each for each in case.contracts if each.begin <= second < each.end]
        if not holding:
            continue
        (contract,) = holding
        moment = case.start + second
        local = datetime.fromtimestamp(moment, UTC).astimezone(case.zone)
        money = contract.per_hour / HOUR
        if contract.owned:
            held = next((band for band in case.bands if band.holds(local)), None)
            per_kwh = case.flat if held is None else held.per_kwh
            money += Fraction(case.watts, 1_000) / HOUR * case.pue * per_kwh
        key = (moment // HOUR * HOUR, f"{local:%Y-%m}")
        found[key] = found.get(key, Fraction(0)) + money * NANO
    return found


@given(case=cases())
def test_money_is_that_of_a_bill_made_by_hand(case: Case) -> None:
    """In each UTC hour and local month, to a nano for each record, band and component."""
    ours, theirs = booked(case), by_hand(case)

    slack = 2 * len(case.contracts) * (len(case.bands) + 2)
    for key in ours.keys() | theirs.keys():
        assert abs(ours.get(key, 0) - theirs.get(key, Fraction(0))) <= slack
    assert abs(sum(theirs.values(), Fraction(0)) - sum(ours.values())) <= slack
