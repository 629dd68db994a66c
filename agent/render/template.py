"""Fills one shipped template, and lets nothing of the operator's break out of it.

A value that is more than a plain word must pass a filter; one that does not is refused.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from agent.errors import GpufinError

SHIPPED = Path(__file__).parent
_PLAIN = re.compile(r"[A-Za-z0-9 ._:/%@#\[\]~+-]*")


class TemplateError(GpufinError):
    """A value cannot be put where a template wants it."""


class Quoted(str):
    """Text that is safe where it stands."""

    __slots__ = ()


def fill(path: str, settings: Mapping[str, object]) -> str:
    """The template at ``path`` (below this package) with the settings in its placeholders."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - the agent never pays for it

    environment = Environment(  # noqa: S701 - YAML, not a page; every value is checked below
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=_checked,
    )
    environment.filters |= {
        "quoted": quoted,
        "matchers": matchers,
        "percent": percent,
        "either": either,
    }
    source = (SHIPPED / path).read_text(encoding="utf-8")
    return environment.from_string(source).render(settings)


def quoted(text: str) -> Quoted:
    """A string literal that YAML, JSON and PromQL read alike."""
    if not text.isprintable():
        raise TemplateError(f"{text!r} holds a line break or a control character")
    return Quoted(json.dumps(text, ensure_ascii=False))


def matchers(scope: Mapping[str, str | None], currency: str) -> Quoted:
    """The inside of a selector's braces: this currency, and each label that the scope names."""
    given = {"currency": currency, **{name: value for name, value in scope.items() if value}}
    return Quoted(", ".join(f"{name}={quoted(value)}" for name, value in given.items()))


def percent(share: float) -> str:
    """A share as people write it: 0.8 is ``80%``."""
    return f"{share * 100:g}%"


def either(values: list[str]) -> Quoted:
    """A quoted regular expression that matches these texts and nothing else."""
    return quoted("|".join(re.escape(value) for value in values))


def _checked(value: object) -> object:
    """Refuse text that no filter made safe."""
    if isinstance(value, Quoted | int | float):
        return value
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    raise TemplateError(f"{value!r} needs quoting before it can be put into a template")
