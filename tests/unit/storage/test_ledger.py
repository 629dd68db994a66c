"""The SQLite ledger: all or nothing, one writer, and clear words when it cannot be used."""

import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import LedgerError
from agent.ledger.batch import Batch, KnownGpu
from agent.ledger.book import Pending
from agent.ledger.entry import Component, Entry, EntryKey, MonthKey, MonthSums
from agent.ledger.fill import Checkpoint, Gap, Moment
from agent.samples.instant import Instant
from agent.storage.connection import FILE_NAME, LOCK_NAME
from agent.storage.ledger import SqliteLedger, remembered_gpus
from agent.storage.reading import read_ledgers
from tests.builders import CARD, MODEL, OTHER_CARD, SECOND, a_card, a_key
from tests.unit.storage.rows import rows_of
from tests.unit.storage.writer import ROWS

POINT = Checkpoint(
    uuid=CARD,
    model=MODEL,
    until=Instant(2**62, 2**61),
    boot_id="boot",
    machine_id="machine",
    energy_mj=2**64 - 1,
    energy_at_ns=2**60,
)
WRITER = [sys.executable, "-m", "tests.unit.storage.writer"]
ROOT = Path(__file__).parents[3]


def a_batch(
    rows: dict[EntryKey, tuple[int, int]] | None = None,
    checkpoints: tuple[Checkpoint, ...] = (POINT,),
    gone: tuple[str, ...] = (),
) -> Batch:
    return Batch(
        rows=rows or {a_key(): (5, 50)},
        checkpoints=checkpoints,
        remainders={(CARD, "rental", "rented"): (10**40, 10**41)},
        gpus=[KnownGpu(a_card(point.uuid), 77) for point in checkpoints],
        gone=gone,
    )


def opened(directory: Path, source: str = "simulated") -> SqliteLedger:
    return SqliteLedger(directory, source=source)


def test_recovery_gives_back_what_was_written(tmp_path: Path) -> None:
    """Checkpoints, open gaps, remainders, cards and the ledger's name survive, u64 counters included."""
    store = opened(tmp_path)
    gaps = (
        Gap(Moment("a", Instant(1, 2), trusted=True), Moment("b", Instant(3, 4), trusted=False)),
        Gap(Moment("b", Instant(5, -6), trusted=False), Moment("c", Instant(7, 8), trusted=True)),
    )
    without_counter = replace(POINT, uuid=OTHER_CARD, energy_mj=None, trusted=False, gaps=gaps)
    batch = a_batch(checkpoints=(POINT, without_counter))

    store.write(batch)
    before = store.recover()
    store.close()
    store = opened(tmp_path)
    after = store.recover()
    store.close()

    assert after == before
    assert after.checkpoints == {CARD: POINT, OTHER_CARD: without_counter}
    assert after.remainders == batch.remainders
    assert after.gpus[CARD] == batch.gpus[0]
    assert len(after.ledger_id) == 12


def test_months_are_summed_by_team_with_their_idle_part(tmp_path: Path) -> None:
    """Of the months that are asked for; unpriced time is no money."""
    store = opened(tmp_path)
    store.write(
        a_batch(
            {
                a_key(): (1, 1),
                a_key(state="held", hour=3_600): (2, 1),
                a_key(state="idle", filled=True): (4, 1),
                a_key(team="other"): (8, 1),
                a_key(month="1970-02"): (16, 1),
                a_key(component=Component.UNPRICED, team="nobody"): (0, 1),
            }
        )
    )

    months = store.recover().months
    store.close()

    assert months == {
        MonthKey("1970-01", "research", "USD"): MonthSums(7, 6, 6),
        MonthKey("1970-01", "other", "USD"): MonthSums(8),
        MonthKey("1970-02", "research", "USD"): MonthSums(16),
    }


def test_rows_of_one_key_add_up(tmp_path: Path) -> None:
    """One row for key and hour, however many flushes."""
    store = opened(tmp_path)

    store.write(a_batch())
    store.write(a_batch())
    store.close()

    assert rows_of(tmp_path / FILE_NAME) == {a_key(): (10, 100)}


def test_gone_card_leaves_no_checkpoint(tmp_path: Path) -> None:
    """Its rows stay, its checkpoint and its place among the known cards go."""
    store = opened(tmp_path)
    store.write(a_batch())

    store.write(a_batch(checkpoints=(), gone=(CARD,)))

    recovered = store.recover()
    store.close()
    assert not recovered.checkpoints
    assert not recovered.gpus
    assert rows_of(tmp_path / FILE_NAME) == {a_key(): (10, 100)}


def test_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A number no ledger can hold at the end of a batch undoes its beginning."""
    store = opened(tmp_path)
    store.write(a_batch())
    impossible = replace(POINT, until=Instant(2**63, 0))

    with pytest.raises(LedgerError, match=FILE_NAME):
        store.write(a_batch({a_key(hour=7): (1, 1)}, checkpoints=(impossible,)))
    recovered = store.recover()
    store.write(a_batch())
    store.close()

    assert recovered.checkpoints[CARD] == POINT
    assert rows_of(tmp_path / FILE_NAME) == {a_key(): (10, 100)}


def test_full_disk_keeps_the_rows_for_later(tmp_path: Path) -> None:
    """The write fails with the file's name; put back, the rows are written once there is room."""
    store, pending = opened(tmp_path), Pending()
    store.write(a_batch())
    assert store._database is not None
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    pending.add(Entry(a_key(hour=hour), 1, 1) for hour in range(1, 2_000))

    rows = pending.take()
    with pytest.raises(LedgerError, match=f"{FILE_NAME}.*full"):
        store.write(a_batch(rows))
    pending.put_back(rows)
    store._database.execute("PRAGMA max_page_count = 100000")
    store.write(a_batch(pending.take()))
    store.close()

    found = rows_of(tmp_path / FILE_NAME)
    assert found == {a_key(): (5, 50)} | {a_key(hour=hour): (1, 1) for hour in range(1, 2_000)}


