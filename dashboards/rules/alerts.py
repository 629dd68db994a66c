"""The two alerts, and the words they say."""

from dashboards.parts.names import series
from dashboards.rules.model import Alert, Group

_BOARD = "<< urls.grafana >>/d/gpufin-fleet-cost"
_RUNBOOK = "<< urls.runbook >>"

_CARD = (
    '{{ $card := printf "cluster=%q, node=%q, uuid=%q" $labels.cluster $labels.node $labels.uuid }}'
)
_TEAM = '{{ $team := printf "cluster=%q, team=%q" $labels.cluster $labels.team }}'
_BUDGET = '{{ $budget := printf "budget=%q, currency=%q" $labels.budget $labels.currency }}'
_AMOUNT = '{{ . | first | value | printf "%.2f" }} {{ . | first | label "currency" }}'


def _query(inner: str, selector: str, shown: str, otherwise: str) -> str:
    """Go template text: the result of a query, where ``%s`` is the selector's matchers."""
    query = inner.replace('"', r"\"")
    return (
        f'{{{{ with printf "{query}" {selector} | query }}}}'
        f"{shown}{{{{ else }}}}{otherwise}{{{{ end }}}}"
    )


def _of(metric: str, *matchers: str) -> str:
    """A selector with room for the matchers of the alert at hand."""
    series(metric, *matchers)
    return f"{metric}{{{', '.join((*matchers, '%s'))}}}"


_SINCE = _of("gpufin_gpu_idle_since_timestamp_seconds")
_PER_HOUR = _of("gpufin_cost_rate_per_hour")
_HELD_COST = _of("gpufin_cost_total", 'state="held"')

_HELD_SINCE = _query(
    f"max by (uuid) ({_SINCE})",
    "$card",
    'since {{ (. | first | value | toTime).Format "2006-01-02 15:04" }} UTC',
    "for most of the last << idle.window >>",
)
_HELD_FOR = _query(
    f"time() - max by (uuid) ({_SINCE})",
    "$card",
    " ({{ . | first | value | humanizeDuration }})",
    "",
)
_COST_NOW = _query(
    f"max by (currency) ({_PER_HOUR})", "$card", f"{_AMOUNT} per hour", "an unknown price"
)
_LOST = _query(
    "sum by (currency) (max by (uuid, state, currency) "
    f"(increase({_HELD_COST}[<< idle.loss_window >>])))",
    "$card",
    _AMOUNT,
    "an unknown amount",
)
_TEAM_NOW = _query(
    'sum by (currency) (team:gpufin_cost_per_hour:sum{state="held", %s})',
    "$team",
    f"{_AMOUNT} per hour",
    "unknown",
)

_THE_CARD = "{{ $labels.node }} card {{ $labels.gpu }}{{ with $labels.model }} ({{ . }}){{ end }}"

_HELD_IDLE = Alert(
    name="GpuHeldIdle",
    doc="Entered high and left low, so that a health check of two minutes does not end it.",
    expr="""
card:gpufin_held:ratio > << idle.enter >>
or
(
  card:gpufin_held:ratio > << idle.leave >>
  and on (cluster, node, uuid)
  ALERTS{alertname="GpuHeldIdle", alertstate="firing"}
)
""",
    pending="<< idle.pending >>",
    keep="<< idle.keep_firing_for >>",
    labels={"severity": "<< idle.severity >>", "category": "idle"},
    annotations={
        "summary": "GPU held but computing nothing",
        "description": (
            f"{_CARD}{_THE_CARD}: held, computing nothing "
            f"{_HELD_SINCE}{_HELD_FOR}. It costs {_COST_NOW}; "
            f"{_LOST} lost in the last << idle.loss_window >>."
        ),
        "outcome": (
            f"{_CARD}{_THE_CARD}: no longer held idle; "
            f"{_LOST} lost in the last << idle.loss_window >>."
        ),
        "cost_now": f"{_CARD}{_COST_NOW}",
        "lost": f"{_CARD}{_LOST}",
        "team_cost_now": f"{_TEAM}{_TEAM_NOW}",
        "dashboard_url": (
            f"{_BOARD}?var-cluster={{{{ $labels.cluster | urlquery }}}}"
            "&var-team={{ $labels.team | urlquery }}"
        ),
        "runbook_url": f"{_RUNBOOK}#gpuheldidle",
    },
)

_SPENT = _query("budget:gpufin_month_to_date:sum{%s}", "$budget", _AMOUNT, "an unknown amount")
_LIMIT = _query("budget:gpufin_amount:month{%s}", "$budget", _AMOUNT, "an unknown amount")
_FORECAST = _query(
    "budget:gpufin_month:forecast{%s}",
    "$budget",
    _AMOUNT,
    "not known before << forecast.minimum >> of data",
)
_USED_AND_THRESHOLD = "on (budget, currency) group_right (month, team, cluster)"

_BUDGET_THRESHOLD = Alert(
    name="GpuBudgetThreshold",
    doc="Held until the month ends, through small corrections of the ledger.",
    expr=f"""
budget:gpufin_used:ratio
>= {_USED_AND_THRESHOLD}
budget:gpufin_threshold:ratio
or
(
  budget:gpufin_used:ratio
  > {_USED_AND_THRESHOLD}
  (budget:gpufin_threshold:ratio - << budget_alert.band >>)
  and on (budget, threshold, month)
  ALERTS{{alertname="GpuBudgetThreshold", alertstate="firing"}}
)
""",
    pending="<< budget_alert.pending >>",
    keep="<< budget_alert.keep_firing_for >>",
    labels={"category": "budget"},
    annotations={
        "summary": "GPU budget threshold reached",
        "description": (
            f"{_BUDGET}Budget {{{{ $labels.budget }}}} has passed {{{{ $labels.threshold }}}} in "
            f"{{{{ $labels.month }}}}: {_SPENT} of {_LIMIT} spent "
            f"({{{{ $value | humanizePercentage }}}}). Forecast for the month's end: {_FORECAST}."
        ),
        "outcome": (
            f"{_BUDGET}Budget {{{{ $labels.budget }}}}, {{{{ $labels.threshold }}}}: "
            f"{{{{ $labels.month }}}} is over or the budget was raised; {_SPENT} of {_LIMIT} spent."
        ),
        "spent": f"{_BUDGET}{_SPENT}",
        "amount": f"{_BUDGET}{_LIMIT}",
        "forecast": f"{_BUDGET}{_FORECAST}",
        "dashboard_url": (
            f"{_BOARD}?from=now%2FM&to=now"
            "{{ with $labels.cluster }}&var-cluster={{ . | urlquery }}{{ end }}"
            "{{ with $labels.team }}&var-team={{ . | urlquery }}{{ end }}"
        ),
        "runbook_url": f"{_RUNBOOK}#gpubudgetthreshold",
    },
)

ALERTS = Group("gpufin-alerts", (_HELD_IDLE, _BUDGET_THRESHOLD))
