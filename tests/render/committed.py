"""What `deploy/` must hold: the default rendering of the example fleet file.

``make generate`` writes it.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from agent.config.fleet import Fleet
from agent.render import alertmanager, rules

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy/prometheus/fleet.example.yaml"


def settings(path: Path = EXAMPLE) -> Mapping[str, object]:
    """A fleet file as the plain values that rendering takes."""
    parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Fleet.model_validate(parsed).model_dump(mode="json")


def files() -> dict[Path, str]:
    """Path to text of every rendered file that is committed."""
    given = settings()
    return {
        **{
            ROOT / "deploy/prometheus/rules" / name: text
            for name, text in rules.render(given).items()
        },
        **{
            ROOT / "deploy/alertmanager" / name: text
            for name, text in alertmanager.render(given).items()
        },
    }
