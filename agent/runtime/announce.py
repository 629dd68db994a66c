"""What the world hears of the agent's life: ready, watchdog, a line of status now and then."""

import gc
import logging
from collections.abc import Callable

from agent.runtime.notify import Notifier
from agent.runtime.picture import status_line
from agent.units import NANOSECONDS_PER_SECOND
from agent.view import View

log = logging.getLogger(__name__)

STATUS_EVERY_NS = 30 * NANOSECONDS_PER_SECOND


class Announcer:
    """Hears of every view; called by the tick thread alone.

    ``on_ready`` is called once, when cards were read or it is established that there is no driver.
    """

    def __init__(self, notifier: Notifier, on_ready: Callable[[], None]) -> None:
        self._notifier = notifier
        self._on_ready = on_ready
        self._ready = False
        self._told_ns = 0

    def turn(self, view: View) -> None:
        """Take note of a tick's view."""
        now_ns = view.at.boottime_ns
        self._notifier.alive(now_ns)
        if not self._ready:
            if view.settled:
                self._become_ready(view)
        elif now_ns - self._told_ns >= STATUS_EVERY_NS:
            self._told_ns = now_ns
            self._notifier.status(status_line(view))

    def _become_ready(self, view: View) -> None:
        self._ready = True
        # What start-up made lives for ever: a full collection need not walk it any more, which
        # would hold up a tick or a scrape by ten milliseconds.
        gc.collect()
        gc.freeze()
        self._told_ns = view.at.boottime_ns
        log.info("%s", status_line(view))
        self._notifier.ready(status_line(view))
        self._on_ready()
