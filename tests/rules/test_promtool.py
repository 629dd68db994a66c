"""The shipped rules in Prometheus' own tools, with the default windows."""

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
RULES = sorted((DEPLOY / "prometheus/rules").glob("*.yaml"))
CASES = sorted(HERE.glob("*.yaml"))


def _run(*command: str | Path) -> str:
    """Output of a program; one that is missing fails the test."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_rules_do_what_the_cases_say(case: Path) -> None:
    """Firing and quiet, month edges, duplicate scrapes, dead nodes."""
    _run("promtool", "test", "rules", case)


def test_rules_pass_every_lint_of_promtool() -> None:
    """Duplicates are errors."""
    _run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


def test_scrape_example_is_valid(tmp_path: Path) -> None:
    """With the rules where the command of the README puts them."""
    example = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    installed = example.replace("/etc/prometheus/gpufin/rules", str(DEPLOY / "prometheus/rules"))
    (tmp_path / "prometheus.yml").write_text(installed, encoding="utf-8")

    assert installed != example
    assert "2 rule files found" in _run("promtool", "check", "config", tmp_path / "prometheus.yml")
