"""The forecast of the rules is the forecast of the reports: one trace of spend, read by both."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.config.fleet import Fleet
from agent.ledger.entry import Component, EntryKey, MonthKey
from agent.ledger.period import Month
from agent.money import NANOS_PER_UNIT
from agent.render import rules
from agent.report.budget import Budget, BudgetStatus, Spending, spending, statuses
from agent.report.forecast import HOUR, Look, total_in_line
from dashboards.rules.catalog import RECORDING
from tests.builders import a_key

AMOUNT = 30_000
FLEET = Fleet.model_validate(
    {
        "evaluation_interval": "5m",
        "windows": {"rate": "10m"},
        "budgets": [{"name": "all", "amount": AMOUNT}],
    }
)
WINDOWS = {"1h": HOUR, "6h": 6 * HOUR, "3d": 72 * HOUR}
LABELS = 'cluster="c",node="n",team="a",currency="USD"'


@dataclass(frozen=True)
class Trace:
    """Spend of one team from hour 0 on; the month begins at ``month_start`` (hours) and has ``hours``."""

    variable: Sequence[float]
    """Each hour's; what is longer ago than the list is not known."""
    fixed: float
    month_start: int
    hours: int

    @property
    def month(self) -> Month:
        start = self.month_start * HOUR
        return Month("1970-01", start, start + self.hours * HOUR)

    @property
    def now(self) -> int:
        return len(self.variable) * HOUR

    @property
    def hours_left(self) -> int:
        return self.month_start + self.hours - len(self.variable)


# finops.md 5.8: eight days of March, 16 an hour by the clock, and each day's variable spend.
DAYS = (110, 300, 310, 300, 320, 310, 120, 110)
EXAMPLE = Trace([day / 24 for day in DAYS for _ in range(24)], 16, 0, 744)
YOUNG = Trace([3 + hour % 5 for hour in range(40)], 2, 0, 744)
OVER_THE_EDGE = Trace(
    [hour // 24 * 5 % 7 + 8 * (hour % 24 > 8) for hour in range(300)], 5.5, 200, 720
)


def _report(trace: Trace) -> tuple[Spending, BudgetStatus]:
    """By the functions behind ``gpufin report``."""
    rows: list[tuple[str, EntryKey, tuple[int, int]]] = []
    for number, variable in enumerate(trace.variable):
        hour = number * HOUR
        for component, money in ((Component.CAPITAL, trace.fixed), (Component.ENERGY, variable)):
            key = a_key(hour=hour, team="a", component=component)
            rows.append(("l", key, (round(money * NANOS_PER_UNIT), 0)))
    month = trace.month
    look = Look(now=trace.now, month_start=month.start, month_end=month.end, known_since=0)
    found = spending(
        month,
        look,
        (
            [row for row in rows if row[1].hour >= month.start],
            [row for row in rows if row[1].hour >= look.reach],
        ),
        ahead=[
            (
                MonthKey("1970-01", "a", "USD"),
                round(trace.fixed * trace.hours_left * NANOS_PER_UNIT),
            )
        ],
        spot=frozenset(),
    )
    budget = Budget(name="all", amount=AMOUNT * NANOS_PER_UNIT, currency="USD")
    (status,) = statuses([budget], found, cluster=None, windows=WINDOWS, pace=24 * HOUR)
    return found, status


def _promtool(trace: Trace, expected: dict[str, float], path: Path) -> None:
    """By the rendered rules, which see the trace every five minutes."""
    for name, text in rules.render(FLEET.model_dump(mode="json")).items():
        (path / name).write_text(text)
    steps = range(12 * len(trace.variable) + 1)  # of five minutes
    used = [0.0]
    for money in trace.variable:
        used += [used[-1] + money / 12 * (part + 1) for part in range(12)]
    begin = 12 * trace.month_start
    series: dict[str, Sequence[float | None]] = {
        f"gpufin_team_variable_cost_total{{{LABELS}}}": used,
        f'gpufin_team_cost_total{{{LABELS},model="m",state="active"}}': [
            used[step] + trace.fixed * step / 12 for step in steps
        ],
        f'gpufin_month_remaining_fixed_cost{{{LABELS},ledger="l",month="1970-01"}}': [
            trace.fixed * (trace.hours - (step - begin) / 12) if step >= begin else None
            for step in steps
        ],
        f'gpufin_month_cost{{{LABELS},ledger="l",month="1970-01"}}': [
            used[step] - used[begin] + trace.fixed * (step - begin) / 12 if step >= begin else None
            for step in steps
        ],
        'gpufin_month_start_timestamp_seconds{cluster="c",node="n",month="1970-01"}': [
            trace.month.start for _ in steps
        ],
        'gpufin_month_end_timestamp_seconds{cluster="c",node="n",month="1970-01"}': [
            trace.month.end for _ in steps
        ],
    }
    case = {
        "rule_files": ["recording.yaml"],
        "evaluation_interval": "5m",
        "group_eval_order": [group.name for group in RECORDING],  # else it is by chance
        "tests": [
            {
                "interval": "5m",
                "input_series": [
                    {
                        "series": name,
                        "values": " ".join("_" if v is None else repr(float(v)) for v in values),
                    }
                    for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f"abs({name} / {value} - 1) <= bool {_tolerance(name)}",
                        "eval_time": f"{trace.now}s",
                        "exp_samples": [{"labels": _result_labels(name), "value": 1}],
                    }
                    for name, value in expected.items()
                ],
            }
        ],
    }
    file = path / "case.yaml"
    file.write_text(json.dumps(case))  # JSON is YAML
    done = subprocess.run(
        ["promtool", "test", "rules", file], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]


