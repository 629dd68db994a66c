"""What the calendar month will cost; agent/report/forecast.py holds the same formula for ledgers.

Spent, plus what the rest costs by the clock (exact, told by the agents), plus what follows use: its
pattern of the last window repeats.  A step that ended at t comes again n times, the largest n with
t + n x window before the month's end.
"""

from dashboards.parts.names import series
from dashboards.rules.model import Group, Record

_TEAM = ("cluster", "team", "currency", "month")
_MONEY = ("cluster", "team", "currency")
_LEDGER = ("cluster", "node", "ledger", "team", "currency", "month")

_STEPS = "[<< forecast.window_open >>:<< forecast.resolution >>]"
_KNOWN = f"count_over_time(fleet:gpufin_cost:present{_STEPS})"
_PATTERN = "team:gpufin_variable_cost_per_hour:mean"
WHOLE_WINDOW = f"count_over_time(fleet:gpufin_cost:present{_STEPS} offset << forecast.window >>)"
"""There when data reach back a window."""


def _part(what: str, name: str) -> str:
    """One addend, told apart by a label that the sum drops."""
    return f'label_replace({name}, "part", "{what}", "", "")'


FORECAST = Group(
    "gpufin-forecast",
    (
        Record(
            name="team:gpufin_month_fixed_ahead:sum",
            doc="What the rest of the month costs by the clock, by the price records known now.",
            by=_TEAM,
            expr=f"""
sum by ({", ".join(_TEAM)}) (max by ({", ".join(_LEDGER)}) ({series("gpufin_month_remaining_fixed_cost")}))
and on (month) month:gpufin_hours_left:current
""",
        ),
        Record(
            name="month:gpufin_end_timestamp_seconds:current",
            doc="When the present month ends; one series, for what looks back from now.",
            by=("month",),
            expr="month:gpufin_end_timestamp_seconds:max and on (month) month:gpufin_hours_left:current",
        ),
        Record(
            name="team:gpufin_month_variable_ahead:pattern",
            doc="What use will cost when the window repeats; steps without data count as the mean of "
            "the others.",
            by=_TEAM,
            expr=f"""
(
  sum_over_time(
    (
      {_PATTERN}
      * on () group_left (month)
      floor(
        (month:gpufin_end_timestamp_seconds:current @ end() - time())
        / << forecast.window_seconds >>
      )
    ){_STEPS}
  )
  / on () group_left ()
  {_KNOWN}
)
* (<< forecast.window_seconds >> / 3600)
and on ()
{WHOLE_WINDOW}
""",
        ),
        Record(
            name="team:gpufin_month_variable_ahead:mean",
            doc="What use will cost at the mean of the window, for when data are younger than that.",
            by=_TEAM,
            expr=f"""
sum_over_time({_PATTERN}{_STEPS})
/ on () group_left ()
{_KNOWN}
* on () group_left (month)
month:gpufin_hours_left:current
""",
        ),
        Record(
            name="team:gpufin_month_variable_ahead:sum",
            doc="The one that holds.",
            by=_TEAM,
            expr=f"""
team:gpufin_month_variable_ahead:pattern
or
(team:gpufin_month_variable_ahead:mean unless on () {WHOLE_WINDOW})
""",
        ),
        Record(
            name="team:gpufin_month:forecast",
            doc="All three, also of a team that has only some; none while data are too young.",
            by=_TEAM,
            expr=f"""
sum by ({", ".join(_TEAM)}) (
  {_part("spent", "team:gpufin_month_to_date:sum")}
  or
  {_part("fixed", "team:gpufin_month_fixed_ahead:sum")}
  or
  {_part("variable", "team:gpufin_month_variable_ahead:sum")}
)
and on ()
count_over_time(fleet:gpufin_cost:present{_STEPS} offset << forecast.minimum >>)
""",
        ),
    ),
)
