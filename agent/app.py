"""The composition root: the one place where concrete parts are made and wired together."""

import gc
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.config.decode import Settings
from agent.config.reference import STALE_DAYS
from agent.devices.nvml.source import NvmlSource
from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.source import SimulatedSource
from agent.errors import EXIT_FAILURE, EXIT_TRY_AGAIN, GpufinError, TryAgain
from agent.export.http import application, listen
from agent.export.server import HttpServer
from agent.ledger.account import Account
from agent.ports import Clock, DeviceSource
from agent.runtime import lifecycle
from agent.runtime.carbon import IntensityFile
from agent.runtime.clock import SystemClock
from agent.runtime.flush import Flusher
from agent.runtime.health import Health
from agent.runtime.host import this_host
from agent.runtime.jobs import Job, Jobs
from agent.runtime.notify import Notifier
from agent.runtime.picture import Facts, Published, status_line
from agent.runtime.reader import Reader
from agent.runtime.reload import Reloader
from agent.runtime.shift import Deadlines
from agent.runtime.tick import Ticker
from agent.samples.device import GpuIdentity
from agent.storage.ledger import SqliteLedger, remembered_gpus
from agent.units import NANOSECONDS_PER_SECOND
from agent.view import View

log = logging.getLogger(__name__)

STALE_INTERVALS = 5
"""After so many intervals without a tick the picture is stale."""
STATUS_EVERY_NS = 30 * NANOSECONDS_PER_SECOND
PRICE_CHECK_SECONDS = 60.0
CLOCK_CHECK_SECONDS = 10.0
CONFIG_CHECK_SECONDS = 10.0
CARBON_CHECK_SECONDS = 60.0
STALE_SECONDS = STALE_DAYS * 86_400
NEED_RESTART = ("source", "host", "port", "state_directory", "interval_ns", "flush_ns")
"""Settings that a running process keeps, whatever the file says."""


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


def known_gpus(settings: Settings, state_directory: Path | None) -> list[GpuIdentity]:
    """The cards the driver lists, or else those the ledger remembers."""
    source = NvmlSource(SystemClock())
    try:
        return list(source.open().gpus)
    except GpufinError:
        directory = state_directory or settings.state_directory
        return remembered_gpus(directory)
    finally:
        source.close()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where settings come from: the file that is watched, and what reads it again."""

    path: Path | None
    """None: nothing to watch."""
    load: Callable[[], Settings]


class Agent:
    """One running agent: made, run once, gone."""

    def __init__(
        self,
        settings: Settings,
        source: DeviceSource,
        clock: Clock,
        origin: Origin,
    ) -> None:
        """Take the port, the state directory and the ledger.

        ``origin`` says how the settings are read anew.

        Raises:
            GpufinError: one of them cannot be had.
        """
        self._settings = settings
        self._clock = clock
        self._notifier = Notifier(os.environ)
        self._channel = listen(settings.host, settings.port)
        try:
            self._store = SqliteLedger(
                settings.state_directory, source=source.kind, machine_id=this_host().machine_id
            )
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
        self._intensity_file = IntensityFile(clock)
        self._reloader: Reloader[Settings] = Reloader(origin.path, origin.load, self._use, clock)
        self._jobs = Jobs(
            (
                Job("prices", PRICE_CHECK_SECONDS, self._check_prices),
                Job("clock", CLOCK_CHECK_SECONDS, self._check_clock),
                Job("config", CONFIG_CHECK_SECONDS, self._reloader.poll),
                Job("carbon", CARBON_CHECK_SECONDS, self._read_carbon),
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
                started_wall_ns=now.wall_ns,
                stale_after_ns=STALE_INTERVALS * interval_ns,
            ),
            interval_ns=interval_ns,
            config_health=lambda: self._reloader.health,
            on_turn=self._on_turn,
            on_clock_step=self._jobs.replan,
        )
        self._stop = threading.Event()
        self._failure = lifecycle.Failure()
        self._ready = False
        self._told_ns = 0
        self._unpriced: frozenset[str] = frozenset()
        self._price_digests = recovered.price_digests
        self._doubted: set[str] = set()

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
            self._reloader.reload()
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

    def _use(self, settings: Settings) -> None:
        """Go on with other settings, as far as a running process can."""
        before = self._settings
        fixed = [name for name in NEED_RESTART if getattr(settings, name) != getattr(before, name)]
        table, zone = settings.policy.table, settings.policy.zone
        if (table.currency, zone.key) != (before.policy.table.currency, before.policy.zone.key):
            # Series and months of two currencies or calendars would mix in one process.
            log.warning("a new currency or timezone needs a restart: nothing was changed")
            return
        if fixed:
            log.warning("only a restart puts into force: %s", ", ".join(fixed))
        with self._book_lock:
            self._account.use(settings.policy)
        self._doubted = set()
        self._settings = replace(before, policy=settings.policy, carbon_file=settings.carbon_file)
        self._read_carbon()

    def _read_carbon(self) -> bool | None:
        """Take the grid's intensity from its file; None when no file is configured."""
        source = self._settings.carbon_file
        if source is None:
            return None
        intensity = self._intensity_file.read(source.path, source.max_age_ns, source.intensity)
        with self._book_lock:
            emissions = self._account.policy.emissions
            self._account.emissions = replace(emissions, intensity=intensity)
        return intensity is not None

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
        self._watch_records(view)
        unpriced = frozenset(card.identity.uuid for card in view.cards if card.price is None)
        for uuid in sorted(unpriced - self._unpriced):
            log.warning("%s has no price: its time is counted as unpriced", uuid)
        self._unpriced = unpriced
        return not unpriced

    def _watch_records(self, view: View) -> None:
        """Say once what is doubtful about the records in force."""
        now = view.at.wall_ns // NANOSECONDS_PER_SECOND
        for price in {card.price.id: card.price for card in view.cards if card.price}.values():
            if price.id in self._doubted:
                continue
            known = self._price_digests.get(price.id)
            if known and price.digest and known != {price.digest}:
                log.warning(
                    "the price record %s was edited in place: give a changed record a new id, or the "
                    "ledger cannot tell what its rows cost",
                    price.id,
                )
                self._doubted.add(price.id)
            if price.retrieved_at is not None and now - price.retrieved_at > STALE_SECONDS:
                log.warning(
                    "the list price %s is %d days old: put in what your contract says",
                    price.id,
                    (now - price.retrieved_at) // 86_400,
                )
                self._doubted.add(price.id)


def simulated(settings: Settings, *, apart: bool) -> Settings:
    """The same settings with simulated cards; ``apart`` keeps their ledger in a directory of its own."""
    directory = settings.state_directory / "simulated" if apart else settings.state_directory
    return replace(settings, source="simulated", state_directory=directory)
