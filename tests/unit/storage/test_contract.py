"""The ledger in memory keeps the promises of the one on disk, so that tests may use it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ledger.batch import Batch
from agent.ledger.entry import Component, MonthSums
from agent.ports import LedgerStore
from agent.storage.ledger import SqliteLedger
from tests.builders import CARD, OTHER_CARD, a_key
from tests.fakes.store import FakeLedger
from tests.unit.storage.writer import batch


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    made: LedgerStore = (
        FakeLedger() if request.param == "memory" else SqliteLedger(tmp_path, source="simulated")
    )
    yield made
    made.close()


def test_store_recovers_the_last_state_of_each_card(store: LedgerStore) -> None:
    """Later batches replace checkpoints and remainders by key and leave the others alone."""
    first, second = batch(1), batch(2)
    other = replace(first.checkpoints[0], uuid=OTHER_CARD)

    store.write(replace(first, checkpoints=[*first.checkpoints, other]))
    store.write(second)
    recovered = store.recover()

    assert recovered.checkpoints == {CARD: second.checkpoints[0], OTHER_CARD: other}
    assert recovered.remainders == second.remainders
    assert {key.month for key in recovered.months} == {"1970-01"}


def test_store_sums_every_month(store: LedgerStore) -> None:
    """Cost and idle cost by month, team and currency."""
    rows = {
        a_key(): (1, 1),
        a_key(state="held"): (2, 1),
        a_key(month="1970-02"): (4, 1),
        a_key(component=Component.UNPRICED): (0, 1),
    }
    empty = Batch(rows={}, checkpoints=[], remainders={}, gpus=[])

    store.write(replace(empty, rows=rows))
    store.write(replace(empty, rows=rows))

    found = store.recover().months
    assert {key.month: sums for key, sums in found.items()} == {
        "1970-01": MonthSums(6, 4, 4),
        "1970-02": MonthSums(8),
    }


def test_store_forgets_cards_that_are_gone(store: LedgerStore) -> None:
    """Their checkpoints are not recovered, also when the same batch brings others."""
    store.write(batch(1))

    store.write(Batch(rows={}, checkpoints=[], remainders={}, gpus=[], gone=[CARD, OTHER_CARD]))

    assert store.recover().checkpoints == {}
