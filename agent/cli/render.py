"""``gpufin rules render`` and ``gpufin dashboards export``: shipped rules and boards, filled in."""

import re
from collections.abc import Mapping
from pathlib import Path

import click

from agent.config.fleet import Fleet
from agent.config.load import load
from agent.errors import ConfigError, Fault, GpufinError
from agent.render import (
    alertmanager as alertmanager_files,
    boards as board_files,
    rules as rule_files,
)

output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory to write to; files of the same names are replaced.",
)


@click.group()
def rules() -> None:
    """Recording rules, alerts and the Alertmanager configuration of a fleet."""


@rules.command("render")
@click.option(
    "--fleet",
    "fleet_path",
    type=click.Path(path_type=Path),
    default="/etc/gpufin/fleet.yaml",
    show_default=True,
    help="The fleet file: budgets, windows, addresses.",
)
@output_option
def render(fleet_path: Path, output: Path) -> int:
    """Write rules/*.yaml for Prometheus and the files for Alertmanager."""
    settings = load(fleet_path, Fleet).model_dump(mode="json")
    _write(output / "rules", rule_files.render(settings))
    _write(output / "alertmanager", alertmanager_files.render(settings))
    return 0


@click.group()
def dashboards() -> None:
    """The Grafana boards."""


@dashboards.command("export")
@click.option(
    "--currency", default="USD", show_default=True, help="ISO 4217 code, for the unit shown."
)
@click.option("--datasource", default="", help="Name of the Prometheus data source to open with.")
@output_option
def export(currency: str, datasource: str, output: Path) -> int:
    """Write the boards as JSON, ready for Grafana's import or provisioning."""
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ConfigError(
            [Fault("command line", "--currency", "must be an ISO 4217 code such as EUR")]
        )
    _write(output, board_files.render(currency, datasource))
    return 0


def _write(directory: Path, files: Mapping[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = directory / name
            path.write_text(text, encoding="utf-8")
            click.echo(str(path))
    except OSError as error:
        raise GpufinError(f"{directory}: cannot be written: {error.strerror}") from error
