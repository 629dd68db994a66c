"""The composition root: the one place where concrete parts are made and wired together."""

import gc
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.config.decode import Settings
from agent.devices.nvml.source import NvmlSource
from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.source import SimulatedSource
from agent.errors import EXIT_FAILURE, EXIT_TRY_AGAIN, GpufinError, TryAgain
from agent.export.http import application, listen
from agent.export.server import HttpServer
from agent.ledger.account import Account
from agent.ports import Clock, DeviceSource
from agent.runtime import lifecycle
from agent.runtime.clock import SystemClock
from agent.runtime.flush import Flusher
from agent.runtime.health import Health
from agent.runtime.host import this_host
from agent.runtime.jobs import Job, Jobs
from agent.runtime.notify import Notifier
from agent.runtime.picture import Facts, Published, status_line
from agent.runtime.reader import Reader
from agent.runtime.shift import Deadlines
from agent.runtime.tick import Ticker
from agent.storage.ledger import SqliteLedger, remembered_gpus
from agent.units import NANOSECONDS_PER_SECOND
from agent.view import View

log = logging.getLogger(__name__)

STALE_INTERVALS = 5
"""After so many intervals without a tick the picture is stale."""
STATUS_EVERY_NS = 30 * NANOSECONDS_PER_SECOND
PRICE_CHECK_SECONDS = 60.0
CLOCK_CHECK_SECONDS = 10.0


def source_of(settings: Settings, clock: Clock, node: SimulatedNode | None = None) -> DeviceSource:
    """The device source that the settings ask for; ``node`` describes a simulated one."""
    if settings.source == "simulated":
        return SimulatedSource(
            clock,
            node or SimulatedNode(seed=1, cards=demo_cards(8, ("h100", "h100", "h100", "l40s"))),
        )
    return NvmlSource(clock)


def driver_answers() -> tuple[bool, str]:
    """Whether an NVIDIA driver answers on this machine, and what it or its absence says."""
    source = NvmlSource(SystemClock())
    try:
        inventory = source.open()
    except GpufinError as error:
        return False, str(error)
    finally:
        source.close()
    return True, f"driver {inventory.driver_version}, {len(inventory.gpus)} cards"


def known_gpus(settings: Settings, state_directory: Path | None) -> list[tuple[str, str]]:
    """(uuid, model) of the cards the driver lists, or else of those the ledger remembers."""
    source = NvmlSource(SystemClock())
    try:
        return [(gpu.uuid, gpu.model) for gpu in source.open().gpus]
    except GpufinError:
        directory = state_directory or settings.state_directory
        return [(gpu.uuid, gpu.model) for gpu in remembered_gpus(directory)]
    finally:
        source.close()


