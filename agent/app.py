"""The composition root: the one place where concrete parts are made and wired together."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.config.decode import Settings
from agent.config.reference import STALE_DAYS
from agent.devices.nvml.errors import (
    DRIVER_NOT_LOADED,
    LIB_RM_VERSION_MISMATCH,
    LIBRARY_NOT_FOUND,
)
from agent.devices.nvml.source import NvmlSource
from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.source import SimulatedSource
from agent.errors import (
    EXIT_FAILURE,
    EXIT_TRY_AGAIN,
    ConfigError,
    DriverError,
    Fault,
    GpuError,
    GpufinError,
    TryAgain,
)
from agent.export.http import address_of, application, listen
from agent.export.server import HttpServer
from agent.ledger.account import Account
from agent.ports import Clock, DeviceSource, identities_of
from agent.runtime import lifecycle
from agent.runtime.announce import Announcer
from agent.runtime.ask import ask
from agent.runtime.carbon import IntensityFile
from agent.runtime.clock import SystemClock
from agent.runtime.flush import Flusher
from agent.runtime.health import Health
from agent.runtime.host import clock_synchronized, this_host
from agent.runtime.jobs import Job, Jobs
from agent.runtime.notify import Notifier
from agent.runtime.picture import Facts, Published
from agent.runtime.prices import PriceWatch
from agent.runtime.reader import Reader
from agent.runtime.reload import Reloader
from agent.runtime.shift import Deadlines
from agent.runtime.tick import Ticker
from agent.samples.device import GpuIdentity
from agent.storage.ledger import SqliteLedger, remembered_gpus
from agent.storage.retention import retain
from agent.units import NANOSECONDS_PER_SECOND

log = logging.getLogger(__name__)

STALE_INTERVALS = 5
"""After so many intervals without a tick the picture is stale."""
PRICE_CHECK_SECONDS = 60.0
CLOCK_CHECK_SECONDS = 10.0
CONFIG_CHECK_SECONDS = 10.0
CARBON_CHECK_SECONDS = 60.0
RETENTION_SECONDS = 6 * 3_600.0
NEED_RESTART = ("source", "host", "port", "state_directory", "interval_ns", "flush_ns")
"""Settings that a running process keeps, whatever the file says."""
WHY_NO_DRIVER = {
    LIBRARY_NOT_FOUND: "no NVIDIA driver is installed: there is no libnvidia-ml.so.1",
    DRIVER_NOT_LOADED: "the NVIDIA driver is installed and not loaded",
    LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated and not loaded anew: reboot",
}
"""By NVML code, for people; other errors are rare enough to be shown as they are."""


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
    try:
        session = ask(NvmlSource(SystemClock()), lambda source: source.open())
    except (DriverError, GpuError) as error:
        return False, WHY_NO_DRIVER.get(error.code or 0, f"the NVIDIA driver: {error}")
    return True, f"driver {session.driver_version or 'of unknown version'}, {session.count} cards"


def known_gpus(settings: Settings, state_directory: Path | None) -> list[GpuIdentity]:
    """The cards the driver lists, or else those the ledger remembers."""
    try:
        return ask(NvmlSource(SystemClock()), identities_of)
    except (DriverError, GpuError) as error:
        if error.code is None:
            log.warning("the NVIDIA driver: %s; these cards are those of the ledger", error)
        return remembered_gpus(state_directory or settings.state_directory)


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
        self._origin = origin
        self._notifier = Notifier(os.environ)
        self._channel = listen(settings.host, settings.port)
        try:
            self._store = SqliteLedger(
                settings.state_directory, source=source.kind, machine_id=this_host().machine_id
            )
        except GpufinError:
            self._channel.close()
            raise
        recovered = self._store.recover()
        self._account = Account(settings.policy, recovered, this_host())
        self._book_lock = threading.Lock()
        self._health = Health()
        self._published = Published()
        self._reader = Reader(source, clock, Deadlines.of_interval(settings.interval_ns))
        self._flusher = Flusher(
            clock=clock,
            account=self._account,
            book_lock=self._book_lock,
            store=self._store,
            health=self._health,
        )
        self._intensity_file = IntensityFile(clock)
        self._reloader: Reloader[Settings] = Reloader(origin.path, origin.load, self._use, clock)
        self._prices = PriceWatch(self._published, recovered.price_digests, stale_days=STALE_DAYS)
        self._jobs = self._make_jobs()
        self._ticker = self._make_ticker(source.kind)
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._failure = lifecycle.Failure()

    def _make_jobs(self) -> Jobs:
        jobs = (
            Job("prices", PRICE_CHECK_SECONDS, self._prices.check),
            Job("clock", CLOCK_CHECK_SECONDS, self._check_clock),
            Job("config", CONFIG_CHECK_SECONDS, self._reloader.poll),
            Job("carbon", CARBON_CHECK_SECONDS, self._read_carbon),
            Job("retention", RETENTION_SECONDS, self._retain),
        )
        return Jobs(jobs, self._clock, self._health)

    def _make_ticker(self, source_kind: str) -> Ticker:
        interval_ns = self._settings.interval_ns
        # A missing price is told with the first picture, not a minute later.
        announcer = Announcer(self._notifier, on_ready=lambda: self._jobs.begin("prices"))
        return Ticker(
            clock=self._clock,
            reader=self._reader,
            account=self._account,
            book_lock=self._book_lock,
            published=self._published,
            health=self._health,
            facts=Facts(
                source=source_kind,
                started_wall_ns=self._clock.now().wall_ns,
                stale_after_ns=STALE_INTERVALS * interval_ns,
            ),
            interval_ns=interval_ns,
            config_health=lambda: self._reloader.health,
            on_turn=announcer.turn,
            on_clock_step=self._clock_stepped,
        )

    def run(self) -> int:
        """Run until a signal or a failure; returns the exit code."""
        lifecycle.block_signals()
        server = HttpServer(application(self._published, self._clock), self._channel)
        server.start()
        log.info("listening on http://%s", address_of(self._channel))
        flush_ns = self._settings.flush_ns
        flush = self._failure.thread("flush", lambda: self._flusher.run(self._stop, flush_ns))
        tick = self._failure.thread("tick", lambda: self._ticker.run(self._stop))
        self._failure.thread("reload", lambda: self._reloader.run(self._reload))
        self._jobs.start()
        # This thread waits for signals and touches nothing that could hang: they are always heard.
        while (woken := lifecycle.wait(self._failure)) is lifecycle.Woken.RELOAD:
            self._reload.set()
        self._notifier.stopping()
        self._stop.set()
        self._reader.interrupt()
        self._jobs.stop()
        tick.join(2 * self._settings.interval_ns / NANOSECONDS_PER_SECOND)
        flush.join(10)
        if not flush.is_alive():  # what the last turn booked beside the flush thread's last write
            self._flusher.last_flush()
        self._reader.stop()
        server.stop()
        self._store.close()
        return self._exit_code(woken)

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

    def _use(self, settings: Settings) -> None:
        """Go on with other settings, as far as a running process can.

        Raises:
            ConfigError: not at all.
        """
        before = self._settings
        fixed = [name for name in NEED_RESTART if getattr(settings, name) != getattr(before, name)]
        now, then = before.policy, settings.policy
        # Series and months of two currencies or calendars would mix in one process.
        mixing = (
            ("currency", now.table.currency, then.table.currency),
            ("timezone", now.zone.key, then.zone.key),
        )
        faults = [
            Fault(str(self._origin.path), key, f"{new} instead of {old} needs a restart")
            for key, old, new in mixing
            if new != old
        ]
        if faults:
            raise ConfigError(faults)
        if fixed:
            log.warning("only a restart puts into force: %s", ", ".join(fixed))
        with self._book_lock:
            self._account.use(settings.policy)
        self._settings = replace(
            before,
            policy=settings.policy,
            carbon_file=settings.carbon_file,
            retention=settings.retention,
        )
        self._prices.forget()
        self._jobs.begin("carbon")

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
        synchronized = clock_synchronized()
        with self._book_lock:
            self._account.host = replace(self._account.host, clock_synchronized=synchronized)
        return synchronized

    def _clock_stepped(self) -> None:
        self._check_clock()  # one that was set is not believed until it is in step again
        self._jobs.replan()

    def _retain(self) -> bool | None:
        """Merge and delete what is old enough; None while the clock cannot say what is."""
        if not clock_synchronized():
            return None
        place, zone = self._settings.state_directory, self._settings.policy.zone
        return retain(place, self._settings.retention, self._clock.now().wall_ns, zone)


def simulated(settings: Settings, *, apart: bool) -> Settings:
    """The same settings with simulated cards; ``apart`` keeps their ledger in a directory of its own."""
    directory = settings.state_directory / "simulated" if apart else settings.state_directory
    return replace(settings, source="simulated", state_directory=directory)
