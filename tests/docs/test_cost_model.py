"""Every figure of docs/cost-model.md, computed by the product's own functions to the printed digit."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.cost.energy import EnergyPrice
from agent.cost.prices import Tier
from agent.cost.rates import (
    FOREVER_NS,
    HOURS_PER_DAY,
    annuity_payment,
    break_even_hours_per_day,
    depreciation,
    running_per_hour,
)
from agent.ledger.entry import Component, EntryKey
from agent.ledger.period import month_of_label
from agent.ledger.posting import Books, Interval, post
from agent.ledger.reprice import Terms, corrections
from agent.ledger.span import Known
from agent.money import NANOS_PER_UNIT
from agent.report.build import per_hour, share_unallocated
from agent.report.forecast import (
    HOUR,
    Look,
    Past,
    burn,
    forecast,
    hours_to_exhaustion,
    total_in_line,
    variable_by_mean,
)
from agent.report.invoice import compare, nanos_of
from agent.units import (
    MILLIJOULES_PER_KILOWATT_HOUR,
    NANOSECONDS_PER_HOUR,
    NANOSECONDS_PER_SECOND,
)
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState
from tests.builders import (
    CARD,
    HERE,
    REBOOTED,
    UTC,
    a_card,
    a_policy,
    a_rental,
    a_sample,
    a_table,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.generate import DOCS
from tests.unit.config.test_prices import BANDS, FLAT, MID_2026, SERVER, decoded
from tests.unit.ledger.life import Life
from tests.unit.report.ledgers import ACTIVE, HELD, IDLE, of
from tests.unit.report.test_report import ledger, reported

CARDS, LIFE_HOURS, PUE = 8, 5 * 8_760, Fraction("1.4")
PURCHASE, SALVAGE, AT_8 = Fraction(280_000), Fraction(28_000), Fraction("0.08")
NOTHING = {
    "maintenance_ratio": Fraction(0),
    "space_per_kw_month": Fraction(0),
    "space_kw": Fraction(0),
    "staff_per_year": Fraction(0),
}
ALL_RUNNING = {
    "maintenance_ratio": Fraction("0.05"),
    "space_per_kw_month": Fraction(150),
    "space_kw": Fraction(10),
    "staff_per_year": Fraction(12_000),
}

Number = Fraction | float | int
Figure = tuple[Number, str]
"""A value and the form in which the page prints it."""


def running(**given: Fraction) -> Fraction:
    return running_per_hour(purchase=PURCHASE, cards=CARDS, **(NOTHING | given))


def payment(purchase: Number, salvage: Number, payments_per_year: int = 1) -> Fraction:
    return annuity_payment(
        Fraction(purchase),
        Fraction(salvage),
        life_years=Fraction(5),
        cost_of_capital=AT_8,
        payments_per_year=payments_per_year,
    )


def capital(total: Fraction) -> Fraction:
    rate = depreciation(
        total,
        cards=CARDS,
        in_service_ns=0,
        end_of_life_ns=LIFE_HOURS * NANOSECONDS_PER_HOUR,
        component=Component.CAPITAL,
    )
    return rate.nanos_per_ns * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT


def energy_of(watts: int) -> Fraction:
    """Money of an hour at the flat tariff."""
    price = EnergyPrice("flat", Fraction("0.12"), PUE)
    return price.nanos_per_mj * watts * 1_000 * 3_600 / NANOS_PER_UNIT


LINE, FIXED_RUNNING = capital(PURCHASE - SALVAGE), running(**ALL_RUNNING)
FIXED, ENERGY = LINE + FIXED_RUNNING, energy_of(875)
ANNUITY = capital(5 * payment(PURCHASE, SALVAGE))


def used(total: Fraction, share: Fraction) -> Fraction:
    found = per_hour(round(total * 10**12), share * 10**12)
    assert found is not None
    return found


def owned() -> Iterator[tuple[str, Figure]]:
    yield "capital, straight line", (LINE, ".6f")
    yield "maintenance", (running(maintenance_ratio=Fraction("0.05")), ".6f")
    yield (
        "space",
        (running(space_per_kw_month=Fraction(150), space_kw=Fraction(10)), ".6f"),
    )
    yield "staff", (running(staff_per_year=Fraction(12_000)), ".6f")
    yield "all that is fixed", (FIXED, ".6f")
    yield "energy of 0.875 kW", (ENERGY, ".6f")
    yield "total", (FIXED + ENERGY, ".6f")
    for percent in (60, 25):
        share = Fraction(percent, 100)
        name = f"total for an hour of work at {percent} % utilisation"
        yield name, (used(FIXED + ENERGY, share), ".6f")
    yield "CRF at 8 % over 5 years", (payment(1, 0), ".9f")
    yield "SFF at 8 % over 5 years", (-payment(0, 1), ".9f")
    yield "yearly payment at 8 %", (payment(PURCHASE, SALVAGE), ",.2f")
    yield "capital, annuity paid yearly", (ANNUITY, ".6f")
    yield "total with the annuity", (ANNUITY + FIXED_RUNNING + ENERGY, ".6f")
    yield "i of a month at 8 % a year", (payment(1, 1, 12), ".9f")
    monthly = payment(PURCHASE, SALVAGE, 12)
    yield "monthly payment at 8 %", (monthly, ",.2f")
    yield "capital, annuity paid monthly", (capital(60 * monthly), ".6f")
    demand = running(space_per_kw_month=15 * PUE, space_kw=Fraction(10)) * CARDS
    yield (
        "demand charge of 10 kW x 1.4 at 15 per kW and month",
        (demand * 8_760 / 12, ".2f"),
    )


def break_even() -> Iterator[tuple[str, Figure]]:
    active, idle = energy_of(700 + 175), energy_of(120 + 175)

    def hours(rent: str, fixed: Fraction = FIXED, idle: Fraction = idle) -> Figure:
        found = break_even_hours_per_day(
            fixed_per_day=HOURS_PER_DAY * fixed,
            active_energy_per_hour=active,
            idle_energy_per_hour=idle,
            rent_per_hour=Fraction(rent),
        )
        assert found is not None
        return found, ".4f"

    yield "fixed per day", (HOURS_PER_DAY * FIXED, ".6f")
    yield "energy of an hour at 700 W, with 175 W of the host", (active, ".6f")
    yield "energy of an hour at 120 W, with 175 W of the host", (idle, ".6f")
    yield "hours a day against 3.99", hours("3.99")
    yield "hours a day against 2.50", hours("2.50")
    yield "hours a day against 1.20: never", hours("1.20")
    yield "hours a day against 3.99, with the annuity", hours("3.99", ANNUITY + FIXED_RUNNING)
    yield (
        "hours a day against 3.99, depreciation alone: half the truth",
        hours("3.99", LINE, Fraction(0)),
    )


RENTED = {"id": "r", "kind": "rented", "match": {"model": "*"}}
EUROS = [{"currency": "EUR", "rate": 1.08}]


def rented() -> Iterator[tuple[str, Figure]]:
    def rate(record: dict[str, object], **keys: object) -> Figure:
        found = decoded(prices=[RENTED | record], **keys).policy.table
        shown = found.rate_per_hour(a_card(), MID_2026, None)
        assert shown is not None
        return shown, ".6f"

    yield (
        "2.50 with 15 % off and 19 % tax",
        rate({"price_per_gpu_hour": 2.5, "discount_ratio": 0.15, "tax_ratio": 0.19}),
    )
    instance = {"price_per_instance_hour": 12, "cards_per_instance": 8, "currency": "EUR"}
    yield (
        "12.00 EUR for an instance of 8 cards, 1.08 USD for one EUR",
        rate(instance, exchange_rates=EUROS),
    )


NIGHT = {"name": "night", "from": "00:00", "to": "06:00", "price_per_kilowatt_hour": 0.10}
BERLIN = {"id": "b", "price_per_kilowatt_hour": 0.20, "pue": 1.4, "bands": [NIGHT]}
UNIT_PRICE = {"id": "meter", "price_per_kilowatt_hour": 1, "pue": 1.4}
"""Money at 1 for a kWh is kWh at the meter."""


def posted(tariff: dict[str, object], begin: str, end: str, zone: str, watts: int) -> Fraction:
    """Money of a constant draw, as it is booked."""
    config = tariff | {"timezone": zone}
    settings = decoded(prices=[SERVER], electricity=[config], timezone=zone)
    start_ns, end_ns = (
        int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp())
        * NANOSECONDS_PER_SECOND
        for moment in (begin, end)
    )
    interval = Interval(
        gpu=a_card(),
        team="t",
        state=CardState.ACTIVE,
        start_wall_ns=start_ns,
        end_wall_ns=end_ns,
        energy_mj=watts * 1_000 * (end_ns - start_ns) // NANOSECONDS_PER_SECOND,
        energy_method=EnergyMethod.COUNTER,
    )
    entries = post(interval, Books(settings.policy.table, settings.policy.zone, {}))
    nanos = sum(entry.nanos for entry in entries if entry.key.method == "counter")
    return Fraction(nanos, NANOS_PER_UNIT)


def energy() -> Iterator[tuple[str, Figure]]:
    yield (
        "25,200,000 J, at the board",
        (Fraction(25_200_000_000, MILLIJOULES_PER_KILOWATT_HOUR), ".1f"),
    )
    new_york = ("2026-03-02T15:30", "2026-03-02T21:15", "America/New_York", 7_000)
    long_day = ("2026-10-25", "2026-10-26", "Europe/Berlin", 7_000)
    short_day = ("2026-03-29", "2026-03-30", "Europe/Berlin", 7_000)
    yield (
        "New York, 2 March 2026, 15:30 to 21:15, 7 kW: at the meter",
        (posted(UNIT_PRICE, *new_york), ".2f"),
    )
    yield (
        "at 0.12, from 16:00 0.24, from 21:00 0.08",
        (posted(FLAT[0] | {"bands": BANDS}, *new_york), ".3f"),
    )
    yield "at 0.12 all day", (posted(FLAT[0], *new_york), ".3f")
    yield (
        "Berlin, 25 October 2026, 25 hours of 7 kW: at the meter",
        (posted(UNIT_PRICE, *long_day), ".1f"),
    )
    yield "at 0.10 until six, else 0.20", (posted(BERLIN, *long_day), ".2f")
    yield (
        "Berlin, 29 March 2026, 23 hours of 7 kW: at the meter",
        (posted(UNIT_PRICE, *short_day), ".1f"),
    )
    yield "at 0.10 until six, else 0.20, 23 hours", (posted(BERLIN, *short_day), ".2f")


def carbon() -> Iterator[tuple[str, Figure]]:
    settings = {grid: decoded(carbon={"grid": grid, "pue": 1.4}) for grid in ("US", "FR")}
    day_ns = 24 * NANOSECONDS_PER_HOUR
    interval = Interval(
        gpu=a_card(),
        team="t",
        state=CardState.ACTIVE,
        start_wall_ns=0,
        end_wall_ns=day_ns,
        energy_mj=8 * 650 * 1_000 * 24 * 3_600,
        energy_method=EnergyMethod.COUNTER,
    )

    def grams(grid: str) -> Fraction:
        policy = settings[grid].policy
        entries = post(interval, Books(policy.table, policy.zone, {}, policy.emissions))
        nanograms = sum(e.quantity for e in entries if e.key.component == Component.CARBON)
        return Fraction(nanograms, NANOS_PER_UNIT)

    kwh = Fraction(interval.energy_mj or 0, MILLIJOULES_PER_KILOWATT_HOUR)
    yield "energy at the boards", (kwh, ".1f")
    day = ("2026-06-15", "2026-06-16", "UTC", 8 * 650)
    yield "energy at the meter", (posted(UNIT_PRICE, *day), ".2f")
    yield "kg in the United States (369.473 g/kWh)", (grams("US") / 1_000, ".6f")
    yield "kg in France (56.039 g/kWh)", (grams("FR") / 1_000, ".6f")
    making = decoded(carbon={"grid": "US", "pue": 1.4, "embodied_kilograms_per_gpu": 318})
    rate = making.policy.emissions.embodied_ng_per_ns
    assert rate is not None
    yield "g of making, a GPU-hour", (rate * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT, ".6f")
    yield "kg of making, 8 cards and a day", (8 * rate * day_ns / NANOS_PER_UNIT / 1_000, ".6f")


def idle(directory: Path) -> Iterator[tuple[str, Figure]]:
    uuids = [f"GPU-{number:08d}" for number in range(8)]
    hours = [(24, 0)] * 3 + [(18, 6)] + [(0, 24)] * 2 + [(0, 6), (0, 0)]
    courses = {
        uuid: [of(busy, ACTIVE), of(held, HELD), of(24 - busy - held, IDLE)]
        for uuid, (busy, held) in zip(uuids, hours, strict=True)
    }
    ledger(directory, courses)
    found = reported(directory).tally
    states = found.states
    yield "whole", (Fraction(found.total.cost, NANOS_PER_UNIT), ".2f")
    for name, state in (
        ("idle: nobody holds it", "idle"),
        ("held: allocated and computing nothing", "held"),
        ("active", "active"),
    ):
        yield name, (Fraction(states[state], NANOS_PER_UNIT), ".2f")
    for state in ("idle", "held", "active"):
        yield f"{state}, share", (Fraction(states[state], found.total.cost), ".3%")
    costs = {"A": 200, "B": 100, "unallocated": 84}
    one, other = share_unallocated(costs, "proportional"), share_unallocated(costs, "even")
    yield "84 shared out to 200 and 100, proportional: the first", (one["A"], ".2f")
    yield "the second", (one["B"], ".2f")
    yield "evenly: the first", (other["A"], ".2f")
    yield "evenly: the second", (other["B"], ".2f")


def parked_cards(directory: Path) -> Iterator[tuple[str, Figure]]:
    ledger(directory, {CARD: [of(10, HELD), of(5, IDLE)]}, a_policy(an_owned()))
    (found,) = reported(directory).parked
    yield "kWh more than the empty card", (found.kwh, ".3f")
    yield "what they cost", (Fraction(found.nanos or 0, NANOS_PER_UNIT), ".3f")


def filled(tier: Tier, *, seconds: float, off: bool) -> Figure:
    """What a second process books of the time since the first."""
    policy = a_policy(a_rental("3.60", tier=tier))
    first = Life(FakeClock(), policy=policy)
    first.tick(a_sample())
    first.flush()
    if off:
        first.clock.reboot(off_seconds=seconds)
    else:
        first.clock.move(seconds)
    second = Life(first.clock, first.store, policy, REBOOTED if off else HERE)
    second.tick(a_sample(), seconds=0)
    return Fraction(second.account.months.total(), NANOS_PER_UNIT), ".6f"


def away() -> Iterator[tuple[str, Figure]]:
    hours = 7_200
    yield "90 s of one boot", filled(Tier.ON_DEMAND, seconds=90, off=False)
    yield "two hours off, on demand", filled(Tier.ON_DEMAND, seconds=hours, off=True)
    yield "two hours off, reserved", filled(Tier.RESERVED, seconds=hours, off=True)


def late() -> Iterator[tuple[str, Figure]]:
    minute_ns = 60 * NANOSECONDS_PER_SECOND
    nothing = Books(a_table(a_rental(model="nothing")), UTC, {})
    rows: dict[EntryKey, tuple[int, int]] = {}
    for state, first, last in ((CardState.ACTIVE, 0, 10), (CardState.IDLE, 10, 60)):
        interval = Interval(
            gpu=a_card(),
            team="t",
            state=state,
            start_wall_ns=first * minute_ns,
            end_wall_ns=last * minute_ns,
        )
        for entry in post(interval, nothing):
            rows[entry.key] = (entry.nanos, entry.quantity)
    price = a_rental("3.00", valid_from_ns=30 * minute_ns)
    known = {CARD: (Known(0, FOREVER_NS, a_card()),)}
    terms = Terms(table=a_table(price), zone=UTC, cards=known)
    added = corrections(rows.items(), terms, number=1)
    after = rows | {entry.key: (entry.nanos, entry.quantity) for entry in added}
    yield "the hour", (Fraction(sum(n for n, _ in after.values()), NANOS_PER_UNIT), ".2f")
    for name in ("active", "idle"):
        nanos = sum(n for key, (n, _) in after.items() if key.state == name)
        yield name, (Fraction(nanos, NANOS_PER_UNIT), ".2f")
    again = corrections(after.items(), terms, number=2)
    yield "rows of a second run", (len(again), "d")


def invoice(directory: Path) -> Iterator[tuple[str, Figure]]:
    ledger(directory, {CARD: [of(24, ACTIVE)]}, begin="2026-11-28T00:00:00")
    found = compare(reported(directory), nanos_of("60.00"))
    (reason,) = found.reasons
    yield "rented cards in the ledger", (Fraction(found.rented, NANOS_PER_UNIT), ".2f")
    yield "difference", (Fraction(found.difference, NANOS_PER_UNIT), ".2f")
    yield (
        "48 hours that are not booked, at the mean rate",
        (Fraction(reason.nanos, NANOS_PER_UNIT), ".2f"),
    )


def calendar() -> Iterator[tuple[str, Figure]]:
    for month, number, place, zone in (
        ("March", 3, "UTC", "UTC"),
        ("March", 3, "New York", "America/New_York"),
        ("November", 11, "New York", "America/New_York"),
        ("February", 2, "UTC", "UTC"),
    ):
        found = month_of_label(2026, number, ZoneInfo(zone))
        yield f"hours of {month} 2026 in {place}", ((found.end - found.start) // HOUR, "d")


def budget() -> Iterator[tuple[str, Figure]]:
    amount, hours = 30_000, 744
    yield "budgeted rate", (Fraction(amount) / burn(amount, 1, amount, hours), ".6f")
    for spend, window in ((150, 1), (600, 6), (12_000, 240)):
        name = f"burn of {spend:,} in {window} h"
        yield name, (burn(spend, window, amount, hours), ".2f")
    for share, window in ((2, 1), (5, 6), (10, 72)):
        name = "2 % of a month of 720 h in 1 h" if share == 2 else f"{share} % in {window} h"
        yield name, (burn(Fraction(share), window, 100, 720), ".1f")
    past = Past(spent=12_000, fixed_ahead=0, variable={}, present=frozenset())
    look = Look(now=240 * HOUR, month_start=0, month_end=hours * HOUR, known_since=0)
    yield "12,000 after 240 h in a straight line", (total_in_line(past, look), ",.2f")
    lasts = hours_to_exhaustion(amount - 12_000, 900, 24)
    assert lasts is not None
    yield "hours that 30,000 lasts", (lasts, ".1f")


def forecasts() -> Iterator[tuple[str, Figure]]:
    days = (110, 300, 310, 300, 320, 310, 120, 110)
    variable = {
        (24 * day + hour) * HOUR: spend * NANOS_PER_UNIT // 24
        for day, spend in enumerate(days)
        for hour in range(24)
    }
    look = Look(now=192 * HOUR, month_start=0, month_end=744 * HOUR, known_since=0)
    past = Past(
        spent=16 * 192 * NANOS_PER_UNIT + sum(days) * NANOS_PER_UNIT,
        fixed_ahead=16 * 552 * NANOS_PER_UNIT,
        variable=variable,
        present=frozenset(variable),
    )
    found = forecast(past, look)
    assert found is not None
    mean = past.spent + past.fixed_ahead + variable_by_mean(past, look)
    for name, nanos, form in (
        ("spent", found.spent, ",.2f"),
        ("fixed ahead", found.fixed, ",.2f"),
        ("variable ahead, the week repeated", found.variable, ",.2f"),
        ("forecast", found.total, ",.2f"),
        ("for comparison: energy at its mean", mean, ",.6f"),
        ("for comparison: all in a straight line", total_in_line(past, look), ",.2f"),
    ):
        yield name, (Fraction(nanos) / NANOS_PER_UNIT, form)


def printed(figure: Figure) -> str:
    value, form = figure
    shown = format(value if form == "d" else float(value), form)
    return shown.replace("%", " %")


def page() -> dict[str, dict[str, str]]:
    """Title of each table of figures to its rows."""
    text = (DOCS / "cost-model.md").read_text(encoding="utf-8")
    tables = re.findall(
        r"^\| (\w[\w-]*) \| Figure \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    return {
        title: dict(re.findall(r"^\| (.*) \| (.*) \|$", rows, re.MULTILINE))
        for title, rows in tables
    }


SECTIONS: dict[str, Callable[[], Iterator[tuple[str, Figure]]]] = {
    "Rented": rented,
    "Owned": owned,
    "Break-even": break_even,
    "Energy": energy,
    "Carbon": carbon,
    "Calendar": calendar,
    "Budget": budget,
    "Forecast": forecasts,
    "Away": away,
    "Late": late,
}
FROM_LEDGERS: dict[str, Callable[[Path], Iterator[tuple[str, Figure]]]] = {
    "Idle": idle,
    "Parked": parked_cards,
    "Invoice": invoice,
}


@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_says_what_the_functions_say(title: str) -> None:
    """Row by row, to the printed digit, nothing missing on either side."""
    assert page()[title] == {name: printed(figure) for name, figure in SECTIONS[title]()}


@pytest.mark.parametrize("title", FROM_LEDGERS)
def test_the_page_says_what_ledgers_say(title: str, tmp_path: Path) -> None:
    """The same, from rows that an account booked."""
    figures = FROM_LEDGERS[title](tmp_path)

    assert page()[title] == {name: printed(figure) for name, figure in figures}


def test_no_table_of_figures_is_left_unchecked() -> None:
    """A table that is added to the page needs its functions here."""
    assert set(page()) == {*SECTIONS, *FROM_LEDGERS}
