"""From checked settings to the values of the core: prices, policy, durations."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.config.load import load
from agent.config.schema import (
    USUAL_CURRENCIES,
    USUAL_PER_GPU_HOUR,
    Config,
    OwnedPrice,
    RentedPrice,
)
from agent.cost.prices import (
    FOREVER_NS,
    Price,
    PriceTable,
    Tariff,
    Tier,
    overlaps,
    rental_rates,
    straight_line_rates,
)
from agent.ledger.entry import Component
from agent.ledger.policy import AccountPolicy
from agent.units import NANOSECONDS_PER_SECOND, nanoseconds
from agent.usage.state import ActivityPolicy
from agent.usage.team import TeamRule

MAX_GAP_SECONDS = 5.0
"""A tick that comes later than this, or than three intervals, is a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the agent runs with; ``host`` and ``port`` are those of the HTTP endpoint."""

    policy: AccountPolicy
    source: str
    host: str
    port: int
    state_directory: Path
    interval_ns: int
    flush_ns: int


def load_settings(path: Path) -> Settings:
    """Read and check the configuration file.

    Raises:
        ConfigError: with every fault of the file.
    """
    return settings_of(load(path, Config, check_config))


def check_config(config: Config) -> list[tuple[str, str]]:
    """Faults that one key alone does not show, as (key, problem)."""
    faults: list[tuple[str, str]] = []
    for number, record in enumerate(config.prices):
        faults += [(f"prices[{number}]{key}", problem) for key, problem in _check(record, config)]
    ids = [record.id for record in config.prices]
    faults += [
        (f"prices[{number}].id", f"{identifier!r} is used by an earlier record")
        for number, identifier in enumerate(ids)
        if identifier in ids[:number]
    ]
    if (
        any(isinstance(record, OwnedPrice) for record in config.prices)
        and config.electricity is None
    ):
        faults.append(
            ("electricity", "is missing: owned cards pay for their energy (tariff and PUE)")
        )
    if not 1 <= int(config.listen.rsplit(":", 1)[1]) <= 65_535:  # noqa: PLR2004 - ports
        faults.append(("listen", "the port must be 1 to 65535"))
    if not faults:
        faults += [
            (
                "prices",
                (
                    f"{first.id} and {second.id} hold for the same cards at the same time; "
                    "end one with valid_to before the other begins"
                ),
            )
            for first, second in overlaps(_prices(config))
        ]
    return faults


def settings_of(config: Config) -> Settings:
    """The core values of a configuration without faults."""
    zone = ZoneInfo(config.timezone)
    interval_ns = nanoseconds(config.interval_seconds)
    tariff = None
    if config.electricity is not None:
        tariff = Tariff(
            id=config.electricity.id,
            currency=config.currency,
            per_kwh=Fraction(config.electricity.price_per_kilowatt_hour),
            pue=Fraction(config.electricity.pue),
        )
    policy = AccountPolicy(
        table=PriceTable(_prices(config), currency=config.currency, tariff=tariff),
        zone=zone,
        activity=ActivityPolicy(
            active_percent=config.activity.active_percent,
            idle_after_ns=nanoseconds(config.activity.idle_after_seconds),
        ),
        teams=tuple(
            TeamRule(rule.team, uuid=rule.match.uuid, model=rule.match.model)
            for rule in config.teams
        ),
        retired=frozenset(config.retired_gpus),
        max_gap_ns=max(nanoseconds(MAX_GAP_SECONDS), 3 * interval_ns),
        max_fill_ns=nanoseconds(config.gaps.max_fill_seconds),
        max_down_rented_ns=nanoseconds(config.gaps.max_down_rented_seconds),
        max_down_owned_ns=nanoseconds(config.gaps.max_down_owned_seconds),
    )
    host, port = config.listen.rsplit(":", 1)
    return Settings(
        policy=policy,
        source=config.source,
        host=host.strip("[]"),
        port=int(port),
        state_directory=Path(config.state_directory),
        interval_ns=interval_ns,
        flush_ns=nanoseconds(config.flush_seconds),
    )


def _check(record: RentedPrice | OwnedPrice, config: Config) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    zone = ZoneInfo(config.timezone)
    if record.currency not in {None, config.currency}:
        problem = f"is {record.currency}, but this file's currency is {config.currency}"
        faults.append((".currency", problem))
    if (
        record.valid_from
        and record.valid_to
        and _ns(record.valid_from, zone) >= _ns(record.valid_to, zone)
    ):
        faults.append((".valid_to", "must be later than valid_from"))
    key, per_hour = (
        (".price_per_gpu_hour", record.price_per_gpu_hour)
        if isinstance(record, RentedPrice)
        else (".purchase_price", _owned_per_hour(record))
    )
    low, high = USUAL_PER_GPU_HOUR
    if config.currency in USUAL_CURRENCIES and not record.unusual and not low <= per_hour <= high:
        faults.append(
            (
                key,
                (
                    f"comes to {per_hour:.6g} {config.currency} for one GPU-hour, outside {low} to {high}: "
                    "is it the price of a month, of a whole instance, or in cents? "
                    "If it is right, set unusual: true"
                ),
            )
        )
    return faults


def _owned_per_hour(record: OwnedPrice) -> Decimal:
    return (record.purchase_price - record.salvage_value) / (
        record.life_years * 8_760 * record.cards
    )


def _prices(config: Config) -> list[Price]:
    zone = ZoneInfo(config.timezone)
    return [_price(record, config.currency, zone) for record in config.prices]


def _price(record: RentedPrice | OwnedPrice, currency: str, zone: ZoneInfo) -> Price:
    if isinstance(record, RentedPrice):
        after_discount = Fraction(record.price_per_gpu_hour) * (1 - Fraction(record.discount_ratio))
        rates = rental_rates(after_discount * (1 + Fraction(record.tax_ratio)), Component.RENTAL)
        tier = Tier(record.tier)
    else:
        rates = straight_line_rates(
            purchase=Fraction(record.purchase_price),
            salvage=Fraction(record.salvage_value),
            cards=record.cards,
            in_service_ns=_ns(record.in_service, zone),
            end_of_life_ns=_end_of_life_ns(record, zone),
            component=Component.CAPITAL,
        )
        tier = Tier.OWNED
    return Price(
        id=record.id,
        tier=tier,
        currency=currency,
        rates=rates,
        uuid=record.match.uuid,
        model=record.match.model,
        valid_from_ns=_valid_from_ns(record, zone),
        valid_to_ns=FOREVER_NS if record.valid_to is None else _ns(record.valid_to, zone),
        bills_energy=tier is Tier.OWNED,
        source=record.source,
    )


def _valid_from_ns(record: RentedPrice | OwnedPrice, zone: ZoneInfo) -> int:
    from_ns = 0 if record.valid_from is None else _ns(record.valid_from, zone)
    if isinstance(record, OwnedPrice):  # before it is in service, nothing is known of its cost
        return max(from_ns, _ns(record.in_service, zone))
    return from_ns


def _end_of_life_ns(record: OwnedPrice, zone: ZoneInfo) -> int:
    """The anniversary for whole years, leap days included; a broken year goes by days of 24 h."""
    start_ns = _ns(record.in_service, zone)
    start = datetime.fromtimestamp(start_ns // NANOSECONDS_PER_SECOND, zone)
    years, rest = divmod(record.life_years, 1)
    try:
        anniversary = start.replace(year=start.year + int(years))
    except ValueError:  # in service on 29 February
        anniversary = start.replace(year=start.year + int(years), month=3, day=1)
    return _ns(anniversary, zone) + nanoseconds(float(rest) * 365 * 86_400)


def _ns(moment: datetime | date, zone: ZoneInfo) -> int:
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.astimezone(UTC).timestamp()) * NANOSECONDS_PER_SECOND
