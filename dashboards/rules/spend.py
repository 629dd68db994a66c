"""What the fleet costs per hour, now and on average."""

from dashboards.parts.names import series
from dashboards.rules.model import Group, Record

_NODE = ("cluster", "node", "team", "model", "state", "currency")
_TEAM = ("cluster", "team", "model", "state", "currency")
_MONEY = ("cluster", "team", "currency")

_RATE = f"rate({series('gpufin_team_cost_total')}[<< windows.rate >>])"
_VARIABLE = f"rate({series('gpufin_team_variable_cost_total')}[<< windows.rate >>])"
_STEP = "<< forecast.resolution >>"


def _mean(name: str, doc: str, source: str) -> Record:
    """Averaged over one step; a team that had no card for a part of it counts as zero there."""
    return Record(
        name=name,
        doc=doc,
        by=_MONEY,
        expr=f"""
sum by ({", ".join(_MONEY)}) (sum_over_time({source}[{_STEP}]))
/ on () group_left ()
count_over_time(fleet:gpufin_cost:present[{_STEP}])
""",
    )


SPEND = Group(
    "gpufin-spend",
    (
        Record(
            name="node:gpufin_cost_per_hour:rate",
            doc="Money per hour of each node. The maximum makes one of what two scrapes saw.",
            by=_NODE,
            expr=f"3600 * max by ({', '.join(_NODE)}) ({_RATE})",
        ),
        Record(
            name="team:gpufin_cost_per_hour:sum",
            doc="Money per hour of each team, by model of card and state.",
            by=_TEAM,
            expr=f"sum by ({', '.join(_TEAM)}) (node:gpufin_cost_per_hour:rate)",
        ),
        Record(
            name="fleet:gpufin_cost:present",
            doc="1 while anything is known to cost: what averages are divided by.",
            by=(),
            expr="clamp_max(count(team:gpufin_cost_per_hour:sum), 1)",
        ),
        Record(
            name="team:gpufin_variable_cost_per_hour:sum",
            doc="The part of it that follows use and not the clock: energy, spot cards.",
            by=_MONEY,
            expr=f"""
3600 * sum by ({", ".join(_MONEY)}) (max by ({", ".join((*_MONEY, "node"))}) ({_VARIABLE}))
""",
        ),
        _mean(
            "team:gpufin_cost_per_hour:mean",
            "Money per hour, averaged over one step.",
            "team:gpufin_cost_per_hour:sum",
        ),
        _mean(
            "team:gpufin_variable_cost_per_hour:mean",
            "The part of it that follows use.",
            "team:gpufin_variable_cost_per_hour:sum",
        ),
    ),
)
