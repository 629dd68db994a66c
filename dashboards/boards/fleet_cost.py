"""What the fleet costs now and this month, how much of that is idle, and which cards it is."""

from grafanalib import core

from dashboards.parts import queries
from dashboards.parts.finalize import finalize
from dashboards.parts.panels import MONEY, STATES, Modern, bars, column, course, fixed, stat, steps
from dashboards.parts.tables import gauge_cell, instead, states, table
from dashboards.parts.variables import variables

UID = "gpufin-fleet-cost"

_STAT_WIDTH, _STAT_HEIGHT = 3, 4
_IDLE = steps(("green", None), ("orange", 0.2), ("red", 0.5))
_BUDGET = steps(("green", None), ("orange", 0.8), ("red", 1))
_COMPLETE = steps(("red", None), ("orange", 0.95), ("green", 1))
_BLUE = steps(("blue", None))


def fleet_cost() -> str:
    """The board as JSON text."""
    return finalize(
        core.Dashboard(
            title="GPU cost / Fleet",
            description="Spend of the GPU fleet: now, this month, against budgets, and idle.",
            uid=UID,
            tags=["gpufin"],
            timezone="browser",
            editable=False,
            graphTooltip=1,
            refresh="1m",
            time=core.Time("now/M", "now"),
            templating=variables(),
            panels=[*_numbers(), *_courses(), *_shares(), _cards()],
        )
    )


def _placed(panel: Modern, x: int, y: int, width: int, height: int) -> Modern:
    panel.gridPos = core.GridPos(h=height, w=width, x=x, y=y)
    return panel


def _numbers() -> list[Modern]:
    numbers = [
        stat(
            "Spend per hour",
            "Money per hour of all cards chosen above, whatever they do.",
            queries.SPEND_NOW,
            unit=MONEY,
            decimals=2,
            sparkline=True,
        ),
        stat(
            "Month to date",
            "Booked in the agents' ledgers since the month began in the fleet's time zone, nodes "
            "that are gone included. Not narrowed by model.",
            queries.MONTH_TO_DATE,
            unit=MONEY,
            decimals=2,
        ),
        stat(
            "Month forecast",
            "Month to date, the time ahead of the cards that are there, and what energy and spot cards cost "
            "in the last days, repeated. Empty while data are too young. Not narrowed by model.",
            queries.FORECAST,
            unit=MONEY,
            decimals=2,
        ),
        stat(
            "Top budget use",
            "The budget of which most is spent. Amber from 80 %, red when all is spent: the bars "
            "below say which. Empty without budgets in the fleet file.",
            queries.BUDGET_HIGHEST,
            unit="percentunit",
            thresholds=_BUDGET,
            decimals=0,
        ),
        stat(
            "Idle share",
            "Share of the present spend that goes to cards that compute nothing, held by somebody or free, "
            "on purpose or not. Amber from 20 %, red from 50 %: the table below says which cards.",
            queries.IDLE_SHARE,
            unit="percentunit",
            thresholds=_IDLE,
            decimals=0,
            sparkline=True,
        ),
        stat(
            "Idle this month",
            "Money booked this month for cards that were held without computing or free. Not "
            "narrowed by model.",
            queries.MONTH_IDLE,
            unit=MONEY,
            decimals=2,
        ),
        stat(
            "Card count", "Cards that report, each once.", queries.CARDS, unit="short", decimals=0
        ),
        stat(
            "Cards priced",
            "Below 100 % all sums here are too low: `gpufin explain-price` on the node says why a "
            "card has none.",
            queries.COVERAGE,
            unit="percentunit",
            thresholds=_COMPLETE,
            decimals=0,
        ),
    ]
    return [
        _placed(number, place * _STAT_WIDTH, 0, _STAT_WIDTH, _STAT_HEIGHT)
        for place, number in enumerate(numbers)
    ]


def _courses() -> list[Modern]:
    by_state = course(
        "Spend per hour, by state",
        "Green is computing. Orange is held by somebody and computes nothing, yellow is free, grey is "
        "not known, red does not answer and is still paid for.",
        [(state, queries.spend_in(state)) for state in reversed(STATES)],
        unit=MONEY,
        colors={state: color for state, (_, color) in STATES.items()},
    )
    by_team = course(
        "Spend per day, by team",
        "Hourly averages summed over each UTC day; the last bar is the day so far. Wants a range "
        "of days. Not narrowed by model.",
        [("{{team}}", queries.DAILY_BY_TEAM)],
        unit=MONEY,
        bars=True,
        interval="1d",
    )
    return [_placed(by_state, 0, 4, 12, 9), _placed(by_team, 12, 4, 12, 9)]


