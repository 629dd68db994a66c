"""All groups, and which series and labels they record."""

from dashboards.parts.names import ours
from dashboards.rules.alerts import ALERTS
from dashboards.rules.budgets import BUDGETS
from dashboards.rules.cards import CARDS
from dashboards.rules.forecast import FORECAST
from dashboards.rules.model import Record
from dashboards.rules.month import MONTH
from dashboards.rules.spend import SPEND

RECORDING = (CARDS, SPEND, MONTH, FORECAST, BUDGETS)
ALERTING = (ALERTS,)

RECORDED: dict[str, frozenset[str]] = {
    rule.name: frozenset(rule.by)
    for group in RECORDING
    for rule in group.rules
    if isinstance(rule, Record)
}


def recorded(name: str, *matchers: str) -> str:
    """The selector of a recorded series; fails on a name or label that no rule makes."""
    return ours(name, RECORDED[name], *matchers)
