"""Work on a ledger beside the agent that writes it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from agent.errors import LedgerError
from agent.ledger.batch import Batch, KnownGpu
from agent.ledger.entry import EntryKey
from agent.report.period import local_day
from agent.storage import upkeep
from agent.storage.connection import FILE_NAME, connect
from agent.storage.ledger import SqliteLedger
from agent.storage.verify import findings
from agent.usage.state import CardState
from tests.builders import (
    CARD,
    HOUR,
    OTHER_CARD,
    UTC,
    a_card,
    a_key,
    a_node,
    a_sample,
    an_account,
)
from tests.fakes.clock import FakeClock
from tests.unit.config.test_prices import decoded
from tests.unit.storage.rows import rows_of
from tests.unit.storage.writer import batch

Rows = dict[EntryKey, tuple[int, int]]
DAY = 86_400


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


# ---- verify


def test_a_good_ledger_has_no_findings(agent: SqliteLedger, tmp_path: Path) -> None:
    """Beside the agent, by its directory or its file."""
    write(agent, {a_key(): (2_500_000_000, HOUR), unpriced(3_600): (0, HOUR)})

    assert findings(tmp_path) == findings(tmp_path / FILE_NAME) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE entry SET state = 'asleep'", "a state that does not exist: asleep"),
        ("UPDATE entry SET component = 'fun'", "a component that does not exist: fun"),
        ("UPDATE entry SET price_id = ''", "or without a price record: 0, GPU-"),
        ("UPDATE entry SET hour = 7", "does not begin on the hour: 7"),
        ("UPDATE entry SET month = '1971-01'", "a month that its hour does not touch: 0, 1971-01"),
        ("UPDATE entry SET nanos = -1", "below zero with its corrections added in: 0"),
        ("UPDATE entry SET quantity = 4000000000000", "than its hour or day has"),
        ("UPDATE entry SET correction = 4", "nobody gave a reason for: 4"),
        (
            "INSERT INTO remainder VALUES ('u', 'rental', 'p', '12', '9')",
            "not below its denominator",
        ),
        (
            "INSERT INTO price_record VALUES ('p', 'a', '{}', 0), ('p', 'b', '{}', 0)",
            "edited in place, versions under one id: p, 2",
        ),
    ],
)
def test_what_is_wrong_is_found(
    agent: SqliteLedger, tmp_path: Path, statement: str, finding: str
) -> None:
    """Each defect by its words and its rows."""
    write(agent, {a_key(): (5, 50)})
    with closing(connect(tmp_path / FILE_NAME)) as database:
        database.execute(statement)

    assert any(finding in each for each in findings(tmp_path))


def test_a_price_changed_as_prescribed_is_no_finding(agent: SqliteLedger, tmp_path: Path) -> None:
    """The old record gets its end, a new one follows; an amount edited in place is found."""
    old = {"id": "2026", "kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": 2.5}
    new = old | {"id": "2027", "price_per_gpu_hour": 2.2, "valid_from": "2027-01-01"}
    ended = old | {"valid_to": "2027-01-01", "source": "contract 4711"}
    clock, account = FakeClock(), an_account(decoded(prices=[old]).policy)
    found = []
    for records in ([old], [ended, new], [ended | {"price_per_gpu_hour": 2.4}, new]):
        account.use(decoded(prices=records).policy)
        for _ in range(3):
            account.advance(a_node(a_sample()), clock.move(1))
        agent.write(account.take())
        found.append(findings(tmp_path))

    edited = "a price record that was edited in place, versions under one id: 2026, 2"
    assert found == [[], [], [edited]]


def test_a_torn_file_is_found(agent: SqliteLedger, tmp_path: Path) -> None:
    """Pages that are garbage are findings, or the file cannot be read at all and that is said."""
    write(agent, {a_key(hour=3_600 * hour): (1, 1) for hour in range(5_000)})
    copy = tmp_path / "copy"
    upkeep.backup(tmp_path, copy)
    content = bytearray(copy.read_bytes())
    content[200_000:202_000] = b"\x5a" * 2_000
    copy.write_bytes(content)

    try:
        found = findings(copy)
    except LedgerError as error:
        found = [str(error)]

    assert any("damaged" in each or "malformed" in each for each in found)


def test_no_ledger_is_said(tmp_path: Path) -> None:
    """By the path that was looked at."""
    with pytest.raises(LedgerError, match=rf"{tmp_path}.*there is no ledger"):
        findings(tmp_path)


# ---- backup


def test_backup_is_the_ledger_and_never_overwrites(agent: SqliteLedger, tmp_path: Path) -> None:
    """Taken while the agent holds the file open."""
    write(agent, {a_key(): (5, 50)})
    target = tmp_path / "copy.sqlite"

    upkeep.backup(tmp_path, target)

    assert rows_of(target) == {a_key(): (5, 50)}
    assert findings(target) == []
    with pytest.raises(LedgerError, match="is not overwritten"):
        upkeep.backup(tmp_path, target)


# ---- compaction


rows_of_days = st.dictionaries(
    st.builds(
        lambda hour, state, team, filled: a_key(
            hour=hour * 3_600, state=state, team=team, filled=filled
        ),
        st.integers(0, 30 * 24),
        st.sampled_from([state.value for state in CardState]),
        st.sampled_from(["a", "b"]),
        st.booleans(),
    ),
    st.tuples(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15)),
    max_size=60,
)


def without_hour(rows: Rows) -> dict[tuple[int, EntryKey], tuple[int, int]]:
    """By day and key."""
    sums: dict[tuple[int, EntryKey], tuple[int, int]] = {}
    for key, (nanos, quantity) in rows.items():
        place = (key.hour // DAY, key._replace(hour=0))
        before = sums.get(place, (0, 0))
        sums[place] = (before[0] + nanos, before[1] + quantity)
    return sums


@given(rows=rows_of_days, first=st.integers(0, 32 * DAY), second=st.integers(0, 32 * DAY))
def test_compaction_conserves_every_sum(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, first: int, second: int
) -> None:
    """Per day, card, state, component, price: to the nano, however often and in which order."""
    directory = tmp_path_factory.mktemp("compact")
    with closing(SqliteLedger(directory, source="simulated")) as store:
        write(store, rows)
        for before in (first, second):
            upkeep.compact(directory, before, UTC)
            write(store, {})
        after = rows_of(directory / FILE_NAME)

    assert without_hour(after) == without_hour(rows)
    edge = max(first, second) // DAY * DAY
    assert all(key.hour % DAY == 0 for key in after if key.hour < edge)
    assert {key for key in rows if key.hour >= edge} == {key for key in after if key.hour >= edge}


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Europe/Berlin"])
def test_compacted_days_are_local_days(agent: SqliteLedger, tmp_path: Path, zone: str) -> None:
    """Each at its first hour, one of 25 hours among them; the first compaction's zone stays."""
    local, first = ZoneInfo(zone), 1_792_800_000  # 24 October
    hours = range(first, first + 15 * DAY, 3_600)
    write(agent, {a_key(hour=hour, month="2026-10"): (1, HOUR) for hour in hours})

    _, has, used = upkeep.compact(tmp_path, first + 14 * DAY, local)
    again = upkeep.compact(tmp_path, first + 14 * DAY, UTC)

    rows = {key.hour: nanos for key, (nanos, _) in rows_of(tmp_path / FILE_NAME).items()}
    days = Counter(local_day(hour, local) for hour in hours)
    kept = {local_day(hour, local): nanos for hour, nanos in sorted(rows.items()) if nanos > 1}
    assert used == local
    assert again == (has, has, local)
    assert kept == {day: days[day] for day in kept}
    assert len(kept) == 14
    assert (25 in kept.values()) == (zone != "Asia/Kathmandu")
    assert not [each for each in findings(tmp_path) if "does not touch" not in each]


