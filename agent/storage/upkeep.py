"""Work on a ledger beside the running agent: each in one transaction on a connection of its own.

The agent notices at its next flush (``PRAGMA data_version``) and takes the new sums up.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.errors import LedgerError
from agent.ledger.entry import Entry, EntryKey
from agent.ledger.period import HOUR_NS, HOUR_SECONDS, day_hours
from agent.ledger.policy import AccountPolicy
from agent.ledger.reprice import TIME, Terms, corrections
from agent.ledger.reprice_energy import ENERGY
from agent.samples.device import GpuIdentity
from agent.storage.cards import EXPECTED, identity_of, read_known
from agent.storage.connection import FILE_NAME, adopt, connect, schema_version, transaction
from agent.storage.ledger import ADD_ENTRY, ADD_RECORD
from agent.storage.schema import SCHEMA_VERSION
from agent.usage.state import CardState

DAY_SECONDS = 24 * HOUR_SECONDS
COMPACTED = "compacted_before"
"""Key in ``meta``: rows of hours before this moment stand for a local day, not for an hour."""
COMPACTED_ZONE = "compacted_zone"
"""Key in ``meta``: the zone of those days; the first compaction says it for good."""
_KEYS = ", ".join(field for field in EntryKey._fields if field != "hour")

_DAYS = f"""
CREATE TEMP TABLE day AS
SELECT day(entry.hour) AS hour, {_KEYS}, SUM(nanos), SUM(quantity)
FROM entry WHERE entry.hour >= ? AND entry.hour < ? GROUP BY day(entry.hour), {_KEYS}
"""  # noqa: S608 - our own column names
_BY_PRICE = f"""
SELECT price_id, COUNT(*) FROM entry WHERE hour >= ? AND hour < ? AND price_id != ''
AND component IN ({", ".join(f"'{each}'" for each in sorted(TIME | ENERGY))}) GROUP BY price_id
"""  # noqa: S608 - our own components
_NO_END = 2**62


def ledger_file(place: Path) -> Path:
    """The ledger in a state directory, or the file itself."""
    return place / FILE_NAME if place.is_dir() else place


@contextmanager
def opened(place: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to a ledger of this schema.

    Raises:
        LedgerError: there is none, it is of another schema, or the work on it failed.
    """
    path = ledger_file(place)
    if not path.is_file():
        raise LedgerError(f"{path}: there is no ledger")
    try:
        with closing(connect(path, read_only=read_only)) as database:
            version = schema_version(database)
            if version != SCHEMA_VERSION:
                raise LedgerError(
                    f"{path}: has schema {version}, this gpufin reads {SCHEMA_VERSION}; "
                    "the agent brings an older one up to date when it starts"
                )
            yield database
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error


def rows_between(
    database: sqlite3.Connection, from_hour: int, to_hour: int
) -> Iterator[tuple[EntryKey, tuple[int, int]]]:
    """The rows of [from_hour, to_hour), UTC seconds since 1970, in the order of the key."""
    found = database.execute(
        "SELECT * FROM entry WHERE hour >= ? AND hour < ?", (from_hour, to_hour)
    )
    yield from map(line_of, found)


def line_of(row: tuple[Any, ...]) -> tuple[EntryKey, tuple[int, int]]:
    """A row of the table ``entry`` as key and (nanos, quantity)."""
    key = EntryKey._make(row[:13])
    return key._replace(state=CardState(key.state), filled=bool(key.filled)), row[13:]


def compacted_before(database: sqlite3.Connection) -> tuple[int, ZoneInfo | None]:
    """Up to which moment (UTC seconds) rows stand for days, and the zone of those days."""
    meta = _meta(database)
    if COMPACTED not in meta:
        return 0, None
    return int(meta[COMPACTED]), ZoneInfo(meta[COMPACTED_ZONE])


