"""``gpufin explain-price``: which record holds for a card, why, and what an hour of work comes to."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from agent.app import known_gpus
from agent.cli.explanation import CONTAINED, Asked, Explanation, explain
from agent.cli.serve import config_option, state_option
from agent.config.decode import load_settings
from agent.runtime.clock import SystemClock
from agent.samples.device import GpuIdentity
from agent.samples.reading import Missing
from agent.units import NANOSECONDS_PER_SECOND
from agent.usage.match import GIBIBYTE

MAX_WATTS = 100_000
MAX_RENT = 10**9


class _Number(click.FloatRange):
    """A range that does not let ``nan`` through, which is neither below nor above anything."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


@click.command("explain-price")
@config_option
@state_option
@click.option("--model", help="NVML product name, such as 'NVIDIA H100 80GB HBM3'.")
@click.option("--uuid", help="UUID of a card.")
@click.option("--memory-gb", type=click.IntRange(1, 10_000), help="Memory in the product's name.")
@click.option(
    "--watts",
    type=_Number(0, MAX_WATTS),
    help="Mean draw of the card's board; what an owned card's electricity comes to, host included.",
)
@click.option(
    "--utilization",
    type=_Number(0, 1, min_open=True),
    help="Also say what an hour of work costs at this utilisation, 0.6 for 60 %.",
)
@click.option(
    "--rent",
    type=_Number(0, MAX_RENT, min_open=True),
    help="Say from how many busy hours a day an owned card costs less than this rent an hour.",
)
@click.option(
    "--idle-watts", type=_Number(0, MAX_WATTS), help="For --rent: what an idle card's board draws."
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
    watts: float | None,
    utilization: float | None,
    rent: float | None,
    idle_watts: float | None,
    moment: datetime | None,
    as_json: bool,
) -> int:
    """Say which price record holds for a card, and why; without options for every card known here."""
    if (rent is None) != (idle_watts is None) or (rent is not None and watts is None):
        raise click.UsageError("--rent needs --watts and --idle-watts, what the card draws then")
    settings = load_settings(config_path)
    at_ns = _moment_ns(moment, settings.policy.zone)
    cards = (
        [_card(uuid, model, memory_gb)] if uuid or model else known_gpus(settings, state_directory)
    )
    if not cards:
        raise click.UsageError("no card is known here: give --model or --uuid")
    asked = Asked(utilization, watts, rent, idle_watts)
    explained = [explain(settings, card, at_ns, asked) for card in cards]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in explained], indent=2))
    else:
        for each in explained:
            _print(each, settings.policy.table.currency, asked)
    return 0 if all(each.price_id for each in explained) else 1


def _card(uuid: str | None, model: str | None, memory_gb: int | None) -> GpuIdentity:
    memory = Missing.NO_DATA if memory_gb is None else memory_gb * GIBIBYTE
    return GpuIdentity(
        uuid=uuid or "", index=0, model=model or "", pci_bus_id="", memory_total_bytes=memory
    )


def _print(each: Explanation, currency: str, asked: Asked) -> None:
    click.echo(" ".join(part for part in (each.uuid, each.model) if part))
    if each.per_hour is None:
        click.echo("  unpriced: no record prices it; its time is counted, its cost is not guessed")
    else:
        for line in _figures(each, each.per_hour, currency, asked):
            click.echo(f"  {line}")
    if each.team:
        click.echo(f"  given to team {each.team}")
    if each.exemption:
        click.echo(f"  idle time is exempt: {each.exemption}")
    if each.carbon:
        click.echo(f"  carbon {each.carbon}")
    for line in each.why:
        click.echo(f"    {line}")


def _figures(each: Explanation, per_hour: float, currency: str, asked: Asked) -> Iterator[str]:
    yield f"{per_hour:.6f} {currency} an hour by {each.price_id}; electricity {each.electricity}"
    if len(each.components) > 1:
        parts = (f"{name} {amount:.6f}" for name, amount in each.components.items())
        yield f"of which {', '.join(parts)}"
    if each.energy_per_hour is not None and each.total_per_hour is not None:
        yield (
            f"{each.energy_per_hour:.6f} {currency} an hour of electricity at {asked.watts:g} W, "
            f"{each.total_per_hour:.6f} together"
        )
    if each.per_used_hour is not None:
        lacks = ", without its electricity" if each.total_per_hour is None else ""
        lacks += ": give --watts" if lacks and asked.watts is None else ""
        yield (
            f"{each.per_used_hour:.6f} {currency} for an hour of work "
            f"at {asked.utilization:.0%} utilisation{lacks}"
        )
    if asked.rent is not None:
        yield _against_rent(each, f"renting at {asked.rent:,.10g}")


def _against_rent(each: Explanation, renting: str) -> str:
    found = each.break_even
    if each.electricity == CONTAINED:
        return f"is rented: only an owned card is compared with {renting}"
    if found is None:
        return f"without a tariff it cannot be compared with {renting}"
    if found.hours_per_day is None:
        return f"never cheaper than {renting}: each busy hour costs more in electricity"
    hours = f"{found.hours_per_day:.4f} busy hours a day"
    if found.never:
        return f"never cheaper than {renting}: that would take {hours}"
    return f"cheaper than {renting} from {hours} on"


def _moment_ns(moment: datetime | None, zone: ZoneInfo) -> int:
    if moment is None:
        return SystemClock().now().wall_ns
    return int(moment.replace(tzinfo=zone).astimezone(UTC).timestamp()) * NANOSECONDS_PER_SECOND
