"""Sections of the configuration file that say what cards cost."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent.config.keys import (
    Amount,
    Currency,
    Identifier,
    Int,
    Interest,
    Match,
    Model,
    Moment,
    Number,
    PositiveAmount,
)

USUAL_PER_GPU_HOUR = (Decimal("0.01"), Decimal(100))
"""On-demand list prices of 2026 lie between 0.19 and 14.3 USD for one card and hour."""
MAX_PER_GPU_HOUR = Decimal(10**8)
"""A card's day is one row of the ledger after compaction: 64 bits of 1e-9 hold nearly four times as much.
The currencies of the smallest value need a million for what costs a dollar."""
USUAL_CURRENCIES = frozenset({"USD", "EUR", "GBP", "CHF", "CAD", "AUD", "NZD", "SGD"})


class PriceBase(Model):
    """What rented and owned records share."""

    id: Identifier = Field(
        description="Name of the record; ledger rows keep it, so never reuse one"
    )
    match: Match = Field(description="Which cards it is for")
    currency: Currency | None = Field(
        None, description="Currency of its amounts; another than the file's needs `exchange_rates`"
    )
    valid_from: Moment | None = Field(None, description="First moment; empty: always was valid")
    valid_to: Moment | None = Field(None, description="First moment after the last; empty: no end")
    source: str = Field("", max_length=200, description="Where the figure comes from, for people")
    unusual: bool = Field(
        default=False,
        description="true accepts a price outside the usual range of 0.01 to 100 for a GPU-hour",
    )


class RentedPrice(PriceBase):
    """A rental: the price contains its electricity."""

    kind: Literal["rented"] = Field(description="rented or owned")
    tier: Literal["on_demand", "spot", "reserved"] = Field(
        "on_demand",
        description="Reserved cards are paid for while the node is off, the others are not",
    )
    price_per_gpu_hour: PositiveAmount | None = Field(
        None, description="For one card; units of `currency` per hour"
    )
    price_per_instance_hour: PositiveAmount | None = Field(
        None, description="For an instance of `cards_per_instance` cards"
    )
    cards_per_instance: Int | None = Field(
        None, ge=1, le=1024, description="How many cards the price of an instance is for"
    )
    discount_ratio: Number = Field(
        Decimal(0), ge=0, lt=1, description="Share taken off the price, 0.15 for 15 %"
    )
    tax_ratio: Number = Field(
        Decimal(0), ge=0, le=1, description="Share added for tax, 0.19 for 19 %"
    )

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.price_per_gpu_hour is None) == (self.price_per_instance_hour is None):
            raise ValueError("give exactly one of price_per_gpu_hour and price_per_instance_hour")
        if (self.price_per_instance_hour is None) != (self.cards_per_instance is None):
            raise ValueError("price_per_instance_hour and cards_per_instance go together")
        return self

    @property
    def per_gpu_hour(self) -> Fraction:
        """The price of one card and hour before discount and tax, in its own currency."""
        if self.price_per_gpu_hour is not None:
            return Fraction(self.price_per_gpu_hour)
        return Fraction(self.price_per_instance_hour or 0) / (self.cards_per_instance or 1)


class OwnedPrice(PriceBase):
    """Owned cards: capital, running cost, and `electricity` on top."""

    kind: Literal["owned"] = Field(description="rented or owned")
    purchase_price: PositiveAmount = Field(description="For all cards of the record together")
    salvage_value: Amount = Field(Decimal(0), description="Expected at the end of the life")
    cards: Int = Field(ge=1, le=1024, description="How many cards the purchase price is for")
    in_service: Moment = Field(description="When depreciation starts")
    life_years: Number = Field(
        ge=Decimal("0.1"), le=15, description="Calendar years from in_service"
    )

    depreciation: Literal["straight_line", "annuity"] = Field(
        "straight_line", description="annuity charges cost of capital on top, in equal payments"
    )
    cost_of_capital_ratio: Interest = Field(
        Decimal(0),
        description="Interest a year for an annuity, 0.08 for 8 %",
    )
    annuity_payments_per_year: Literal[1, 12] = Field(
        1, description="Payments of an annuity at the end of each year or month"
    )
    maintenance_ratio_per_year: Number = Field(
        Decimal(0), ge=0, le=1, description="Share of the purchase price a year, 0.05 for 5 %"
    )
    space_price_per_kilowatt_month: Amount = Field(
        Decimal(0), description="Rent of the place in a rack, per kW and month"
    )
    space_kilowatts: Number = Field(
        Decimal(0), ge=0, le=10_000, description="Kilowatts of rack that all its cards take"
    )
    staff_price_per_year: Amount = Field(
        Decimal(0), description="Share of the operators' pay, for all its cards"
    )
    host_watts_per_gpu: Number = Field(
        Decimal(0), ge=0, le=10_000, description="One card's share of what its host draws itself"
    )

    @model_validator(mode="after")
    def _annuity_has_interest(self) -> Self:
        if (self.depreciation == "annuity") != (self.cost_of_capital_ratio > 0):
            raise ValueError("cost_of_capital_ratio and depreciation: annuity go together")
        return self

    @model_validator(mode="after")
    def _salvage_below_purchase(self) -> Self:
        if self.salvage_value >= self.purchase_price:
            raise ValueError("salvage_value must be below purchase_price")
        return self


PriceRecord = Annotated[RentedPrice | OwnedPrice, Field(discriminator="kind")]


class ExchangeRate(Model):
    """What a unit of another currency is worth, for a time."""

    currency: Currency = Field(description="The other currency")
    rate: Number = Field(
        gt=0, le=10**9, description="Units of the file's `currency` for one unit of it"
    )
    valid_from: Moment | None = Field(None, description="First moment; empty: always was valid")
    valid_to: Moment | None = Field(None, description="First moment after the last; empty: no end")
    source: str = Field("", max_length=200, description="Where the rate comes from, for people")
