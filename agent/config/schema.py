"""The configuration file: every key, its unit, its default (here and nowhere else), its range.

pydantic stays inside this package; ``agent.config.decode`` turns these models into core values.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code, such as USD")]
Identifier = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}$",
        description="Letters, digits and . _ : / -, at most 63",
    ),
]
Uuid = Annotated[
    str,
    Field(
        pattern=r"^(GPU|MIG)-[0-9A-Za-z-]{8,}$",
        description="UUID of one card, as `nvidia-smi -L` shows it: GPU- and its digits",
    ),
]
TeamName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/@-]{0,62}$",
        description="A letter or digit, then letters, digits, blanks and . _ : / @ -",
    ),
]


def _number(value: object) -> object:
    if isinstance(value, bool):  # which Python takes for 0 and 1, and YAML makes of yes and on
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 - pydantic's way
    return value


Int = Annotated[int, BeforeValidator(_number)]
Float = Annotated[float, BeforeValidator(_number)]


def _moment(value: object) -> object:
    # YAML turns 2026 into a number, and a number would count as seconds since 1970.
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, date):  # a datetime is a date
        problem = "must be a date such as 2026-01-31, or 2026-01-31T09:00:00+01:00"
        raise ValueError(problem)  # noqa: TRY004 - pydantic's way
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(
            f"must lie in {FIRST_YEAR} to {LAST_YEAR}; a record without an end has no valid_to"
        )
    return value


FIRST_YEAR, LAST_YEAR = 1971, 2099
Moment = Annotated[
    datetime | date,
    BeforeValidator(_moment),
    Field(description="A date (midnight in `timezone`) or a date and time with an offset"),
]

USUAL_PER_GPU_HOUR = (Decimal("0.01"), Decimal(100))
"""On-demand list prices of 2026 lie between 0.19 and 14.3 USD for one card and hour."""
USUAL_CURRENCIES = frozenset({"USD", "EUR", "GBP", "CHF", "CAD", "AUD", "NZD", "SGD"})
MAX_AMOUNT = Decimal(10**15)
RESERVED_TEAMS = frozenset({"unallocated", "unattributed", "_other"})


class Model(BaseModel):
    """Base of every section: unknown keys are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Match(Model):
    """Which cards a record speaks of: exactly one of the two keys."""

    uuid: Uuid | None = Field(
        None, description="UUID of one card, as `nvidia-smi -L` shows it: GPU- and its digits"
    )
    model: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\[\]]+$")] | None = (
        Field(None, description="NVML product name; `*` stands for anything, `?` for one character")
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.uuid is None) == (self.model is None):
            raise ValueError("give exactly one of uuid and model")
        return self


class PriceBase(Model):
    """What rented and owned records share."""

    id: Identifier = Field(
        description="Name of the record; ledger rows keep it, so never reuse one"
    )
    match: Match = Field(description="Which cards it is for: uuid or model")
    currency: Currency | None = Field(None, description="Must be the `currency` of the file")
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
    price_per_gpu_hour: Decimal = Field(
        gt=0,
        le=MAX_AMOUNT,
        description="For one card, not for the instance; units of `currency` per hour",
    )
    discount_ratio: Decimal = Field(
        Decimal(0), ge=0, lt=1, description="Share taken off the price, 0.15 for 15 %"
    )
    tax_ratio: Decimal = Field(
        Decimal(0), ge=0, le=1, description="Share added for tax, 0.19 for 19 %"
    )


class OwnedPrice(PriceBase):
    """Owned cards, depreciated in a straight line; `electricity` comes on top."""

    kind: Literal["owned"] = Field(description="rented or owned")
    purchase_price: Decimal = Field(
        gt=0, le=MAX_AMOUNT, description="For all cards of the record together"
    )
    salvage_value: Decimal = Field(Decimal(0), ge=0, description="Expected at the end of the life")
    cards: Int = Field(ge=1, le=1024, description="How many cards the purchase price is for")
    in_service: Moment = Field(description="When depreciation starts")
    life_years: Decimal = Field(
        ge=Decimal("0.1"), le=15, description="Calendar years from in_service"
    )

    @model_validator(mode="after")
    def _salvage_below_purchase(self) -> Self:
        if self.salvage_value >= self.purchase_price:
            raise ValueError("salvage_value must be below purchase_price")
        return self


