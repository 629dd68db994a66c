"""Budgets of the fleet file as series, and what is spent of them."""

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


def _within(source: str) -> str:
    scope = "<< budget.scope | matchers(budget.currency or currency) >>"
    return f"sum by (currency, month) ({source}{{{scope}}})"


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
            name="budget:gpufin_used:ratio",
            doc="Share of each budget that is spent.",
            by=_MONTH,
            expr="""
budget:gpufin_month_to_date:sum
/ on (budget, currency) group_left ()
budget:gpufin_amount:month
""",
        ),
    ),
)
