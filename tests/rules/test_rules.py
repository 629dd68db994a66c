"""Rules as data: labels, names, annotations and pages agree."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.render import rules
from dashboards.rules.catalog import RECORDED
from tests.dashboards.promql import labels_of
from tests.render.committed import ROOT, settings

RENDERED = {name: yaml.safe_load(text) for name, text in rules.render(settings()).items()}
ALL = [rule for text in RENDERED.values() for group in text["groups"] for rule in group["rules"]]
RECORDS = [rule for rule in ALL if "record" in rule]
ALERTS = [rule for rule in ALL if "alert" in rule]
CASES = "".join(path.read_text() for path in Path(__file__).parent.glob("*.yaml"))

each_record = pytest.mark.parametrize("rule", RECORDS, ids=lambda rule: rule["record"])
each_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


@each_record
def test_record_has_the_labels_it_declares(rule: dict[str, Any]) -> None:
    """So that boards and alerts can be checked against the declaration."""
    assert labels_of(rule["expr"]) | set(rule.get("labels", ())) == RECORDED[rule["record"]]


@each_record
def test_record_is_named_by_level_metric_and_operation(rule: dict[str, Any]) -> None:
    """The level says whose series it is, the operation how it was made."""
    assert re.fullmatch(r"[a-z]+:gpufin_[a-z_]+:[a-z_]+", rule["record"])


@each_record
def test_money_is_never_added_across_currencies(rule: dict[str, Any]) -> None:
    """Every recorded sum of money keeps the label."""
    if "cost" in rule["record"] and rule["record"] != "fleet:gpufin_cost:present":
        assert "currency" in RECORDED[rule["record"]]


@each_alert
def test_alert_says_what_a_person_needs(rule: dict[str, Any]) -> None:
    """Words, links and labels that routes rely on; never a value in a label."""
    needed = {"summary", "description", "outcome", "dashboard_url", "runbook_url"}
    assert needed <= set(rule["annotations"])
    assert "{{" not in rule["annotations"]["summary"]
    assert "category" in rule["labels"]
    assert "severity" in {*rule["labels"], *labels_of(rule["expr"])}
    assert not any("$value" in value for value in rule["labels"].values())


@each_alert
def test_alert_annotations_use_labels_that_it_has(rule: dict[str, Any]) -> None:
    """A label that is not there would be an empty word."""
    labels = labels_of(rule["expr"]) | set(rule["labels"])
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


@each_alert
def test_alert_annotations_query_what_exists(rule: dict[str, Any]) -> None:
    """The queries inside them parse and name real series and labels."""
    for text in rule["annotations"].values():
        chosen = dict(re.findall(r'\$(\w+) := printf "([^}]*?)" \$labels', text))
        for query, variable in re.findall(r'with printf "(.*?)" \$(\w+) \| query', text):
            matchers = chosen[variable].replace("%q", '"x"')
            labels_of(query.replace(r"\"", '"').replace("%s", matchers))


@each_alert
def test_alert_links_to_a_page_that_has_its_heading(rule: dict[str, Any]) -> None:
    """Headings and alerts are the same set, each with its four parts."""
    page = (ROOT / "docs/runbook.md").read_text()
    headings = re.findall(r"^## (Gpu\w+)$", page, flags=re.MULTILINE)

    assert set(headings) == {alert["alert"] for alert in ALERTS}
    assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")
    part = page.split(f"## {rule['alert']}\n")[1].split("\n## ")[0]
    for heading in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"### {heading}\n" in part


@each_alert
def test_alert_has_a_firing_and_a_quiet_case(rule: dict[str, Any]) -> None:
    """Both in the promtool cases."""
    name = rule["alert"]
    assert re.search(rf"alertname: {name}, exp_alerts: \[\]", CASES)
    assert re.search(rf"alertname: {name}\n\s+exp_alerts:\n", CASES)