PriceRecord = Annotated[RentedPrice | OwnedPrice, Field(discriminator="kind")]


class Electricity(Model):
    """What owned cards pay for energy: energy x PUE x tariff."""

    id: Identifier = Field("electricity", description="Name of the tariff; ledger rows keep it")
    price_per_kilowatt_hour: Decimal = Field(
        gt=0, le=10_000, description="Units of `currency` for one kWh at the meter"
    )
    pue: Decimal = Field(
        ge=1,
        le=3,
        description="Power usage effectiveness of the site: meter over IT; 1.54 is the industry mean",
    )


class Team(Model):
    """Cards given to a team; its card is charged to it in every state."""

    team: TeamName
    match: Match = Field(description="Which cards it is for: uuid or model")

    @field_validator("team")
    @classmethod
    def _not_reserved(cls, team: str) -> str:
        if team in RESERVED_TEAMS:
            raise ValueError("unallocated, unattributed and _other are names gpufin uses itself")
        return team


class Activity(Model):
    """When a card counts as working."""

    active_percent: Int = Field(
        5, ge=1, le=100, description="Utilisation from which a card is active"
    )
    idle_after_seconds: Float = Field(
        60, ge=0, le=3_600, description="How long a card stays active after its last activity"
    )


class Gaps(Model):
    """What is booked for time in which a card or the agent was not there."""

    max_fill_seconds: Float = Field(
        3_600, ge=0, le=2_678_400, description="Longest reboot filled for on-demand and spot cards"
    )
    max_down_rented_seconds: Float = Field(
        3_600, ge=0, le=31_622_400, description="How long a vanished rented card is still paid for"
    )
    max_down_owned_seconds: Float = Field(
        2_592_000,
        ge=0,
        le=31_622_400,
        description="How long a vanished owned card is still expected",
    )


class Config(Model):
    """The file /etc/gpufin/config.yaml."""

    currency: Currency = Field(
        description="ISO 4217 code such as USD: the one currency of this agent"
    )
    timezone: str = Field(
        "UTC",
        validate_default=True,
        description="IANA zone in which months begin, the same for the fleet",
    )
    listen: str = Field(
        "127.0.0.1:9776",
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        description="HOST:PORT of /metrics and the status page; 0.0.0.0:9776 opens it to all",
    )
    state_directory: str = Field(
        "/var/lib/gpufin", min_length=1, description="Where the ledger lies; one agent writes there"
    )
    source: Literal["nvml", "simulated"] = Field(
        "nvml", description="Where readings come from; simulated invents a node"
    )
    interval_seconds: Float = Field(
        1,
        ge=0.1,
        le=10,
        description="Time between two ticks; the unit's watchdog waits 30 s for one",
    )
    flush_seconds: Float = Field(
        10,
        ge=0.1,
        le=300,
        description="Time between two writes of the ledger: most that a crash can lose",
    )
    activity: Activity = Field(default=Activity(), description="When a card counts as working")
    gaps: Gaps = Field(
        default=Gaps(), description="What is booked for time in which a card or the agent was away"
    )
    prices: tuple[PriceRecord, ...] = Field(
        (), description="Dated price records; a gap is unpriced time"
    )
    electricity: Electricity | None = Field(None, description="Tariff for owned cards")
    teams: tuple[Team, ...] = Field((), description="Whose card it is; the first match counts")
    retired_gpus: tuple[Uuid, ...] = Field((), description="UUIDs of cards that left for good")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - reads the zone's file, wanted here alone

        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"{zone!r} is not an IANA time zone; such as UTC, Europe/Berlin or America/New_York"
            ) from error
        return zone
