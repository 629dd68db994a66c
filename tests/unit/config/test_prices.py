"""Prices, tariffs, carbon and exemptions of the file: what they come to, to the digits of the examples."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.config.decode import Settings, check_config, settings_of
from agent.config.reference import reference_providers
from agent.config.schema import Config
from agent.config.schema_energy import MAX_PER_KWH
from agent.config.schema_prices import MAX_PER_GPU_HOUR
from agent.errors import ConfigError
from agent.ledger.entry import Component
from agent.ledger.posting import Books, Interval, post
from agent.samples.device import GpuIdentity
from agent.units import NANOSECONDS_PER_HOUR as HOUR, NANOSECONDS_PER_SECOND as SECOND
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState
from tests.builders import CARD, a_card

SERVER = {
    "id": "server",
    "kind": "owned",
    "match": {"model": "*"},
    "purchase_price": 280_000,
    "salvage_value": 28_000,
    "cards": 8,
    "in_service": "2026-01-01",
    "life_years": 5,
    "maintenance_ratio_per_year": 0.05,
    "space_price_per_kilowatt_month": 150,
    "space_kilowatts": 10,
    "staff_price_per_year": 12_000,
    "host_watts_per_gpu": 175,
}
FLAT = [{"id": "flat", "price_per_kilowatt_hour": 0.12, "pue": 1.4}]
MID_2026 = int(datetime.fromisoformat("2026-06-15T12:00:00+00:00").timestamp()) * SECOND
LIFE_HOURS = 43_824
"""Five years from 2026: 2028 has a day more than the example's years of 8,760 hours."""


def decoded(**keys: object) -> Settings:
    config = Config.model_validate({"currency": "USD"} | keys)
    assert check_config(config) == []
    return settings_of(config)


def per_hour(
    settings: Settings, card: GpuIdentity | None = None, at: int = MID_2026
) -> dict[str, Fraction]:
    """Money an hour by component, without energy."""
    price = settings.policy.table.at(card or a_card(), at)
    assert price is not None
    return {
        rate.component: rate.nanos_per_ns * HOUR / 10**9 for rate in price.rates if rate.holds(at)
    }


def energy_money(
    settings: Settings, begin: str, end: str, kilowatts: str
) -> tuple[Decimal, Decimal]:
    """Facility kWh and money of a constant draw, by posting it."""
    start_ns, end_ns = (int(datetime.fromisoformat(t).timestamp()) * SECOND for t in (begin, end))
    interval = Interval(
        gpu=a_card(),
        team="t",
        state=CardState.ACTIVE,
        start_wall_ns=start_ns,
        end_wall_ns=end_ns,
        energy_mj=int(Fraction(kilowatts) * 10**6 * (end_ns - start_ns) / SECOND),
        energy_method=EnergyMethod.COUNTER,
    )
    entries = post(interval, Books(settings.policy.table, settings.policy.zone, {}))
    energy = [
        entry
        for entry in entries
        if entry.key.component == Component.ENERGY and entry.key.method == "counter"
    ]
    kwh = Decimal(sum(entry.quantity for entry in energy)) / 3_600_000_000 * Decimal("1.4")
    return kwh, Decimal(sum(entry.nanos for entry in energy)) / 10**9


# ---- owned cards


def test_owned_server_has_the_figures_of_the_example() -> None:
    """Capital 0.719178, running cost 0.627854: 1.347032; 875 W make 1.494032."""
    settings = decoded(prices=[SERVER], electricity=FLAT)

    parts = per_hour(settings)

    textbook = parts["capital"] * LIFE_HOURS / 43_800
    assert round(float(textbook), 6) == 0.719178
    assert round(float(parts["opex"]), 6) == 0.627854
    assert round(float(textbook + parts["opex"]), 6) == 1.347032
    now = settings.policy.table.rate_per_hour(a_card(), MID_2026, 700_000)
    assert now is not None
    with_energy = now - float(parts["capital"]) + float(textbook)
    assert round(with_energy, 6) == 1.494032
    assert [round(with_energy / share, 6) for share in (0.6, 0.25)] == [2.490053, 5.976128]


@pytest.mark.parametrize(
    ("payments", "capital", "total"), [(1, 0.932577, 1.707431), (12, 0.900035, None)]
)
def test_annuity_has_the_figures_of_the_example(
    payments: int, capital: float, total: float | None
) -> None:
    """8 % a year, once or monthly in arrears."""
    annuity = {
        "depreciation": "annuity",
        "cost_of_capital_ratio": 0.08,
        "annuity_payments_per_year": payments,
    }
    settings = decoded(prices=[SERVER | annuity], electricity=FLAT)

    parts = per_hour(settings)

    textbook = float(parts["capital"] * LIFE_HOURS / 43_800)
    assert round(textbook, 6) == capital
    if total is not None:
        assert round(textbook + float(parts["opex"]) + 0.147, 6) == total


