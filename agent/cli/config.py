"""``gpufin check-config`` and ``gpufin explain-price``: what the operator's file means."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from agent.app import known_gpus
from agent.cli.serve import config_option, state_option
from agent.config.decode import Settings, load_settings
from agent.config.reference import STALE_DAYS
from agent.config.schema import Config
from agent.cost.prices import Price, PriceTable
from agent.cost.rates import FOREVER_NS
from agent.money import NANOS_PER_UNIT
from agent.runtime.clock import SystemClock
from agent.samples.device import GpuIdentity
from agent.samples.reading import Missing
from agent.units import NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND
from agent.usage.exemption import exemption_of
from agent.usage.match import GIBIBYTE
from agent.usage.team import team_of

EXAMPLE = "example figure"
"""The source that the records of config.example.yaml name."""


@click.command("check-config")
@config_option
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of the file instead, for editors."
)
def check_config(config_path: Path, *, schema: bool) -> int:
    """Check the configuration file; every fault is named at once."""
    if schema:
        click.echo(json.dumps(Config.model_json_schema(), indent=2, sort_keys=True))
        return 0
    settings = load_settings(config_path)
    table = settings.policy.table
    records = len({price.id for price in table.prices})
    click.echo(f"{config_path}: good: {records} price records in {table.currency}")
    for note in _notes(table, SystemClock().now().wall_ns, settings.policy.zone):
        click.echo(f"  note: {note}")
    return 0


def _notes(table: PriceTable, now_ns: int, zone: ZoneInfo) -> Iterator[str]:
    """What is no fault and worth a look."""
    if not table.prices:
        yield "no prices: all time will be unpriced"
    today = {price.id: price for price in table.prices if price.holds(now_ns)}
    for price in {price.id: price for price in table.prices}.values():
        held = today.get(price.id)
        if held is None:
            yield f"{price.id} does not hold today ({_validity(price, zone)})"
        elif not held.rates:
            yield f"{price.id} is unpriced today: {held.source}"
        if price.retrieved_at is not None and _age_days(price, now_ns) > STALE_DAYS:
            yield f"{price.id} is {_age_days(price, now_ns)} days old: what does your contract say?"
        if price.source.startswith(EXAMPLE):
            yield f"{price.id} is an example: put in what your contract says"


def _age_days(price: Price, now_ns: int) -> int:
    return (now_ns // NANOSECONDS_PER_SECOND - (price.retrieved_at or 0)) // 86_400


@click.command("explain-price")
@config_option
@state_option
@click.option("--model", help="NVML product name, such as 'NVIDIA H100 80GB HBM3'.")
@click.option("--uuid", help="UUID of a card.")
@click.option("--memory-gb", type=click.IntRange(1, 10_000), help="Memory in the product's name.")
@click.option(
    "--utilization",
    type=click.FloatRange(0, 1, min_open=True),
    help="Also say what an hour of work costs at this utilisation, 0.6 for 60 %.",
)
@click.option(
    "--at",
    "moment",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="In the file's timezone; default: now.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def explain_price(  # noqa: PLR0913 - one a command line option
    *,
    config_path: Path,
    state_directory: Path | None,
    model: str | None,
    uuid: str | None,
    memory_gb: int | None,
    utilization: float | None,
    moment: datetime | None,
    as_json: bool,
) -> int:
    """Say which price record holds for a card, and why; without options for every card known here."""
    settings = load_settings(config_path)
    at_ns = _moment_ns(moment, settings.policy.zone)
    asked = (
        [_asked(uuid, model, memory_gb)] if uuid or model else known_gpus(settings, state_directory)
    )
    if not asked:
        raise click.UsageError("no card is known here: give --model or --uuid")
    explained = [_explain(settings, card, at_ns) for card in asked]
    if as_json:
        click.echo(json.dumps([each.__dict__ for each in explained], indent=2))
    else:
        for each in explained:
            _print(each, settings.policy.table.currency, utilization)
    return 0 if all(each.price_id for each in explained) else 1


def _asked(uuid: str | None, model: str | None, memory_gb: int | None) -> GpuIdentity:
    memory = Missing.NO_DATA if memory_gb is None else memory_gb * GIBIBYTE
    return GpuIdentity(
        uuid=uuid or "", index=0, model=model or "", pci_bus_id="", memory_total_bytes=memory
    )


@dataclass(frozen=True)
class Explanation:
    """Which record holds for a card, what it comes to, and why the others do not."""

    uuid: str
    model: str
    team: str
    price_id: str
    per_hour: float | None
    components: dict[str, float]
    electricity: str
    carbon: str
    exemption: str
    why: list[str]


def _explain(settings: Settings, card: GpuIdentity, at_ns: int) -> Explanation:
    policy = settings.policy
    table, zone = policy.table, policy.zone
    chosen = table.at(card, at_ns)
    rates = () if chosen is None else (rate for rate in chosen.rates if rate.holds(at_ns))
    components = {
        rate.component: float(rate.nanos_per_ns * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT)
        for rate in rates
    }
    team = team_of(card, table.labels, policy.teams)
    at = at_ns // NANOSECONDS_PER_SECOND
    intensity = policy.emissions.intensity
    return Explanation(
        uuid=card.uuid,
        model=card.model,
        team=team,
        price_id="" if chosen is None else chosen.id,
        per_hour=None if chosen is None else sum(components.values()),
        components=components,
        electricity=_electricity(table, chosen, at_ns),
        carbon=""
        if intensity is None
        else f"{float(intensity.grams_per_kwh):g} g/kWh ({intensity.id})",
        exemption=exemption_of(card, team, table.labels, policy.exemptions, at),
        why=[_verdict(price, chosen, card, table, (at_ns, zone)) for price in table.prices],
    )


def _electricity(table: PriceTable, chosen: Price | None, at_ns: int) -> str:
    if chosen is None or not chosen.bills_energy:
        return "included"
    energy = table.tariff_at(at_ns)
    if energy is None:
        return "on top, but no tariff holds: its energy is counted as unpriced"
    host = f", and {chosen.host_mw / 1_000:g} W of its host" if chosen.host_mw else ""
    return (
        f"on top: {float(energy.per_kwh):g} {table.currency}/kWh ({energy.id}) "
        f"x PUE {float(energy.pue):g}{host}"
    )


def _verdict(
    price: Price,
    chosen: Price | None,
    card: GpuIdentity,
    table: PriceTable,
    moment: tuple[int, ZoneInfo],
) -> str:
    at_ns, zone = moment
    if not price.match.matches(card, table.labels):
        return f"{price.id}: no, it is for {price.match}"
    if not price.holds(at_ns):
        return f"{price.id}: no, it is valid {_validity(price, zone)}"
    holding = table.holding(card, at_ns)
    if price is not chosen and price is holding:
        return f"{price.id}: holds, and is unpriced: {price.source}"
    if price is not chosen:
        return f"{price.id}: no, {holding.id if holding else ''} names the card more closely"
    return (
        f"{price.id}: yes, {price.match}, {price.tier}, valid {_validity(price, zone)}; "
        f"{price.source}"
    )


def _print(each: Explanation, currency: str, utilization: float | None) -> None:
    click.echo(" ".join(part for part in (each.uuid, each.model) if part))
    if each.per_hour is None:
        click.echo("  unpriced: no record prices it; its time is counted, its cost is not guessed")
    else:
        click.echo(
            f"  {each.per_hour:.6f} {currency} an hour by {each.price_id}; electricity {each.electricity}"
        )
        if len(each.components) > 1:
            parts = (f"{name} {amount:.6f}" for name, amount in each.components.items())
            click.echo(f"  of which {', '.join(parts)}")
        if utilization is not None:
            busy = each.per_hour / utilization
            click.echo(
                f"  {busy:.6f} {currency} for an hour of work at {utilization:.0%} utilisation"
            )
    if each.team:
        click.echo(f"  given to team {each.team}")
    if each.exemption:
        click.echo(f"  idle time is exempt: {each.exemption}")
    if each.carbon:
        click.echo(f"  carbon {each.carbon}")
    for line in each.why:
        click.echo(f"    {line}")


def _validity(price: Price, zone: ZoneInfo) -> str:
    start = "since ever" if not price.valid_from_ns else f"from {_date(price.valid_from_ns, zone)}"
    end = (
        "without end" if price.valid_to_ns == FOREVER_NS else f"to {_date(price.valid_to_ns, zone)}"
    )
    return f"{start} {end}"


def _date(wall_ns: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(wall_ns // NANOSECONDS_PER_SECOND, zone).isoformat(" ", "minutes")


def _moment_ns(moment: datetime | None, zone: ZoneInfo) -> int:
    if moment is None:
        return SystemClock().now().wall_ns
    return int(moment.replace(tzinfo=zone).astimezone(UTC).timestamp()) * NANOSECONDS_PER_SECOND
