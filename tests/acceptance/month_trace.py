"""A month of a node as raw facts: what each card did in every half minute, and when things happened.

Plain Python: neither this module nor ``month_bill`` knows anything of the agent.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Berlin")
STEP = 30
"""Seconds between two looks at the cards."""
FLUSH = 120
H100, L40S, T4 = "NVIDIA H100 80GB HBM3", "NVIDIA L40S", "Tesla T4"


def at(text: str) -> int:
    """UTC seconds of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


BEGIN, END = at("2026-10-01T00:00:00"), at("2026-11-01T00:00:00")
CARDS = tuple(
    (f"GPU-{number:08d}-0000-0000-0000-000000000000", model)
    for number, model in enumerate((H100, H100, H100, H100, L40S, L40S, T4, H100))
)
RESERVED, SPOT, LATE, LEAVING = CARDS[2][0], CARDS[3][0], CARDS[6][0], CARDS[7][0]
OWNED = (CARDS[4][0], CARDS[5][0])
PRICE_CHANGE = at("2026-10-14T10:20:15")
RATE_CHANGE = at("2026-10-20T00:00:00")
LATE_FROM, LATE_KNOWN = at("2026-10-05T06:30:00"), at("2026-10-20T09:00:00")
VANISHED, RETIRED = at("2026-10-18T11:40:00"), at("2026-10-18T12:00:00")


@dataclass(frozen=True)
class Away:
    """The agent stood still: last tick, last flush, first tick after it; whether the machine booted."""

    last_tick: int
    last_flush: int
    back: int
    boots: bool


AWAY = (
    Away(
        at("2026-10-06T03:12:30"), at("2026-10-06T03:12:00"), at("2026-10-06T03:20:30"), boots=False
    ),
    Away(
        at("2026-10-11T20:00:00"), at("2026-10-11T20:00:00"), at("2026-10-11T20:40:00"), boots=True
    ),
    # Over the night in which the clock goes back: four hours by the sun, three on the wall.
    Away(
        at("2026-10-25T01:30:00"), at("2026-10-25T01:30:00"), at("2026-10-25T04:30:00"), boots=True
    ),
)


@dataclass(frozen=True)
class Doing:
    """What a card shows: utilisation in per cent, whether a process holds it, watts it draws."""

    utilization: int
    held: bool
    watts: int


BUSY, PARKED, EMPTY = Doing(92, True, 510), Doing(0, True, 117), Doing(0, False, 71)


def doings(seed: int = 5) -> dict[str, list[Doing]]:
    """What each card does in each step of the month; step n ends n x STEP after the beginning.

    The seed is one with which the card of the late price changes its state in the hour it begins in.
    """
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    steps = (END - BEGIN) // STEP
    found: dict[str, list[Doing]] = {}
    for uuid, _ in CARDS:
        course: list[Doing] = []
        while len(course) <= steps:
            doing = chance.choices((BUSY, PARKED, EMPTY), (5, 3, 2))[0]
            course += [doing] * chance.randint(1, 700)
        found[uuid] = course[: steps + 1]
    return found


def counters(course: list[Doing]) -> list[int]:
    """The card's energy counter in mJ at the end of each step; it begins anew with every boot."""
    boots = {(away.back - 60 - BEGIN) // STEP for away in AWAY if away.boots}
    total, found = 5_000_000, []
    for step, doing in enumerate(course):
        total = 0 if step in boots else total + (doing.watts * 1_000 * STEP if step else 0)
        found.append(total)
    return found


def runs() -> list[tuple[int, int]]:
    """First and last tick of each life of the agent, UTC seconds."""
    begins = [BEGIN, *(away.back for away in AWAY)]
    ends = [*(away.last_tick for away in AWAY), END]
    return list(zip(begins, ends, strict=True))


def local(moment: int) -> datetime:
    """The clock on the wall."""
    return datetime.fromtimestamp(moment, ZONE)


assert timedelta(seconds=END - BEGIN) == timedelta(hours=745)
