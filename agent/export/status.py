"""The status page: what a person wants to see first, without external assets."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import agent
from agent.ledger.entry import MonthKey, MonthSums
from agent.money import units
from agent.samples.device import GpuSample
from agent.samples.reading import Missing
from agent.units import NANOSECONDS_PER_SECOND, seconds, watts
from agent.view import CardView, CollectorHealth, View

if TYPE_CHECKING:
    from jinja2 import Template

GIB = 2**30
NO_VALUE = "\N{EN DASH}"
_DURATIONS = ((86_400, "d"), (3_600, "h"), (60, "min"))


TROUBLE = {
    "devices": "the driver or a card does not answer, see above",
    "ledger": "it cannot be written: sums are kept in memory until it can, the log says why",
    "prices": "a card has no price, see above",
    "clock": (
        "nothing keeps this machine's clock in step (no NTP, PTP or chrony that is synchronised): "
        "time in which the agent was off is not filled in until something does"
    ),
    "config": "the file is faulty or needs a restart: the one before is in force, the log says why",
    "carbon": "the intensity file is missing, too old or says something else, the log says what",
}
"""What it means that a collector fails."""


def render_status(view: View | None, host: str) -> str:
    """The page of a host as HTML; before the first tick it says so."""
    node = None if view is None else _node(view)
    return _template().render(version=agent.__version__, host=host, node=node)


@lru_cache(maxsize=1)
def _template() -> "Template":
    # Imported here: an agent whose status page nobody opens does without its memory.
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415 - see above

    loader = PackageLoader("agent.export", "templates")
    return Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("status.html")


def _node(view: View) -> dict[str, Any]:
    month = view.months[-1]
    this_month = {
        key: sums
        for key, sums in view.month_cost.items()
        if key.month == month.label and key.currency == view.currency
    }
    cost = sum(sums.cost for sums in this_month.values())
    idle = sum(sums.idle for sums in this_month.values())
    rates = [card.rate_per_hour for card in view.cards if card.rate_per_hour is not None]
    unpriced = sum(card.price is None for card in view.cards)
    return {
        "source": view.source,
        "driver": view.driver_version if view.driver_up else f"not answering: {view.driver_reason}",
        "driver_up": view.driver_up,
        "currency": view.currency,
        "month": month.label,
        "rate": f"{sum(rates):,.2f}" if rates else NO_VALUE,
        "priced": bool(rates),
        # Nothing booked and cards without a price: what they cost is not 0.
        "cost": f"{units(cost):,.2f}" if cost or not unpriced else NO_VALUE,
        "idle": f"{units(idle):,.2f}" if cost or not unpriced else NO_VALUE,
        "idle_share": f"{idle / cost:.0%}" if cost else NO_VALUE,
        "unpriced": unpriced,
        "cards": [_card(card, view) for card in view.cards],
        "teams": sorted(_teams(this_month), key=lambda team: team["name"]),
        "collectors": [_collector(*each) for each in sorted(view.collectors.items())],
        "up_for": _duration(seconds(view.at.wall_ns - view.started_wall_ns)),
    }


def _collector(name: str, health: CollectorHealth) -> dict[str, Any]:
    return {
        "name": name,
        "success": health.success,
        "milliseconds": f"{health.duration_seconds * 1_000:.1f}",
        "trouble": "" if health.success else TROUBLE.get(name, "the log says why"),
    }


def _card(card: CardView, view: View) -> dict[str, Any]:
    report = card.report
    since = card.idle_since_wall_ns
    shown: dict[str, Any] = {
        "gpu": card.identity.index,
        "uuid": card.identity.uuid,
        "model": card.identity.model,
        "team": card.team or NO_VALUE,
        "exemption": card.exemption,
        "state": str(card.state),
        "since": ""
        if since is None
        else _duration((view.at.wall_ns - since) / NANOSECONDS_PER_SECOND),
        "rate": _rate(card),
        "price": "" if card.price is None else card.price.id,
        "fault": "" if isinstance(report, GpuSample) else str(report.reason),
    }
    if isinstance(report, GpuSample):
        shown |= {
            "utilization": _shown(report.utilization_percent, "{:.0f} %"),
            "memory": _shown(report.memory_used_bytes, "{:.1f} GiB", 1 / GIB),
            "power": _shown(report.power_mw, "{:.0f} W", watts(1)),
            "temperature": _shown(report.temperature_celsius, "{:.0f} °C"),
        }
    return shown


def _shown(value: int | Missing, form: str, factor: float = 1.0) -> str:
    return NO_VALUE if isinstance(value, Missing) else form.format(value * factor)


def _rate(card: CardView) -> str:
    if card.price is None:
        return "unpriced"
    return NO_VALUE if card.rate_per_hour is None else f"{card.rate_per_hour:,.2f}"


def _teams(months: dict[MonthKey, MonthSums]) -> list[dict[str, str]]:
    return [
        {"name": key.team, "cost": f"{units(sums.cost):,.2f}", "idle": f"{units(sums.idle):,.2f}"}
        for key, sums in months.items()
    ]


def _duration(seconds_: float) -> str:
    for length, unit in _DURATIONS:
        if seconds_ >= length:
            return f"{seconds_ / length:.1f} {unit}"
    return f"{seconds_:.0f} s"
