"""How the sources of data and the agent's own parts are doing; written by many threads."""

import threading
from collections.abc import Mapping

from agent.samples.instant import Instant
from agent.units import seconds
from agent.view import CollectorHealth


class Health:
    """The last run of each collector, and counts of what went wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collectors: dict[str, CollectorHealth] = {}

    def report(self, collector: str, *, success: bool, start: Instant, end: Instant) -> None:
        """Take note of a run."""
        with self._lock:
            before = self._collectors.get(collector)
            last = before.last_success_wall_ns if before is not None else None
            self._collectors[collector] = CollectorHealth(
                success=success,
                duration_seconds=seconds(max(0, end.boottime_ns - start.boottime_ns)),
                last_success_wall_ns=end.wall_ns if success else last,
            )

    def snapshot(self) -> Mapping[str, CollectorHealth]:
        """All collectors now."""
        with self._lock:
            return dict(self._collectors)
