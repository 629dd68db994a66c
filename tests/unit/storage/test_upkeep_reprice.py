"""Corrections of a ledger beside the agent that writes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ledger.batch import Batch, KnownGpu
from agent.ledger.entry import EntryKey
from agent.ledger.fill import Checkpoint
from agent.samples.instant import Instant
from agent.storage import upkeep
from agent.storage.connection import FILE_NAME
from agent.storage.ledger import SqliteLedger
from agent.storage.verify import findings
from agent.usage.match import CardMatch
from tests.builders import CARD, HOUR, MODEL, UTC, a_card, a_key, a_policy, a_rental
from tests.unit.storage.rows import rows_of

Rows = dict[EntryKey, tuple[int, int]]
DAY = 86_400
NOTE = (7, "the contract came late")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[SqliteLedger]:
    """The running agent's hold on the ledger."""
    with closing(SqliteLedger(tmp_path, source="simulated")) as store:
        yield store


def write(store: SqliteLedger, rows: Rows) -> None:
    gpus = [KnownGpu(a_card(), 77)]
    store.write(Batch(rows=rows, checkpoints=[], remainders={}, gpus=gpus))


def unpriced(hour: int) -> EntryKey:
    return a_key(hour=hour, component="unpriced", team="t")._replace(price_id="")


def test_reprice_adds_rows_with_their_reason_and_the_agent_hears(
    agent: SqliteLedger, tmp_path: Path
) -> None:
    """A dry run adds nothing; the real one is news to the agent; again, there is nothing to do."""
    write(agent, {unpriced(0): (0, HOUR), unpriced(7_200): (0, HOUR)})
    policy, hours = a_policy(a_rental("2.50", model=MODEL)), (0, 7_200)

    tried = upkeep.reprice(tmp_path, policy, hours, note=NOTE, dry_run=True)
    assert agent.news() is None
    found = upkeep.reprice(tmp_path, policy, hours, note=NOTE)
    news = agent.news()
    again = upkeep.reprice(tmp_path, policy, hours, note=NOTE)

    assert tried == found
    assert again.added == []
    assert sum(entry.nanos for entry in found.added) == 2_500_000_000
    assert news is not None
    assert [sums.cost for sums in news.months.values()] == [2_500_000_000]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        assert database.execute("SELECT * FROM correction").fetchall() == [(1, *NOTE)]
    assert rows_of(tmp_path / FILE_NAME)[unpriced(7_200)] == (0, HOUR)
    assert findings(tmp_path) == []


def test_reprice_keeps_the_record_that_it_books_by(agent: SqliteLedger, tmp_path: Path) -> None:
    """Of a card that is gone no agent will ever write it; the report and the forecast need it."""
    write(agent, {unpriced(0): (0, HOUR)})
    price = replace(a_rental("2.50", model=MODEL), record='{"tier": "spot"}', digest="d")

    upkeep.reprice(tmp_path, a_policy(price), (0, 3_600), note=NOTE)

    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        found = database.execute("SELECT id, digest, record FROM price_record").fetchall()
    assert found == [("rented", "d", '{"tier": "spot"}')]


def test_reprice_knows_which_rows_stand_for_days(agent: SqliteLedger, tmp_path: Path) -> None:
    """Before and after the edge of compaction the outcome is the same money."""
    write(agent, {unpriced(hour * 3_600): (0, HOUR) for hour in range(48)})
    upkeep.compact(tmp_path, DAY, UTC)
    policy = a_policy(a_rental("2.50", model=MODEL))

    found = upkeep.reprice(tmp_path, policy, (0, 2 * DAY), note=NOTE)

    assert sum(entry.nanos for entry in found.added) == 48 * 2_500_000_000
    assert findings(tmp_path) == []


def test_reprice_leaves_and_counts_what_the_file_has_no_record_of(
    agent: SqliteLedger, tmp_path: Path
) -> None:
    """By id, and only of the hours asked for; carbon has ids that are no prices."""
    carbon = a_key(component="carbon")._replace(price_id="flat")
    rows = {a_key(): (2_500_000_000, HOUR), a_key(hour=7_200): (2_500_000_000, HOUR)}
    write(agent, rows | {carbon: (0, 5)})
    policy, hours = a_policy(a_rental(id="other", model="none")), (0, 3_600)

    left = upkeep.reprice(tmp_path, policy, hours, note=NOTE)
    taken = upkeep.reprice(tmp_path, policy, hours, note=NOTE, also_removed=True)

    assert left == upkeep.Repriced([], {"rented": 1})
    assert sum(entry.nanos for entry in taken.added) == -2_500_000_000
    assert taken.left == {}


@pytest.mark.parametrize(("now_ns", "hours"), [(HOUR + 30, 1), (3 * HOUR, 2)])
def test_reprice_leaves_the_hour_that_the_agent_is_in(
    agent: SqliteLedger, tmp_path: Path, now_ns: int, hours: int
) -> None:
    """It is not over; that of an agent that stopped is."""
    until = Instant(7, HOUR + 20)
    point = Checkpoint(
        uuid=CARD, model=MODEL, until=until, boot_id="b", machine_id="", energy_mj=None
    )
    rows = {unpriced(0): (0, HOUR), unpriced(3_600): (0, 20)}
    agent.write(Batch(rows=rows, checkpoints=[point], remainders={}, gpus=[]))

    found = upkeep.reprice(
        tmp_path, a_policy(a_rental("2.50", model=MODEL)), (0, DAY), note=(now_ns, "late")
    )

    assert len({entry.key.hour for entry in found.added}) == hours


def test_a_card_is_priced_by_what_it_was_for_ever(agent: SqliteLedger, tmp_path: Path) -> None:
    """Memory and MIG profiles outlive a change of layout, and the card."""
    at = [
        replace(a_card(), memory_total_bytes=80 << 30, mig_profiles=profiles)
        for profiles in ((), ("1g.10gb", "2g.20gb"))
    ]
    prices = [
        replace(a_rental("2", id="whole"), match=CardMatch(model="*", memory_gb=80)),
        replace(a_rental("7", id="cut"), match=CardMatch(mig_profile="*")),
    ]
    for hour, (card, price) in enumerate(zip(at, ("whole", "cut"), strict=True)):
        key = a_key(hour=hour * 36_000)._replace(price_id=price)
        point = Checkpoint(
            uuid=CARD,
            model=MODEL,
            until=Instant(1, (hour * 10 + 1) * HOUR),
            boot_id="b",
            machine_id="",
            energy_mj=None,
        )
        rows = {key: (int(prices[hour].rates[0].nanos_per_ns * HOUR), HOUR)}
        batch = Batch(rows=rows, checkpoints=[point], remainders={}, gpus=[KnownGpu(card, 77)])
        agent.write(batch)
    assert agent.recover().gpus[CARD].identity == at[1]

    upkeep.retire(tmp_path, CARD, 9)
    found = upkeep.reprice(tmp_path, a_policy(*prices), (0, DAY), note=NOTE)

    assert agent.recover().gpus == {}
    assert found == upkeep.Repriced([], {})
