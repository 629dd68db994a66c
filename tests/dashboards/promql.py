"""Which labels a query has, and whether it names only what is exported or recorded."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import promql_parser

from agent.catalog import BY_NAME, Kind
from dashboards.parts.names import OF_PROMETHEUS, TARGET_LABELS
from dashboards.rules.catalog import RECORDED

Labels = frozenset[str]

NONE: Labels = frozenset()
SELECTING = {"topk", "bottomk"}
OVER_COUNTERS = {"rate", "increase"}
GRAFANA = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


class QueryError(AssertionError):
    """A query that cannot mean what its author thinks."""


def parsed(query: str) -> Any:
    """The syntax tree, Grafana's own variables replaced first."""
    for name, value in GRAFANA.items():
        query = query.replace(name, value)
    return promql_parser.parse(query)


def labels_of(query: str) -> Labels:
    """Every label that the result may have; raises on what cannot be."""
    return _labels(parsed(query), ())


def _labels(node: Any, inside: tuple[str, ...]) -> Labels:
    kind = type(node).__name__
    if kind == "VectorSelector":
        return _selector(node, inside)
    if kind == "MatrixSelector":
        return _labels(node.vector_selector, inside)
    if kind in {"SubqueryExpr", "ParenExpr", "UnaryExpr"}:
        return _labels(node.expr, inside)
    compound = {"Call": _call, "AggregateExpr": _aggregate, "BinaryExpr": _binary}
    return compound[kind](node, inside) if kind in compound else NONE


def _selector(node: Any, inside: tuple[str, ...]) -> Labels:
    labels = known(node.name)
    for matcher in node.matchers.matchers:
        _subset(node.name, {matcher.name}, labels)
    metric = BY_NAME.get(node.name)
    if metric is not None:
        counts = metric.kind is Kind.COUNTER
        wrapped = bool(inside) and inside[-1] in OVER_COUNTERS
        if counts != wrapped:
            raise QueryError(f"{node.name}: rates are for counters and counters for rates")
    return labels


def known(name: str) -> Labels:
    """The labels of a metric that something makes."""
    if name in RECORDED:
        return RECORDED[name]
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    if name not in BY_NAME:
        raise QueryError(f"nothing exports or records {name}")
    return frozenset(BY_NAME[name].labels) | TARGET_LABELS


def _call(node: Any, inside: tuple[str, ...]) -> Labels:
    name = node.func.name
    labels = reduce(
        frozenset.union, (_labels(argument, (*inside, name)) for argument in node.args), NONE
    )
    if name == "label_replace":
        return labels | {node.args[1].val}
    return labels


def _aggregate(node: Any, inside: tuple[str, ...]) -> Labels:
    labels = _labels(node.expr, (*inside, str(node.op)))
    if node.modifier is None:
        return labels if str(node.op) in SELECTING else NONE
    by = frozenset(node.modifier.labels)
    _subset(str(node.op), by, labels)
    return labels if str(node.op) in SELECTING else by


def _binary(node: Any, inside: tuple[str, ...]) -> Labels:
    left, right = _labels(node.lhs, (*inside, "")), _labels(node.rhs, (*inside, ""))
    operator = str(node.op)
    if node.modifier is None or node.modifier.matching is None:
        if operator not in {"or", "unless", "and"} and left != right and left and right:
            raise QueryError(f"{node}: say which labels match")
        return left | right
    matched = frozenset(node.modifier.matching.labels)
    _subset("on", matched, left)
    _subset("on", matched, right)
    if operator in {"and", "unless"}:
        return left
    return _grouped(node.modifier, matched, left, right)


def _grouped(modifier: Any, matched: Labels, left: Labels, right: Labels) -> Labels:
    added = frozenset(modifier.group_labels or ())
    if str(modifier.card).endswith("ManyToOne"):
        _subset("group_left", added, right)
        return left | added
    if str(modifier.card).endswith("OneToMany"):
        _subset("group_right", added, left)
        return right | added
    return matched


def _subset(what: str, wanted: set[str] | Labels, there: Labels) -> None:
    if wanted - there:
        raise QueryError(f"{what}: no such label: {', '.join(sorted(wanted - there))}")


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that shows something."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel
