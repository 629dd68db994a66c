"""A ledger in memory that behaves as the SQLite one does."""

from agent.errors import LedgerError
from agent.ledger.batch import Batch, KnownGpu, News, Recovered
from agent.ledger.book import Months
from agent.ledger.entry import Entry, EntryKey
from agent.ledger.fill import Checkpoint
from agent.ledger.posting import Remainders
from agent.ports import LedgerStore


class FakeLedger(LedgerStore):
    """``LedgerStore`` in memory; ``full`` makes each write fail, ``closed`` all use until it is unset."""

    def __init__(self) -> None:
        self.rows: dict[EntryKey, tuple[int, int]] = {}
        self.full = False
        self.closed = False
        self.retired: frozenset[str] = frozenset()
        self._late = False
        self._checkpoints: dict[str, Checkpoint] = {}
        self._remainders: Remainders = {}
        self._gpus: dict[str, KnownGpu] = {}

    def recover(self) -> Recovered:
        self._late = self.closed
        return Recovered(ledger_id="") if self.closed else self._all()

    def reopen(self) -> Recovered | None:
        if self.closed:
            raise LedgerError("fake: cannot be opened")
        late, self._late = self._late, False
        return self._all() if late else None

    def _all(self) -> Recovered:
        months = Months({})
        months.add(Entry(key, *amounts) for key, amounts in self.rows.items())
        sums = months.snapshot({key.month for key in self.rows})
        return Recovered(
            ledger_id="fake",
            checkpoints=dict(self._checkpoints),
            remainders=dict(self._remainders),
            gpus=dict(self._gpus),
            months=dict(sums),
            retired=self.retired,
        )

    def write(self, batch: Batch) -> None:
        if self.closed or self._late:
            raise LedgerError("fake: is not open")
        if self.full:
            raise LedgerError("fake: database or disk is full")
        for key, (nanos, quantity) in batch.rows.items():
            before_nanos, before_quantity = self.rows.get(key, (0, 0))
            self.rows[key] = (before_nanos + nanos, before_quantity + quantity)
        self._checkpoints.update({point.uuid: point for point in batch.checkpoints})
        self._remainders.update(batch.remainders)
        self._gpus.update({gpu.identity.uuid: gpu for gpu in batch.gpus})
        for uuid in batch.gone:
            self._checkpoints.pop(uuid, None)
            self._gpus.pop(uuid, None)

    def news(self) -> News | None:
        return None

    def close(self) -> None:
        """Nothing is held."""
