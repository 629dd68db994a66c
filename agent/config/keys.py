"""What the sections of the configuration file share: kinds of values, and how cards are named."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agent.usage.timetable import QUARTER_SECONDS

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
    if isinstance(value, str) and _OCTAL.fullmatch(value):
        raise ValueError(f"has a leading zero, which can mean octal: write {int(value)}")
    return value


_OCTAL = re.compile(r"[-+]?0[0-9]{1,99}")
MAX_PLACES = 18
"""Decimal places of a number: enough for any currency in any other, and every sum stays short."""

Int = Annotated[int, BeforeValidator(_number)]
Float = Annotated[float, BeforeValidator(_number)]
NUMBER = BeforeValidator(_number)
Number = Annotated[Decimal, Field(decimal_places=MAX_PLACES), NUMBER]


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

MAX_AMOUNT = Decimal(10**15)
Amount = Annotated[Decimal, Field(ge=0, le=MAX_AMOUNT, decimal_places=MAX_PLACES), NUMBER]
PositiveAmount = Annotated[Decimal, Field(gt=0, le=MAX_AMOUNT, decimal_places=MAX_PLACES), NUMBER]
Interest = Annotated[Decimal, Field(ge=0, le=1, decimal_places=6), NUMBER]
"""Finer, the powers of an annuity would not be exact."""
Label = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./-]{0,62}$", description="Name of a node label"),
]
Glob = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[^\[\]]+$",
        description="`*` stands for anything, `?` for one character",
    ),
]
ZoneName = Annotated[str, Field(description="IANA time zone, such as Europe/Berlin")]
RESERVED_TEAMS = frozenset({"unallocated", "unattributed", "_other"})
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_QUARTER_MINUTES = QUARTER_SECONDS // 60


def known_zone(zone: str) -> str:
    """The zone's name.

    Raises:
        ValueError: nobody knows such a zone.
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - reads the zone's file, wanted here alone

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{zone!r} is not an IANA time zone; such as UTC, Europe/Berlin or America/New_York"
        ) from error
    return zone


class Model(BaseModel):
    """Base of every section: unknown keys are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Match(Model):
    """Which cards a record speaks of: all that is given must hold."""

    uuid: Uuid | None = Field(
        None, description="UUID of one card, as `nvidia-smi -L` shows it: GPU- and its digits"
    )
    model: Glob | None = Field(
        None, description="NVML product name; `*` stands for anything, `?` for one character"
    )
    memory_gb: Int | None = Field(
        None, ge=1, le=10_000, description="Memory in the product's name, such as 80"
    )
    form_factor: Literal["sxm", "pcie", "nvl"] | None = Field(
        None, description="sxm, pcie or nvl, as far as the product name tells"
    )
    mig_profile: Glob | None = Field(
        None, description="Profile of all MIG instances of the card, such as 1g.10gb, or a glob"
    )
    node: dict[Label, Glob] = Field(
        default_factory=dict, description="Node labels and globs over their values"
    )

    @model_validator(mode="after")
    def _names_cards(self) -> Self:
        if self.uuid is None and self.model is None and self.mig_profile is None:
            raise ValueError("give uuid, model or mig_profile; model: '*' stands for all cards")
        others = (self.model, self.memory_gb, self.form_factor, self.mig_profile)
        if self.uuid is not None and any(other is not None for other in others):
            raise ValueError("a uuid names one card: leave the other keys out")
        return self


def _clock_time(value: object) -> object:
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time of day such as 16:00")
    minute = int(found[1]) * 60 + int(found[2])
    if minute > 24 * 60 or minute % _QUARTER_MINUTES:
        raise ValueError("must be 00:00 to 24:00, on a quarter of an hour")
    return minute


_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])")


TimeOfDay = Annotated[
    int,
    BeforeValidator(_clock_time),
    Field(description="Local time of day such as 16:00, on a quarter of an hour"),
]


class Hours(Model):
    """Hours of the week and the year, in local time."""

    from_: TimeOfDay = Field(0, alias="from", description="First moment, such as 16:00")
    to: TimeOfDay = Field(
        24 * 60, description="First moment after it; not later than `from`: past midnight"
    )
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        min_length=1,
        description="Days of the week: mon, tue, wed, thu, fri, sat, sun",
    )
    months: tuple[Annotated[Int, Field(ge=1, le=12)], ...] = Field(
        tuple(range(1, 13)), min_length=1, description="Months of the year, 1 to 12"
    )
    holidays: Literal["like_other_days", "never", "only"] = Field(
        "like_other_days", description="Whether it holds on `holidays` too, not then, or only then"
    )
