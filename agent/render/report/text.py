"""A report as plain text, Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from agent.ledger.period import HOUR_NS
from agent.money import NANOS_PER_UNIT
from agent.render.report.ahead import forecast_of
from agent.render.report.document import Document
from agent.render.report.table import Table
from agent.report.budget import BudgetStatus
from agent.report.build import Report, share_unallocated
from agent.report.forecast import Forecast
from agent.report.invoice import Comparison

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def exact(nanos: int) -> str:
    """All nine decimals of an amount."""
    return format(Decimal(nanos) / NANOS_PER_UNIT, ".9f")


def plain(document: Document) -> str:
    """For a terminal."""
    parts = [document.title, "\n".join(f"  {what}: {figure}" for what, figure in document.facts)]
    parts += [_table(table) for table in document.tables]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    shown = [tuple(_printable(cell) for cell in row) for row in (table.columns, *table.rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(table.columns))]
    words = len(table.columns) - table.numbers
    lines = [
        "  ".join(
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
    note = [f"({table.note})"] if table.note else []
    return "\n".join([f"{table.title}:", *(f"  {line}" for line in lines), *note])


def markdown(document: Document) -> str:
    """For a wiki or a ticket."""
    parts = [f"# {_cell(document.title)}"]
    parts.append("\n".join(f"- {_cell(what)}: {_cell(figure)}" for what, figure in document.facts))
    for table in document.tables:
        words = len(table.columns) - table.numbers
        rule = "|" + "---|" * words + "---:|" * table.numbers
        lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows]
        head = "| " + " | ".join(_cell(column) for column in table.columns) + " |"
        parts += [f"## {_cell(table.title)}", "\n".join([head, rule, *lines])]
        parts += [table.note] if table.note else []
    return "\n\n".join(parts) + "\n"


def _printable(text: str) -> str:
    """A name from a ledger must not move a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _cell(text: str) -> str:
    escaped = "".join(f"\\{char}" if char in "\\|*_`[]<>" else char for char in _printable(text))
    return escaped.replace("&", "&amp;")


def comma_separated(reports: list[Report]) -> str:
    """One line for each group: all decimals, hours and amounts as numbers, names never formulas."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    by = reports[0].tally.by if reports else ()
    sums = ("cost", "idle_cost", "avoidable_idle_cost", "exempt_idle_cost", "cost_before")
    shares = any(report.sharing for report in reports)
    more = ("cost_with_shared_out",) if shares else ()
    writer.writerow(("period", "currency", *by, "gpu_hours", *sums, *more))
    for report in reports:
        shared = report.shared
        for names, group, before in report.rows:
            hours = f"{group.time_ns / HOUR_NS:.6f}" if "component" not in by else ""
            writer.writerow(
                [
                    report.period.label,
                    report.currency,
                    *(_harmless(name) for name in names),
                    hours,
                    *(exact(nanos) for nanos in group.money),
                    "" if before is None else exact(before),
                    *((exact(shared.get(names, 0)),) if shares else ()),
                ]
            )
    return stream.getvalue()


def _harmless(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name


def as_json(reports: list[Report], invoice: Comparison | None = None) -> str:
    """Everything, amounts as text with nine decimals."""
    found: dict[str, Any] = {"reports": [_json(report) for report in reports]}
    if invoice is not None:
        found["invoice"] = {
            "invoice": exact(invoice.invoice),
            "rented": exact(invoice.rented),
            "difference": exact(invoice.difference),
            "reasons": [
                {"what": reason.what, "amount": exact(reason.nanos)} for reason in invoice.reasons
            ],
        }
    return json.dumps(found, indent=2) + "\n"


def _json_forecast(forecast: Forecast | None) -> dict[str, Any] | None:
    if forecast is None:
        return None
    return {
        "total": exact(forecast.total),
        "spent": exact(forecast.spent),
        "fixed_ahead": exact(forecast.fixed),
        "variable_ahead": exact(forecast.variable),
        "margin": None if forecast.margin is None else exact(forecast.margin),
        "by_pattern": forecast.by_pattern,
    }


def _budgets(report: Report) -> Iterator[BudgetStatus]:
    for status in () if report.outlook is None else report.outlook.budgets:
        if status.budget.currency == report.currency:
            yield status


def _json_budget(status: BudgetStatus) -> dict[str, Any]:
    return {
        "name": status.budget.name,
        "amount": exact(status.budget.amount),
        "spent": exact(status.spent),
        "forecast": _json_forecast(status.forecast),
        "burn": {window: float(ratio) for window, ratio in status.burn.items()},
        "hours_to_exhaustion": (
            None if status.exhausted_in is None else float(status.exhausted_in)
        ),
    }


def _json_shared(report: Report) -> dict[str, Any] | None:
    if report.sharing is None:
        return None
    teams = share_unallocated(report.teams, report.sharing)
    return {
        "how": report.sharing,
        "teams": {team: exact(nanos) for team, nanos in sorted(teams.items())},
    }


def _json(report: Report) -> dict[str, Any]:
    found = report.tally
    return {
        "period": report.period.label,
        "start": report.period.start,
        "end": report.period.end,
        "currency": report.currency,
        "total": _sums(found.total),
        "before": None if report.earlier is None else _sums(report.earlier.total),
        "gpu_hours": float(report.hours),
        "forecast": _json_forecast(forecast_of(report)),
        "budgets": [_json_budget(each) for each in _budgets(report)],
        "by": list(found.by),
        "groups": [
            {
                "names": dict(zip(found.by, names, strict=True)),
                "gpu_hours": group.time_ns / HOUR_NS,
                **_sums(group.money),
                "cost_before": None if before is None else exact(before),
            }
            for names, group, before in report.rows
        ],
        "shared_out": _json_shared(report),
        **_json_rests_on(report),
    }


def _json_rests_on(report: Report) -> dict[str, Any]:
    found = report.tally
    return {
        "states": {str(state): exact(nanos) for state, nanos in found.states.items()},
        "components": {name: exact(nanos) for name, nanos in found.components.items()},
        "prices": [
            {
                "price_id": identifier,
                "component": component,
                "quantity": quantity,
                "cost": exact(nanos),
                "records": [json.loads(text) for text in report.records.get(identifier, ())],
            }
            for (identifier, component), (nanos, quantity) in sorted(found.prices.items())
        ],
        "quantities": dict(found.quantities),
        "energy_millijoules": dict(found.methods),
        "filled": exact(found.filled),
        "corrections": [
            {"number": number, "reason": report.reasons.get(number, ""), "amount": exact(nanos)}
            for number, nanos in sorted(found.corrections.items())
        ],
        "exempt": {name: exact(nanos) for name, nanos in found.exempt.items()},
        "coverage": [
            {
                "card": each.uuid,
                "model": each.model,
                "node": each.node,
                "expected_hours": each.expected,
                "booked_hours": each.booked,
                "missing_hours": each.missing,
                "unpriced_hours": each.unpriced,
                "filled_hours": each.filled,
            }
            for each in report.coverage
        ],
        "parked": [
            {
                "card": each.uuid,
                "held_hours": each.hours,
                "held_watts": each.held_watts,
                "idle_watts": each.idle_watts,
                "extra_kwh": each.kwh,
                "extra_cost": None if each.nanos is None else exact(each.nanos),
            }
            for each in report.parked
        ],
    }


def _sums(money: Any) -> dict[str, str]:
    return {
        "cost": exact(money.cost),
        "idle_cost": exact(money.idle),
        "avoidable_idle_cost": exact(money.avoidable_idle),
        "exempt_idle_cost": exact(money.exempt_idle),
    }