class Agent:
    """One running agent: made, run once, gone."""

    def __init__(self, settings: Settings, source: DeviceSource, clock: Clock) -> None:
        """Take the port, the state directory and the ledger.

        Raises:
            GpufinError: one of them cannot be had.
        """
        self._settings = settings
        self._clock = clock
        self._notifier = Notifier(os.environ)
        self._channel = listen(settings.host, settings.port)
        try:
            self._store = SqliteLedger(settings.state_directory, source=source.kind)
        except GpufinError:
            self._channel.close()
            raise
        now = clock.now()
        recovered = self._store.recover()
        self._account = Account(settings.policy, recovered, this_host())
        self._book_lock = threading.Lock()
        self._health = Health()
        self._published = Published()
        interval_ns = settings.interval_ns
        self._reader = Reader(source, clock, Deadlines.of_interval(interval_ns))
        self._flusher = Flusher(
            clock=clock,
            account=self._account,
            book_lock=self._book_lock,
            store=self._store,
            health=self._health,
        )
        self._jobs = Jobs(
            (
                Job("prices", PRICE_CHECK_SECONDS, self._check_prices),
                Job("clock", CLOCK_CHECK_SECONDS, self._check_clock),
            ),
            clock,
            self._health,
        )
        self._ticker = Ticker(
            clock=clock,
            reader=self._reader,
            account=self._account,
            book_lock=self._book_lock,
            published=self._published,
            health=self._health,
            facts=Facts(
                source=source.kind,
                ledger_id=recovered.ledger_id,
                started_wall_ns=now.wall_ns,
                stale_after_ns=STALE_INTERVALS * interval_ns,
            ),
            interval_ns=interval_ns,
            on_turn=self._on_turn,
            on_clock_step=self._jobs.replan,
        )
        self._stop = threading.Event()
        self._failure = lifecycle.Failure()
        self._ready = False
        self._told_ns = 0
        self._unpriced: frozenset[str] = frozenset()

    def run(self) -> int:
        """Run until a signal or a failure; returns the exit code."""
        lifecycle.block_signals()
        server = HttpServer(application(self._published, self._clock), self._channel)
        server.start()
        flush = self._thread(
            "flush", lambda: self._flusher.run(self._stop, self._settings.flush_ns)
        )
        tick = self._thread("tick", lambda: self._ticker.run(self._stop))
        self._jobs.start()
        log.info("listening on http://%s:%d", self._settings.host, self._settings.port)
        while (woken := lifecycle.wait()) is lifecycle.Woken.RELOAD:
            log.warning(
                "SIGHUP: reloading is not supported yet; restart to apply a new configuration"
            )
        self._notifier.stopping()
        self._stop.set()
        self._jobs.stop()
        tick.join(2 * self._settings.interval_ns / NANOSECONDS_PER_SECOND)
        flush.join(10)
        if not flush.is_alive():  # what the last turn booked beside the flush thread's last write
            self._flusher.flush()
        self._reader.stop()
        server.stop()
        self._store.close()
        return self._exit_code(woken)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - whatever ends a thread ends the agent
                self._failure.set(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _exit_code(self, woken: lifecycle.Woken) -> int:
        error = self._failure.error
        if woken is lifecycle.Woken.STOP or error is None:
            log.info("stopped")
            return 0
        if isinstance(error, TryAgain):
            log.error("%s", error)
            return EXIT_TRY_AGAIN
        log.critical("the agent failed: this is a defect", exc_info=error)
        return EXIT_FAILURE

    def _on_turn(self, view: View) -> None:
        now_ns = view.at.boottime_ns
        self._notifier.alive(now_ns)
        if not self._ready:
            if view.settled:  # cards were read, or that there is no driver is established
                self._ready = True
                # What start-up made lives for ever: a full collection need not walk it any more, which
                # would hold up a tick or a scrape by ten milliseconds.
                gc.collect()
                gc.freeze()
                self._told_ns = now_ns
                log.info("%s", status_line(view))
                self._notifier.ready(status_line(view))
        elif now_ns - self._told_ns >= STATUS_EVERY_NS:
            self._told_ns = now_ns
            self._notifier.status(status_line(view))

    def _check_clock(self) -> bool:
        """Whether the clock is synchronised: what waits for it after a reboot is filled then."""
        host = this_host()
        with self._book_lock:
            self._account.host = host
        return host.clock_synchronized

    def _check_prices(self) -> bool:
        """Say once which cards no price holds for; True when every card has one."""
        view = self._published.current()
        if view is None:
            return True
        unpriced = frozenset(card.identity.uuid for card in view.cards if card.price is None)
        for uuid in sorted(unpriced - self._unpriced):
            log.warning("%s has no price: its time is counted as unpriced", uuid)
        self._unpriced = unpriced
        return not unpriced


def simulated(settings: Settings, *, apart: bool) -> Settings:
    """The same settings with simulated cards; ``apart`` keeps their ledger in a directory of its own."""
    directory = settings.state_directory / "simulated" if apart else settings.state_directory
    return replace(settings, source="simulated", state_directory=directory)
