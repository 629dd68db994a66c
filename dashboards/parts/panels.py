"""Panels in the shape that Grafana's last classic schema has.

grafanalib lays them out and gives ids; its own panel classes write older shapes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attr
from grafanalib import core

Json = dict[str, Any]

MONEY = "<< currency_unit >>"
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}

STATES: dict[str, tuple[int, str]] = {
    "down": (0, "red"),
    "unknown": (1, "#8e8e8e"),
    "idle": (2, "yellow"),
    "held": (3, "orange"),
    "active": (4, "green"),
}
"""Word of a state to the agent's code and the one colour it has on every board."""


_attrs: Any = attr.s
"""Without its type: the base class has none, so the checker would see only the fields added here."""


@_attrs
class Modern(core.Panel):  # type: ignore[misc]  # grafanalib has no types
    """Any kind of panel, its options and field settings as they will be written."""

    kind = attr.ib(default="stat")
    options: Json = attr.ib(factory=dict)
    defaults: Json = attr.ib(factory=dict)
    overrides: list[Json] = attr.ib(factory=list)

    def to_json_data(self) -> Json:
        """The panel as grafanalib's encoder wants it."""
        written: Json = self.panel_json(
            {
                "type": self.kind,
                "options": self.options,
                "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
            }
        )
        return written


def target(query: str, *, legend: str = "", ref: str = "A", instant: bool = False) -> Json:
    """A query; tables and single numbers are instant."""
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query,
        "instant": instant,
        "legendFormat": legend or "__auto",
        "range": not instant,
        "refId": ref,
    }


def steps(*rising: tuple[str, float | None]) -> Json:
    """Thresholds; the first has no lower bound."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for color, value in rising],
    }


NEUTRAL = steps(("text", None))


def stat(  # noqa: PLR0913 - each is one thing people see
    title: str,
    description: str,
    query: str,
    *,
    unit: str,
    thresholds: Json = NEUTRAL,
    decimals: int | None = None,
    sparkline: bool = False,
    legend: str = "",
) -> Modern:
    """One number, with its course behind it where that says something."""
    defaults: Json = {"unit": unit, "thresholds": thresholds, "noValue": "no data"}
    if decimals is not None:
        defaults["decimals"] = decimals
    if thresholds is NEUTRAL:
        defaults["color"] = {"mode": "fixed", "fixedColor": "text"}
    return Modern(
        kind="stat",
        title=title,
        description=description,
        dataSource=SOURCE,
        targets=[target(query, legend=legend, instant=not sparkline)],
        defaults=defaults,
        options={
            "colorMode": "value",
            "graphMode": "area" if sparkline else "none",
            "justifyMode": "center",
            "orientation": "auto",
            "reduceOptions": _LAST,
            "textMode": "value",
            "wideLayout": True,
        },
    )


_LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def course(  # noqa: PLR0913 - each is one thing people see
    title: str,
    description: str,
    queries: Sequence[tuple[str, str]],
    *,
    unit: str,
    bars: bool = False,
    interval: str = "1m",
    colors: Mapping[str, str] | None = None,
) -> Modern:
    """Stacked money over time, as areas or as bars, from (legend, query) from the bottom up.

    Colours that have a meaning are given; what has none keeps one by its name.
    """
    return Modern(
        kind="timeseries",
        title=title,
        description=description,
        dataSource=SOURCE,
        interval=interval,
        targets=[
            target(query, legend=legend, ref=_ref(place))
            for place, (legend, query) in enumerate(queries)
        ],
        defaults={
            "unit": unit,
            "min": 0,
            "color": {"mode": "palette-classic-by-name"},
            "thresholds": NEUTRAL,
            "custom": _bars() if bars else _areas(),
        },
        overrides=[column(name, {"color": fixed(color)}) for name, color in (colors or {}).items()],
        options={
            "legend": {
                "calcs": ["mean", "max"] if not bars else ["sum"],
                "displayMode": "table",
                "placement": "right",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def _areas() -> Json:
    return {
        "drawStyle": "line",
        "fillOpacity": 60,
        "lineWidth": 1,
        "lineInterpolation": "linear",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal", "group": "A"},
    }


def _bars() -> Json:
    return {
        "drawStyle": "bars",
        "barAlignment": 1,
        "barWidthFactor": 0.8,
        "fillOpacity": 80,
        "lineWidth": 0,
        "showPoints": "never",
        "stacking": {"mode": "normal", "group": "A"},
    }


def bars(
    title: str,
    description: str,
    queries: Sequence[tuple[str, str]],
    *,
    unit: str,
    thresholds: Json,
) -> Modern:
    """A bar for each series of (legend, query); a bar that is alone would have no name."""
    return Modern(
        kind="bargauge",
        title=title,
        description=description,
        dataSource=SOURCE,
        targets=[
            target(query, legend=legend, ref=_ref(place), instant=True)
            for place, (legend, query) in enumerate(queries)
        ],
        defaults={
            "unit": unit,
            "min": 0,
            "thresholds": thresholds,
            "noValue": "no data",
            "color": {"mode": "thresholds"},
        },
        options={
            "displayMode": "basic",
            "minVizHeight": 16,
            "minVizWidth": 8,
            "maxVizHeight": 40,
            "namePlacement": "auto",
            "orientation": "horizontal",
            "reduceOptions": _LAST,
            "showUnfilled": True,
            "sizing": "auto",
            "valueMode": "text",
        },
    )


def _ref(place: int) -> str:
    return chr(ord("A") + place)


def fixed(color: str) -> Json:
    """One colour, whatever the value."""
    return {"mode": "fixed", "fixedColor": color}


def column(name: str, properties: Mapping[str, object]) -> Json:
    """Settings of one series or column, by the name that people see."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }
