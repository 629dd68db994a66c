"""How a ledger file is opened: one agent at a time, its schema brought up to date, damage set aside."""

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from agent.errors import LedgerError
from agent.storage.schema import MIGRATIONS, SCHEMA_VERSION, TABLES, statements

log = logging.getLogger(__name__)

FILE_NAME = "ledger.sqlite"
LOCK_NAME = "ledger.lock"
BUSY_MILLISECONDS = 2_000
_FOR_NOW = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class NewerSchemaError(LedgerError):
    """A newer gpufin wrote the file: it is left alone."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose money a ledger holds: simulated cards and real ones, and two machines, never share one."""

    source: str
    machine_id: str = ""


def lock(directory: Path) -> int:
    """Take the directory for this agent; the descriptor holds the lock.

    Raises:
        LedgerError: another agent has it, or it can never be used.
        OSError: the disk takes nothing now: it is full, or mounted read-only.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        if error.errno in _FOR_NOW:
            raise
        raise LedgerError(f"{directory}: cannot be used as state directory: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerError(f"{directory}: another gpufin writes here already") from error
    return descriptor


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit, for explicit transactions."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro" if read_only else path,
        uri=read_only,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_MILLISECONDS / 1_000,
    )


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


def open_ledger(path: Path, owner: Owner) -> tuple[sqlite3.Connection, str]:
    """Open or create the ledger of an agent that holds the lock; returns its random id too.

    A damaged file, and the ledger of another machine, are set aside and a new one is begun.

    Raises:
        LedgerError: it holds cards of another kind, or a newer gpufin wrote it.
        sqlite3.Error: it cannot be opened or written now.
    """
    try:
        return _open(path, owner)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        set_damaged_aside(path, error)
        return _open(path, owner)
    except _OtherMachineError as error:
        aside = _set_aside(path, f"machine-{error.machine_id[:8]}")
        log.warning(
            "%s is the ledger of another machine: set aside as %s, a new one begins. "
            "If this machine was only given a new id: gpufin ledger adopt %s",
            *(path, aside.name, aside),
        )
        return _open(path, owner)


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file does not hold what was written into it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Python's own: a number that is none, text that is no UTF-8
        return isinstance(error, ValueError | sqlite3.OperationalError)
    return code & 0xFF in _DAMAGED


def may_go_away(error: Exception) -> bool:
    """Whether the same file may be good to use later: the disk is full or fails, somebody holds it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return isinstance(error, OSError) or code != sqlite3.SQLITE_ERROR


def set_damaged_aside(path: Path, error: Exception) -> None:
    """Make room for a new ledger; nothing of the damaged one is thrown away."""
    aside = _set_aside(path, "corrupt")
    log.critical(
        "%s is damaged (%s): set aside as %s, a new ledger begins. What was booked is in that file: "
        "docs/runbook.md, 'A damaged ledger', says how to get it back",
        *(path, error, aside.name),
    )


class _OtherMachineError(Exception):
    def __init__(self, machine_id: str) -> None:
        self.machine_id = machine_id


def _open(path: Path, owner: Owner) -> tuple[sqlite3.Connection, str]:
    database = connect(path)
    try:
        return database, _check(path, database, owner)
    except BaseException:
        with suppress(sqlite3.Error):
            database.close()
        raise


def _check(path: Path, database: sqlite3.Connection, owner: Owner) -> str:
    version = schema_version(database)
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path}: written by a newer gpufin (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): install that version again, or restore a backup"
        )
    database.execute("PRAGMA journal_mode = WAL")
    # FULL: a power cut loses no committed flush; half a millisecond every ten seconds.
    database.execute("PRAGMA synchronous = FULL")
    if version == 0:
        _create(database, owner)
    elif version < SCHEMA_VERSION:
        _migrate(path, database, version)
    meta: dict[str, str] = dict(database.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("source") != owner.source:
        raise LedgerError(
            f"{path}: holds {meta.get('source')} cards, not {owner.source} ones: "
            "give each its own state directory"
        )
    machine_id = meta.get("machine_id", "")
    if machine_id and owner.machine_id and machine_id != owner.machine_id:
        raise _OtherMachineError(machine_id)
    if owner.machine_id and not machine_id:
        adopt(database, owner.machine_id)
    return meta["ledger_id"]


def schema_version(database: sqlite3.Connection) -> int:
    """The schema version of a file, 0 for an empty one."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def adopt(database: sqlite3.Connection, machine_id: str) -> None:
    """Write down whose ledger it is."""
    database.execute("REPLACE INTO meta VALUES ('machine_id', ?)", (machine_id,))


def _create(database: sqlite3.Connection, owner: Owner) -> None:
    with transaction(database):
        for statement in statements(TABLES):
            database.execute(statement)
        facts = {"source": owner.source, "ledger_id": uuid4().hex[:12]}
        if owner.machine_id:
            facts["machine_id"] = owner.machine_id
        database.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _migrate(path: Path, database: sqlite3.Connection, version: int) -> None:
    """Bring an older file up to date in one transaction, after a copy of it was made."""
    copy = path.with_name(f"{path.name}.schema{version}")
    with closing(sqlite3.connect(copy)) as target:
        database.backup(target)
    with transaction(database):
        for step in range(version, SCHEMA_VERSION):
            for script in MIGRATIONS[step]:
                for statement in statements(script):
                    database.execute(statement)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    log.info(
        "%s was brought from schema %d to %d; %s is as before", path, version, SCHEMA_VERSION, copy
    )


def _set_aside(path: Path, why: str) -> Path:
    aside = path.with_name(f"{path.name}.{why}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{why}-{number}")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