def test_after_its_life_a_card_costs_what_running_it_costs() -> None:
    """No capital, never negative; before it is in service it has no price."""
    settings = decoded(prices=[SERVER], electricity=FLAT)
    after = int(datetime.fromisoformat("2031-01-01T00:00:00+00:00").timestamp()) * SECOND
    before = int(datetime.fromisoformat("2025-12-31T23:59:59+00:00").timestamp()) * SECOND

    assert set(per_hour(settings, at=after)) == {"opex"}
    assert settings.policy.table.at(a_card(), before) is None


# ---- rented cards


def test_price_of_an_instance_is_divided_by_its_cards() -> None:
    """p5.48xlarge: 55.04 for eight is 6.88 each."""
    instance = {
        "id": "p5",
        "kind": "rented",
        "match": {"model": "*"},
        "price_per_instance_hour": 55.04,
        "cards_per_instance": 8,
    }

    assert per_hour(decoded(prices=[instance])) == {"rental": Fraction("6.88")}


EUROS = {
    "id": "euros",
    "kind": "rented",
    "match": {"model": "*"},
    "currency": "EUR",
    "price_per_gpu_hour": 2,
}
RATES = [
    {"currency": "EUR", "rate": 1.08, "valid_from": "2026-01-01", "valid_to": "2026-07-01"},
    {"currency": "EUR", "rate": 1.10, "valid_from": "2026-08-01"},
]


@pytest.mark.parametrize(
    ("day", "amount"),
    [
        ("2025-12-31", None),
        ("2026-06-30", "2.16"),
        ("2026-07-15", None),
        ("2026-08-01", "2.20"),
    ],
)
def test_other_currencies_follow_dated_rates(day: str, amount: str | None) -> None:
    """Converted at the rate of the day; a day without a rate is unpriced, not guessed."""
    settings = decoded(prices=[EUROS], exchange_rates=RATES)
    at = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * SECOND

    price = settings.policy.table.at(a_card(), at)

    if amount is None:
        assert price is None
    else:
        assert per_hour(settings, at=at) == {"rental": Fraction(amount)}
        assert price is not None
        assert price.id == "euros"


@pytest.mark.parametrize(
    ("day", "held"),
    [("2026-01-31", False), ("2026-02-01", True), ("2026-02-28", True), ("2026-03-01", False)],
)
def test_record_in_another_currency_holds_only_while_it_is_valid(day: str, held: bool) -> None:
    """A rate that reaches further on both sides makes no record longer."""
    dated = EUROS | {"valid_from": "2026-02-01", "valid_to": "2026-03-01"}
    settings = decoded(prices=[dated], exchange_rates=RATES)
    at = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * SECOND

    assert (settings.policy.table.at(a_card(), at) is not None) is held


ALL = {"id": "all", "kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": 9}


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (EUROS, {"reference_prices": "aws-us-east-1"}),
        (EUROS | {"match": {"uuid": CARD}}, {"prices": [ALL]}),
    ],
)
def test_gap_of_an_exchange_rate_is_unpriced_whatever_else_names_the_card(
    own: dict[str, object], others: dict[str, object]
) -> None:
    """Neither a list price nor the record of its model takes the place of the contract."""
    records = [own, *others.pop("prices", [])]  # type: ignore[misc]  # a list of records
    settings = decoded(prices=records, exchange_rates=RATES, **others)
    table, card = settings.policy.table, replace(a_card(), memory_total_bytes=80 << 30)
    days = ("2026-06-30", "2026-07-15", "2026-08-01")
    moments = [int(datetime.fromisoformat(f"{day}T12:00+00:00").timestamp()) for day in days]

    found = [table.at(card, moment * SECOND) for moment in moments]

    assert [price and price.id for price in found] == ["euros", None, "euros"]
    assert [each.price for each in table.terms(card, moments[1])] == [None]
    july, august = (
        int(datetime.fromisoformat(f"2026-0{n}-01T00:00+00:00").timestamp()) for n in (7, 8)
    )
    assert table.committed_nanos(card, july * SECOND, august * SECOND) == 0
    holding = table.holding(card, moments[1] * SECOND)
    assert holding is not None
    assert holding.source.endswith("no exchange rate for EUR")


