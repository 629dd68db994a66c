"""Sections of the configuration file that say what energy costs and emits."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from agent.config.keys import (
    MAX_PLACES,
    NUMBER,
    Float,
    Hours,
    Identifier,
    Model,
    Moment,
    Number,
    ZoneName,
    known_zone,
)

MAX_PER_KWH = Decimal(10**7)
"""With the largest PUE a card's day of 12 kW stays within 64 bits of 1e-9."""
USUAL_PER_KWH = (Decimal("0.005"), Decimal(2))
"""Industry pays 0.07 and households up to 0.40 USD or EUR in 2026; nothing is usual too, for free hours."""

Pue = Annotated[Decimal, Field(ge=1, le=3, decimal_places=MAX_PLACES), NUMBER]
Grams = Annotated[Decimal, Field(ge=0, le=5_000, decimal_places=MAX_PLACES), NUMBER]
Kilograms = Annotated[Decimal, Field(gt=0, le=100_000, decimal_places=MAX_PLACES), NUMBER]


class Band(Hours):
    """Hours at which a kilowatt-hour costs another price."""

    name: Identifier = Field(description="Name of the band; ledger rows keep it")
    price_per_kilowatt_hour: Number = Field(
        ge=0, le=MAX_PER_KWH, description="Units of `currency` for one kWh at the meter"
    )


class Electricity(Model):
    """What owned cards pay for energy: energy x PUE x tariff."""

    id: Identifier = Field("electricity", description="Name of the tariff; ledger rows keep it")
    price_per_kilowatt_hour: Number = Field(
        ge=0, le=MAX_PER_KWH, description="Units of `currency` for one kWh, outside of `bands`"
    )
    pue: Pue = Field(
        description="Power usage effectiveness of the site: meter over IT; 1.54 is the industry mean",
    )
    valid_from: Moment | None = Field(None, description="First moment; empty: always was valid")
    valid_to: Moment | None = Field(None, description="First moment after the last; empty: no end")
    timezone: ZoneName | None = Field(None, description="Zone of its hours; default: the file's")
    holidays: tuple[date, ...] = Field((), description="Dates that bands may treat apart")
    bands: tuple[Band, ...] = Field((), description="Other prices by hour; the first that holds")
    unusual: bool = Field(
        default=False,
        description="true accepts a price outside the usual range of 0.005 to 2 for a kWh",
    )
    source: str = Field("", max_length=200, description="Where it comes from, for people")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return None if zone is None else known_zone(zone)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [band.name for band in self.bands]
        if len(set(names)) < len(names):
            raise ValueError("two bands have one name")
        return self


class Carbon(Model):
    """What a kilowatt-hour emits, and what making the cards did."""

    grams_per_kilowatt_hour: Grams | None = Field(
        None, description="Grams of CO2 equivalent, one figure for all time"
    )
    grid: str | None = Field(
        None, description="Country of the table that comes with gpufin, such as DE (year 2023)"
    )
    file: str | None = Field(
        None,
        pattern=r"^/",
        description="A file that another tool refreshes: a number, or JSON with grams_per_kilowatt_hour",
    )
    max_age_seconds: Float = Field(
        7_200, ge=60, le=604_800, description="From which age on the file is not believed"
    )
    pue: Pue | None = Field(
        None, description="PUE of the site; default: that of the first `electricity`"
    )
    embodied_kilograms_per_gpu: Kilograms | None = Field(
        None, description="Carbon of making one card, spread over its life"
    )
    embodied_life_years: Number = Field(
        Decimal(5), ge=Decimal("0.1"), le=15, description="Life of a card in years of 8,760 hours"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = (self.grams_per_kilowatt_hour, self.grid, self.file)
        if sum(each is not None for each in given) != 1:
            raise ValueError("give exactly one of grams_per_kilowatt_hour, grid and file")
        return self