def _meta(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT key, value FROM meta").fetchall())


def backup(place: Path, target: Path) -> None:
    """Copy a ledger, also while its agent writes, to a file that is whole or not there.

    Raises:
        LedgerError: the target exists, or the copy failed.
    """
    if target.exists():
        raise LedgerError(f"{target}: exists already, and is not overwritten")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    with opened(place, read_only=True) as database, closing(sqlite3.connect(part)) as copy:
        database.backup(copy)
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(target)


def compact(place: Path, before: int, zone: ZoneInfo) -> tuple[int, int, ZoneInfo]:
    """Merge the hours of local days that ended before a moment (UTC seconds) into a row for the day.

    Money and quantities are conserved per card, state, component, price and month.
    Returns the number of rows before and after, and the zone: that of the first compaction.
    """
    with opened(place) as database:
        (had,) = database.execute("SELECT COUNT(*) FROM entry").fetchone()
        until, fixed = compacted_before(database)
        zone = fixed or zone
        edge = day_hours(before // HOUR_SECONDS * HOUR_SECONDS, zone)[0]
        if until < edge:
            database.create_function("day", 1, lambda hour: day_hours(hour, zone)[0])
            with transaction(database):
                database.execute(_DAYS, (until, edge))
                database.execute("DELETE FROM entry WHERE hour >= ? AND hour < ?", (until, edge))
                database.execute("INSERT INTO entry SELECT * FROM day")
                database.execute("DROP TABLE day")
                database.executemany(
                    "REPLACE INTO meta VALUES (?, ?)",
                    ((COMPACTED, str(edge)), (COMPACTED_ZONE, zone.key)),
                )
        (has,) = database.execute("SELECT COUNT(*) FROM entry").fetchone()
    return int(had), int(has), zone


def drop_months(place: Path, before: str) -> int:
    """Delete the rows of months before one such as ``2020-01``; returns how many."""
    with opened(place) as database, transaction(database):
        return database.execute("DELETE FROM entry WHERE month < ?", (before,)).rowcount


def retire(place: Path, uuid: str, now_ns: int) -> bool:
    """Take a card out of those that are expected and paid for; False when it was already.

    Its checkpoint stays until an agent has seen this: a mistake undone before that loses nothing.
    """
    with opened(place) as database, transaction(database):
        added = database.execute("INSERT OR IGNORE INTO retired VALUES (?, ?)", (uuid, now_ns))
        database.execute("UPDATE gpu SET gone = 1 WHERE uuid = ?", (uuid,))
        return added.rowcount == 1


def bring_back(place: Path, uuid: str) -> bool:
    """Expect a retired card again when it answers; False when it was not retired."""
    with opened(place) as database, transaction(database):
        return database.execute("DELETE FROM retired WHERE uuid = ?", (uuid,)).rowcount == 1


def machine_of(place: Path) -> str:
    """The id of the machine whose ledger it is; empty where none was known."""
    with opened(place, read_only=True) as database:
        return _meta(database).get("machine_id", "")


def take_over(place: Path, machine_id: str) -> None:
    """Make a ledger that was set aside as another machine's that of this one."""
    with opened(place) as database:
        adopt(database, machine_id)


@dataclass(frozen=True, slots=True)
class Repriced:
    """The rows of a correction, and what it left alone: price ids of no record, with their rows."""

    added: list[Entry]
    left: dict[str, int]


def reprice(
    place: Path,
    policy: AccountPolicy,
    hours: tuple[int, int],
    *,
    note: tuple[int, str],
    dry_run: bool = False,
    also_removed: bool = False,
) -> Repriced:
    """Correct the rows of [from, to) (UTC hours) for what the prices say now; see ``corrections``.

    ``note`` is the moment (UTC nanoseconds) and the reason that the correction is kept under.
    The hour that the agent is in is left alone.
    """
    with opened(place) as database, transaction(database):
        (last,) = database.execute("SELECT COALESCE(MAX(number), 0) FROM correction").fetchone()
        terms = Terms(
            table=policy.table,
            zone=policy.zone,
            cards=read_known(database),
            also_removed=also_removed,
        )
        begin, end = hours[0], min(hours[1], _running_hour(database, note[0]))
        edge, days = compacted_before(database)
        spans = ((begin, min(end, edge), days), (max(begin, edge), end, None))
        found: list[Entry] = []
        for first, until, of in spans:
            rows = rows_between(database, first, until)
            found += corrections(rows, terms, number=last + 1, days=of)
        left = {} if also_removed else _without_record(database, policy.table.ids, (begin, end))
        if found and not dry_run:
            database.execute("INSERT INTO correction VALUES (?, ?, ?)", (last + 1, *note))
            database.executemany(ADD_ENTRY, _rows(found))
            used = {entry.key.price_id for entry in found}
            records = (
                (price.id, price.digest, price.record, note[0])
                for price in policy.table.prices
                if price.id in used and price.record
            )
            database.executemany(ADD_RECORD, records)
        return Repriced(found, left)


def _running_hour(database: sqlite3.Connection, now_ns: int) -> int:
    (last_ns,) = database.execute("SELECT MAX(wall_ns) FROM checkpoint").fetchone()
    if last_ns is None or now_ns - last_ns > HOUR_NS:
        return _NO_END
    return int(last_ns) // HOUR_NS * HOUR_SECONDS


def _without_record(
    database: sqlite3.Connection, ids: Collection[str], hours: tuple[int, int]
) -> dict[str, int]:
    found = database.execute(_BY_PRICE, hours).fetchall()
    return {price_id: rows for price_id, rows in found if price_id not in ids}


def _rows(entries: Iterable[Entry]) -> Iterator[tuple[object, ...]]:
    return ((*entry.key, entry.nanos, entry.quantity) for entry in entries)


def known_cards(place: Path) -> tuple[list[tuple[GpuIdentity, int]], list[tuple[str, int]]]:
    """The expected cards with when each last answered, and the retired ones with when they left."""
    with opened(place, read_only=True) as database:
        cards = database.execute(f"{EXPECTED} ORDER BY idx").fetchall()
        gone = database.execute("SELECT uuid, at_wall_ns FROM retired ORDER BY uuid").fetchall()
    return [(identity_of(row), row[4]) for row in cards], gone
