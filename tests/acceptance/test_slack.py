"""A card goes idle and a budget is overrun: one Slack message each, then resolved.

The rules and the Alertmanager configuration are the shipped ones, rendered by the command from a fleet
file with short windows; promtool tests the default windows.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.programs import (
    REPOSITORY,
    Agent,
    Alertmanager,
    Prometheus,
    Slack,
    fetch,
    running,
    wait_for,
)
from tests.nvml.library import Card, Script, build, environment
from tests.nvml.profiles import H100, MIB
from tests.nvml.timeline import Timeline

CONFIG = {
    "prices": [
        {"id": "h100", "kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": 36},
    ],
    "teams": [{"team": "research", "match": {"model": "NVIDIA H100*"}}],
    "activity": {"idle_after_seconds": 2},
    "interval_seconds": 0.5,
}
BUDGET = 0.5
"""Two cards at 36 an hour spend it in 25 seconds."""


@dataclass
class Line:
    """The running line and the levers of the test."""

    base: Path
    slack: Slack
    prometheus: Prometheus
    script: Script
    card: Card

    def set_budget(self, amount: float) -> None:
        """Render the rules anew and have Prometheus load them."""
        _render(self.base, self.slack, amount)
        assert self.prometheus.process is not None
        self.prometheus.process.send_signal(signal.SIGHUP)

    def message(self, alert: str, status: str, seconds: float) -> dict[str, Any]:
        """The one message of an alert in a status, after waiting for it."""

        def found() -> list[dict[str, Any]]:
            return [
                attachment
                for message in self.slack.messages
                for attachment in message["body"]["attachments"]
                if alert in attachment["footer"]
                and ("[RESOLVED]" in attachment["title"]) == (status == "resolved")
            ]

        try:
            wait_for(f"Slack message {alert} {status}", found, seconds)
        except AssertionError:
            for expression in ("ALERTS", "gpufin_gpu_state", "card:gpufin_held:ratio", "up"):
                print(expression, json.dumps(self.prometheus.query(expression)))
            base = f"http://127.0.0.1:{self.prometheus.port}"
            print(fetch(f"{base}/api/v1/rules"))
            page = fetch(f"{base}/metrics") or ""
            print(
                *(line for line in page.splitlines() if "reload" in line or "notific" in line),
                sep="\n",
            )
            raise
        (attachment,) = found()
        return attachment


def _render(base: Path, slack: Slack, budget: float) -> None:
    url_file = base / "slack-url"
    url_file.write_text(slack.url)
    fleet = {
        "currency": "USD",
        "evaluation_interval": "1s",
        "urls": {"grafana": "https://grafana.test", "runbook": "https://runbook.test/gpufin"},
        "windows": {"rate": "6s", "carry": "1m"},
        "forecast": {"window": "10s", "resolution": "1s", "minimum": "3s"},
        "budgets": [{"name": "all GPUs", "amount": budget, "thresholds": [1.0]}],
        "budget_alert": {"for": "0s", "keep_firing_for": "1s"},
        "idle": {"window": "8s", "for": "2s", "keep_firing_for": "1s", "loss_window": "1m"},
        "slack": {"channel": "#gpu-cost", "api_url_file": str(url_file)},
        "notify": {"group_wait": "1s", "group_interval": "2s", "repeat_interval": "1h"},
    }
    (base / "fleet.yaml").write_text(json.dumps(fleet))
    command = [sys.executable, "-m", "agent", "rules", "render"]
    subprocess.run(
        [*command, "--fleet", str(base / "fleet.yaml"), "--output", str(base)],
        check=True,
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Two working cards, Prometheus, Alertmanager and a Slack that listens."""
    base = tmp_path_factory.mktemp("slack")
    script = Script(base / "cards.script")
    script.process(script.add(H100, gpu_utilization=97), 4_000, 19_000 * MIB)
    card = script.add(H100, gpu_utilization=97)
    script.process(card, 4_001, 19_000 * MIB)
    script.write()
    slack = Slack()
    _render(base, slack, BUDGET)
    library = build(base / "library").parent
    agent = Agent(base / "agent", CONFIG, environment=environment(library, script.path))
    alertmanager = Alertmanager(base / "am", base / "alertmanager" / "alertmanager.yml")
    prometheus = Prometheus(
        base / "prometheus",
        {"gpu-017": agent},
        rules=base / "rules",
        alertmanager_port=alertmanager.port,
    )
    try:
        with running(agent, alertmanager, prometheus):
            yield Line(base, slack, prometheus, script, card)
    finally:
        slack.stop()
        for message in slack.messages:
            print(json.dumps(message["body"]["attachments"][0], indent=2))


def test_a_held_idle_card_and_an_overrun_budget_reach_slack_once_each(line: Line) -> None:
    """Each gives one message a person can act on, and one more when it is over."""
    line.card.gpu_utilization = Timeline.constant(97).then(line.script.now(), 0)
    line.script.settle()

    idle = line.message("GpuHeldIdle", "firing", 60)
    budget = line.message("GpuBudgetThreshold", "firing", 60)

    print(json.dumps([idle, budget], indent=2))
    _assert_idle(idle)
    _assert_budget(budget)

    line.card.gpu_utilization = Timeline.constant(97)
    line.script.settle()
    line.set_budget(1_000)
    idle_over = line.message("GpuHeldIdle", "resolved", 60)
    budget_over = line.message("GpuBudgetThreshold", "resolved", 60)

    print(json.dumps([idle_over, budget_over], indent=2))
    assert "no longer held idle" in idle_over["text"]
    assert "the budget was raised" in budget_over["text"]
    assert idle_over["color"] == budget_over["color"] == "#2eb67d"
    assert len(line.slack.messages) == 4
    assert all(message["path"] == "/services/T0/B0/secret" for message in line.slack.messages)


def _assert_idle(message: dict[str, Any]) -> None:
    assert (
        message["title"] == "[WARNING] GPU held but computing nothing: team research, cluster lab"
    )
    text = message["text"]
    assert "gpu-017 card 1 (NVIDIA H100 80GB HBM3): held, computing nothing since 20" in text
    assert "It costs 36.00 USD per hour" in text
    lost = re.search(r"; ([0-9.]+) USD lost in the last 1m", text)
    assert lost is not None
    assert 0.05 < float(lost[1]) < 0.6
    board = "https://grafana.test/d/gpufin-fleet-cost?var-cluster=lab&var-team=research"
    assert message["title_link"] == board
    links = {action["text"]: action["url"] for action in message["actions"]}
    assert links["Board"] == board
    assert links["Runbook"] == "https://runbook.test/gpufin#gpuheldidle"
    assert "silences/new?filter=" in links["Silence"]


def _assert_budget(message: dict[str, Any]) -> None:
    month = datetime.now(UTC).strftime("%Y-%m")
    assert (
        message["title"]
        == f"[CRITICAL] GPU budget threshold reached: budget all GPUs, {month}, 100%"
    )
    spent = re.search(r"has passed 100% in \S+ ([0-9.]+) USD of 0.50 USD spent", message["text"])
    assert spent is not None, message["text"]
    assert BUDGET - 0.01 <= float(spent[1]) < 2 * BUDGET
    forecast = re.search(r"Forecast for the month's end: ([0-9.]+) USD", message["text"])
    assert forecast is not None, message["text"]
    assert message["title_link"].startswith("https://grafana.test/d/gpufin-fleet-cost?")