def _shares() -> list[Modern]:
    by_team = bars(
        "Month to date, by team",
        "Money booked this month for each team's cards. Not narrowed by model.",
        [("all", queries.MONTH_TO_DATE), ("{{team}}", queries.MONTH_BY_TEAM)],
        unit=MONEY,
        thresholds=_BLUE,
    )
    by_model = bars(
        "Spend per hour, by model",
        "Present spend on each model of card.",
        [("all", queries.SPEND_NOW), ("{{model}}", queries.SPEND_BY_MODEL)],
        unit=MONEY,
        thresholds=_BLUE,
    )
    return [
        _placed(_budgets(), 0, 13, 10, 8),
        _placed(by_team, 10, 13, 6, 8),
        _placed(by_model, 16, 13, 8, 8),
    ]


def _budgets() -> Modern:
    return table(
        "Budgets this month",
        "Budgets of the fleet file: amber from 80 %, red when all is spent. The forecast adds the time "
        "ahead of the cards that are there, and the last days' pattern of energy and spot cards.",
        {
            "A": queries.BUDGET_USED,
            "B": queries.BUDGET_SPENT,
            "C": queries.BUDGET_AMOUNT,
            "D": queries.BUDGET_FORECAST,
        },
        join_by="budget",
        renamed=(
            ("budget", "Budget"),
            ("Value #A", "Used"),
            ("Value #B", "Spent"),
            ("Value #C", "Amount"),
            ("Value #D", "Forecast"),
        ),
        hidden=[f"Time {place}" for place in range(1, 5)],
        columns=(
            column(
                "Used",
                {
                    "unit": "percentunit",
                    "decimals": 0,
                    "thresholds": _BUDGET,
                    **gauge_cell({"mode": "thresholds"}, 1),
                    "custom.width": 120,
                },
            ),
            *(
                column(name, {"unit": MONEY, "decimals": 2, "custom.width": 92})
                for name in ("Spent", "Amount")
            ),
            column(
                "Forecast",
                {
                    "unit": MONEY,
                    "decimals": 2,
                    "mappings": instead("not yet"),
                    "custom.width": 92,
                },
            ),
        ),
        sort_by="Used",
        falling=True,
    )


def _cards() -> Modern:
    panel = table(
        "Cards",
        "Each card once, those that need attention first, 200 at the most. Cost is what was counted in "
        "the time range chosen above; empty cells were not reported.",
        {
            "A": queries.CARD_STATE,
            "B": queries.CARD_RATE,
            "C": queries.CARD_UTILISATION,
            "D": queries.CARD_IDLE_SINCE,
            "E": queries.CARD_COST,
        },
        join_by="uuid",
        renamed=(
            ("cluster", "Cluster"),
            ("node", "Node"),
            ("gpu", "Card"),
            ("model", "Model"),
            ("team", "Team"),
            ("Value #A", "State"),
            ("Value #D", "Idle since"),
            ("Value #C", "Utilisation"),
            ("Value #B", "Per hour"),
            ("Value #E", "Cost in range"),
            ("uuid", "UUID"),
        ),
        hidden=[f"Time {place}" for place in range(1, 6)],
        columns=(
            column("Cluster", {"custom.width": 100}),
            column("Node", {"custom.width": 150}),
            column("Card", {"custom.width": 55}),
            column("Model", {"custom.width": 220}),
            column("Team", {"mappings": instead("no team"), "custom.width": 140}),
            column(
                "State",
                {
                    "mappings": states(),
                    "custom.cellOptions": {"type": "color-text"},
                    "custom.width": 90,
                },
            ),
            column("Idle since", {"unit": "dateTimeFromNow", "custom.width": 120}),
            column(
                "Utilisation",
                {
                    "unit": "percentunit",
                    "decimals": 0,
                    **gauge_cell(fixed("blue"), 1),
                    "custom.width": 150,
                },
            ),
            column(
                "Per hour",
                {
                    "unit": MONEY,
                    "decimals": 2,
                    "mappings": instead("no price"),
                    "custom.width": 100,
                },
            ),
            column("Cost in range", {"unit": MONEY, "decimals": 2, "custom.width": 130}),
        ),
        sort_by="State",
    )
    return _placed(panel, 0, 21, 24, 12)
