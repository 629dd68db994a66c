"""Which metrics and labels a query may name.

Raw metrics come from the agent's catalog, recorded ones from the rules; anything else fails the build.
"""

import re
from collections.abc import Mapping

from agent.catalog import BY_NAME

TARGET_LABELS = frozenset({"cluster", "node"})
"""Set on every scraped series by the shipped scrape configuration."""

OF_PROMETHEUS: Mapping[str, frozenset[str]] = {
    "ALERTS": frozenset({"alertname", "alertstate", "uuid", "budget", "threshold", "month"})
    | TARGET_LABELS,
}
"""Series that Prometheus itself makes, with the labels we use of them."""

_NAME = re.compile(r"(?<![\w:$])(?:[a-z]+:)?gpufin_\w+(?::\w+)?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)".*"', re.DOTALL)


class UnknownNameError(Exception):
    """A query names a metric or label that nothing exports or records."""


def series(name: str, *matchers: str) -> str:
    """The selector of a raw metric, such as ``series("gpufin_gpu_up", 'node="a"')``."""
    return _selector(name, _raw_labels(name), matchers)


def ours(name: str, labels: frozenset[str], *matchers: str) -> str:
    """The selector of a recorded series that has these labels."""
    return _selector(name, labels, matchers)


def check_names(query: str, recorded: Mapping[str, frozenset[str]]) -> None:
    """Raise when a query names a metric that is neither in the catalog nor recorded."""
    for name in _NAME.findall(query):
        if name not in recorded:
            _raw_labels(name)


def _raw_labels(name: str) -> frozenset[str]:
    metric = BY_NAME.get(name)
    if metric is None:
        raise UnknownNameError(f"{name} is neither in the catalog nor recorded by a rule")
    return frozenset(metric.labels) | TARGET_LABELS


def _selector(name: str, labels: frozenset[str], matchers: tuple[str, ...]) -> str:
    for matcher in matchers:
        found = _MATCHER.fullmatch(matcher)
        if found is None:
            raise UnknownNameError(f"{name}: {matcher!r} is not a matcher")
        if found[1] not in labels:
            raise UnknownNameError(f"{name} has no label {found[1]}")
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name
