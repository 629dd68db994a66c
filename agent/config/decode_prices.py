"""From the price records of the file to the prices of the core, and what is wrong with them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from zoneinfo import ZoneInfo

from agent.config.moments import instant_ns, validity_ns
from agent.config.reference import ReferenceRow, reference_rows
from agent.config.schema import Config
from agent.config.schema_prices import (
    MAX_PER_GPU_HOUR,
    USUAL_CURRENCIES,
    USUAL_PER_GPU_HOUR,
    OwnedPrice,
    RentedPrice,
)
from agent.config.selection import card_match
from agent.cost.prices import Price, Tier, overlaps
from agent.cost.rates import (
    TimeRate,
    annuity_payment,
    depreciation,
    hourly,
    running_per_hour,
)
from agent.ledger.entry import Component
from agent.money import NANOS_PER_UNIT
from agent.units import NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND, nanoseconds

MAX_OVERLAPS_SHOWN = 20
MILLIWATTS_PER_WATT = 1_000
_NO_MONEY = frozenset({"source", "unusual", "valid_to"})
"""Keys that may change under an id: an end is how a record makes way for the next."""

Record = RentedPrice | OwnedPrice


def prices_of(config: Config) -> list[Price]:
    """Every record as core prices: one in another currency becomes one for each exchange rate."""
    zone = ZoneInfo(config.timezone)
    own = [price for record in config.prices for price in _prices(record, config, zone)]
    return own + [_reference(row) for row in reference_rows(config.reference_prices)]


def check_prices(config: Config) -> Iterator[tuple[str, str]]:
    """Faults that one key alone does not show, as (key, problem)."""
    seen: set[str] = set()
    for number, record in enumerate(config.prices):
        if record.id in seen:
            yield f"prices[{number}].id", f"{record.id!r} is used by an earlier record"
        seen.add(record.id)
        for key, problem in _check(record, config):
            yield f"prices[{number}]{key}", problem
    yield from _check_rates(config)
    clashes = overlaps(prices_of(config))
    for first, second in islice(_once(clashes), MAX_OVERLAPS_SHOWN):
        problem = (
            f"{first} and {second} hold for the same cards at the same time; "
            "end one with valid_to before the other begins, or let their match differ "
            "(memory_gb of neighbouring sizes does not: drivers show less than is sold)"
        )
        yield "prices", problem
    if len(clashes) > MAX_OVERLAPS_SHOWN:
        yield "prices", f"and so do {len(clashes) - MAX_OVERLAPS_SHOWN} more pairs"


def _once(clashes: list[tuple[Price, Price]]) -> Iterator[tuple[str, str]]:
    yield from dict.fromkeys((first.id, second.id) for first, second in clashes)


def _check(record: Record, config: Config) -> Iterator[tuple[str, str]]:
    zone = ZoneInfo(config.timezone)
    if record.currency not in {None, config.currency, *(r.currency for r in config.exchange_rates)}:
        yield (
            ".currency",
            f"is {record.currency}, this file's is {config.currency}, and exchange_rates has no rate for it",
        )
    start_ns, end_ns = validity_ns(record, zone)
    if start_ns >= end_ns:
        yield ".valid_to", "must be later than valid_from"
    key, per_hour = _usual(record)
    low, high = USUAL_PER_GPU_HOUR
    currency = record.currency or config.currency
    dearest = max((_per_hour(price) for price in _prices(record, config, zone)), default=0)
    if dearest > MAX_PER_GPU_HOUR:
        problem = (
            f"comes to {float(dearest):.6g} {config.currency} for one GPU-hour, and the ledger's "
            f"amounts reach to {MAX_PER_GPU_HOUR:,}: is it in the unit and currency that it says?"
        )
        yield key, problem
    elif currency in USUAL_CURRENCIES and not record.unusual and not low <= per_hour <= high:
        yield (
            key,
            (
                f"comes to {per_hour:.6g} {currency} for one GPU-hour, outside {low} to {high}: "
                "is it the price of a month, of a whole instance, or in cents? "
                "If it is right, set unusual: true"
            ),
        )


def _per_hour(price: Price) -> Fraction:
    nanos_per_ns = sum((rate.nanos_per_ns for rate in price.rates), Fraction(0))
    return nanos_per_ns * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT


def _usual(record: Record) -> tuple[str, Decimal]:
    """The key that carries the price, and what it comes to for a card and hour, roughly."""
    if isinstance(record, OwnedPrice):
        hours = record.life_years * 8_760 * record.cards
        return ".purchase_price", (record.purchase_price - record.salvage_value) / hours
    per_hour = Decimal(float(record.per_gpu_hour))
    if record.price_per_gpu_hour is None:
        return ".price_per_instance_hour", per_hour
    return ".price_per_gpu_hour", per_hour


def _check_rates(config: Config) -> Iterator[tuple[str, str]]:
    zone = ZoneInfo(config.timezone)
    for number, rate in enumerate(config.exchange_rates):
        key = f"exchange_rates[{number}]"
        if rate.currency == config.currency:
            yield f"{key}.currency", "is the currency of this file"
        start_ns, end_ns = validity_ns(rate, zone)
        if start_ns >= end_ns:
            yield f"{key}.valid_to", "must be later than valid_from"
        for earlier, other in enumerate(config.exchange_rates[:number]):
            from_ns, to_ns = validity_ns(other, zone)
            if other.currency == rate.currency and start_ns < to_ns and from_ns < end_ns:
                problem = f"holds at the same time as exchange_rates[{earlier}]"
                yield key, problem


def _prices(record: Record, config: Config, zone: ZoneInfo) -> Iterator[Price]:
    price = _price(record, config, zone)
    if record.currency in {None, config.currency}:
        yield price
        return
    rates = [
        (*validity_ns(rate, zone), rate.rate)
        for rate in config.exchange_rates
        if rate.currency == record.currency
    ]
    open_ns = price.valid_from_ns
    for from_ns, to_ns, rate in sorted(rates):
        start_ns, end_ns = max(open_ns, from_ns), min(price.valid_to_ns, to_ns)
        if start_ns < end_ns:
            yield from _without_rate(price, record, open_ns, start_ns)
            yield replace(
                price,
                rates=tuple(each.times(Fraction(rate)) for each in price.rates),
                valid_from_ns=start_ns,
                valid_to_ns=end_ns,
                source=_with(price.source, f"1 {record.currency} = {rate} {config.currency}"),
            )
            open_ns = end_ns
    yield from _without_rate(price, record, open_ns, price.valid_to_ns)


def _without_rate(price: Price, record: Record, start_ns: int, end_ns: int) -> Iterator[Price]:
    """The record where no exchange rate holds: it keeps its cards, so that no other prices them."""
    if start_ns < end_ns:
        source = _with(price.source, f"no exchange rate for {record.currency}")
        yield replace(price, rates=(), valid_from_ns=start_ns, valid_to_ns=end_ns, source=source)


def _with(source: str, rate: str) -> str:
    return f"{source}; {rate}" if source else rate


def _price(record: Record, config: Config, zone: ZoneInfo) -> Price:
    owned = isinstance(record, OwnedPrice)
    from_ns, to_ns = validity_ns(record, zone)
    if isinstance(record, OwnedPrice):  # before it is in service, nothing is known of its cost
        from_ns = max(from_ns, instant_ns(record.in_service, zone))
        rates, host_watts = _owned_rates(record, zone), record.host_watts_per_gpu
    else:
        rates, host_watts = (_rental(record),), Decimal(0)
    return Price(
        id=record.id,
        tier=Tier.OWNED if isinstance(record, OwnedPrice) else Tier(record.tier),
        rates=rates,
        match=card_match(record.match),
        valid_from_ns=from_ns,
        valid_to_ns=to_ns,
        bills_energy=owned,
        host_mw=int(host_watts * MILLIWATTS_PER_WATT),
        source=record.source,
        record=json.dumps(record.model_dump(mode="json", exclude_defaults=True), sort_keys=True),
        digest=_digest(record, config),
    )


def _digest(record: Record, config: Config) -> str:
    said = record.model_dump(exclude_defaults=True, exclude=set(_NO_MONEY))
    said["currency"] = record.currency or config.currency
    text = json.dumps(said, sort_keys=True, default=_as_text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_text(value: object) -> str:
    """Two is 2.0: an amount that is only written otherwise is no other."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _rental(record: RentedPrice) -> TimeRate:
    after_discount = record.per_gpu_hour * (1 - Fraction(record.discount_ratio))
    return hourly(after_discount * (1 + Fraction(record.tax_ratio)), Component.RENTAL)


