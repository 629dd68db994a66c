"""Nothing an operator writes breaks out of its place."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config.fleet import Fleet
from agent.render import alertmanager, rules
from agent.render.template import TemplateError, either, matchers, percent, quoted
from tests.dashboards.promql import labels_of

NASTY = """it's "all" {{ .x }} << y >> <% z %> \\ # : - [a] ünï😀 $1"""


def _nasty() -> dict[str, Any]:
    return Fleet.model_validate(
        {
            "currency": "EUR",
            "budgets": [
                {"name": NASTY, "amount": 12.5, "scope": {"team": NASTY, "cluster": NASTY}}
            ],
            "slack": {"channel": NASTY, "api_url_file": f"/x/{NASTY}", "username": NASTY},
            "routes": [{"team": NASTY, "channel": NASTY}],
        }
    ).model_dump(mode="json")


def test_rules_hold_any_name_as_it_is(tmp_path: Path) -> None:
    """As a label, inside a selector and for Prometheus."""
    texts = rules.render(_nasty())

    recording = yaml.safe_load(texts["recording.yaml"])
    (budget,) = [
        rule
        for group in recording["groups"]
        for rule in group["rules"]
        if rule["record"] == "budget:gpufin_month_to_date:sum"
    ]
    assert budget["labels"] == {"budget": NASTY, "team": NASTY, "cluster": NASTY}
    assert labels_of(budget["expr"]) == {"currency", "month"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["promtool", "check", "rules", *tmp_path.iterdir()], check=True)


def test_alertmanager_holds_any_name_as_it_is(tmp_path: Path) -> None:
    """As a channel, a file, a matcher, and for Alertmanager."""
    texts = alertmanager.render(_nasty())

    config = yaml.safe_load(texts["alertmanager.yml"])
    slack = config["receivers"][1]["slack_configs"][0]
    assert (slack["channel"], slack["api_url_file"]) == (NASTY, f"/x/{NASTY}")
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["amtool", "check-config", tmp_path / "alertmanager.yml"], check=True)


def test_a_value_that_no_filter_made_safe_is_refused() -> None:
    """A forgotten filter is an error, not a hole."""
    given = Fleet.model_validate({}).model_dump(mode="json")
    given["urls"]["grafana"] = 'https://a"\n- b'

    with pytest.raises(TemplateError):
        rules.render(given)


def test_no_budget_is_valid(tmp_path: Path) -> None:
    """The rules of budgets are then empty."""
    given = Fleet.model_validate({}).model_dump(mode="json")
    for name, text in (rules.render(given) | alertmanager.render(given)).items():
        (tmp_path / name).write_text(text)

    subprocess.run(["promtool", "check", "rules", *tmp_path.glob("*.yaml")], check=True)
    subprocess.run(["amtool", "check-config", tmp_path / "alertmanager.yml"], check=True)


def test_filters() -> None:
    """What each makes of a value."""
    assert quoted('a"b') == '"a\\"b"'
    assert matchers({"team": "a", "cluster": None}, "EUR") == 'currency="EUR", team="a"'
    assert [percent(share) for share in (0.5, 1.0, 0.125)] == ["50%", "100%", "12.5%"]
    assert either(["50%", "12.5%"]) == '"50%|12\\\\.5%"'
    with pytest.raises(TemplateError):
        quoted("a\nb")
