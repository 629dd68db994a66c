"""Cards as rows and back: those that are expected, and what a card has been, for the prices of its rows."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from agent.cost.rates import FOREVER_NS
from agent.ledger.batch import KnownGpu
from agent.ledger.span import Known
from agent.samples.device import GpuIdentity
from agent.samples.reading import Missing

Row = tuple[object, ...]

EXPECTED = "SELECT * FROM gpu WHERE NOT gone"
_KEEP_FORMER = """
INSERT OR REPLACE INTO former_gpu
SELECT uuid, ?1, COALESCE(
  (SELECT wall_ns FROM checkpoint WHERE checkpoint.uuid = gpu.uuid), last_seen_wall_ns
), memory_total_bytes, mig_profiles
FROM gpu WHERE uuid = ?2 AND (memory_total_bytes IS NOT ?3 OR mig_profiles IS NOT ?4)
"""


def identity_of(row: tuple[str, int, str, str, int, int | None, str, int]) -> GpuIdentity:
    """A card from a row of the table ``gpu``."""
    uuid, index, model, pci_bus_id, _, memory, profiles, _ = row
    card = GpuIdentity(uuid=uuid, index=index, model=model, pci_bus_id=pci_bus_id)
    return _with_facts(card, memory, profiles)


def read_known(database: sqlite3.Connection) -> dict[str, list[Known]]:
    """What each card looked like and when, by UUID; those that are gone too."""
    cards = {row[0]: identity_of(row) for row in database.execute("SELECT * FROM gpu")}
    begin = dict.fromkeys(cards, 0)
    found: dict[str, list[Known]] = {uuid: [] for uuid in cards}
    former = database.execute("SELECT * FROM former_gpu ORDER BY uuid, until_wall_ns")
    for uuid, until_ns, next_ns, memory, profiles in former:
        card = _with_facts(cards[uuid], memory, profiles)
        found[uuid].append(Known(begin[uuid], until_ns, card))
        begin[uuid] = next_ns
    for uuid, card in cards.items():
        found[uuid].append(Known(begin[uuid], FOREVER_NS, card))
    return found


def card_statements(gpus: Sequence[KnownGpu], now_ns: int) -> Iterator[tuple[str, Iterable[Row]]]:
    """What puts cards in the place of what was known of them; before their checkpoints are replaced.

    What prices are chosen by is kept when it changes: rows were priced by what the card was.
    """
    rows = [_row(gpu) for gpu in gpus]
    yield _KEEP_FORMER, ((now_ns, row[0], *row[5:]) for row in rows)
    yield "REPLACE INTO gpu VALUES (?, ?, ?, ?, ?, ?, ?, 0)", rows


def forget_cards(uuids: Sequence[str]) -> tuple[str, Iterable[Row]]:
    """What takes cards out of those that are expected; what they were stays."""
    return "UPDATE gpu SET gone = 1 WHERE uuid = ?", [(uuid,) for uuid in uuids]


def _with_facts(card: GpuIdentity, memory: int | None, profiles: str) -> GpuIdentity:
    return replace(
        card,
        memory_total_bytes=Missing.NO_DATA if memory is None else memory,
        mig_profiles=tuple(profiles.split(",")) if profiles else (),
    )


def _row(gpu: KnownGpu) -> Row:
    card = gpu.identity
    memory = card.memory_total_bytes
    return (
        card.uuid,
        card.index,
        card.model,
        card.pci_bus_id,
        gpu.last_seen_wall_ns,
        None if isinstance(memory, Missing) else memory,
        ",".join(card.mig_profiles),
    )
