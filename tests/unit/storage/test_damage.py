"""A ledger that cannot be used, is damaged, older, newer or another machine's: each has its outcome.

Measuring goes on, it is said, and nothing that was booked is lost.
"""

import errno
import logging
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import LedgerError
from agent.ledger.batch import Batch
from agent.ledger.entry import MonthKey, MonthSums
from agent.storage.connection import FILE_NAME, connect
from agent.storage.ledger import SqliteLedger
from agent.storage.schema import SCHEMA_VERSION
from tests.builders import CARD, a_key
from tests.unit.storage.damage import damage_beside, overwrite_root_of
from tests.unit.storage.rows import rows_of
from tests.unit.storage.writer import ROWS, batch

SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE entry (
  hour INTEGER NOT NULL, month TEXT NOT NULL, uuid TEXT NOT NULL, state TEXT NOT NULL,
  component TEXT NOT NULL, price_id TEXT NOT NULL, currency TEXT NOT NULL, team TEXT NOT NULL,
  model TEXT NOT NULL, method TEXT NOT NULL, filled INTEGER NOT NULL, nanos INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  PRIMARY KEY (hour, month, uuid, state, component, price_id, currency, team, model, method, filled)
) WITHOUT ROWID, STRICT;
CREATE INDEX entry_month ON entry (month);
CREATE TABLE checkpoint (
  uuid TEXT PRIMARY KEY, model TEXT NOT NULL, boottime_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
  boot_id TEXT NOT NULL, machine_id TEXT NOT NULL, energy_mj TEXT, energy_at_ns INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE remainder (
  uuid TEXT NOT NULL, component TEXT NOT NULL, price_id TEXT NOT NULL, remainder TEXT NOT NULL,
  denominator TEXT NOT NULL, PRIMARY KEY (uuid, component, price_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE gpu (
  uuid TEXT PRIMARY KEY, idx INTEGER NOT NULL, model TEXT NOT NULL, pci_bus_id TEXT NOT NULL,
  last_seen_wall_ns INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('source', 'simulated'), ('ledger_id', '0123456789ab');
INSERT INTO entry VALUES (0, '1970-01', 'GPU-1', 'active', 'rental', 'p', 'USD', 't', 'M', 'time', 0, 5, 50);
INSERT INTO gpu VALUES ('GPU-1', 0, 'M', '0', 77);
PRAGMA user_version = 1;
"""


def opened(directory: Path, machine_id: str = "machine") -> SqliteLedger:
    return SqliteLedger(directory, source="simulated", machine_id=machine_id)


def written(directory: Path, number: int = 1, machine_id: str = "machine") -> str:
    """Write a batch; the ledger's id."""
    with closing(opened(directory, machine_id)) as store:
        store.write(batch(number))
        return store.recover().ledger_id


def nanos_of(file: Path) -> int:
    return sum(nanos for nanos, _ in rows_of(file).values())


def test_older_schema_is_brought_up_to_date_after_a_copy(tmp_path: Path) -> None:
    """Rows, id and cards are the same; the copy is the file as it was."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.executescript(SCHEMA_1)

    with closing(opened(tmp_path)) as store:
        recovered = store.recover()
        store.write(batch(1))

    assert recovered.ledger_id == "0123456789ab"
    assert recovered.gpus["GPU-1"].last_seen_wall_ns == 77
    assert recovered.months == {MonthKey("1970-01", "t", "USD"): MonthSums(5)}
    assert nanos_of(tmp_path / FILE_NAME) == 5 + ROWS
    with closing(sqlite3.connect(tmp_path / f"{FILE_NAME}.schema1")) as copy:
        assert copy.execute("SELECT nanos, quantity FROM entry").fetchall() == [(5, 50)]
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)


def test_migrated_and_new_ledgers_have_the_same_tables(tmp_path: Path) -> None:
    """Column by column, key by key."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.executescript(SCHEMA_1)
    opened(tmp_path).close()
    opened(tmp_path / "new").close()

    def shape(file: Path) -> dict[str, list[tuple[object, ...]]]:
        with closing(sqlite3.connect(file)) as database:
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema")]
            return {
                name: database.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in names
            }

    assert shape(tmp_path / FILE_NAME) == shape(tmp_path / "new" / FILE_NAME)


def test_newer_schema_is_left_alone_and_measuring_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a downgrade no row is written into tables nobody knows; every flush says so."""
    written(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = (tmp_path / FILE_NAME).read_bytes()

    with closing(opened(tmp_path)) as store:
        assert store.recover().ledger_id == ""
        with pytest.raises(LedgerError, match=r"newer gpufin.*backup"):
            store.reopen()
        with pytest.raises(LedgerError, match="not open"):
            store.write(batch(2))

    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert "measuring goes on" in caplog.text


@pytest.mark.parametrize(
    "content", [b"not a database, but a text file\n" * 200, b"SQLite format 3\0" + b"\xff" * 5_000]
)
def test_damaged_file_is_set_aside_and_a_new_ledger_begins(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is thrown away; the log says where it is."""
    (tmp_path / FILE_NAME).write_bytes(content)

    written(tmp_path)

    assert (tmp_path / f"{FILE_NAME}.corrupt").read_bytes() == content
    assert nanos_of(tmp_path / FILE_NAME) == ROWS
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


def test_damage_twice_keeps_both(tmp_path: Path) -> None:
    """A second damaged file does not replace the first."""
    for content in (b"first" * 500, b"second" * 500):
        (tmp_path / FILE_NAME).write_bytes(content)
        opened(tmp_path).close()

    assert (tmp_path / f"{FILE_NAME}.corrupt").read_bytes() == b"first" * 500
    assert (tmp_path / f"{FILE_NAME}.corrupt-2").read_bytes() == b"second" * 500


READ_AT_START = ("entry", "checkpoint", "gap", "remainder", "gpu", "retired", "price_record")


@pytest.mark.parametrize("table", READ_AT_START)
def test_damage_behind_the_header_is_set_aside_at_the_start(
    tmp_path: Path, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The file opens, and only reading it shows the damage: measuring goes on with a new ledger."""
    before = written(tmp_path)
    overwrite_root_of(table, tmp_path / FILE_NAME)
    damaged = (tmp_path / FILE_NAME).read_bytes()

    with closing(opened(tmp_path)) as store:
        recovered = store.recover()
        store.write(batch(2))

    assert recovered.ledger_id not in {"", before}
    assert not recovered.months
    assert nanos_of(tmp_path / FILE_NAME) == ROWS
    assert (tmp_path / f"{FILE_NAME}.corrupt").read_bytes() == damaged
    assert "runbook" in caplog.text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE remainder SET remainder = 'a'",
        "UPDATE checkpoint SET model = CAST(x'ff41' AS TEXT)",
    ],
)
def test_values_that_no_gpufin_wrote_are_damage(tmp_path: Path, statement: str) -> None:
    """A flipped bit inside a page breaks no structure of SQLite's."""
    written(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute(statement)
        database.commit()

    with closing(opened(tmp_path)) as store:
        store.recover()
        store.write(batch(2))

    assert nanos_of(tmp_path / FILE_NAME) == ROWS
    assert nanos_of(tmp_path / f"{FILE_NAME}.corrupt") == ROWS


def test_damage_that_a_write_finds_is_set_aside(tmp_path: Path) -> None:
    """That batch is for the new ledger, which the next flush begins."""
    with closing(opened(tmp_path)) as store:
        store.write(batch(1))
        before = store.recover().ledger_id
        damage_beside(store, "entry", tmp_path / FILE_NAME)

        with pytest.raises(LedgerError, match="malformed"):
            store.write(batch(2))
        found = store.reopen()
        store.write(batch(2))

        assert found is not None
        assert found.ledger_id not in {"", before}
        assert not found.months
    assert nanos_of(tmp_path / FILE_NAME) == ROWS
    assert (tmp_path / f"{FILE_NAME}.corrupt").exists()


def test_damage_that_a_look_for_news_finds_is_set_aside(tmp_path: Path) -> None:
    """Another program's write makes the agent sum the rows again."""
    with closing(opened(tmp_path)) as store:
        store.write(batch(1))
        with closing(connect(tmp_path / FILE_NAME)) as other:
            other.execute("INSERT INTO retired VALUES (?, 1)", (CARD,))
        damage_beside(store, "entry", tmp_path / FILE_NAME)

        with pytest.raises(LedgerError, match="malformed"):
            store.news()

        assert store.reopen() is not None


def test_damaged_file_on_a_disk_that_is_read_only_stays_and_measuring_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be renamed: sums are kept until it can."""
    written(tmp_path)
    overwrite_root_of("entry", tmp_path / FILE_NAME)

    def refuses(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with closing(opened(tmp_path)) as store:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", refuses)
            assert store.recover().ledger_id == ""
            with pytest.raises(LedgerError, match="Read-only"):
                store.reopen()
        found = store.reopen()

        assert found is not None
        assert found.ledger_id
    assert "measuring goes on" in caplog.text


def test_ledger_of_a_cloned_machine_is_set_aside(tmp_path: Path) -> None:
    """Its money is the other machine's: the copy begins at nothing, under an id of its own."""
    first = written(tmp_path, machine_id="original")

    second = written(tmp_path, machine_id="clone")

    assert first != second
    assert nanos_of(tmp_path / FILE_NAME) == ROWS
    assert nanos_of(tmp_path / f"{FILE_NAME}.machine-original") == ROWS


def test_machine_without_an_id_goes_on(tmp_path: Path) -> None:
    """A container may have none: that is no other machine."""
    first = written(tmp_path, machine_id="original")

    assert written(tmp_path, 2, machine_id="") == first


def test_ledger_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """While a directory stands in its place sums are kept; later all it knows is told to the agent."""
    written(tmp_path)
    (tmp_path / FILE_NAME).rename(tmp_path / "aside")
    (tmp_path / FILE_NAME).mkdir()

    with closing(opened(tmp_path)) as store:
        assert store.recover().ledger_id == ""
        with pytest.raises(LedgerError, match=FILE_NAME):
            store.reopen()
        (tmp_path / FILE_NAME).rmdir()
        (tmp_path / "aside").rename(tmp_path / FILE_NAME)
        found = store.reopen()
        store.write(batch(2))

        assert found is not None
        assert list(found.checkpoints.values()) == list(batch(1).checkpoints)
        assert sum(sums.cost for sums in found.months.values()) == ROWS
        assert store.reopen() is None
        assert store.news() is None
    assert nanos_of(tmp_path / FILE_NAME) == 2 * ROWS


def test_disk_that_takes_no_lock_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted read-only at start: measuring goes on, and the first good flush writes everything."""

    def refuses(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr("agent.storage.connection.os.open", refuses)
        store = opened(tmp_path)
        with pytest.raises(LedgerError, match="Read-only"):
            store.reopen()
    store.reopen()
    store.write(batch(1))
    store.close()

    assert nanos_of(tmp_path / FILE_NAME) == ROWS


def test_foreign_database_is_not_written_into(tmp_path: Path) -> None:
    """Another program's SQLite file under our name stays as it is."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute("CREATE TABLE meta (a)")

    with closing(opened(tmp_path)) as store, pytest.raises(LedgerError, match=FILE_NAME):
        store.reopen()

    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("meta",)]


def test_another_programs_rows_are_news_once(tmp_path: Path) -> None:
    """A correction and a retired card are seen at the next look; our own writes are no news."""
    with closing(opened(tmp_path)) as store:
        store.write(batch(1))
        assert store.news() is None
        with closing(connect(tmp_path / FILE_NAME)) as other:
            other.execute("UPDATE entry SET nanos = nanos + 7 WHERE hour = 0")
            other.execute("INSERT INTO retired VALUES (?, 1)", (CARD,))

        news = store.news()

        assert news is not None
        assert news.retired == {CARD}
        key = a_key()
        assert news.months[MonthKey(key.month, key.team, key.currency)].cost == ROWS + 7
        assert store.news() is None
        store.write(batch(2))
        assert store.news() is None


def test_price_records_are_kept_by_id_and_content(tmp_path: Path) -> None:
    """One of the same digest once; one edited in place leaves two digests under its id."""
    empty = Batch(rows={}, checkpoints=[], remainders={}, gpus=[])
    with closing(opened(tmp_path)) as store:
        for record in (("a", '{"a": 1}'), ("a", '{"a": 1, "source": ""}'), ("b", '{"a": 2}')):
            store.write(replace(empty, prices={"h100": record}))

        assert store.recover().price_digests == {"h100": {"a", "b"}}


def test_ledger_whose_directory_is_removed_is_said_to_be_lost(tmp_path: Path) -> None:
    """Writing on into a file without a name would look well until the next start."""
    directory = tmp_path / "state"
    first = written(directory)
    with closing(opened(directory)) as store:
        shutil.rmtree(directory)
        with pytest.raises(LedgerError, match="was removed or replaced while the agent ran"):
            store.write(batch(2))
        with pytest.raises(LedgerError, match="is not there any more"):
            store.reopen()
        assert not directory.exists()  # it may be a mount point: nothing is put in its place

        directory.mkdir()
        found = store.reopen()
        store.write(batch(2))

    assert found is not None
    assert found.ledger_id != first
    assert nanos_of(directory / FILE_NAME) == ROWS


def test_ledger_that_is_replaced_is_left_and_its_successor_is_taken_up(tmp_path: Path) -> None:
    """As when a backup is put in its place beside the running agent."""
    first = written(tmp_path / "backup")
    written(tmp_path / "state")
    with closing(opened(tmp_path / "state")) as store:
        for number in range(3):  # what is in the log of the one must not be played over the other
            store.write(batch(3 + number))
        (tmp_path / "backup" / FILE_NAME).replace(tmp_path / "state" / FILE_NAME)
        with pytest.raises(LedgerError, match="was removed or replaced"):
            store.write(batch(2))
        found = store.reopen()
        store.write(batch(2))

    assert found is not None
    assert found.ledger_id == first
    assert nanos_of(tmp_path / "state" / FILE_NAME) == 2 * ROWS
