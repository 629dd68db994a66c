"""agent.catalog: the contract with everything that reads the metrics."""

import re

import pytest

from agent.catalog import BY_NAME, CATALOG, MAX_SERIES_PER_CARD, Kind, Metric

BASE_UNITS = {"seconds", "bytes", "joules", "watts", "celsius", "ratio"}
PREFIXED = re.compile(
    r"_(?:milli|micro|kilo|mega|giga)|_(?:percent|minutes|hours|days|ms|mb|kib)(?:_|$)"
)

every_metric = pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: metric.name)


@every_metric
def test_metric_name_follows_the_rules(metric: Metric) -> None:
    """Names are snake case of our prefix (or the process metrics everyone has) in base units."""
    assert re.fullmatch(r"(gpufin|process)(_[a-z0-9]+)+", metric.name)
    allowed = metric.name.replace("_per_kilowatt_hour", "").replace("_per_million_tokens", "")
    assert not PREFIXED.search(allowed.replace("_per_hour", ""))


@every_metric
def test_metric_suffix_tells_its_kind(metric: Metric) -> None:
    """Counters and only they end in _total, infos and only they in _info."""
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.name.endswith("_info") == (metric.kind is Kind.INFO)


@every_metric
def test_metric_name_carries_its_base_unit(metric: Metric) -> None:
    """Where the unit is one of Prometheus' base units, the name says so."""
    if metric.unit in BASE_UNITS:
        bare = metric.name.removesuffix("_total")
        assert bare.endswith("_" + metric.unit)


@every_metric
def test_metric_labels_are_legal_and_unique(metric: Metric) -> None:
    """Labels are snake case, stand once, and none is one that Prometheus sets itself."""
    assert len(set(metric.labels)) == len(metric.labels)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in metric.labels)
    assert not {"instance", "job", "cluster", "node", "le", "quantile"} & set(metric.labels)


@every_metric
def test_metric_help_is_a_sentence(metric: Metric) -> None:
    """The help is one line that ends in a full stop."""
    assert metric.help.endswith(".")
    assert "\n" not in metric.help


@every_metric
def test_metric_of_a_card_names_it(metric: Metric) -> None:
    """What is counted per card carries uuid and gpu first, and nothing else claims series of it."""
    assert (metric.per_card > 0) == (metric.labels[:2] == ("uuid", "gpu"))


@every_metric
def test_metric_with_money_names_its_currency(metric: Metric) -> None:
    """Money never stands without its currency."""
    if metric.unit.startswith("currency"):
        assert "currency" in metric.labels


def test_catalog_names_are_unique() -> None:
    """No name stands twice."""
    assert len(BY_NAME) == len(CATALOG)


def test_catalog_keeps_within_the_series_of_a_card() -> None:
    """One card has at most 45 default series."""
    assert sum(metric.per_card for metric in CATALOG) <= MAX_SERIES_PER_CARD == 45
