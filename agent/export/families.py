"""Metric families made from rows of the catalogue; the one place that knows Prometheus' classes."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from agent.catalog import BY_NAME, Kind

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Label values in catalogue order, and the value in the metric's base unit."""


def family(name: str, samples: Samples) -> Iterator[Metric]:
    """The family of a metric with its samples; nothing when there are none.

    Raises:
        KeyError: the catalogue does not list the metric.
    """
    row = BY_NAME[name]
    made: CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily
    if row.kind is Kind.COUNTER:
        made = CounterMetricFamily(name.removesuffix("_total"), row.help, labels=row.labels)
    else:
        made = GaugeMetricFamily(name, row.help, labels=row.labels)
    for labels, value in samples:
        made.add_metric(labels, value)
    if made.samples:
        yield made


def info(name: str, facts: Iterable[tuple[str, ...]]) -> Iterator[Metric]:
    """An info metric: label values in catalogue order, each with the value 1."""
    row = BY_NAME[name]
    made = InfoMetricFamily(name.removesuffix("_info"), row.help, labels=())
    for labels in facts:
        made.add_metric((), dict(zip(row.labels, labels, strict=True)))
    if made.samples:
        yield made


def single(name: str, value: float | None) -> Iterator[Metric]:
    """A metric without labels; nothing when the value is missing."""
    return family(name, () if value is None else (((), value),))
