"""Writes ``generated/``: boards as JSON, rules as YAML templates, sorted and stable.

Run by ``make generate``; a test compares what is committed with what this returns.
"""

import sys
from pathlib import Path

from dashboards.boards.fleet_cost import fleet_cost
from dashboards.parts.names import check_names
from dashboards.rules.catalog import ALERTING, RECORDED, RECORDING
from dashboards.rules.model import Alert, Group, template

GENERATED = Path(__file__).parent / "generated"


def files() -> dict[str, str]:
    """File name to text of everything under ``generated/``."""
    _check((*RECORDING, *ALERTING))
    return {
        "fleet-cost.json": fleet_cost(),
        "recording.yaml": template(RECORDING),
        "alerts.yaml": template(ALERTING),
    }


def _check(groups: tuple[Group, ...]) -> None:
    for group in groups:
        for rule in group.rules:
            texts = [rule.expr]
            if isinstance(rule, Alert):
                texts += rule.annotations.values()
            for text in texts:
                check_names(text, RECORDED)


def main() -> None:
    """Write every file and remove what is no longer made."""
    wanted = files()
    GENERATED.mkdir(exist_ok=True)
    for old in GENERATED.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (GENERATED / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {len(wanted)} files to {GENERATED.name}/\n")


if __name__ == "__main__":
    main()
