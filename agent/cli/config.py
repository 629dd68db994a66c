"""``gpufin check-config`` and ``gpufin explain-price``: what the operator's file means."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from agent.app import known_gpus
from agent.cli.serve import config_option, state_option
from agent.config.decode import Settings, load_settings
from agent.config.schema import Config
from agent.cost.prices import FOREVER_NS, Price, PriceTable
from agent.runtime.clock import SystemClock
from agent.units import NANOSECONDS_PER_SECOND
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
    click.echo(f"{config_path}: good: {len(table.prices)} price records in {table.currency}")
    now_ns = SystemClock().now().wall_ns
    for price in table.prices:
        if not price.holds(now_ns):
            click.echo(
                f"  note: {price.id} does not hold today ({_validity(price, settings.policy.zone)})"
            )
        if price.source == EXAMPLE:
            click.echo(f"  note: {price.id} is an example: put in what your contract says")
    if not table.prices:
        click.echo("  note: no prices: all time will be unpriced")
    return 0


@click.command("explain-price")
@config_option
@state_option
@click.option("--model", help="NVML product name, such as 'NVIDIA H100 80GB HBM3'.")
@click.option("--uuid", help="UUID of a card.")
@click.option(
    "--at",
    "moment",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="In the file's timezone; default: now.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def explain_price(
    config_path: Path,
    state_directory: Path | None,
    model: str | None,
    uuid: str | None,
    moment: datetime | None,
    *,
    as_json: bool,
) -> int:
    """Say which price record holds for a card, and why; without options for every card known here."""
    settings = load_settings(config_path)
    at_ns = _moment_ns(moment, settings.policy.zone)
    asked = [(uuid or "", model or "")] if uuid or model else known_gpus(settings, state_directory)
    if not asked:
        raise click.UsageError("no card is known here: give --model or --uuid")
    explained = [_explain(settings, *card, at_ns) for card in asked]
    if as_json:
        click.echo(json.dumps([each.__dict__ for each in explained], indent=2))
    else:
        for each in explained:
            _print(each, settings.policy.table.currency)
    return 0 if all(each.price_id for each in explained) else 1


@dataclass(frozen=True)
class Explanation:
    """Which record holds for a card, what it comes to, and why the others do not."""

    uuid: str
    model: str
    team: str
    price_id: str
    per_hour: float | None
    electricity: str
    why: list[str]


def _explain(settings: Settings, uuid: str, model: str, at_ns: int) -> Explanation:
    policy = settings.policy
    table, zone = policy.table, policy.zone
    chosen = table.at(uuid, model, at_ns)
    return Explanation(
        uuid=uuid,
        model=model,
        team=team_of(uuid, model, policy.teams),
        price_id="" if chosen is None else chosen.id,
        per_hour=None if chosen is None else table.rate_per_hour(chosen, at_ns, None),
        electricity=_electricity(table, chosen),
        why=[_verdict(price, chosen, uuid, model, at_ns, zone) for price in table.prices],
    )


def _electricity(table: PriceTable, chosen: Price | None) -> str:
    if chosen is None or not chosen.bills_energy or table.tariff is None:
        return "included"
    tariff = table.tariff
    return f"on top: {float(tariff.per_kwh):g} {tariff.currency}/kWh x PUE {float(tariff.pue):g}"


def _verdict(
    price: Price, chosen: Price | None, uuid: str, model: str, at_ns: int, zone: ZoneInfo
) -> str:
    level = f"uuid {price.uuid}" if price.uuid else f"model {price.model}"
    if not price.matches(uuid, model):
        return f"{price.id}: no, it is for {level}"
    if not price.holds(at_ns):
        return f"{price.id}: no, it is valid {_validity(price, zone)}"
    if price is not chosen:
        return (
            f"{price.id}: no, {chosen.id if chosen else ''} names the card's UUID and comes first"
        )
    return f"{price.id}: yes, {level}, {price.tier}, valid {_validity(price, zone)}; {price.source}"


def _print(each: Explanation, currency: str) -> None:
    click.echo(" ".join(part for part in (each.uuid, each.model) if part))
    if each.per_hour is None:
        click.echo("  unpriced: no record holds; its time is counted, its cost is not guessed")
    else:
        click.echo(
            f"  {each.per_hour:.6f} {currency} an hour by {each.price_id}; electricity {each.electricity}"
        )
    if each.team:
        click.echo(f"  given to team {each.team}")
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