def test_record_without_an_exchange_rate_still_overlaps() -> None:
    """It holds on: a record that is to follow it needs its end."""
    follower = ALL | {"valid_from": "2026-07-01"}
    rates = [RATES[0]]
    config = Config.model_validate(
        {"currency": "USD", "prices": [EUROS, follower], "exchange_rates": rates}
    )
    ((key, problem),) = check_config(config)

    assert key == "prices"
    assert problem.startswith("euros and all hold for the same cards at the same time")
    ended = EUROS | {"valid_to": "2026-07-01"}
    decoded(prices=[ended, follower], exchange_rates=rates)


def test_records_choose_by_memory_form_and_node() -> None:
    """The closest name comes first; sizes and forms of one model keep apart."""
    kinds = [
        {"id": "sxm", "match": {"model": "NVIDIA A100*", "memory_gb": 80, "form_factor": "sxm"}},
        {"id": "pcie", "match": {"model": "NVIDIA A100*", "memory_gb": 80, "form_factor": "pcie"}},
        {"id": "small", "match": {"model": "NVIDIA A100*", "memory_gb": 40}},
        {"id": "pool", "match": {"model": "*", "node": {"pool": "spot-?"}}},
    ]
    rented = [kind | {"kind": "rented", "price_per_gpu_hour": 1} for kind in kinds]
    sxm = replace(a_card(model="NVIDIA A100-SXM4-80GB"), memory_total_bytes=80 << 30)
    pcie = replace(a_card(model="NVIDIA A100 80GB PCIe"), memory_total_bytes=80 << 30)
    small = replace(a_card(model="NVIDIA A100-SXM4-40GB"), memory_total_bytes=40 << 30)

    def chosen(**labels: str) -> list[str]:
        table = decoded(prices=rented, node_labels=labels).policy.table
        found = [table.at(card, MID_2026) for card in (sxm, pcie, small)]
        return [price.id for price in found if price is not None]

    assert chosen() == ["sxm", "pcie", "small"]
    assert chosen(pool="spot-1") == ["pool"] * 3


def test_record_of_one_card_on_one_node() -> None:
    """A uuid may go with a node: a card that moved house costs otherwise there."""
    record = {
        "id": "here",
        "kind": "rented",
        "match": {"uuid": CARD, "node": {"site": "b"}},
        "price_per_gpu_hour": 1,
    }

    assert decoded(prices=[record], node_labels={"site": "b"}).policy.table.at(a_card(), 0)
    assert not decoded(prices=[record], node_labels={"site": "a"}).policy.table.at(a_card(), 0)


# ---- list prices


@pytest.mark.parametrize("provider", reference_providers())
def test_list_prices_load_and_name_date_and_source(provider: str) -> None:
    """Each row has an id with its date, a plausible price and a source."""
    table = decoded(reference_prices=provider).policy.table

    assert table.prices
    for price in table.prices:
        assert price.id.startswith(f"reference/{provider}/")
        assert price.retrieved_at is not None
        assert (
            f"@{datetime.fromtimestamp(price.retrieved_at, ZoneInfo('UTC')):%Y-%m-%d}" in price.id
        )
        assert "list price of 2026-" in price.source


def test_list_price_gives_way_to_a_record_of_ones_own() -> None:
    """However general that record is."""
    own = {"id": "own", "kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": 3}
    card = replace(a_card(), memory_total_bytes=85_520_809_984)

    alone = decoded(reference_prices="aws-us-east-1")
    both = decoded(reference_prices="aws-us-east-1", prices=[own])

    assert per_hour(alone, card) == {"rental": Fraction("6.88")}
    assert per_hour(both, card) == {"rental": Fraction(3)}


# ---- energy


BANDS = [
    {"name": "night", "from": "21:00", "to": "07:00", "price_per_kilowatt_hour": 0.08},
    {"name": "peak", "from": "16:00", "to": "21:00", "price_per_kilowatt_hour": 0.24},
]


def test_time_of_use_has_the_figures_of_the_example() -> None:
    """New York, 7 kW, 15:30 to 21:15: 56.35 kWh, 12.544; flat 6.762."""
    tou = [FLAT[0] | {"bands": BANDS, "timezone": "America/New_York"}]
    span = ("2026-03-02T15:30:00-05:00", "2026-03-02T21:15:00-05:00", "7")

    assert energy_money(decoded(prices=[SERVER], electricity=tou), *span) == (
        Decimal("56.35"),
        Decimal("12.544"),
    )
    assert energy_money(decoded(prices=[SERVER], electricity=FLAT), *span)[1] == Decimal("6.762")