def test_file_size_limit_is_a_ledger_error(tmp_path: Path) -> None:
    """A disk that refuses bytes in a real process is one line, and the file stays good."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from agent.errors import LedgerError; from tests.unit.storage import writer\n"
        "from agent.storage.ledger import SqliteLedger\n"
        "store = SqliteLedger(Path(sys.argv[1]), source='simulated'); store.write(writer.batch(1))\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, {resource.RLIM_INFINITY}))\n"
        "failed = 0\n"
        "for number in range(2, 40):\n"
        "    try: store.write(writer.batch(number))\n"
        "    except LedgerError: failed += 1\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "store.write(writer.batch(40)); print(failed)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    failed = int(done.stdout)
    assert failed > 0
    assert {nanos for nanos, _ in rows_of(tmp_path / FILE_NAME).values()} == {40 - failed}


def test_a_flush_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    """A power cut takes no acknowledged batch: every commit is synced, and readers never block it."""
    with closing(opened(tmp_path)) as store:
        assert store._database is not None
        (synchronous,) = store._database.execute("PRAGMA synchronous").fetchone()
        (journal,) = store._database.execute("PRAGMA journal_mode").fetchone()

    assert (synchronous, journal) == (2, "wal")  # 2: FULL


def test_second_writer_is_refused(tmp_path: Path) -> None:
    """Another process that opens the directory is told that one is writing already."""
    store = opened(tmp_path)

    second = subprocess.run(
        [*WRITER, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    store.close()

    assert second.returncode != 0
    assert "another gpufin writes here" in second.stderr
    assert second.stdout == ""
    opened(tmp_path).close()


def test_ledger_of_another_source_is_refused(tmp_path: Path) -> None:
    """Simulated money and real money never share a book."""
    opened(tmp_path).close()

    with pytest.raises(LedgerError, match=rf"{FILE_NAME}: holds simulated cards, not nvml"):
        opened(tmp_path, source="nvml")


def test_file_that_rots_while_open_is_a_ledger_error(tmp_path: Path) -> None:
    """Reading a table that is gone is an error of the ledger, not a traceback."""
    store = opened(tmp_path)
    assert store._database is not None
    store._database.execute("DROP TABLE gpu")

    with pytest.raises(LedgerError, match=FILE_NAME):
        store.recover()
    with pytest.raises(LedgerError, match=FILE_NAME):
        store.write(a_batch())
    store.close()


def test_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A path that cannot be a directory is named."""
    (tmp_path / "state").write_text("")

    with pytest.raises(LedgerError, match=f"{tmp_path}/state: cannot be used"):
        opened(tmp_path / "state")


def test_lock_file_is_not_for_everybody(tmp_path: Path) -> None:
    """Others may not hold the lock."""
    opened(tmp_path).close()

    assert (tmp_path / LOCK_NAME).stat().st_mode & 0o007 == 0


def test_remembered_gpus_are_read_beside_a_running_agent(tmp_path: Path) -> None:
    """Also from a directory whose name means something in an address."""
    directory = tmp_path / "50% of #1?"
    store = opened(directory)
    store.write(a_batch())

    assert remembered_gpus(directory) == [a_card()]
    store.close()
    assert remembered_gpus(directory) == [a_card()]
    assert remembered_gpus(tmp_path / "nothing") == []


def test_kill_in_the_middle_of_writes_leaves_a_whole_ledger(tmp_path: Path) -> None:
    """Twenty kill -9: every batch that was acknowledged is there, whole, and none twice."""
    acknowledged = 0
    for round_ in range(20):
        with subprocess.Popen(
            [*WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            acknowledged = int(writer.stdout.readline())
            time.sleep(0.003 * round_)
            writer.kill()
            rest = writer.stdout.read().split("\n")
        acknowledged = max([acknowledged, *(int(line) for line in rest[:-1])])

        store = opened(tmp_path)
        recovered = store.recover()
        store.close()
        rows = rows_of(tmp_path / FILE_NAME)
        written = recovered.checkpoints[CARD].until.wall_ns
        assert acknowledged <= written <= acknowledged + 1
        assert rows == {a_key(hour=hour): (written, written) for hour in range(ROWS)}
        assert recovered.remainders == {(CARD, "rental", "rented"): (written, 10**30)}
        assert recovered.checkpoints[CARD].energy_mj == written
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Who cannot write there is told where."""
    (tmp_path / "state").write_text("a file where a directory should be")

    with pytest.raises(LedgerError, match=str(tmp_path)):
        opened(tmp_path / "state")


def test_what_is_ahead_is_that_of_the_last_flush(tmp_path: Path) -> None:
    """A team that has no card any more has nothing ahead."""
    with closing(opened(tmp_path)) as store:
        for team in ("a", "b"):
            ahead = {MonthKey("2026-11", team, "USD"): 7}
            store.write(replace(a_batch(), ahead=ahead, ahead_from_ns=5 * SECOND))

    with read_ledgers([tmp_path]) as reader:
        assert list(reader.ahead()) == [(MonthKey("2026-11", "b", "USD"), 7, 5)]


def test_retired_cards_of_a_run_are_made_known_to_a_new_ledger(tmp_path: Path) -> None:
    """Which begins in the middle of it, after the one before was damaged or removed."""
    with closing(opened(tmp_path)) as store:
        store.write(replace(a_batch(), retired=frozenset({OTHER_CARD})))
        assert store.recover().retired == {OTHER_CARD}
