"""What the fleet costs per hour, now and on average."""

from dashboards.parts.names import series
from dashboards.rules.model import Group, Record

_NODE = ("cluster", "node", "team", "model", "state", "currency")
_TEAM = ("cluster", "team", "model", "state", "currency")
_MONEY = ("cluster", "team", "currency")

_RATE = f"rate({series('gpufin_team_cost_total')}[<< windows.rate >>])"

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
            name="team:gpufin_cost_per_hour:mean",
            doc="Money per hour, averaged over one step; a team that had no card for a part of it "
            "counts as zero there.",
            by=_MONEY,
            expr=f"""
sum by ({", ".join(_MONEY)}) (sum_over_time(team:gpufin_cost_per_hour:sum[<< forecast.resolution >>]))
/ on () group_left ()
count_over_time(fleet:gpufin_cost:present[<< forecast.resolution >>])
""",
        ),
    ),
)