def _owned_rates(record: OwnedPrice, zone: ZoneInfo) -> tuple[TimeRate, ...]:
    purchase, salvage = Fraction(record.purchase_price), Fraction(record.salvage_value)
    life = Fraction(record.life_years)
    total = (
        life
        * record.annuity_payments_per_year
        * annuity_payment(
            purchase,
            salvage,
            life_years=life,
            cost_of_capital=Fraction(record.cost_of_capital_ratio),
            payments_per_year=record.annuity_payments_per_year,
        )
    )
    capital = depreciation(
        total,
        cards=record.cards,
        in_service_ns=instant_ns(record.in_service, zone),
        end_of_life_ns=_end_of_life_ns(record, zone),
        component=Component.CAPITAL,
    )
    running = running_per_hour(
        purchase=purchase,
        maintenance_ratio=Fraction(record.maintenance_ratio_per_year),
        space_per_kw_month=Fraction(record.space_price_per_kilowatt_month),
        space_kw=Fraction(record.space_kilowatts),
        staff_per_year=Fraction(record.staff_price_per_year),
        cards=record.cards,
    )
    return (capital, hourly(running, Component.OPEX)) if running else (capital,)


def _reference(row: ReferenceRow) -> Price:
    return Price(
        id=row.id,
        tier=Tier(row.tier),
        rates=(hourly(Fraction(row.price_per_gpu_hour), Component.RENTAL),),
        match=card_match(row.match),
        reference=True,
        retrieved_at=row.retrieved_at,
        source=row.source,
    )


def _end_of_life_ns(record: OwnedPrice, zone: ZoneInfo) -> int:
    """The anniversary for whole years, leap days included; a broken year goes by days of 24 h."""
    start_ns = instant_ns(record.in_service, zone)
    start = datetime.fromtimestamp(start_ns // NANOSECONDS_PER_SECOND, zone)
    years, rest = divmod(record.life_years, 1)
    try:
        anniversary = start.replace(year=start.year + int(years))
    except ValueError:  # in service on 29 February
        anniversary = start.replace(year=start.year + int(years), month=3, day=1)
    end = int(anniversary.astimezone(UTC).timestamp()) * NANOSECONDS_PER_SECOND
    return end + nanoseconds(float(rest) * 365 * 86_400)