@pytest.mark.parametrize(
    ("begin", "end", "kwh", "money"),
    [
        ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", "245.0", "42.14"),
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", "225.4", "40.18"),
    ],
)
def test_days_of_25_and_23_hours_have_the_figures_of_the_example(
    begin: str, end: str, kwh: str, money: str
) -> None:
    """Berlin, 7 kW, cheap until six: the hour that comes twice is cheap twice."""
    night = {"name": "night", "from": "00:00", "to": "06:00", "price_per_kilowatt_hour": 0.10}
    tariff = {"id": "b", "price_per_kilowatt_hour": 0.20, "pue": 1.4, "bands": [night]}
    settings = decoded(prices=[SERVER], electricity=[tariff], timezone="Europe/Berlin")

    assert energy_money(settings, begin, end, "7") == (Decimal(kwh), Decimal(money))


def test_bands_know_weekdays_seasons_and_holidays() -> None:
    """A summer weekday's peak, and not on a holiday; the first band that holds wins."""
    peak = {
        "name": "peak",
        "from": "16:00",
        "to": "21:00",
        "price_per_kilowatt_hour": 0.5,
        "weekdays": ["mon", "tue", "wed", "thu", "fri"],
        "months": [7],
        "holidays": "never",
    }
    feast = {"name": "feast", "price_per_kilowatt_hour": 0.01, "holidays": "only"}
    tariff = FLAT[0] | {"bands": [peak, feast], "holidays": ["2026-07-03"]}
    table = decoded(prices=[SERVER], electricity=[tariff]).policy.table

    def band(moment: str) -> str:
        at = int(datetime.fromisoformat(f"{moment}:00+00:00").timestamp()) * SECOND
        found = table.tariff_at(at)
        return "" if found is None else found.id

    assert band("2026-07-02T16:00") == "flat/peak"  # a Thursday
    assert band("2026-07-02T21:00") == "flat"
    assert band("2026-07-04T17:00") == "flat"  # a Saturday
    assert band("2026-06-30T17:00") == "flat"  # June
    assert band("2026-07-03T17:00") == "flat/feast"


def test_tariffs_follow_each_other() -> None:
    """Dated like prices; a gap between them is unpriced energy."""
    tariffs = [
        FLAT[0] | {"valid_to": "2026-06-01"},
        {"id": "new", "price_per_kilowatt_hour": 0.2, "pue": 1.2, "valid_from": "2026-06-02"},
    ]
    table = decoded(prices=[SERVER], electricity=tariffs).policy.table

    def at(day: str) -> str | None:
        moment = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * SECOND
        found = table.tariff_at(moment)
        return None if found is None else found.id

    assert [at(f"2026-{day}") for day in ("05-31", "06-01", "06-02")] == ["flat", None, "new"]


# ---- carbon


@pytest.mark.parametrize(("grid", "kilograms"), [("US", 64.554323), ("FR", 9.791134)])
def test_carbon_has_the_figures_of_the_example(grid: str, kilograms: float) -> None:
    """8 x 0.65 kW for a day are 124.8 kWh at the boards and 174.72 at the meter."""
    settings = decoded(carbon={"grid": grid, "pue": 1.4})

    intensity = settings.policy.emissions.intensity
    assert intensity is not None
    millijoules = Fraction("124.8") * 3_600_000_000
    assert round(float(millijoules * intensity.nanograms_per_mj) / 1e12, 6) == kilograms


def test_embodied_carbon_has_the_figures_of_the_example() -> None:
    """318 kg over five years: 7.260274 g for a GPU-hour, 1.393973 kg for eight cards and a day."""
    carbon = {"grid": "US", "pue": 1.4, "embodied_kilograms_per_gpu": 318}

    rate = decoded(carbon=carbon).policy.emissions.embodied_ng_per_ns

    assert rate is not None
    assert round(float(rate * HOUR) / 1e9, 6) == 7.260274
    assert round(float(rate * HOUR * 24 * 8) / 1e12, 6) == 1.393973


@pytest.mark.parametrize("text", ["380.95", ' {"grams_per_kilowatt_hour": 380.95}\n'])
def test_carbon_file_holds_a_number_or_json(text: str) -> None:
    """The intensity comes later, from the file; until then it is expected and not known."""
    settings = decoded(carbon={"file": "/run/intensity", "pue": 1.5})
    source = settings.carbon_file

    assert settings.policy.emissions.expected
    assert settings.policy.emissions.intensity is None
    assert source is not None
    assert (source.path, source.max_age_ns) == (Path("/run/intensity"), 7_200 * SECOND)
    assert float(source.intensity(text).grams_per_kwh) == 380.95


