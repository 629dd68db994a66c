"""What the calendar month has cost.

The agents own the calendar: they say when a month starts and ends.
"""

from dashboards.parts.names import series
from dashboards.rules.model import Group, Record

_LEDGER = ("cluster", "node", "ledger", "team", "currency", "month")
_SAME_MONEY = ("ledger", "team", "currency", "month")
_TEAM = ("cluster", "team", "currency", "month")
_MONEY = ("cluster", "team", "currency")


def _edge(name: str, doc: str, metric: str) -> Record:
    """An edge of the months; the last known ones are kept while no agent answers."""
    return Record(
        name=name,
        doc=doc,
        by=("month",),
        expr=f"""
max by (month) ({series(metric)})
or
(last_over_time({name}[<< windows.carry >>]) unless on () count({series(metric)}))
""",
    )


def _booked(name: str, doc: str, metric: str) -> Record:
    """Month sums of every ledger, dead nodes carried on.

    A ledger that is alive under other target labels is not carried on under the old ones, else a
    renamed node or a changed scrape configuration would count twice until the month ends.
    """
    live = series(metric)
    return Record(
        name=name,
        doc=doc,
        by=_LEDGER,
        expr=f"""
max by ({", ".join(_LEDGER)}) ({live})
or
(
  last_over_time({name}[<< windows.carry >>])
  and on (month) month:gpufin_end_timestamp_seconds:max
  unless on ({", ".join(_SAME_MONEY)}) {live}
)
""",
    )


def _team_sum(name: str, doc: str, source: str) -> Record:
    return Record(name=name, doc=doc, by=_TEAM, expr=f"sum by ({', '.join(_TEAM)}) ({source})")


MONTH = Group(
    "gpufin-month",
    (
        _edge(
            "month:gpufin_start_timestamp_seconds:max",
            "When each month starts.",
            "gpufin_month_start_timestamp_seconds",
        ),
        _edge(
            "month:gpufin_end_timestamp_seconds:max",
            "When each month ends.",
            "gpufin_month_end_timestamp_seconds",
        ),
        Record(
            name="month:gpufin_hours_left:current",
            doc="Hours left in the present month, and in no other.",
            by=("month",),
            expr="""
(month:gpufin_end_timestamp_seconds:max - time()) / 3600 > 0
and on (month)
topk(1, month:gpufin_start_timestamp_seconds:max <= time())
""",
        ),
        Record(
            name="month:gpufin_hours:current",
            doc="Hours of the present month, real ones: from 671 to 745.",
            by=("month",),
            expr="""
(month:gpufin_end_timestamp_seconds:max - on (month) month:gpufin_start_timestamp_seconds:max)
/ 3600
and on (month) month:gpufin_hours_left:current
""",
        ),
        _booked(
            "node:gpufin_month_cost:max",
            "Money booked by each ledger in each month, also by those that are gone.",
            "gpufin_month_cost",
        ),
        _booked(
            "node:gpufin_month_idle_cost:max",
            "The part of it in which cards were held or idle.",
            "gpufin_month_idle_cost",
        ),
        _team_sum(
            "team:gpufin_month_cost:sum",
            "Money booked for each team, in this month and the last.",
            "node:gpufin_month_cost:max",
        ),
        _team_sum(
            "team:gpufin_month_idle_cost:sum",
            "The part of it in which cards were held or idle.",
            "node:gpufin_month_idle_cost:max",
        ),
        _team_sum(
            "team:gpufin_month_to_date:sum",
            "Money booked for each team in the present month.",
            "team:gpufin_month_cost:sum and on (month) month:gpufin_hours_left:current",
        ),
    ),
)
