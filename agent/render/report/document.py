"""A report as titles and tables, the same for every form that people read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.ledger.entry import MONEY_COMPONENTS, QUANTITY_UNITS, Component
from agent.ledger.period import HOUR_NS
from agent.money import units
from agent.render.report.ahead import forecast_of, tables as ahead
from agent.render.report.table import NO_VALUE, Table, money, share
from agent.report.build import Report, per_hour, share_unallocated
from agent.report.forecast import Forecast
from agent.report.invoice import Comparison
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR
from agent.usage.state import CardState

NANOGRAMS_PER_KILOGRAM = 10**12
MAX_CARDS = 50


@dataclass(frozen=True, slots=True)
class Document:
    """What a report says."""

    title: str
    facts: Sequence[tuple[str, str]]
    """The headline figures: what, and how much."""
    tables: Sequence[Table]


def document(report: Report, invoice: Comparison | None = None) -> Document:
    """All that a report says; tables without rows are left out."""
    tables = [
        _groups(report),
        _shared(report),
        *([] if invoice is None else [_invoice(invoice)]),
        *ahead(report),
        _states(report),
        _idle(report),
        _parked(report),
        _prices(report),
        _rests_on(report),
        _coverage(report),
    ]
    title = f"GPU cost {report.period.label} in {report.currency}"
    return Document(title, list(_facts(report)), [table for table in tables if table.rows])


def change(cost: int, before: int | None) -> str:
    """Against the period before, in money and per cent."""
    if before is None:
        return NO_VALUE
    difference = cost - before
    ratio = f" ({difference / before:+.0%})" if before else ""
    return f"{float(difference) / 1e9:+,.2f}{ratio}"


def _forecast(forecast: Forecast, currency: str) -> str:
    margin = "" if forecast.margin is None else f" \N{PLUS-MINUS SIGN} {money(forecast.margin)}"
    return f"{money(forecast.total)}{margin} {currency}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    total, currency = report.tally.total, report.currency
    earlier = None if report.earlier is None else report.earlier.total.cost
    yield "Total", f"{money(total.cost)} {currency}"
    yield f"Against {report.before.label}", change(total.cost, earlier)
    forecast = forecast_of(report)
    if forecast is not None:
        yield f"Forecast for {report.period.label}", _forecast(forecast, currency)
    yield "Idle", f"{money(total.idle)} {currency} ({share(total.idle, total.cost)})"
    for what, hours in (("GPU-hour", report.hours), ("GPU-hour of work", report.busy_hours)):
        rate = per_hour(total.cost, hours)
        if rate is not None:
            yield f"Per {what}", f"{float(rate) / 1e9:,.4f} {currency}"


def _groups(report: Report) -> Table:
    total = report.tally.total.cost
    timed = "component" not in report.tally.by
    rows = [
        (
            *(name or NO_VALUE for name in names),
            f"{group.time_ns / HOUR_NS:,.1f}" if timed else NO_VALUE,
            money(group.money.cost),
            share(group.money.cost, total),
            money(group.money.idle),
            change(group.money.cost, before),
        )
        for names, group, before in report.rows
    ]
    columns = (*report.tally.by, "GPU-hours", "cost", "share", "of it idle", "change")
    note = "Amounts are rounded for showing; csv and json have all nine decimals."
    return Table(f"By {', '.join(report.tally.by)}", columns, rows, 5, note)


def _shared(report: Report) -> Table:
    rows = []
    if report.sharing is not None:
        costs = report.teams
        after = share_unallocated(costs, report.sharing)
        rows = [
            (team or NO_VALUE, money(costs[team]), money(nanos - costs[team]), money(nanos))
            for team, nanos in sorted(after.items(), key=lambda item: (-item[1], item[0]))
        ]
    columns = ("team", "cost", "of what nobody holds", "together")
    how = "to each team as much" if report.sharing == "even" else "in proportion to their cost"
    title = "By team, with what nobody holds shared out"
    return Table(title, columns, rows, 3, f"Shared out {how}; the sum stays the total.")


def _invoice(invoice: Comparison) -> Table:
    rows = [
        ("invoice", money(invoice.invoice)),
        ("rented cards in the ledger", money(invoice.rented)),
        ("difference", f"{units(invoice.difference):+,.2f}"),
        *((reason.what, f"{units(reason.nanos):+,.2f}") for reason in invoice.reasons),
    ]
    note = (
        "Below the difference: where it can come from, what it could explain first. Each is a "
        "possibility that the ledger can put a figure to; they need not sum to the difference."
    )
    return Table("Invoice", ("", "amount"), rows, 1, note)


def _states(report: Report) -> Table:
    found = report.tally
    hours = {
        state: sum(card.time_ns.get(state, 0) for card in found.cards.values())
        for state in CardState
    }
    rows = [
        (
            str(state),
            f"{hours[state] / HOUR_NS:,.1f}",
            money(found.states.get(state, 0)),
            share(found.states.get(state, 0), found.total.cost),
        )
        for state in CardState
        if hours[state] or found.states.get(state)
    ]
    note = (
        "active: busy; held: allocated and computing nothing; idle: nobody holds it; unknown: not "
        "readable, or the agent was away; down: paid for and not answering."
    )
    return Table("By state", ("state", "GPU-hours", "cost", "share"), rows, 3, note)


def _idle(report: Report) -> Table:
    total = report.tally.total
    sunk = total.idle - total.avoidable_idle
    lines = (
        ("avoidable: rent and energy, ends when the card is given back", total.avoidable_idle),
        ("sunk: capital and running cost of owned cards", sunk),
        *((f"exempt: {name}", nanos) for name, nanos in sorted(report.tally.exempt.items())),
    )
    rows = [(what, money(nanos), share(nanos, total.cost)) for what, nanos in lines if nanos]
    note = "Exempt time is held or idle on purpose; it is not part of the idle cost."
    return Table("Idle cost", ("", "cost", "of the total"), rows, 2, note)


def _parked(report: Report) -> Table:
    rows = [
        (
            each.uuid,
            f"{each.hours:,.1f}",
            f"{each.held_watts:,.0f}",
            f"{each.idle_watts:,.0f}",
            f"{each.kwh:,.2f}",
            NO_VALUE if each.nanos is None else money(each.nanos),
        )
        for each in report.parked
    ]
    columns = ("card", "hours held", "W held", "W empty", "kWh more", "cost")
    note = (
        "What loaded models draw while they do nothing, beyond what the same card draws empty. "
        "Only cards that were seen both ways; a rental contains its energy."
    )
    return Table("Power of parked models", columns, rows, 5, note)


def _prices(report: Report) -> Table:
    rows = []
    for (identifier, component), (nanos, quantity) in sorted(report.tally.prices.items()):
        if not identifier:
            continue
        if QUANTITY_UNITS[component] == "ns":
            amount, unit = quantity / HOUR_NS, "GPU-hours"
        else:
            amount, unit = quantity / MILLIJOULES_PER_KILOWATT_HOUR, "kWh at the board"
        rate = f"{nanos / 1e9 / amount:,.6f}" if amount else NO_VALUE
        versions = len(report.records.get(identifier, ()))
        edited = f" ({versions} versions: edited in place)" if versions > 1 else ""
        rows.append(
            (f"{identifier}{edited}", component, f"{amount:,.2f} {unit}", rate, money(nanos))
        )
    columns = ("price record", "component", "quantity", "mean rate", "cost")
    return Table("Price records used", columns, rows, 3)


def _rests_on(report: Report) -> Table:
    found = report.tally
    kilowatt_hours = {
        f"energy by {method}": f"{amount / MILLIJOULES_PER_KILOWATT_HOUR:,.3f} kWh"
        for method, amount in sorted(found.methods.items())
        if amount
    }
    quantities = found.quantities
    unknown = quantities.get(Component.CARBON_UNKNOWN, 0)
    unpriced = quantities.get(Component.UNPRICED_ENERGY, 0)
    lines = {
        "booked": f"{float(report.hours):,.1f} GPU-hours",
        "unpriced": f"{quantities.get(Component.UNPRICED, 0) / HOUR_NS:,.1f} GPU-hours",
        "filled in after the agent was away": f"{money(found.filled)} {report.currency}",
        **{
            f"correction {number}: {report.reasons.get(number, 'no reason given')}": (
                f"{float(nanos) / 1e9:+,.2f} {report.currency}"
            )
            for number, nanos in sorted(found.corrections.items())
        },
        **{
            name: f"{money(found.components.get(name, 0))} {report.currency}"
            for name in _components(report)
        },
        **kilowatt_hours,
    }
    if unpriced:
        lines["energy without a tariff"] = f"{unpriced / MILLIJOULES_PER_KILOWATT_HOUR:,.3f} kWh"
    for component, what in (
        (Component.CARBON, "carbon of energy"),
        (Component.CARBON_EMBODIED, "carbon of making the cards"),
    ):
        if component in quantities:
            lines[what] = f"{quantities[component] / NANOGRAMS_PER_KILOGRAM:,.3f} kg CO2e"
    if unknown:
        energy = f"{unknown / MILLIJOULES_PER_KILOWATT_HOUR:,.3f} kWh"
        lines["energy of unknown carbon intensity, not counted"] = energy
    return Table("What it rests on", ("", "amount"), list(lines.items()), 1)


def _components(report: Report) -> list[str]:
    return [name for name in MONEY_COMPONENTS if report.tally.components.get(name)]


def _coverage(report: Report) -> Table:
    poor = sorted(report.coverage, key=lambda each: (-each.missing, each.uuid))
    rows = [
        (
            each.uuid,
            each.model,
            f"{each.expected:,.1f}",
            f"{each.booked:,.1f}",
            f"{each.missing:,.1f}",
            f"{each.unpriced:,.1f}",
            f"{each.filled:,.1f}",
        )
        for each in poor[:MAX_CARDS]
    ]
    columns = ("card", "model", "expected", "booked", "missing", "unpriced", "filled")
    more = len(poor) - MAX_CARDS
    note = "Hours, from the first in which the card was ever seen." + (
        f" {more} more cards with less missing are in the json." if more > 0 else ""
    )
    return Table("Coverage", columns, rows, 5, note)
