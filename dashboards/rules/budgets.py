"""Budgets of the fleet file as series, and what is spent of them."""

from dashboards.rules.forecast import WHOLE_WINDOW
from dashboards.rules.model import Group, Record

_EACH = ("budget in budgets",)
_SCOPE = {
    "team": '<< (budget.scope.team or "") | quoted >>',
    "cluster": '<< (budget.scope.cluster or "") | quoted >>',
}
_CURRENCY = "<< (budget.currency or currency) | quoted >>"
_LABELS = {"budget": "<< budget.name | quoted >>", **_SCOPE}
_BUDGET = ("budget", "currency", "team", "cluster")
_MONTH = (*_BUDGET, "month")


_STEPS = "[<< forecast.window_open >>:1d]"
_DAY = "[23h59m59s999ms:<< forecast.resolution >>]"
_PRESENT = "fleet:gpufin_cost:present"


def _within(source: str, by: str = "currency, month") -> str:
    scope = "<< budget.scope | matchers(budget.currency or currency) >>"
    return f"sum by ({by}) ({source}{{{scope}}})"


def _mean(window: str) -> str:
    """Money per hour of each budget over a window; time without data is left out."""
    return f"""
  sum_over_time(budget:gpufin_cost_per_hour:sum[{window}])
  / on () group_left ()
  count_over_time({_PRESENT}[{window}])
"""


BUDGETS = Group(
    "gpufin-budgets",
    (
        Record(
            name="budget:gpufin_amount:month",
            doc="What may be spent in a month.",
            by=_BUDGET,
            expr="vector(<< budget.amount >>)",
            labels={**_LABELS, "currency": _CURRENCY},
            each=_EACH,
        ),
        Record(
            name="budget:gpufin_threshold:ratio",
            doc="Shares of it that raise an alert.",
            by=("budget", "currency", "threshold", "severity"),
            expr="vector(<< threshold.at >>)",
            labels={
                "budget": "<< budget.name | quoted >>",
                "currency": _CURRENCY,
                "threshold": "<< threshold.at | percent | quoted >>",
                "severity": "<< threshold.severity >>",
            },
            each=(*_EACH, "threshold in budget.thresholds"),
        ),
        Record(
            name="budget:gpufin_month_to_date:sum",
            doc="What is spent in the present month within the budget's scope.",
            by=_MONTH,
            expr=_within("team:gpufin_month_to_date:sum"),
            labels=_LABELS,
            each=_EACH,
        ),
        Record(
            name="budget:gpufin_month:forecast",
            doc="What will be spent by the end of the month within the budget's scope.",
            by=_MONTH,
            expr=_within("team:gpufin_month:forecast"),
            labels=_LABELS,
            each=_EACH,
        ),
        Record(
            name="budget:gpufin_variable_cost_per_hour:mean",
            doc="Money per hour that follows use within the budget's scope.",
            by=_BUDGET,
            expr=_within("team:gpufin_variable_cost_per_hour:mean", "currency"),
            labels=_LABELS,
            each=_EACH,
        ),
        Record(
            name="budget:gpufin_month_forecast:margin",
            doc="80 % of outcomes lie within so much of the forecast: 1.28 standard deviations of a day's "
            "variable spend, for the days that are left.",
            by=_MONTH,
            expr=f"""
1.28
* stddev_over_time(
  (
    24 * sum_over_time(budget:gpufin_variable_cost_per_hour:mean{_DAY})
    / on () group_left ()
    count_over_time({_PRESENT}{_DAY})
  ){_STEPS}
)
* on () group_left (month)
sqrt(month:gpufin_hours_left:current / 24)
and on ()
{WHOLE_WINDOW}
""",
        ),
        Record(
            name="budget:gpufin_used:ratio",
            doc="Share of each budget that is spent.",
            by=_MONTH,
            expr="""
budget:gpufin_month_to_date:sum
/ on (budget, currency) group_left ()
budget:gpufin_amount:month
""",
        ),
        Record(
            name="budget:gpufin_cost_per_hour:sum",
            doc="Money per hour now within the budget's scope.",
            by=_BUDGET,
            expr=_within("team:gpufin_cost_per_hour:sum", "currency"),
            labels=_LABELS,
            each=_EACH,
        ),
        Record(
            name="budget:gpufin_burn:ratio",
            doc="How many times faster than the budget allows money is spent; 1 uses it up when the month "
            "ends.",
            by=(*_BUDGET, "window"),
            expr=f"""
({_mean("<< window >>")})
/ on (budget, currency) group_left ()
(budget:gpufin_amount:month / on () group_left () month:gpufin_hours:current)
""",
            labels={"window": "<< window | quoted >>"},
            each=("window in forecast.burn_windows",),
        ),
        Record(
            name="budget:gpufin_hours_to_exhaustion:pace",
            doc="In how many hours all is spent at the present pace; none while nothing is spent.",
            by=_MONTH,
            expr=f"""
clamp_min(
  budget:gpufin_amount:month
  - on (budget, currency) group_right ()
  budget:gpufin_month_to_date:sum,
  0
)
/ on (budget, currency) group_left ()
({_mean("<< forecast.pace_window >>")} > 0)
""",
        ),
    ),
)
