"""The configuration file: every key, its unit, its default (here and nowhere else), its range.

pydantic stays inside this package; ``agent.config.decode`` turns these models into core values.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator

from agent.config.keys import (
    RESERVED_TEAMS,
    Currency,
    Float,
    Hours,
    Identifier,
    Int,
    Label,
    Match,
    Model,
    TeamName,
    Uuid,
    ZoneName,
    known_zone,
)
from agent.config.schema_energy import Carbon, Electricity
from agent.config.schema_prices import ExchangeRate, PriceRecord


class Team(Model):
    """Cards given to a team; its card is charged to it in every state."""

    team: TeamName
    match: Match = Field(description="Which cards it is for")

    @field_validator("team")
    @classmethod
    def _not_reserved(cls, team: str) -> str:
        if team in RESERVED_TEAMS:
            raise ValueError("unallocated, unattributed and _other are names gpufin uses itself")
        return team


class IdleExemption(Model):
    """Cards whose held and idle time is no waste, always or at some hours."""

    name: Identifier = Field(description="Name in series, rows and reports")
    match: Match = Field(description="Which cards it is for")
    team: TeamName | None = Field(None, description="Only while they are given to this team")
    hours: tuple[Hours, ...] = Field((), description="Only at these hours; empty: always")
    timezone: ZoneName | None = Field(None, description="Zone of its hours; default: the file's")
    holidays: tuple[date, ...] = Field((), description="Dates that hours may treat apart")
    reason: str = Field("", max_length=200, description="Why, for people")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return None if zone is None else known_zone(zone)


class Activity(Model):
    """When a card counts as working."""

    active_percent: Int = Field(
        5, ge=1, le=100, description="Utilisation from which a card is active"
    )
    idle_after_seconds: Float = Field(
        60, ge=0, le=3_600, description="How long a card stays active after its last activity"
    )


class Ledger(Model):
    """How long the ledger keeps what."""

    compact_after_days: Int = Field(
        400, ge=35, le=36_500, description="Hours of days older than this become a row for the day"
    )
    keep_months: Int | None = Field(
        None, ge=13, le=1_200, description="Months kept, this one included; empty: all of them"
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
    ledger: Ledger = Field(default=Ledger(), description="How long the ledger keeps what")
    prices: tuple[PriceRecord, ...] = Field(
        (), description="Dated price records; a gap is unpriced time"
    )
    exchange_rates: tuple[ExchangeRate, ...] = Field(
        (), description="Dated rates for records in another currency"
    )
    reference_prices: str | None = Field(
        None, description="Provider whose list prices hold for cards without a record of yours"
    )
    electricity: tuple[Electricity, ...] = Field((), description="Dated tariffs for owned cards")
    carbon: Carbon | None = Field(None, description="What energy emits; empty: not told")
    teams: tuple[Team, ...] = Field((), description="Whose card it is; the first match counts")
    node_labels: dict[Label, Annotated[str, Field(max_length=128)]] = Field(
        default_factory=dict, description="Labels of this node for `match`; `hostname` is built in"
    )
    idle_exemptions: tuple[IdleExemption, ...] = Field(
        (), description="Idle time that is meant to be: no waste, no alert"
    )
    retired_gpus: tuple[Uuid, ...] = Field((), description="UUIDs of cards that left for good")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        return known_zone(zone)
