"""grafanalib's output as the last classic dashboard schema (42), with nothing older in it.

Grafana migrates older schemas when it loads a board, and some of those steps change what was meant.
"""

import json
from typing import Any

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from dashboards.parts.panels import SOURCE

SCHEMA = 42

_BOARD = [
    "annotations",
    "description",
    "editable",
    "graphTooltip",
    "links",
    "panels",
    "refresh",
    "tags",
    "templating",
    "time",
    "timepicker",
    "timezone",
    "title",
    "uid",
]
_PANEL = [
    "datasource",
    "description",
    "fieldConfig",
    "gridPos",
    "id",
    "interval",
    "options",
    "targets",
    "title",
    "transformations",
    "type",
]
_VARIABLE = [
    "allValue",
    "datasource",
    "hide",
    "includeAll",
    "label",
    "multi",
    "name",
    "query",
    "refresh",
    "regex",
    "sort",
    "type",
]


def finalize(board: core.Dashboard) -> str:
    """The board as JSON text, the same on every run."""
    raw = json.loads(json.dumps(board.auto_panel_ids().to_json_data(), cls=DashboardEncoder))
    made = _kept(raw, _BOARD)
    made["schemaVersion"] = SCHEMA
    made["version"] = 1
    made["fiscalYearStartMonth"] = 0
    made["timepicker"] = {}
    made["annotations"] = {"list": []}
    made["panels"] = [_kept(panel, _PANEL) for panel in raw["panels"]]
    made["templating"] = {"list": [_variable(variable) for variable in raw["templating"]["list"]]}
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _kept(raw: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    return {key: raw[key] for key in keys if raw.get(key) not in (None, "", [])}


def _variable(raw: dict[str, Any]) -> dict[str, Any]:
    made = _kept(raw, _VARIABLE)
    made["hide"] = 0
    if raw["type"] == "datasource":
        name = "<< datasource >>"
        return {
            "name": made["name"],
            "label": made["label"],
            "type": "datasource",
            "query": made["query"],
            "hide": 0,
            "current": {"selected": True, "text": name, "value": name},
        }
    made["datasource"] = SOURCE
    made["definition"] = raw["query"]
    made["query"] = {
        "qryType": 1,
        "query": raw["query"],
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    made["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return made
