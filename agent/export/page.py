"""The metrics page: rendered at most once for a view and format, whoever asks and how often."""

import threading
from collections.abc import Iterable

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agent.export.collectors import agent, cards, cost
from agent.view import View

OPEN_METRICS = "application/openmetrics-text"


class MetricsPage:
    """Renders views; safe for many threads."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._rendered: dict[str, tuple[View, bytes]] = {}

    def render(self, view: View, accept: str) -> tuple[bytes, str]:
        """The page and its content type; OpenMetrics where ``accept`` asks for it, else text."""
        # Two formats, whatever else a client asks for: versions made up in a request would each be
        # rendered and kept, and a version that is none raises.
        asked = {part.split(";")[0].strip() for part in accept.split(",")}
        encode, content_type = choose_encoder(OPEN_METRICS if OPEN_METRICS in asked else "")
        with (
            self._lock
        ):  # a second scraper waits for the first one's page instead of making another
            known = self._rendered.get(content_type)
            if known is not None and known[0] is view:
                return known[1], content_type
            registry = CollectorRegistry(auto_describe=False)
            registry.register(_Once(view, self._process))
            page: bytes = encode(registry)
            self._rendered[content_type] = (view, page)
            return page, content_type


class _Once(Collector):
    def __init__(self, view: View, process: psutil.Process) -> None:
        self._view = view
        self._process = process

    def describe(self) -> Iterable[Metric]:
        return ()  # keeps the registry from collecting once to learn the names

    def collect(self) -> Iterable[Metric]:
        for collector in (cards, cost, agent):
            yield from collector.collect(self._view)
        yield from agent.collect_process(self._process)
