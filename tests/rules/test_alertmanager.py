"""The shipped Alertmanager configuration in Alertmanager's own tool."""

import subprocess
from pathlib import Path

import pytest
import yaml

from agent.render import alertmanager
from tests.render.committed import ROOT, settings

CONFIG = ROOT / "deploy/alertmanager/alertmanager.yml"


def _amtool(*arguments: str | Path) -> str:
    done = subprocess.run(["amtool", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_configuration_and_template_are_valid() -> None:
    """The tool parses the message template too."""
    assert "1 templates" in _amtool("check-config", CONFIG)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=GpuHeldIdle", "category=idle", "team=research"], "team research"),
        (["alertname=GpuBudgetThreshold", "category=budget", "team=research"], "team research"),
        (["alertname=GpuHeldIdle", "category=idle", "team=other"], "default"),
        (["alertname=GpuHeldIdle", "category=idle"], "default"),
        (["alertname=GpuBudgetThreshold", "category=budget"], "default"),
    ],
)
def test_alert_goes_to_its_team_or_to_all(labels: list[str], receiver: str) -> None:
    """A team with a channel of its own gets its alerts there, and only there."""
    found = _amtool("config", "routes", "test", f"--config.file={CONFIG}", *labels)

    assert found.strip() == receiver


def test_of_the_thresholds_of_a_budget_only_the_highest_speaks() -> None:
    """Each silences the lower ones of the same budget, currency and month."""
    config = yaml.safe_load(alertmanager.render(settings())["alertmanager.yml"])

    assert [
        (rule["source_matchers"][1], rule["target_matchers"][1], rule["equal"])
        for rule in config["inhibit_rules"]
    ] == [
        ('threshold="80%"', 'threshold=~"50%"', ["budget", "currency", "month"]),
        ('threshold="100%"', 'threshold=~"50%|80%"', ["budget", "currency", "month"]),
    ]


def test_the_cards_of_a_team_are_one_message_and_a_budget_is_another() -> None:
    """Grouping is what keeps eight cards from being eight messages."""
    route = yaml.safe_load(CONFIG.read_text())["route"]

    assert route["group_by"] == ["alertname", "cluster", "team"]
    for budget in (route["routes"][-1], route["routes"][0]["routes"][0]):
        assert budget["matchers"] == ['category="budget"']
        assert budget["group_by"] == ["alertname", "budget", "currency", "month"]
