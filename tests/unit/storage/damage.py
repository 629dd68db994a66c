"""Damages a ledger file as a failing disk does: a page in the middle, the header left good."""

import sqlite3
from contextlib import closing
from pathlib import Path

from agent.ports import LedgerStore
from agent.storage.ledger import SqliteLedger


def overwrite_root_of(table: str, file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (page,) = database.execute(query, (table,)).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xa5" * size)


def damage_beside(store: LedgerStore, table: str, file: Path) -> None:
    """The agent has the ledger open; what it has in memory is let go of."""
    overwrite_root_of(table, file)
    assert isinstance(store, SqliteLedger)
    assert store._database is not None
    store._database.execute("PRAGMA shrink_memory")
    store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