def _tolerance(name: str) -> float:
    """Rates lag half their window behind a change of pace, which single hours and days show most."""
    return 0.02 if "burn" in name or "margin" in name else 0.004


def _result_labels(name: str) -> str:
    if name.startswith("team:"):
        return '{cluster="c",team="a",currency="USD",month="1970-01"}'
    window = name.partition("window=")[2].rstrip("}")
    if window:
        return f'{{budget="all",currency="USD",window={window}}}'
    return '{budget="all",currency="USD",month="1970-01"}'


@pytest.mark.parametrize(
    "trace", [EXAMPLE, YOUNG, OVER_THE_EDGE], ids=["example", "young", "over the edge"]
)
def test_rules_and_reports_hold_one_formula(trace: Trace, tmp_path: Path) -> None:
    """Spent, forecast, margin, burn and hours to exhaustion."""
    _, status = _report(trace)
    assert status.forecast is not None
    expected = {
        "budget:gpufin_month_to_date:sum": status.spent / 1e9,
        "team:gpufin_month_fixed_ahead:sum": status.forecast.fixed / 1e9,
        "team:gpufin_month_variable_ahead:sum": status.forecast.variable / 1e9,
        "budget:gpufin_month:forecast": status.forecast.total / 1e9,
        **{
            f'budget:gpufin_burn:ratio{{window="{window}"}}': float(ratio)
            for window, ratio in status.burn.items()
        },
    }
    if status.forecast.margin is not None:
        expected["budget:gpufin_month_forecast:margin"] = status.forecast.margin / 1e9
    assert status.exhausted_in is not None
    expected["budget:gpufin_hours_to_exhaustion:pace"] = float(status.exhausted_in)

    _promtool(trace, expected, tmp_path)


def test_forecast_has_the_figures_of_the_example() -> None:
    """4,952 spent, 8,832 by the clock, and 5,920 by the last week's days: 19,704."""
    found, status = _report(EXAMPLE)

    assert status.forecast is not None
    assert found.look is not None
    parts = status.forecast
    assert [round(parts.spent / 1e9, 6), parts.fixed / 1e9] == [4_952, 8_832]
    assert round(parts.variable / 1e9, 6) == 5_920
    assert round(parts.total / 1e9, 6) == 19_704
    past = found.within(found.teams)
    assert round(float(total_in_line(past, found.look)) / 1e9, 6) == 19_189
