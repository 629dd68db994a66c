"""The tables of a report about what is still to come: the forecast, and the budgets."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from agent.render.report.table import NO_VALUE, Table, money
from agent.report.budget import BudgetStatus
from agent.report.build import Report
from agent.report.forecast import Forecast, Look, Past, total_in_line, variable_by_mean

DAY_HOURS = 24


def forecast_of(report: Report) -> Forecast | None:
    """What the month of a report will have cost when it ends; None when nothing can be said."""
    return None if report.outlook is None else report.outlook.spending.forecast_of(report.currency)


def tables(report: Report) -> Iterator[Table]:
    """Forecast and budgets, as far as the report has them."""
    outlook, forecast = report.outlook, forecast_of(report)
    if outlook is None:
        return
    look = outlook.spending.look
    if forecast is not None and look is not None:
        yield _forecast(forecast, outlook.spending.of(report.currency), look)
    budgets = [each for each in outlook.budgets if each.budget.currency == report.currency]
    if budgets or outlook.left_out:
        yield _budgets(budgets, outlook.left_out)


def _forecast(forecast: Forecast, past: Past, look: Look) -> Table:
    mean = past.spent + past.fixed_ahead + variable_by_mean(past, look)
    how = "the last days repeat" if forecast.by_pattern else "at the mean since the first hour"
    rows = [
        ("spent", money(forecast.spent)),
        ("time ahead of cards that stay, by the price records", money(forecast.fixed)),
        (f"energy and spot cards ahead: {how}", money(forecast.variable)),
        ("forecast", money(forecast.total)),
    ]
    if forecast.margin is not None:
        low, high = forecast.total - forecast.margin, forecast.total + forecast.margin
        rows.append(("four times in five between", f"{money(low)} and {money(high)}"))
    rows += [
        ("for comparison: energy and spot cards at their mean", money(mean)),
        ("for comparison: all of it in a straight line", money(total_in_line(past, look))),
    ]
    note = f"As of the last flush, {float(look.hours_left):,.1f} hours before the month ends."
    return Table("Forecast", ("", "amount"), rows, 1, note)


def _budgets(budgets: Sequence[BudgetStatus], left_out: Sequence[str]) -> Table:
    windows = list(dict.fromkeys(window for each in budgets for window in each.burn))
    rows = [
        (
            each.budget.name,
            money(each.budget.amount),
            money(each.spent),
            f"{float(each.used):.1%}",
            NO_VALUE if each.forecast is None else money(each.forecast.total),
            *(_ratio(each.burn.get(window)) for window in windows),
            _lasts(each),
        )
        for each in budgets
    ]
    columns = (
        *("budget", "amount", "spent", "used", "forecast"),
        *(f"burn {window}" for window in windows),
        "lasts",
    )
    note = (
        "Burn: how many times faster than the budget allows; 1 uses it up when the month ends. "
        "Lasts: at the pace of the last day."
    )
    if left_out:
        rows += [(name, *(NO_VALUE for _ in columns[1:])) for name in left_out]
        note += " A budget of a cluster needs --cluster: a ledger does not know which it is of."
    return Table("Budgets", columns, rows, len(columns) - 1, note)


def _ratio(burn: Fraction | None) -> str:
    return NO_VALUE if burn is None else f"{float(burn):.2f}"


def _lasts(status: BudgetStatus) -> str:
    if status.used >= 1:
        return "spent"
    hours = status.exhausted_in
    if hours is None:
        return NO_VALUE
    return (
        f"{float(hours):,.0f} h" if hours < 2 * DAY_HOURS else f"{float(hours / DAY_HOURS):,.1f} d"
    )
