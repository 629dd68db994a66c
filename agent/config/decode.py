"""From checked settings to the values of the core: prices, policy, durations."""

import socket
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.config.decode_energy import CarbonFile, check_energy, emissions_of, tariffs_of
from agent.config.decode_prices import check_prices, prices_of
from agent.config.load import load
from agent.config.reference import reference_providers
from agent.config.schema import Config, IdleExemption
from agent.config.selection import card_match, timetable
from agent.cost.prices import PriceTable
from agent.ledger.policy import AccountPolicy, Retention
from agent.units import nanoseconds
from agent.usage.exemption import Exemption
from agent.usage.state import ActivityPolicy
from agent.usage.team import TeamRule

MAX_GAP_SECONDS = 5.0
"""A tick that comes later than this, or than three intervals, is a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the agent runs with; ``host`` and ``port`` are those of the HTTP endpoint."""

    policy: AccountPolicy
    source: str
    host: str
    port: int
    state_directory: Path
    interval_ns: int
    flush_ns: int
    retention: Retention
    carbon_file: CarbonFile | None = None


def load_settings(path: Path) -> Settings:
    """Read and check the configuration file.

    Raises:
        ConfigError: with every fault of the file.
    """
    return settings_of(load(path, Config, check_config))


def check_config(config: Config) -> list[tuple[str, str]]:
    """Faults that one key alone does not show, as (key, problem)."""
    faults = [*_check_names(config), *check_energy(config)]
    if not any(key == "reference_prices" for key, _ in faults):
        faults += check_prices(config)
    return faults


def _check_names(config: Config) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    if not 1 <= int(config.listen.rsplit(":", 1)[1]) <= 65_535:  # noqa: PLR2004 - ports
        faults.append(("listen", "the port must be 1 to 65535"))
    names = [each.name for each in config.idle_exemptions]
    faults += [
        (f"idle_exemptions[{number}].name", f"{name!r} is used by an earlier one")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    provider = config.reference_prices
    if provider is not None and provider not in reference_providers():
        known = ", ".join(reference_providers())
        faults.append(("reference_prices", f"must be one of {known} (it is {provider!r})"))
    elif provider is not None and config.currency != "USD":
        faults.append(("reference_prices", "are in USD, and this file is not"))
    return faults


def settings_of(config: Config) -> Settings:
    """The core values of a configuration without faults."""
    zone = ZoneInfo(config.timezone)
    interval_ns = nanoseconds(config.interval_seconds)
    emissions, carbon_file = emissions_of(config)
    policy = AccountPolicy(
        table=PriceTable(
            prices_of(config),
            currency=config.currency,
            tariffs=tariffs_of(config),
            labels={"hostname": socket.gethostname(), **config.node_labels},
        ),
        zone=zone,
        activity=ActivityPolicy(
            active_percent=config.activity.active_percent,
            idle_after_ns=nanoseconds(config.activity.idle_after_seconds),
        ),
        teams=tuple(TeamRule(rule.team, card_match(rule.match)) for rule in config.teams),
        exemptions=tuple(_exemption(each, zone) for each in config.idle_exemptions),
        retired=frozenset(config.retired_gpus),
        emissions=emissions,
        max_gap_ns=max(nanoseconds(MAX_GAP_SECONDS), 3 * interval_ns),
        max_fill_ns=nanoseconds(config.gaps.max_fill_seconds),
        max_down_rented_ns=nanoseconds(config.gaps.max_down_rented_seconds),
        max_down_owned_ns=nanoseconds(config.gaps.max_down_owned_seconds),
    )
    host, port = config.listen.rsplit(":", 1)
    return Settings(
        policy=policy,
        source=config.source,
        host=host.strip("[]"),
        port=int(port),
        state_directory=Path(config.state_directory),
        interval_ns=interval_ns,
        flush_ns=nanoseconds(config.flush_seconds),
        retention=Retention(config.ledger.compact_after_days, config.ledger.keep_months),
        carbon_file=carbon_file,
    )


def _exemption(exemption: IdleExemption, zone: ZoneInfo) -> Exemption:
    hours = timetable(
        ((each, True) for each in exemption.hours),
        not exemption.hours,
        zone=ZoneInfo(exemption.timezone) if exemption.timezone else zone,
        holidays=exemption.holidays,
    )
    match = card_match(exemption.match)
    return Exemption(name=exemption.name, match=match, team=exemption.team or "", hours=hours)
