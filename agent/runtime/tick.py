"""The tick: one turn of read, price, book and publish, on the monotonic clock."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from agent.errors import TryAgain
from agent.ledger.account import Account
from agent.ports import Clock
from agent.runtime.health import Health
from agent.runtime.picture import Facts, Published, picture
from agent.runtime.reader import Reader
from agent.runtime.reports import Reports
from agent.samples.device import answers
from agent.samples.instant import Instant
from agent.units import NANOSECONDS_PER_SECOND, seconds
from agent.view import ConfigHealth, View

log = logging.getLogger(__name__)

CLOCK_STEP_NS = NANOSECONDS_PER_SECOND
"""A wall clock that moves this much against the boot clock between two ticks has stepped."""


class Ticker:
    """The tick thread's work.

    ``book_lock`` guards the account against the flush thread.
    ``on_turn`` hears of every view (readiness, watchdog), ``on_clock_step`` of every step.
    """

    def __init__(  # noqa: PLR0913 - the parts of a tick
        self,
        *,
        clock: Clock,
        reader: Reader,
        account: Account,
        book_lock: threading.Lock,
        published: Published,
        health: Health,
        facts: Facts,
        interval_ns: int,
        config_health: Callable[[], ConfigHealth],
        on_turn: Callable[[View], None],
        on_clock_step: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._reader = reader
        self._account = account
        self._book_lock = book_lock
        self._published = published
        self._health = health
        self._facts = facts
        self._interval_ns = interval_ns
        self._config_health = config_health
        self._on_turn = on_turn
        self._on_clock_step = on_clock_step
        self._offset_ns: int | None = None
        self._tick_seconds: float | None = None
        self._reports = Reports()

    def run(self, stop: threading.Event) -> None:
        """Turn until told to stop.

        Raises:
            TryAgain: the driver hangs or changed under us, and only a new process helps.
        """
        due_ns = self._clock.now().boottime_ns
        while not stop.is_set():
            late_ns = self._clock.now().boottime_ns - due_ns
            if late_ns > self._interval_ns // 2:
                self._account.counters.add("gpufin_ticks_late_total", (), 1)
            self.turn()
            if self._reader.exhausted:
                raise TryAgain("the driver hangs or was replaced; a new process is needed")
            # Missed turns are skipped, not made up: the next one books the longer interval.
            missed = max(0, self._clock.now().boottime_ns - due_ns) // self._interval_ns
            if missed and late_ns <= self._interval_ns // 2:  # counted once, however long it took
                self._account.counters.add("gpufin_ticks_late_total", (), 1)
            due_ns += (missed + 1) * self._interval_ns
            stop.wait(seconds(max(0, due_ns - self._clock.now().boottime_ns)))

    def turn(self) -> View:
        """One tick, from reading to published view."""
        start = self._clock.now()
        node = self._reader.collect(self._account.expected)
        now = self._clock.now()
        self._watch_clock(now)
        with self._book_lock:
            counters = self._account.counters
            counters.add("gpufin_ticks_total", (), 1)
            abandoned = self._reader.take_abandoned()
            counters.add("gpufin_readers_abandoned_total", (), abandoned)
            self._account.advance(node, now)
            success = node.driver_up and not self._reader.unreadable and self._all_answer()
            self._health.report("devices", success=success, start=start, end=now)
            collectors = dict(self._health.snapshot())
            view = picture(self._account, node, now, self._facts, collectors, self._config_health())
        view = replace(view, tick_seconds=self._tick_seconds)
        self._published.publish(view)
        self._tick_seconds = seconds(self._clock.now().boottime_ns - start.boottime_ns)
        for note in together(self._account.notes):
            log.warning("%s", note)
        self._reports.tell(view)
        self._on_turn(view)
        return view

    def _watch_clock(self, now: Instant) -> None:
        offset_ns = now.wall_ns - now.boottime_ns
        before_ns, self._offset_ns = self._offset_ns, offset_ns
        if before_ns is None:
            self._account.counters.add("gpufin_clock_steps_total", (), 0)
            self._account.counters.add("gpufin_ticks_late_total", (), 0)
            return
        step_ns = offset_ns - before_ns
        if abs(step_ns) >= CLOCK_STEP_NS:
            log.warning("the wall clock stepped by %.1f s", seconds(step_ns))
            self._account.counters.add("gpufin_clock_steps_total", (), 1)
            self._on_clock_step()

    def _all_answer(self) -> bool:
        cards = self._account.cards.values()
        return bool(cards) and all(answers(card.report) for card in cards)


def together(notes: Iterable[str]) -> Iterator[str]:
    """Notes of the form ``uuid: what``, one for all cards of which the same is to be said."""
    cards: dict[str, list[str]] = {}
    for note in notes:
        uuid, _, what = note.partition(": ")
        cards.setdefault(what, []).append(uuid)
    for what, uuids in cards.items():
        yield f"{uuids[0] if len(uuids) == 1 else f'{len(uuids)} cards'}: {what}"
