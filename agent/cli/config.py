"""``gpufin check-config``: whether the operator's file is good, and what in it is worth a look."""

import json
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from agent.cli.explanation import validity
from agent.cli.serve import config_option
from agent.config.decode import load_settings
from agent.config.reference import STALE_DAYS
from agent.config.schema import Config
from agent.cost.prices import Price, PriceTable
from agent.runtime.clock import SystemClock
from agent.units import NANOSECONDS_PER_SECOND

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
            yield f"{price.id} does not hold today ({validity(price, zone)})"
        elif not held.rates:
            yield f"{price.id} is unpriced today: {held.source}"
        if price.retrieved_at is not None and _age_days(price, now_ns) > STALE_DAYS:
            yield f"{price.id} is {_age_days(price, now_ns)} days old: what does your contract say?"
        if price.source.startswith(EXAMPLE):
            yield f"{price.id} is an example: put in what your contract says"


def _age_days(price: Price, now_ns: int) -> int:
    return (now_ns // NANOSECONDS_PER_SECOND - (price.retrieved_at or 0)) // 86_400
