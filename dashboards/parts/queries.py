"""Queries of the boards, over recorded series but for the table of single cards.

The filters are the board's variables; a metric or label that nothing makes fails the build.
"""

from dashboards.parts.names import series
from dashboards.rules.catalog import recorded

_CLUSTER = 'cluster=~"$cluster"'
_TEAM = 'team=~"$team"'
_MODEL = 'model=~"$model"'
_CARD = "cluster, node, uuid"
_WASTED = 'state=~"held|idle"'
_ROWS = 200
_DAY = "[23h30m:1h] offset -1d"
"""The 24 hourly means that end in the day that starts now; 24 whether ranges are closed or open."""


def named(query: str, label: str, instead: str) -> str:
    """The query with a word in the place of an empty label, which legends cannot show."""
    return f'label_replace({query}, "{label}", "{instead}", "{label}", "")'


def _spend(*matchers: str) -> str:
    return recorded("team:gpufin_cost_per_hour:sum", *matchers, _CLUSTER, _TEAM, _MODEL)


def spend_in(state: str) -> str:
    """Money per hour of cards in one state."""
    matcher = f'state="{state}"'
    return f"sum({_spend(matcher)})"


def _month(name: str) -> str:
    return recorded(name, _CLUSTER, _TEAM)


SPEND_NOW = f"sum by (currency) ({_spend()})"
SPEND_BY_MODEL = f"sort_desc(sum by (model) ({_spend()}))"
IDLE_SHARE = f"sum({_spend(_WASTED)}) / (sum({_spend()}) > 0) or 0 * sum({_spend()})"

MONTH_TO_DATE = f"sum by (currency) ({_month('team:gpufin_month_to_date:sum')})"
MONTH_BY_TEAM = named(
    f"sort_desc(sum by (team) ({_month('team:gpufin_month_to_date:sum')}))", "team", "no team"
)
MONTH_IDLE = (
    f"sum by (currency) ({_month('team:gpufin_month_idle_cost:sum')}"
    " and on (month) month:gpufin_hours_left:current)"
)
FORECAST = f"sum by (currency) ({_month('team:gpufin_month:forecast')})"
DAILY_BY_TEAM = named(
    f"sum by (team) (sum_over_time({_month('team:gpufin_cost_per_hour:mean')}{_DAY}))",
    "team",
    "no team",
)

BUDGET_HIGHEST = f"max({recorded('budget:gpufin_used:ratio', _CLUSTER, _TEAM)})"
BUDGET_USED = f"sum by (budget) ({recorded('budget:gpufin_used:ratio', _CLUSTER, _TEAM)})"
BUDGET_SPENT = f"sum by (budget) ({recorded('budget:gpufin_month_to_date:sum', _CLUSTER, _TEAM)})"
BUDGET_AMOUNT = f"sum by (budget) ({recorded('budget:gpufin_amount:month', _CLUSTER, _TEAM)})"
BUDGET_FORECAST = f"sum by (budget) ({recorded('budget:gpufin_month:forecast', _CLUSTER, _TEAM)})"

_CARDS = recorded("team:gpufin_cards:count", _CLUSTER, _TEAM, _MODEL)
_PRICED = recorded("team:gpufin_cards_priced:count", _CLUSTER, _TEAM, _MODEL)
CARDS = f"sum({_CARDS})"
COVERAGE = f"(sum({_PRICED}) or 0 * sum({_CARDS})) / sum({_CARDS})"

_FACTS = recorded("card:gpufin_info:one", _CLUSTER, _TEAM, _MODEL)

CARD_STATE = (
    f"bottomk({_ROWS}, max by ({_CARD}) ({series('gpufin_gpu_state', _CLUSTER)}) "
    f"* on ({_CARD}) group_left (gpu, model, team) {_FACTS})"
)


def _of_cards(query: str) -> str:
    """The query for the cards of the table, by the label that its columns are joined on."""
    return f"max by (uuid) ({query} and on ({_CARD}) {CARD_STATE})"


CARD_RATE = _of_cards(f"max by ({_CARD}) ({series('gpufin_cost_rate_per_hour', _CLUSTER)})")
CARD_UTILISATION = _of_cards(
    f"max by ({_CARD}) ({series('gpufin_gpu_utilization_ratio', _CLUSTER)})"
)
CARD_IDLE_SINCE = _of_cards(
    f"1000 * max by ({_CARD}) ({series('gpufin_gpu_idle_since_timestamp_seconds', _CLUSTER)})"
)
CARD_COST = _of_cards(
    f"sum by ({_CARD}) (max by ({_CARD}, state, currency) "
    f"(increase({series('gpufin_cost_total', _CLUSTER)}[$__range])))"
)
