"""From the file's tariffs and carbon to those of the core, and what is wrong with them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.config.moments import validity_ns
from agent.config.reference import grid_intensities
from agent.config.schema import Config
from agent.config.schema_energy import USUAL_PER_KWH, Electricity
from agent.config.schema_prices import USUAL_CURRENCIES
from agent.config.selection import timetable
from agent.cost.energy import CarbonIntensity, EnergyPrice, Tariff, embodied_nanograms_per_ns
from agent.cost.rates import HOURS_PER_YEAR
from agent.errors import ConfigError, Fault
from agent.ledger.posting import NO_EMISSIONS, Emissions
from agent.units import NANOSECONDS_PER_HOUR, nanoseconds

MAX_GRAMS_PER_KWH = 5_000


@dataclass(frozen=True, slots=True)
class CarbonFile:
    """A file with the intensity of the grid, kept fresh by another tool."""

    path: Path
    max_age_ns: int
    pue: Fraction

    def intensity(self, text: str) -> CarbonIntensity:
        """What the file says: a number, or JSON with ``grams_per_kilowatt_hour``.

        Raises:
            ConfigError: it says something else.
        """
        try:
            said = json.loads(text)
            grams = float(said["grams_per_kilowatt_hour"] if isinstance(said, dict) else said)
        except (ValueError, TypeError, KeyError, RecursionError):
            grams = -1.0
        if not 0 <= grams <= MAX_GRAMS_PER_KWH:
            problem = f"must hold a number of 0 to {MAX_GRAMS_PER_KWH}, or JSON with grams_per_kilowatt_hour"
            raise ConfigError([Fault(str(self.path), "", problem)])
        return CarbonIntensity("file", Fraction(grams), self.pue)


def tariffs_of(config: Config) -> tuple[Tariff, ...]:
    """The dated tariffs."""
    zone = ZoneInfo(config.timezone)
    return tuple(_tariff(record, zone) for record in config.electricity)


def emissions_of(config: Config) -> tuple[Emissions, CarbonFile | None]:
    """What is known of carbon now, and the file that tells the rest."""
    carbon = config.carbon
    if carbon is None:
        return NO_EMISSIONS, None
    pue = Fraction(carbon.pue or config.electricity[0].pue)
    embodied = None
    if carbon.embodied_kilograms_per_gpu is not None:
        hours = Fraction(carbon.embodied_life_years) * HOURS_PER_YEAR
        life_ns = int(hours * NANOSECONDS_PER_HOUR)
        embodied = embodied_nanograms_per_ns(Fraction(carbon.embodied_kilograms_per_gpu), life_ns)
    if carbon.file is not None:
        source = CarbonFile(Path(carbon.file), nanoseconds(carbon.max_age_seconds), pue)
        return Emissions(expected=True, embodied_ng_per_ns=embodied), source
    if carbon.grid is not None:
        grid = grid_intensities()
        intensity = CarbonIntensity(f"grid/{carbon.grid}", grid[carbon.grid], pue)
    else:
        intensity = CarbonIntensity("flat", Fraction(carbon.grams_per_kilowatt_hour or 0), pue)
    return Emissions(expected=True, intensity=intensity, embodied_ng_per_ns=embodied), None


def check_energy(config: Config) -> Iterator[tuple[str, str]]:
    """Faults that one key alone does not show, as (key, problem)."""
    zone = ZoneInfo(config.timezone)
    for number, record in enumerate(config.electricity):
        key = f"electricity[{number}]"
        start_ns, end_ns = validity_ns(record, zone)
        if start_ns >= end_ns:
            yield f"{key}.valid_to", "must be later than valid_from"
        if config.currency in USUAL_CURRENCIES and not record.unusual:
            yield from _unusual(key, record)
        for other in config.electricity[:number]:
            from_ns, to_ns = validity_ns(other, zone)
            if other.id == record.id:
                yield f"{key}.id", f"{record.id!r} is used by an earlier record"
            if start_ns < to_ns and from_ns < end_ns:
                yield key, f"holds at the same time as {other.id}; end one with valid_to"
    if any(record.kind == "owned" for record in config.prices) and not config.electricity:
        yield "electricity", "is missing: owned cards pay for their energy (tariff and PUE)"
    yield from _check_carbon(config)


def _unusual(key: str, record: Electricity) -> Iterator[tuple[str, str]]:
    low, high = USUAL_PER_KWH
    prices = {"": record.price_per_kilowatt_hour} | {
        f".bands[{number}]": band.price_per_kilowatt_hour
        for number, band in enumerate(record.bands)
    }
    for where, price in prices.items():
        if price and not low <= price <= high:
            problem = (
                f"is {price:g} for a kWh, outside {low} to {high}: is it in cents, or for a MWh? "
                "If it is right, set unusual: true"
            )
            yield f"{key}{where}.price_per_kilowatt_hour", problem


def _check_carbon(config: Config) -> Iterator[tuple[str, str]]:
    carbon = config.carbon
    if carbon is not None and carbon.pue is None and not config.electricity:
        yield "carbon.pue", "is missing: without electricity nothing else tells it"
    if carbon is not None and carbon.grid is not None and carbon.grid not in grid_intensities():
        yield "carbon.grid", f"must be one of {', '.join(sorted(grid_intensities()))}"


def _tariff(record: Electricity, zone: ZoneInfo) -> Tariff:
    pue = Fraction(record.pue)
    start_ns, end_ns = validity_ns(record, zone)
    bands = [
        (
            band,
            EnergyPrice(f"{record.id}/{band.name}", Fraction(band.price_per_kilowatt_hour), pue),
        )
        for band in record.bands
    ]
    return Tariff(
        id=record.id,
        bands=timetable(
            bands,
            EnergyPrice(record.id, Fraction(record.price_per_kilowatt_hour), pue),
            zone=ZoneInfo(record.timezone) if record.timezone else zone,
            holidays=record.holidays,
        ),
        valid_from_ns=start_ns,
        valid_to_ns=end_ns,
        source=record.source,
    )