@pytest.mark.parametrize("text", ["", "much", "-1", "5001", "NaN", "[1]", '{"g": 1}', "[" * 4_000])
def test_carbon_file_that_says_something_else_is_a_fault(text: str) -> None:
    """Named, with what would be right."""
    source = decoded(carbon={"file": "/run/intensity", "pue": 1.5}).carbon_file

    assert source is not None
    with pytest.raises(ConfigError, match=r"/run/intensity: must hold a number of 0 to 5000"):
        source.intensity(text)


# ---- exemptions


def test_exemption_reaches_the_policy_with_its_hours() -> None:
    """Nights in Berlin for one team; without hours always."""
    night = {"from": "20:00", "to": "08:00"}
    settings = decoded(
        idle_exemptions=[
            {
                "name": "nights",
                "match": {"model": "*"},
                "team": "research",
                "hours": [night],
                "timezone": "Europe/Berlin",
            },
            {"name": "desk", "match": {"uuid": CARD}},
        ]
    )
    nights, desk = settings.policy.exemptions
    noon, late = (MID_2026 // SECOND, MID_2026 // SECOND + 6 * 3_600)

    assert (nights.name, nights.team) == ("nights", "research")
    assert [nights.hours.at(noon), nights.hours.at(late)] == [False, True]
    assert desk.hours.at(noon)


def test_dearest_amounts_that_pass_fit_a_row_of_a_day() -> None:
    """Rent, and the energy of 12 kW, for 24 hours in the 64 bits of a compacted row."""
    most = {"kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": MAX_PER_GPU_HOUR}
    energy = {"price_per_kilowatt_hour": MAX_PER_KWH, "pue": 3}
    settings = decoded(currency="IRR", prices=[most | {"id": "a"}], electricity=[energy])

    a_day = 24 * per_hour(settings)["rental"]
    drawn = 24 * 12 * 3_600_000_000 * settings.policy.table.tariffs[0].at(0).nanos_per_mj

    assert a_day * 10**9 < 2**63 / 3
    assert drawn < 2**63


RENTED = ALL | {"id": "r", "price_per_gpu_hour": "2.5"}


def digest(record: dict[str, object], **keys: object) -> str:
    (found,) = {
        price.digest
        for price in decoded(prices=[record], electricity=FLAT, **keys).policy.table.prices
    }
    return found


@pytest.mark.parametrize(
    "changed",
    [
        RENTED | {"valid_to": "2027-01-01"},
        RENTED | {"source": "contract 4711"},
        RENTED | {"unusual": True},
        RENTED | {"price_per_gpu_hour": "2.50"},
        RENTED | {"tier": "on_demand", "tax_ratio": 0, "currency": "USD"},
    ],
)
def test_record_that_ends_or_is_described_otherwise_is_the_same(changed: dict[str, object]) -> None:
    """To give a record its end is how a price changes: not an edit of what its rows cost."""
    assert digest(changed) == digest(RENTED)


@pytest.mark.parametrize(
    ("record", "changed"),
    [
        (RENTED, {"price_per_gpu_hour": "2.51"}),
        (RENTED, {"tier": "reserved"}),
        (RENTED, {"discount_ratio": "0.1"}),
        (RENTED, {"tax_ratio": "0.1"}),
        (RENTED, {"match": {"model": "NVIDIA*"}}),
        (RENTED, {"currency": "EUR"}),
        (RENTED, {"valid_from": "2026-01-01"}),
        (SERVER, {"purchase_price": 280_001}),
        (SERVER, {"in_service": "2026-01-02"}),
        (SERVER, {"life_years": 6}),
        (SERVER, {"host_watts_per_gpu": 0}),
        (SERVER, {"depreciation": "annuity", "cost_of_capital_ratio": "0.08"}),
    ],
)
def test_record_edited_in_place_is_another(
    record: dict[str, object], changed: dict[str, object]
) -> None:
    """Whatever makes money or chooses cards."""
    rates = [{"currency": "EUR", "rate": 1}]

    assert digest(record | changed, exchange_rates=rates) != digest(record)


def test_currency_of_the_file_is_part_of_its_records() -> None:
    """Two a GPU-hour are another price in another currency."""
    assert digest(RENTED, currency="CHF") != digest(RENTED)
