"""The status page as a real Chromium shows it."""

import html
import re
import subprocess
from pathlib import Path

from tests.acceptance.programs import Agent, running, tool

CONFIG = {
    "prices": [
        {"id": "h100", "kind": "rented", "match": {"model": "*H100*"}, "price_per_gpu_hour": 2.5}
    ]
}


def test_the_status_page_shows_cards_states_and_money_in_chromium(tmp_path: Path) -> None:
    """Eight cards with their states, what they cost, and that two of them have no price."""
    models = (
        "--cards",
        "8",
        "--model",
        "h100",
        "--model",
        "h100",
        "--model",
        "h100",
        "--model",
        "t4",
    )
    agent = Agent(tmp_path / "agent", CONFIG, ("demo", *models))

    with running(agent):
        shown = _text(_in_chromium(agent.url("/"), tmp_path / "profile"))

    print(shown)
    assert "These cards are simulated, not real." in shown
    assert "15.00 USD an hour now" in shown
    assert "2 of 8 cards have no price" in shown
    assert len(re.findall(r"NVIDIA H100 80GB HBM3 GPU-\S+ \u2013 (?:active|held|idle)", shown)) == 6
    assert len(re.findall(r"Tesla T4 GPU-\S+ \u2013 .* unpriced", shown)) == 2
    assert "devices ok" in shown


def _in_chromium(url: str, profile: Path) -> str:
    shown = subprocess.run(
        [
            tool("chromium"),
            "--headless",
            "--no-sandbox",  # the tests run as root, in CI at least
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=1000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return shown.stdout


def _text(document: str) -> str:
    """What a person reads: a line for each row and block."""
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>", "", document, flags=re.DOTALL)
    body = re.sub(r"\s+", " ", body)
    body = re.sub(r"</(tr|div|p|h1|h2)>", "\n", body)
    return html.unescape(re.sub(r" +", " ", re.sub(r"<[^>]*>", " ", body)))
