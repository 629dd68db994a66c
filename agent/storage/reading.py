"""Ledgers read for reports and explanations, beside running agents or from copies."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.errors import LedgerError
from agent.ledger.entry import Component, EntryKey, MonthKey
from agent.report.build import KnownCard
from agent.storage.upkeep import compacted_before, ledger_file, line_of, opened
from agent.units import NANOSECONDS_PER_SECOND

_FIRST = "SELECT uuid, MIN(hour) FROM entry GROUP BY uuid"
_KINDS = f"""
SELECT uuid, MIN(hour), MAX(component = '{Component.RENTAL}'),
  MAX(component IN ('{Component.CAPITAL}', '{Component.OPEX}')) FROM entry GROUP BY uuid
"""  # noqa: S608 - this package's own constants
_LAST = "SELECT uuid, MAX(hour), model, currency FROM entry GROUP BY uuid"
"""SQLite takes the other columns from the row that has the maximum."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of whole months, or of the hours [start, end) (UTC seconds since 1970)."""

    start: int
    end: int
    months: tuple[str, ...] = ()


@contextmanager
def read_ledgers(places: Sequence[Path]) -> Iterator["LedgerReader"]:
    """The ledgers of state directories or files, each as it is at this moment.

    Raises:
        LedgerError: one is missing or of another schema, or one ledger is given twice.
    """
    ledgers: dict[str, sqlite3.Connection] = {}
    where: dict[str, Path] = {}
    with ExitStack() as stack:
        for place in places:
            database = stack.enter_context(opened(place, read_only=True))
            database.execute("BEGIN")  # one picture, whatever the agent writes meanwhile
            query = "SELECT value FROM meta WHERE key = 'ledger_id'"
            name = str(database.execute(query).fetchone()[0])
            if name in where:
                raise LedgerError(
                    f"{ledger_file(place)}: is the ledger {name}, as {where[name]} is: "
                    "each may be counted once only"
                )
            where[name] = ledger_file(place)
            ledgers[name] = database
        yield LedgerReader(ledgers)


class LedgerReader:
    """Several ledgers as one, by their ids."""

    def __init__(self, ledgers: Mapping[str, sqlite3.Connection]) -> None:
        self._ledgers = ledgers

    def rows(self, chosen: Selection) -> Iterator[tuple[str, EntryKey, tuple[int, int]]]:
        """Ledger id, key, nanos and quantity of every row of a selection."""
        query = "SELECT * FROM entry WHERE hour >= ? AND hour < ?"
        values: tuple[object, ...] = (chosen.start, chosen.end)
        if chosen.months:
            marks = ", ".join("?" * len(chosen.months))
            query, values = f"SELECT * FROM entry WHERE month IN ({marks})", chosen.months  # noqa: S608 - question marks
        for name, database in self._ledgers.items():
            for row in database.execute(query, values):
                yield name, *line_of(row)

    def first_hours(self) -> dict[str, int]:
        """The first hour (UTC seconds) that each card was ever booked in."""
        found: dict[str, int] = {}
        for database in self._ledgers.values():
            for uuid, hour in database.execute(_FIRST):
                found[uuid] = min(hour, found.get(uuid, hour))
        return found

    def cards(self) -> dict[str, KnownCard]:
        """Every card that was ever booked; one that moved is the last ledger's."""
        found: dict[str, KnownCard] = {}
        for name, database in self._ledgers.items():
            kinds = {uuid: kind for uuid, *kind in database.execute(_KINDS)}
            for uuid, last_hour, model, currency in database.execute(_LAST):
                first_hour, rented, owned = kinds[uuid]
                card = KnownCard(
                    first_hour=first_hour,
                    last_hour=last_hour,
                    model=model,
                    node=name,
                    currency=currency,
                    rented=bool(rented or not owned),
                )
                found[uuid] = card.after(found.get(uuid, card))
        return found

    def retired(self) -> dict[str, int]:
        """When cards were retired, UTC seconds since 1970."""
        return {
            uuid: at_ns // NANOSECONDS_PER_SECOND
            for database in self._ledgers.values()
            for uuid, at_ns in database.execute("SELECT uuid, at_wall_ns FROM retired")
        }

    def days(self) -> Iterator[tuple[int, ZoneInfo]]:
        """Up to which moment (UTC seconds) rows stand for days, and the zone of those, where any do."""
        for database in self._ledgers.values():
            until, zone = compacted_before(database)
            if zone is not None:
                yield until, zone

    def ahead(self) -> Iterator[tuple[MonthKey, int, int]]:
        """What each agent said the rest of a month costs by the clock: nanos, and from when on (UTC s)."""
        for database in self._ledgers.values():
            for *key, nanos, at_ns in database.execute("SELECT * FROM ahead"):
                yield MonthKey(*key), int(nanos), at_ns // NANOSECONDS_PER_SECOND

    def records(self) -> dict[str, list[str]]:
        """Price id to the records used under it, as JSON."""
        found: dict[str, list[str]] = {}
        for database in self._ledgers.values():
            for identifier, record in database.execute("SELECT id, record FROM price_record"):
                known = found.setdefault(identifier, [])
                if record not in known:
                    known.append(record)
        return found

    def reasons(self) -> dict[int, str]:
        """Number of a correction to its reason; those of several ledgers in one line."""
        found: dict[int, str] = {}
        for database in self._ledgers.values():
            for number, reason in database.execute("SELECT number, reason FROM correction"):
                said = found.get(number)
                found[number] = reason if said in {None, reason} else f"{said}; {reason}"
        return found