def test_dropped_months_are_gone(agent: SqliteLedger, tmp_path: Path) -> None:
    """And the others are not."""
    write(agent, {a_key(): (5, 50), a_key(month="1970-02"): (7, 70)})

    assert upkeep.drop_months(tmp_path, "1970-02") == 1
    assert rows_of(tmp_path / FILE_NAME) == {a_key(month="1970-02"): (7, 70)}


# ---- inventory


def test_retired_cards_are_told_and_can_come_back(agent: SqliteLedger, tmp_path: Path) -> None:
    """The agent hears of it; the card's rows stay."""
    write(agent, {a_key(): (5, 50)})

    assert [card.uuid for card, _ in upkeep.known_cards(tmp_path)[0]] == [CARD]
    assert upkeep.retire(tmp_path, CARD, 9)
    assert not upkeep.retire(tmp_path, CARD, 10)
    news = agent.news()
    assert news is not None
    assert news.retired == {CARD}
    assert upkeep.known_cards(tmp_path) == ([], [(CARD, 9)])
    assert upkeep.bring_back(tmp_path, CARD)
    assert not upkeep.bring_back(tmp_path, OTHER_CARD)
    assert rows_of(tmp_path / FILE_NAME) == {a_key(): (5, 50)}


def test_a_card_retired_by_mistake_keeps_its_checkpoint(
    agent: SqliteLedger, tmp_path: Path
) -> None:
    """Undone before an agent has seen it, the time since the last run is filled as if nothing was."""
    before = batch(1)
    agent.write(before)

    upkeep.retire(tmp_path, CARD, 5)
    upkeep.bring_back(tmp_path, CARD)

    assert list(agent.recover().checkpoints.values()) == list(before.checkpoints)


def test_ledger_that_was_set_aside_can_be_adopted(tmp_path: Path) -> None:
    """A machine with a new id goes on with its old ledger when told that it is its own."""
    with closing(SqliteLedger(tmp_path, source="simulated", machine_id="old")) as store:
        before = store.recover().ledger_id
    with closing(SqliteLedger(tmp_path, source="simulated", machine_id="new")):
        pass
    aside = tmp_path / f"{FILE_NAME}.machine-old"

    upkeep.take_over(aside, "new")
    aside.replace(tmp_path / FILE_NAME)
    with closing(SqliteLedger(tmp_path, source="simulated", machine_id="new")) as store:
        assert store.recover().ledger_id == before
