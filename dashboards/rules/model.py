"""A rule as data, and the YAML template that it becomes.

Placeholders are Jinja's with other brackets, since PromQL and its annotations use braces and square
brackets themselves: ``<< value >>`` and ``<% for … %>``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A recording rule.

    ``by`` names every label of the result, ``each`` the loops it is repeated for.
    """

    name: str
    doc: str
    expr: str
    by: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    each: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert rule; ``pending`` and ``keep`` are durations or placeholders for them."""

    name: str
    doc: str
    expr: str
    pending: str
    keep: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, so that later ones see earlier ones."""

    name: str
    rules: tuple[Record | Alert, ...]


def template(groups: tuple[Group, ...]) -> str:
    """The groups as a YAML template."""
    lines = ["# Made by `python -m dashboards.build`; edits are lost.", "groups:"]
    for group in groups:
        lines += [
            f"  - name: {group.name}",
            "    interval: << evaluation_interval >>",
            "    rules:",
        ]
        for rule in group.rules:
            lines += _record(rule) if isinstance(rule, Record) else _alert(rule)
    return "\n".join(lines) + "\n"


def _record(rule: Record) -> Iterator[str]:
    yield f"      # {rule.doc}"
    yield from (f"<% for {loop} %>" for loop in rule.each)
    yield f"      - record: {rule.name}"
    yield from _block("expr", rule.expr)
    yield from _mapping("labels", rule.labels)
    yield from ("<% endfor %>" for _ in rule.each)


def _alert(rule: Alert) -> Iterator[str]:
    yield f"      # {rule.doc}"
    yield f"      - alert: {rule.name}"
    yield from _block("expr", rule.expr)
    yield f"        for: {rule.pending}"
    yield f"        keep_firing_for: {rule.keep}"
    yield from _mapping("labels", rule.labels)
    yield "        annotations:"
    for key, text in rule.annotations.items():
        yield from _block(key, text, indent=10)


def _block(key: str, text: str, indent: int = 8) -> Iterator[str]:
    """A literal block: nothing in the text can end it but a line break."""
    pad = " " * indent
    yield f"{pad}{key}: |-"
    yield from (f"{pad}  {line}" for line in text.strip().splitlines())


def _mapping(key: str, values: Mapping[str, str]) -> Iterator[str]:
    if values:
        yield f"        {key}:"
        yield from (f"          {name}: {value}" for name, value in values.items())
