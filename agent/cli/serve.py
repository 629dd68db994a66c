"""``gpufin run`` and ``gpufin demo``: the agent itself."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from agent.app import Agent, Origin, driver_answers, simulated, source_of
from agent.config.decode import Settings, load_settings, settings_of
from agent.config.schema import Config
from agent.devices.simulated.models import MODELS
from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.vllm_server import VllmServer
from agent.errors import ConfigError, Fault
from agent.runtime.clock import SystemClock
from agent.runtime.lifecycle import told_to_stop

DEFAULT_CONFIG = "/etc/gpufin/config.yaml"
MAX_PORT = 65_535

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The configuration file.",
)
state_option = click.option(
    "--state-directory", type=click.Path(path_type=Path), help="Overrides the key of this name."
)
listen_option = click.option(
    "--listen", metavar="HOST:PORT", help="Overrides the key of this name."
)


@click.command()
@config_option
@state_option
@listen_option
@click.option(
    "--simulate-without-driver",
    is_flag=True,
    help="Run the simulated node, with a ledger of its own, when no NVIDIA driver answers.",
)
def run(
    config_path: Path,
    state_directory: Path | None,
    listen: str | None,
    *,
    simulate_without_driver: bool,
) -> int:
    """Run the agent on this node."""
    _log_to_stderr()

    def load() -> Settings:
        return _overridden(load_settings(config_path), state_directory, listen)

    settings = load()
    if simulate_without_driver and settings.source == "nvml":
        answers, why = driver_answers()
        if answers:
            click.echo(f"gpufin: NVML answers: {why}", err=True)
        else:
            if told_to_stop():
                return 0
            click.echo(f"gpufin: no GPU to read here ({why}): running the simulated node", err=True)
            return _serve(Origin(config_path, lambda: simulated(load(), apart=True)))
    return _serve(Origin(config_path, load), settings)


@click.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="Prices and teams to use."
)
@click.option(
    "--cards", default=8, show_default=True, type=click.IntRange(1, 64), help="Number of cards."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(sorted(MODELS)),
    default=("h100",),
    show_default=True,
    help="Model of the cards; several take turns.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same node.")
@click.option(
    "--time-scale",
    default=1,
    show_default=True,
    type=click.IntRange(1, 3_600),
    help="How much faster the cards' day passes; money still counts real time.",
)
@click.option(
    "--state-directory",
    type=click.Path(path_type=Path),
    default=".gpufin/demo",
    show_default=True,
    help="Where the demo's ledger lies.",
)
@click.option("--listen", metavar="HOST:PORT", help="Overrides the key of this name.")
@click.option(
    "--vllm-port",
    type=click.IntRange(0, 65_535),
    help="Also serve the simulated engine's /metrics, as vLLM does, on this port of loopback.",
)
def demo(  # noqa: PLR0913 - one a command line option
    *,
    config_path: Path | None,
    cards: int,
    models: tuple[str, ...],
    seed: int,
    time_scale: int,
    state_directory: Path,
    listen: str | None,
    vllm_port: int | None,
) -> int:
    """Run the agent on a simulated node: no GPU needed."""
    _log_to_stderr()

    def load() -> Settings:
        settings = _demo_settings() if config_path is None else load_settings(config_path)
        return simulated(_overridden(settings, state_directory, listen), apart=False)

    node = SimulatedNode(seed=seed, cards=demo_cards(cards, models), time_scale=time_scale)
    if vllm_port is not None:
        engine = VllmServer(SystemClock(), node, port=vllm_port)
        engine.start()
        logging.getLogger(__name__).info("simulated vLLM metrics at %s", engine.url)
    return _serve(Origin(config_path, load), node=node)


def _serve(
    origin: Origin, settings: Settings | None = None, node: SimulatedNode | None = None
) -> int:
    clock = SystemClock()
    settings = settings or origin.load()
    return Agent(settings, source_of(settings, clock, node), clock, origin).run()


def _overridden(settings: Settings, state_directory: Path | None, listen: str | None) -> Settings:
    if state_directory is not None:
        settings = replace(settings, state_directory=state_directory)
    if listen is not None:
        host, _, port = listen.rpartition(":")
        numeric = port.isascii() and port.isdigit() and len(port) <= len(str(MAX_PORT))
        if not host or not numeric or int(port) > MAX_PORT:
            raise ConfigError(
                [Fault("command line", "--listen", "must be HOST:PORT, such as 127.0.0.1:9776")]
            )
        settings = replace(settings, host=host.strip("[]"), port=int(port))
    return settings


def _demo_settings() -> Settings:
    """Prices for a demo; the list price of a marketplace, so that sums look like real ones."""
    rented = {
        "id": "demo",
        "kind": "rented",
        "match": {"model": "*"},
        "source": "an invented price",
    }
    document = {
        "currency": "USD",
        "prices": [rented | {"price_per_gpu_hour": "2.50"}],
        "teams": [],
    }
    return settings_of(Config.model_validate(document))


def _log_to_stderr() -> None:
    under_systemd = "JOURNAL_STREAM" in os.environ  # the journal has its own time stamps
    form = "%(levelname)s %(message)s" if under_systemd else "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    for chatty in ("apscheduler", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
