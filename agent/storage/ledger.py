"""The ledger of one node: one SQLite file, one agent that writes it, one transaction a flush.

Called by the flush thread, and by the starting process before there are threads.
A file that cannot be used now does not stop the agent: sums stay in memory and it is tried again.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from agent.errors import LedgerError
from agent.ledger.batch import Batch, KnownGpu, News, Recovered
from agent.ports import LedgerStore
from agent.samples.device import GpuIdentity
from agent.storage.cards import EXPECTED, card_statements, forget_cards, identity_of
from agent.storage.checkpoints import (
    checkpoint_statements,
    forget_statements,
    read_checkpoints,
)
from agent.storage.connection import (
    FILE_NAME,
    NewerSchemaError,
    Owner,
    connect,
    is_damage,
    lock,
    may_go_away,
    open_ledger,
    set_damaged_aside,
    transaction,
)
from agent.storage.months import read_months

log = logging.getLogger(__name__)

ADD_RECORD = "INSERT OR IGNORE INTO price_record VALUES (?, ?, ?, ?)"
ADD_ENTRY = """
INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET nanos = nanos + excluded.nanos, quantity = quantity + excluded.quantity
"""


class SqliteLedger(LedgerStore):
    """``LedgerStore`` in a directory that only one agent writes at a time."""

    def __init__(self, directory: Path, *, source: str, machine_id: str = "") -> None:
        """Take the directory, and open or create the ledger in it.

        ``source`` is the kind of device source whose money it holds.

        Raises:
            LedgerError: another agent writes there, or it holds cards of another kind.
        """
        self._path = directory / FILE_NAME
        self._owner = Owner(source, machine_id)
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None
        self._ledger_id = ""
        self._seen = 0
        self._file: tuple[int, int] | None = None
        """Device and inode of the file that was opened last."""
        try:
            self._open()
        except (NewerSchemaError, sqlite3.Error, OSError) as error:
            _tell_unusable(self._path, error)
        except LedgerError:
            self._let_go()
            raise

    def recover(self) -> Recovered:
        """See ``LedgerStore``."""
        nothing = Recovered(ledger_id="")
        if self._database is None:
            return nothing
        try:
            return self._recovered()
        except (sqlite3.Error, OSError) as error:
            if not may_go_away(error):
                raise LedgerError(f"{self._path}: cannot be read: {error}") from error
            self._close()
            _tell_unusable(self._path, error)
            return nothing

    def reopen(self) -> Recovered | None:
        """See ``LedgerStore``."""
        if self._database is not None:
            return None
        if self._file is not None and not self._path.parent.is_dir():
            # Not made anew: it may be a file system that is not mounted now.
            raise LedgerError(f"{self._path.parent}: is not there any more")
        try:
            self._open()
            return self._recovered()
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise LedgerError(f"{self._path}: {error}") from error

    def write(self, batch: Batch) -> None:
        """See ``LedgerStore``."""
        self._leave_what_is_gone()
        try:
            with transaction(self._opened()) as database:
                for statement, rows in _statements(batch):
                    database.executemany(statement, rows)
        except (sqlite3.Error, OverflowError) as error:
            raise self._failed(error) from error

    def news(self) -> News | None:
        """See ``LedgerStore``."""
        database = self._database
        if database is None:
            return None
        try:
            version = _data_version(database)
            if version == self._seen:
                return None
            news = News(
                ledger_id=self._ledger_id,
                months=read_months(database),
                retired=_retired(database),
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._seen = version
        return news

    def close(self) -> None:
        """See ``LedgerStore``."""
        self._close()
        self._let_go()

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _leave_what_is_gone(self) -> None:
        """Close a file whose name was removed or given to another: what is written there is lost.

        Raises:
            LedgerError: it was.
        """
        if self._database is not None and _inode(self._path) != self._file:
            self.close()
            # SQLite leaves the log of a file that lost its name, and would play it over the next one.
            for suffix in ("-wal", "-shm"):
                with suppress(OSError):
                    self._path.with_name(f"{FILE_NAME}{suffix}").unlink()
            raise LedgerError(
                f"{self._path}: was removed or replaced while the agent ran. What it held comes back "
                "from a backup only; the agent goes on with the file that is there, or begins one"
            )

    def _open(self) -> sqlite3.Connection:
        if self._lock is None:
            self._lock = lock(self._path.parent)
        self._database, self._ledger_id = open_ledger(self._path, self._owner)
        self._file = _inode(self._path)
        # Before anything is read: what is written from now on is news.
        self._seen = _data_version(self._database)
        return self._database

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise LedgerError(f"{self._path}: is not open")
        return self._database

    def _recovered(self) -> Recovered:
        """All of the open ledger; damage that shows only now is treated as at the opening."""
        try:
            return _recovered(self._opened(), self._ledger_id)
        except (sqlite3.Error, ValueError) as error:
            if not self._set_aside_if_damaged(error):
                raise
        return _recovered(self._open(), self._ledger_id)

    def _failed(self, error: Exception) -> LedgerError:
        """The error to raise; a file that turned out to be damaged has made room then."""
        try:
            self._set_aside_if_damaged(error)
        except OSError as refused:
            error = refused
        return LedgerError(f"{self._path}: {error}")

    def _set_aside_if_damaged(self, error: Exception) -> bool:
        damaged = is_damage(error)
        if damaged:
            self._close()
            set_damaged_aside(self._path, error)
        return damaged


def _tell_unusable(path: Path, error: Exception) -> None:
    log.critical("%s cannot be used (%s): measuring goes on, sums are kept in memory", path, error)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _recovered(database: sqlite3.Connection, ledger_id: str) -> Recovered:
    execute = database.execute
    digests: dict[str, set[str]] = {}
    for identifier, digest in execute("SELECT id, digest FROM price_record"):
        digests.setdefault(identifier, set()).add(digest)
    return Recovered(
        ledger_id=ledger_id,
        checkpoints=read_checkpoints(database),
        remainders={
            (row[0], row[1], row[2]): (int(row[3]), int(row[4]))
            for row in execute("SELECT * FROM remainder")
        },
        gpus={row[0]: KnownGpu(identity_of(row), row[4]) for row in execute(EXPECTED)},
        months=read_months(database),
        retired=_retired(database),
        price_digests={key: frozenset(values) for key, values in digests.items()},
    )


def _data_version(database: sqlite3.Connection) -> int:
    """A number that changes when another connection has written."""
    return int(database.execute("PRAGMA data_version").fetchone()[0])


def _retired(database: sqlite3.Connection) -> frozenset[str]:
    return frozenset(uuid for (uuid,) in database.execute("SELECT uuid FROM retired"))


def _statements(batch: Batch) -> Iterator[tuple[str, Iterable[tuple[object, ...]]]]:
    yield ADD_ENTRY, ((*key, *amounts) for key, amounts in batch.rows.items())
    now_ns = max((point.until.wall_ns for point in batch.checkpoints), default=0)
    retired = ((uuid, now_ns) for uuid in batch.retired)
    yield "INSERT OR IGNORE INTO retired VALUES (?, ?)", retired
    yield from card_statements(batch.gpus, now_ns)
    yield from checkpoint_statements(batch.checkpoints)
    yield (
        "REPLACE INTO remainder VALUES (?, ?, ?, ?, ?)",
        (
            (*key, str(remainder), str(denominator))
            for key, (remainder, denominator) in batch.remainders.items()
        ),
    )
    yield from forget_statements(batch.gone)
    yield forget_cards(batch.gone)
    yield "DELETE FROM ahead", ((),)
    rows = ((*key, str(nanos), batch.ahead_from_ns) for key, nanos in batch.ahead.items())
    yield "INSERT INTO ahead VALUES (?, ?, ?, ?, ?)", rows
    yield (
        ADD_RECORD,
        (
            (identifier, digest, record, now_ns)
            for identifier, (digest, record) in batch.prices.items()
        ),
    )


def remembered_gpus(directory: Path) -> list[GpuIdentity]:
    """The cards a ledger knows, read beside a running agent; none when there is no ledger."""
    try:
        with closing(connect(directory / FILE_NAME, read_only=True)) as database:
            rows = database.execute(f"{EXPECTED} ORDER BY idx").fetchall()
            return [identity_of(row) for row in rows]
    except (sqlite3.Error, ValueError):
        return []
