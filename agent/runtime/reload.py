"""The configuration while the agent runs: read anew on SIGHUP and when the file changes.

A faulty file, and one that needs a restart, change nothing: the old configuration stays in force, and
a metric and the log say so.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from agent.errors import ConfigError
from agent.ports import Clock
from agent.view import ConfigHealth

log = logging.getLogger(__name__)

T = TypeVar("T")


class Reloader(Generic[T]):
    """Reads a file with ``load`` and hands what it says to ``apply``; both called by one thread at a time.

    Both raise ``ConfigError``: ``load`` for a faulty file, ``apply`` for one that this process cannot
    take up.
    """

    def __init__(
        self, path: Path | None, load: Callable[[], T], apply: Callable[[T], None], clock: Clock
    ) -> None:
        self._path = path
        self._load = load
        self._apply = apply
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self.health = ConfigHealth(clock.now().wall_ns)
        """Replaced, never changed: any thread may read it."""

    def poll(self) -> bool:
        """Reload when the file is another than at the last look; True when the file is in force."""
        if self._stamp() != self._seen:
            self.reload()
        return self.health.successful

    def reload(self) -> None:
        """Read the file and go on with it, or with what was before."""
        with self._lock:
            self._seen = self._stamp()
            try:
                self._apply(self._load())
            except ConfigError as error:
                for fault in error.faults:
                    log.error("%s", fault)
                log.error("the configuration is refused: the one before stays in force")
                self.health = ConfigHealth(self.health.read_at_wall_ns, successful=False)
                return
            self.health = ConfigHealth(self._clock.now().wall_ns)
            log.info("the configuration was read anew")

    def run(self, told: threading.Event) -> None:
        """Reload each time that ``told`` is set, for as long as the process lives."""
        while told.wait():
            told.clear()
            self.reload()

    def _stamp(self) -> tuple[int, ...]:
        """What changes with the file, also when a link is turned to another one; empty: no file."""
        if self._path is None:
            return ()
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_size, found.st_mtime_ns)
