"""The ledger of one node: one SQLite file, one writer, one transaction a flush.

Called by the flush thread, and by the starting process before there are threads.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from agent.errors import LedgerError
from agent.ledger.batch import Batch, KnownGpu, Recovered
from agent.ledger.entry import MonthKey
from agent.ledger.fill import Checkpoint
from agent.ports import LedgerStore
from agent.samples.device import GpuIdentity
from agent.samples.instant import Instant
from agent.storage.schema import SCHEMA_VERSION, TABLES
from agent.usage.state import IDLE_STATES

FILE_NAME = "ledger.sqlite"
LOCK_NAME = "ledger.lock"
BUSY_MILLISECONDS = 2_000

_ADD_ENTRY = """
INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET nanos = nanos + excluded.nanos, quantity = quantity + excluded.quantity
"""
_IDLE = ", ".join(f"'{state}'" for state in sorted(IDLE_STATES))
_MONTHS = f"""
SELECT month, team, currency, SUM(nanos), SUM(CASE WHEN state IN ({_IDLE}) THEN nanos ELSE 0 END)
FROM entry WHERE component != 'unpriced' GROUP BY month, team, currency
"""  # noqa: S608 - the states are this package's own constants


class SqliteLedger(LedgerStore):
    """``LedgerStore`` in a directory that only one agent writes at a time."""

    def __init__(self, directory: Path, *, source: str) -> None:
        """Open or create the ledger.

        ``source`` is the kind of device source whose money it holds: simulated cards and real ones
        never share a book.

        Raises:
            LedgerError: it cannot be opened, is of another kind, newer, or in use.
        """
        self._path = directory / FILE_NAME
        self._lock = _lock(directory)
        try:
            self._database = self._open()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise LedgerError(f"{self._path}: cannot be used as a ledger: {error}") from error
        try:
            self._ledger_id = self._check(source)
        except sqlite3.Error as error:
            self.close()
            raise LedgerError(f"{self._path}: cannot be used as a ledger: {error}") from error
        except LedgerError:
            self.close()
            raise

    def recover(self) -> Recovered:
        """See ``LedgerStore``."""
        execute = self._database.execute
        try:
            return Recovered(
                ledger_id=self._ledger_id,
                checkpoints={
                    row[0]: Checkpoint(
                        uuid=row[0],
                        model=row[1],
                        until=Instant(row[2], row[3]),
                        boot_id=row[4],
                        machine_id=row[5],
                        energy_mj=None if row[6] is None else int(row[6]),
                        energy_at_ns=row[7],
                    )
                    for row in execute("SELECT * FROM checkpoint")
                },
                remainders={
                    (row[0], row[1], row[2]): (int(row[3]), int(row[4]))
                    for row in execute("SELECT * FROM remainder")
                },
                gpus={
                    row[0]: KnownGpu(
                        GpuIdentity(uuid=row[0], index=row[1], model=row[2], pci_bus_id=row[3]),
                        row[4],
                    )
                    for row in execute("SELECT * FROM gpu")
                },
                months={
                    MonthKey(row[0], row[1], row[2]): (row[3], row[4]) for row in execute(_MONTHS)
                },
            )
        except sqlite3.Error as error:
            raise LedgerError(f"{self._path}: cannot be read: {error}") from error

    def write(self, batch: Batch) -> None:
        """See ``LedgerStore``."""
        try:
            with self._transaction() as database:
                for statement, rows in _statements(batch):
                    database.executemany(statement, rows)
        except (sqlite3.Error, OverflowError) as error:
            raise LedgerError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """See ``LedgerStore``."""
        with suppress(sqlite3.Error):
            self._database.close()
        os.close(self._lock)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        # Autocommit with explicit transactions; the flush thread is the one user once threads run.
        return sqlite3.connect(
            self._path,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_MILLISECONDS / 1_000,
        )

    def _check(self, source: str) -> str:
        self._database.execute("PRAGMA journal_mode = WAL")
        # FULL: a power cut loses no committed flush; half a millisecond every ten seconds.
        self._database.execute("PRAGMA synchronous = FULL")
        version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"{self._path}: written by a newer gpufin (schema {version}, this one knows "
                f"{SCHEMA_VERSION}): install that version again, or restore a backup"
            )
        if version == 0:
            self._create(source)
        meta: dict[str, str] = dict(
            self._database.execute("SELECT key, value FROM meta").fetchall()
        )
        if meta.get("source") != source:
            raise LedgerError(
                f"{self._path}: holds {meta.get('source')} cards, not {source} ones: "
                "give each its own state directory"
            )
        return meta["ledger_id"]

    def _create(self, source: str) -> None:
        with self._transaction() as database:
            for statement in TABLES.split(";\n"):
                if statement.strip():
                    database.execute(statement)
            facts = {"source": source, "ledger_id": uuid4().hex[:12]}
            database.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _statements(batch: Batch) -> Iterator[tuple[str, Iterable[tuple[object, ...]]]]:
    yield _ADD_ENTRY, ((*key, *amounts) for key, amounts in batch.rows.items())
    yield (
        "REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                point.uuid,
                point.model,
                point.until.boottime_ns,
                point.until.wall_ns,
                point.boot_id,
                point.machine_id,
                None if point.energy_mj is None else str(point.energy_mj),
                point.energy_at_ns,
            )
            for point in batch.checkpoints
        ),
    )
    yield (
        "REPLACE INTO remainder VALUES (?, ?, ?, ?, ?)",
        (
            (*key, str(remainder), str(denominator))
            for key, (remainder, denominator) in batch.remainders.items()
        ),
    )
    yield (
        "REPLACE INTO gpu VALUES (?, ?, ?, ?, ?)",
        (
            (
                gpu.identity.uuid,
                gpu.identity.index,
                gpu.identity.model,
                gpu.identity.pci_bus_id,
                gpu.last_seen_wall_ns,
            )
            for gpu in batch.gpus
        ),
    )
    yield "DELETE FROM checkpoint WHERE uuid = ?", ((uuid,) for uuid in batch.gone)
    yield "DELETE FROM gpu WHERE uuid = ?", ((uuid,) for uuid in batch.gone)


def remembered_gpus(directory: Path) -> list[GpuIdentity]:
    """The cards a ledger knows, read beside a running agent; none when there is no ledger."""
    try:
        address = (directory / FILE_NAME).absolute().as_uri()
        with closing(sqlite3.connect(f"{address}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT uuid, idx, model, pci_bus_id FROM gpu ORDER BY idx")
            return [
                GpuIdentity(uuid=row[0], index=row[1], model=row[2], pci_bus_id=row[3])
                for row in rows
            ]
    except sqlite3.Error:
        return []


def _lock(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise LedgerError(f"{directory}: cannot be used as state directory: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise LedgerError(f"{directory}: another gpufin writes here already") from error
    return lock
