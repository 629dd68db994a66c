"""Reads a ledger as an outsider does."""

import sqlite3
from contextlib import closing
from pathlib import Path

from agent.ledger.entry import EntryKey
from agent.usage.state import CardState


def rows_of(file: Path) -> dict[EntryKey, tuple[int, int]]:
    """Every entry of a ledger file, as key to (nanos, quantity)."""
    with closing(sqlite3.connect(file)) as database:
        return {
            EntryKey._make(row[:13])._replace(state=CardState(row[3]), filled=bool(row[10])): row[
                13:
            ]
            for row in database.execute("SELECT * FROM entry")
        }
