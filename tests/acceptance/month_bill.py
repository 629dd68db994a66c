"""The bill of the month, worked out by hand from the raw facts: plain sums, no part of the agent."""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from tests.acceptance.month_trace import (
    AWAY,
    BEGIN,
    CARDS,
    LATE,
    LATE_FROM,
    LEAVING,
    OWNED,
    PRICE_CHANGE,
    RATE_CHANGE,
    RESERVED,
    RETIRED,
    SPOT,
    STEP,
    VANISHED,
    Away,
    Doing,
    at,
    counters,
    doings,
    local,
    runs,
)

IDLE_AFTER = 60
ON_DEMAND, DEARER, RESERVATION, LATE_PRICE = (
    Fraction(p) for p in ("2.50", "3.10", "1.90", "0.526")
)
SPOT_EUROS, EURO_BEFORE, EURO_AFTER = Fraction("1.20"), Fraction("1.08"), Fraction("1.10")
PURCHASE, SALVAGE, SHARED_BY = Fraction(72_000), Fraction(7_200), 8
LIFE_SECONDS = at("2030-06-01T00:00:00") - at("2025-06-01T00:00:00")
RUNNING_A_YEAR = PURCHASE * Fraction("0.05") + 150 * 12 * 4 + 6_000
HOST_WATTS, PUE = 60, Fraction("1.4")
FLAT, PEAK, NIGHT = Fraction("0.12"), Fraction("0.24"), Fraction("0.08")

Bill = dict[tuple[str, str], Fraction]
"""State and component to money."""


def bill() -> Bill:
    """What the month costs."""
    due: Bill = defaultdict(Fraction)
    loads = doings()
    for uuid, _ in CARDS:
        course, counter = loads[uuid], counters(loads[uuid])
        for begin, end, state, filled in _spells(uuid, course):
            due[state, "capital" if uuid in OWNED else "rental"] += _for_time(uuid, begin, end)
            if uuid in OWNED:
                due[state, "opex"] += (
                    RUNNING_A_YEAR / SHARED_BY * Fraction(end - begin, 8_760 * 3_600)
                )
                if not filled:
                    host = Fraction(HOST_WATTS * (end - begin), 3_600_000)
                    due[state, "energy"] += host * PUE * _tariff(end)
        if uuid in OWNED:
            for end, state, millijoules in _drawn(uuid, course, counter):
                due[state, "energy"] += Fraction(millijoules, 3_600_000_000) * PUE * _tariff(end)
    return due


def _spells(uuid: str, course: list[Doing]) -> Iterator[tuple[int, int, str, bool]]:
    """Begin, end, state of every piece of time that is paid for, and whether it was filled in."""
    quiet: int | None = None
    for (first, last), before in zip(runs(), (None, *AWAY), strict=True):
        if before is not None:
            short = not before.boots or before.back - before.last_flush <= 3_600
            expected = uuid != LEAVING or before.back < RETIRED
            if expected and (short or uuid in {RESERVED, *OWNED}):
                yield before.last_flush, before.back, "unknown", True
            quiet = None
        for end in range(first, last + 1, STEP):
            if uuid == LEAVING and end > RETIRED:
                return
            doing = course[(end - BEGIN) // STEP]
            state, quiet = _state(uuid, doing, end, first, quiet)
            if end > first and not _unflushed(end):
                yield end - STEP, end, state, False


def _state(
    uuid: str, doing: Doing, end: int, first: int, quiet: int | None
) -> tuple[str, int | None]:
    if uuid == LEAVING and end >= VANISHED:
        return "down", quiet
    if doing.utilization >= 5:
        return "active", 0
    passed = STEP if end > first else 0
    quiet = IDLE_AFTER + 1 if quiet is None else quiet + passed
    if quiet <= IDLE_AFTER:
        return "active", quiet
    return ("held" if doing.held else "idle"), quiet


def _unflushed(end: int) -> bool:
    """Booked in memory when the agent was killed: filled in later, as unknown."""
    return any(away.last_flush < end <= away.last_tick for away in AWAY)


def _drawn(uuid: str, course: list[Doing], counter: list[int]) -> Iterator[tuple[int, str, int]]:
    """End, state and millijoules of every piece in which energy was measured."""
    states = {end: state for _, end, state, filled in _spells(uuid, course) if not filled}
    for (first, last), before in zip(runs(), (None, *AWAY), strict=True):
        if before is not None and not before.boots:
            yield before.back, "unknown", _between(counter, before)
        for end in range(first + STEP, last + 1, STEP):
            if not _unflushed(end):
                step = (end - BEGIN) // STEP
                yield end, states[end], counter[step] - counter[step - 1]


def _between(counter: list[int], away: Away) -> int:
    return counter[(away.back - BEGIN) // STEP] - counter[(away.last_flush - BEGIN) // STEP]


def _for_time(uuid: str, begin: int, end: int) -> Fraction:
    if uuid in OWNED:
        return (PURCHASE - SALVAGE) / SHARED_BY * Fraction(end - begin, LIFE_SECONDS)
    if uuid == RESERVED:
        return RESERVATION * Fraction(end - begin, 3_600)
    if uuid == SPOT:
        return _changing(SPOT_EUROS * EURO_BEFORE, SPOT_EUROS * EURO_AFTER, RATE_CHANGE, begin, end)
    if uuid == LATE:
        if begin // 3_600 == LATE_FROM // 3_600:
            # It was booked as unpriced, and an hour's rows do not say which minutes a state had:
            # each state pays for the part of the hour for which the price holds.
            return LATE_PRICE * Fraction(end - begin, 3_600) * Fraction(-LATE_FROM % 3_600, 3_600)
        return _changing(Fraction(0), LATE_PRICE, LATE_FROM, begin, end)
    return _changing(ON_DEMAND, DEARER, PRICE_CHANGE, begin, end)


def _changing(before: Fraction, after: Fraction, change: int, begin: int, end: int) -> Fraction:
    early, late = max(0, min(end, change) - begin), max(0, end - max(begin, change))
    return before * Fraction(early, 3_600) + after * Fraction(late, 3_600)


def _tariff(end: int) -> Fraction:
    """The price of the kilowatt-hour in the half minute that ends at a moment."""
    hour = local(end - STEP).hour
    if 16 <= hour < 21 and local(end - STEP).weekday() < 5:
        return PEAK
    return NIGHT if hour >= 22 or hour < 6 else FLAT
