"""The flush thread: carries the account's sums into the ledger, again and again until they are in."""

import logging
import threading

from agent.errors import LedgerError
from agent.ledger.account import Account
from agent.ports import Clock, LedgerStore
from agent.runtime.health import Health
from agent.units import seconds

log = logging.getLogger(__name__)


class Flusher:
    """Writes a batch each interval; what cannot be written is kept and tried again."""

    def __init__(
        self,
        *,
        clock: Clock,
        account: Account,
        book_lock: threading.Lock,
        store: LedgerStore,
        health: Health,
    ) -> None:
        self._clock = clock
        self._account = account
        self._book_lock = book_lock
        self._store = store
        self._health = health
        self._failing = ""

    def run(self, stop: threading.Event, interval_ns: int) -> None:
        """Flush every ``interval_ns`` until told to stop, and once more then."""
        while not stop.wait(seconds(interval_ns)):
            self.flush()
        self.flush()

    def flush(self) -> bool:
        """Write what has accumulated; False when it could not be and is kept in memory."""
        start = self._clock.now()
        try:
            self._join()
            self._write()
            self._take_news()
        except BaseException as error:
            if not isinstance(error, LedgerError):
                raise  # a defect: it ends the agent, and the last flush still has these rows
            self._health.report("ledger", success=False, start=start, end=self._clock.now())
            if self._failing != str(error):
                log.error("the ledger cannot be written, sums are kept in memory: %s", error)
            self._failing = str(error)
            return False
        self._health.report("ledger", success=True, start=start, end=self._clock.now())
        if self._failing:
            log.info("the ledger is written again, with all that was kept in memory")
            self._failing = ""
        return True

    def last_flush(self) -> None:
        """Flush before the process ends, and say what is lost with it."""
        # Twice: the first may have found that the file is another one now.
        if not self.flush() and not self.flush():
            log.error(
                "%d rows of money and energy could not be written and end with this process: %s",
                *(len(self._account.pending), self._failing),
            )

    def _join(self) -> None:
        # Before the first batch is taken: it would replace the checkpoints that the gap is known by.
        recovered = self._store.reopen()
        if recovered is not None:
            with self._book_lock:
                self._account.join(recovered)

    def _write(self) -> None:
        with self._book_lock:
            batch = self._account.take()
        try:
            self._store.write(batch)
        except BaseException:
            with self._book_lock:
                self._account.pending.put_back(batch.rows)
            raise

    def _take_news(self) -> None:
        # Read right after the write: all money is either in the ledger or still pending.
        news = self._store.news()
        if news is not None:
            with self._book_lock:
                self._account.resync(news)
            log.info("the ledger was changed by another program: its sums were taken up")
