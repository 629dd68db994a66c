"""Checkpoints of cards, and the gaps before them that are still open, as rows and back."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent.ledger.fill import Checkpoint, Gap, Moment
from agent.samples.instant import Instant

Row = tuple[object, ...]


def read_checkpoints(database: sqlite3.Connection) -> dict[str, Checkpoint]:
    """The last checkpoint of each card."""
    gaps: dict[str, list[Gap]] = {}
    for uuid, _, *ends in database.execute("SELECT * FROM gap ORDER BY uuid, number"):
        gaps.setdefault(uuid, []).append(Gap(_moment(*ends[:4]), _moment(*ends[4:])))
    rows = database.execute("SELECT * FROM checkpoint")
    return {row[0]: _checkpoint(row, tuple(gaps.get(row[0], ()))) for row in rows}


def checkpoint_statements(points: Sequence[Checkpoint]) -> Iterator[tuple[str, Iterable[Row]]]:
    """What puts checkpoints in the place of those that their cards had."""
    yield "REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row, points)
    yield "DELETE FROM gap WHERE uuid = ?", ((point.uuid,) for point in points)
    yield (
        "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (point.uuid, number, *_columns(gap.start), *_columns(gap.end))
            for point in points
            for number, gap in enumerate(point.gaps)
        ),
    )


def forget_statements(uuids: Sequence[str]) -> Iterator[tuple[str, Iterable[Row]]]:
    """What takes the checkpoints of cards away."""
    for table in ("checkpoint", "gap"):
        yield f"DELETE FROM {table} WHERE uuid = ?", ((uuid,) for uuid in uuids)  # noqa: S608 - two names of our own


def _checkpoint(row: Sequence[Any], gaps: tuple[Gap, ...]) -> Checkpoint:
    uuid, model, boottime_ns, wall_ns, boot_id, machine_id, energy_mj, energy_at_ns, trusted = row
    return Checkpoint(
        uuid=uuid,
        model=model,
        until=Instant(boottime_ns, wall_ns),
        boot_id=boot_id,
        machine_id=machine_id,
        energy_mj=None if energy_mj is None else int(energy_mj),
        energy_at_ns=energy_at_ns,
        trusted=bool(trusted),
        gaps=gaps,
    )


def _row(point: Checkpoint) -> Row:
    return (
        point.uuid,
        point.model,
        point.until.boottime_ns,
        point.until.wall_ns,
        point.boot_id,
        point.machine_id,
        None if point.energy_mj is None else str(point.energy_mj),
        point.energy_at_ns,
        point.trusted,
    )


def _columns(moment: Moment) -> Row:
    return moment.boot_id, moment.at.boottime_ns, moment.at.wall_ns, moment.trusted


def _moment(boot_id: str, boottime_ns: int, wall_ns: int, trusted: int) -> Moment:
    return Moment(boot_id, Instant(boottime_ns, wall_ns), bool(trusted))
