"""Months: what the ledger sums up at a start is what a running agent has kept."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings, strategies as st

from agent.ledger.batch import Batch
from agent.ledger.book import Months
from agent.ledger.entry import QUANTITY_UNITS, Entry, EntryKey
from agent.storage.ledger import SqliteLedger
from agent.usage.state import CardState
from tests.builders import a_key

MONTHS = ("2026-10", "2026-11")


def _key(values: tuple[str, str, str, str, str, bool, int]) -> EntryKey:
    month, state, component, team, exempt, filled, correction = values
    key = a_key(month=month, state=state, component=component, team=team, filled=filled)
    return key._replace(exempt=exempt, correction=correction)


keys = st.tuples(
    st.sampled_from(MONTHS),
    st.sampled_from([*CardState]),
    st.sampled_from([*QUANTITY_UNITS]),
    st.sampled_from(["research", "unattributed", ""]),
    st.sampled_from(["", "standby"]),
    st.booleans(),
    st.sampled_from([0, 1, 2]),
).map(_key)
money = st.integers(-(10**15), 10**15)


@settings(max_examples=60)
@given(rows=st.dictionaries(keys, money, max_size=40), rest=st.dictionaries(keys, money))
def test_months_do_not_jump_at_a_restart(
    rows: dict[EntryKey, int], rest: dict[EntryKey, int]
) -> None:
    """Cost, idle, avoidable and exempt: over all states, components, exemptions and corrections."""
    kept = Months({})

    with TemporaryDirectory() as directory:
        store = SqliteLedger(Path(directory), source="simulated")
        for batch in (rows, rest):
            priced = {
                key: nanos if key.component in {"rental", "capital", "opex", "energy"} else 0
                for key, nanos in batch.items()
            }
            kept.add(Entry(key, nanos, 1) for key, nanos in priced.items())
            taken = {key: (nanos, 1) for key, nanos in priced.items()}
            store.write(Batch(rows=taken, checkpoints=[], remainders={}, gpus=[]))
        recovered = store.recover().months
        store.close()

    assert recovered == kept.snapshot(MONTHS)
