"""Figures that come with gpufin: list prices and grid intensities, each with its date and source."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.config.keys import Match, Model
from agent.config.load import load

STALE_DAYS = 90
"""Markets move by half in a day; a list price older than this is worth a warning."""
_HERE = Path(__file__).parent


class _Row(Model):
    gpu: str
    match: Match
    price_per_gpu_hour: Decimal = Field(gt=0)
    tier: Literal["on_demand", "reserved"] = "on_demand"


class _Provider(Model):
    retrieved: date
    source: str
    rows: tuple[_Row, ...]


class _Prices(Model):
    currency: Literal["USD"]
    providers: dict[str, _Provider]


class _Grid(Model):
    year: int
    source: str
    grams_per_kilowatt_hour: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A list price: its record id, and when it was looked up (UTC seconds since 1970)."""

    id: str
    match: Match
    tier: str
    price_per_gpu_hour: Decimal
    retrieved_at: int
    source: str


def reference_providers() -> tuple[str, ...]:
    """The providers whose list prices there are."""
    return tuple(sorted(_prices().providers))


def reference_rows(provider: str | None) -> tuple[ReferenceRow, ...]:
    """The list prices of a provider, in USD for one card and hour; none for None."""
    if provider is None:
        return ()
    found = _prices().providers[provider]
    moment = datetime(found.retrieved.year, found.retrieved.month, found.retrieved.day, tzinfo=UTC)
    return tuple(
        ReferenceRow(
            id=f"reference/{provider}/{row.gpu}@{found.retrieved}",
            match=row.match,
            tier=row.tier,
            price_per_gpu_hour=row.price_per_gpu_hour,
            retrieved_at=int(moment.timestamp()),
            source=f"list price of {found.retrieved}: {found.source}",
        )
        for row in found.rows
    )


@lru_cache(maxsize=1)
def grid_intensities() -> dict[str, Fraction]:
    """Grams of CO2 equivalent for a kilowatt-hour, by country code."""
    grid = load(_HERE / "grid_intensity.yaml", _Grid)
    return {code: Fraction(grams) for code, grams in grid.grams_per_kilowatt_hour.items()}


@lru_cache(maxsize=1)
def _prices() -> _Prices:
    return load(_HERE / "reference_prices.yaml", _Prices)
