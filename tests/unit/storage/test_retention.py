"""What a running agent's ledger keeps, and for how long."""

from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.ledger.batch import Batch
from agent.ledger.policy import Retention
from agent.storage.connection import FILE_NAME
from agent.storage.ledger import SqliteLedger
from agent.storage.retention import retain
from tests.builders import SECOND, UTC, a_key
from tests.unit.storage.rows import rows_of

OLD, OLDER, NEW = "2024-10-01T05:00", "2024-10-01T17:00", "2026-11-20T05:00"


def at(moment: str) -> int:
    return int(datetime.fromisoformat(f"{moment}+00:00").timestamp())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two hours of a day two years ago, and one of this month."""
    with closing(SqliteLedger(tmp_path, source="simulated")) as store:
        rows = {a_key(hour=at(moment), month=moment[:7]): (5, 50) for moment in (OLD, OLDER, NEW)}
        store.write(Batch(rows=rows, checkpoints=[], remainders={}, gpus=[]))
    return tmp_path


NOW = at("2026-11-24T12:00") * SECOND


def test_old_hours_become_days_and_no_sum_changes(place: Path) -> None:
    """What is younger stays by the hour."""
    assert retain(place, Retention(400, None), NOW, UTC)

    rows = rows_of(place / FILE_NAME)
    assert {key.hour: amounts for key, amounts in rows.items()} == {
        at("2024-10-01T00:00"): (10, 100),
        at(NEW): (5, 50),
    }
    assert retain(place, Retention(400, None), NOW, UTC)
    assert rows_of(place / FILE_NAME) == rows


@pytest.mark.parametrize(("months", "left"), [(26, 2), (25, 1), (13, 1)])
def test_months_beyond_those_that_are_kept_go(place: Path, months: int, left: int) -> None:
    """October 2024 is the twenty-sixth, November 2026 counted in."""
    assert retain(place, Retention(400, months), NOW, ZoneInfo("Asia/Kathmandu"))

    assert len({key.month for key in rows_of(place / FILE_NAME)}) == left


def test_a_ledger_that_cannot_be_worked_on_now_is_left_for_the_next_time(tmp_path: Path) -> None:
    """Said in the log; the agent goes on."""
    assert not retain(tmp_path, Retention(400, None), NOW, UTC)
