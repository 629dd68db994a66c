"""From the file's words for cards and hours to those of the core."""

from collections.abc import Iterable
from datetime import date
from typing import TypeVar
from zoneinfo import ZoneInfo

from agent.config.keys import WEEKDAYS, Hours, Match
from agent.usage.match import CardMatch, FormFactor
from agent.usage.timetable import Timetable, When

T = TypeVar("T")
_HOLIDAYS = {"like_other_days": None, "never": False, "only": True}


def card_match(match: Match) -> CardMatch:
    """Which cards a record speaks of."""
    return CardMatch(
        uuid=match.uuid,
        model=match.model,
        memory_gb=match.memory_gb,
        form_factor=None if match.form_factor is None else FormFactor(match.form_factor),
        mig_profile=match.mig_profile,
        node=dict(match.node),
    )


def timetable(
    entries: Iterable[tuple[Hours, T]],
    otherwise: T,
    *,
    zone: ZoneInfo,
    holidays: Iterable[date] = (),
) -> Timetable[T]:
    """What holds at which hours."""
    return Timetable(
        zone=zone,
        entries=tuple((_when(hours), value) for hours, value in entries),
        otherwise=otherwise,
        holidays=frozenset(holidays),
    )


def _when(hours: Hours) -> When:
    return When(
        from_minute=hours.from_,
        to_minute=hours.to,
        weekdays=frozenset(WEEKDAYS.index(day) for day in hours.weekdays),
        months=frozenset(hours.months),
        holidays=_HOLIDAYS[hours.holidays],
    )
