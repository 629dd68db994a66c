"""From good settings to the values of the core."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from agent.config.decode import Settings, check_config, load_settings, settings_of
from agent.config.schema import Config
from agent.cost.prices import Price, Tier
from agent.cost.rates import FOREVER_NS
from agent.units import NANOSECONDS_PER_SECOND as SECOND
from agent.usage.match import CardMatch
from tests.builders import CARD, HOUR, MODEL

ROOT = Path(__file__).parents[3]
RENTED = {"id": "r", "kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": 2.5}
OWNED = {
    "id": "o",
    "kind": "owned",
    "match": {"model": "*"},
    "purchase_price": 280_000,
    "salvage_value": 28_000,
    "cards": 8,
    "in_service": "2026-01-01",
    "life_years": 5,
}
ELECTRICITY = [{"price_per_kilowatt_hour": 0.12, "pue": 1.4}]


def decoded(**keys: object) -> Settings:
    return settings_of(Config.model_validate({"currency": "USD"} | keys))


def price(record: dict[str, object], **keys: object) -> Price:
    (found,) = decoded(prices=[record], electricity=ELECTRICITY, **keys).policy.table.prices
    return found


def per_hour(record: Price) -> Fraction:
    return sum((rate.nanos_per_ns for rate in record.rates), Fraction(0)) * HOUR / 10**9


def utc_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def test_example_configuration_loads() -> None:
    """What we ship as config.example.yaml is good as it stands and shows both kinds of price."""
    settings = load_settings(ROOT / "config.example.yaml")

    tiers = {record.tier for record in settings.policy.table.prices}
    assert Tier.OWNED in tiers
    assert len(tiers) > 1
    assert settings.policy.table.tariffs
    assert settings.policy.exemptions
    assert settings.policy.emissions.intensity is not None
    assert settings.policy.teams


def test_defaults_are_those_of_the_design() -> None:
    """One second, ten seconds, sixty seconds idle, an hour, thirty days, port 9776 on loopback."""
    settings = decoded()

    assert (settings.host, settings.port) == ("127.0.0.1", 9776)
    assert (settings.interval_ns, settings.flush_ns) == (SECOND, 10 * SECOND)
    assert settings.policy.activity.active_percent == 5
    assert settings.policy.activity.idle_after_ns == 60 * SECOND
    assert settings.policy.max_fill_ns == settings.policy.max_down_rented_ns == HOUR
    assert settings.policy.max_down_owned_ns == 720 * HOUR
    assert settings.state_directory == Path("/var/lib/gpufin")
    assert settings.source == "nvml"


def test_discount_and_tax_are_exact() -> None:
    """2.50 less 15 % and 19 % on top is 2.52875, as a fraction."""
    record = price(RENTED | {"discount_ratio": 0.15, "tax_ratio": 0.19})

    assert per_hour(record) == Fraction("2.52875")


@pytest.mark.parametrize(
    ("amount", "exact"), [(0.1, "0.1"), ("2.123456789123", "2.123456789123"), (3, "3")]
)
def test_price_is_the_decimal_that_was_written(amount: object, exact: str) -> None:
    """No binary fraction stands in for 0.1."""
    assert per_hour(price(RENTED | {"price_per_gpu_hour": amount})) == Fraction(exact)


def test_owned_price_runs_over_the_calendar_life() -> None:
    """Five years from 2026 hold 43,824 hours: 31,500 over them, and electricity on top."""
    record = price(OWNED)

    (rate,) = record.rates
    assert (rate.from_ns, rate.to_ns) == (utc_ns("2026-01-01"), utc_ns("2031-01-01"))
    assert per_hour(record) == Fraction(31_500, 43_824)
    assert record.bills_energy
    assert record.tier is Tier.OWNED


@pytest.mark.parametrize(
    ("in_service", "years", "end"),
    [
        ("2024-02-29", 1, "2025-03-01"),
        ("2024-02-29", 4, "2028-02-29"),
        ("2026-01-01", 0.5, "2026-07-02T12:00:00"),
        ("2026-01-01", 2.5, "2028-07-01T12:00:00"),
    ],
)
def test_life_ends_on_its_anniversary(in_service: str, years: float, end: str) -> None:
    """From 29 February to 1 March; half a year is 182.5 days."""
    record = price(OWNED | {"in_service": in_service, "life_years": years})

    assert record.rates[0].to_ns == utc_ns(end)


@pytest.mark.parametrize(
    ("written", "zone", "utc"),
    [
        ("2026-01-01", "UTC", "2026-01-01T00:00:00"),
        ("2026-01-01", "Europe/Berlin", "2025-12-31T23:00:00"),
        ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00"),
        ("2026-01-01T00:00:00+01:00", "UTC", "2025-12-31T23:00:00"),
        ("2026-01-01T00:00:00Z", "Europe/Berlin", "2026-01-01T00:00:00"),
        ("2026-01-01 00:00:00", "America/New_York", "2026-01-01T05:00:00"),
    ],
)
def test_moments_are_read_in_the_fleets_zone(written: str, zone: str, utc: str) -> None:
    """A date is midnight there; an offset says otherwise."""
    assert price(RENTED | {"valid_from": written}, timezone=zone).valid_from_ns == utc_ns(utc)


def test_moments_are_the_same_from_yaml_and_from_text(tmp_path: Path) -> None:
    """YAML makes dates of dates; quoted or not, they mean the same."""
    path = tmp_path / "config.yaml"
    found = []
    for written in ("2026-03-01", '"2026-03-01"', "2026-03-01T00:00:00Z"):
        path.write_text(
            "currency: USD\nprices:\n- {id: a, kind: rented, match: {model: x}, "
            f"price_per_gpu_hour: 2, valid_from: {written}}}\n"
        )
        found.append(load_settings(path).policy.table.prices[0].valid_from_ns)

    assert set(found) == {utc_ns("2026-03-01")}


def test_record_without_dates_always_holds() -> None:
    """Neither beginning nor end."""
    record = price(RENTED)

    assert (record.valid_from_ns, record.valid_to_ns) == (0, FOREVER_NS)


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[::1]:65535", "::1", 65_535),
        ("node-7.example:9776", "node-7.example", 9776),
    ],
)
def test_listen_is_host_and_port(listen: str, host: str, port: int) -> None:
    """Names, IPv4 and bracketed IPv6."""
    settings = decoded(listen=listen)

    assert (settings.host, settings.port) == (host, port)


def test_unusual_price_is_accepted_when_said_so() -> None:
    """And in a currency whose usual prices we do not know."""
    unusual = Config.model_validate(
        {"currency": "USD", "prices": [RENTED | {"price_per_gpu_hour": 250, "unusual": True}]}
    )
    yen = Config.model_validate(
        {"currency": "JPY", "prices": [RENTED | {"price_per_gpu_hour": 400}]}
    )

    assert check_config(unusual) == check_config(yen) == []


@pytest.mark.parametrize(("interval", "gap"), [(1, 5), (0.1, 5), (10, 30)])
def test_gap_follows_the_interval(interval: float, gap: float) -> None:
    """Five seconds, or three intervals when they are longer."""
    assert decoded(interval_seconds=interval).policy.max_gap_ns == gap * SECOND


def test_teams_and_retired_cards_reach_the_policy() -> None:
    """As they stand in the file."""
    settings = decoded(
        teams=[{"team": "a b", "match": {"uuid": CARD}}, {"team": "c", "match": {"model": MODEL}}],
        retired_gpus=[CARD],
    )

    assert [(rule.team, rule.match) for rule in settings.policy.teams] == [
        ("a b", CardMatch(uuid=CARD)),
        ("c", CardMatch(model=MODEL)),
    ]
    assert settings.policy.retired == {CARD}
