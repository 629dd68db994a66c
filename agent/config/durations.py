"""Durations as Prometheus writes them: ``30s``, ``1h30m``, ``7d``."""

import re
from typing import Annotated

from pydantic import AfterValidator

_DURATION = re.compile(
    r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_MILLISECONDS = (604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_UNITS = ("w", "d", "h", "m", "s", "ms")


def milliseconds(text: str) -> int:
    """How long a duration is.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError("not a duration such as 30s, 5m or 1h30m")
    return sum(
        int(number or 0) * size for number, size in zip(found.groups(), _MILLISECONDS, strict=True)
    )


def seconds(text: str) -> int:
    """How long a duration is, the part of a second left out."""
    return milliseconds(text) // 1_000


def just_under(text: str) -> str:
    """A duration one millisecond shorter.

    A range that is open on its left holds a step less than one that is closed, if an evaluation falls on
    the edge; Prometheus 3 changed from closed to open.  This one holds the same steps in both.
    """
    left, parts = milliseconds(text) - 1, []
    for size, unit in zip(_MILLISECONDS, _UNITS, strict=True):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "1ms"


def _duration(text: str) -> str:
    milliseconds(text)
    return text


def _window(text: str) -> str:
    if milliseconds(text) == 0:
        raise ValueError("must be longer than nothing")
    return text


Duration = Annotated[str, AfterValidator(_duration)]
"""A time that may be nothing, such as ``0s``."""
Window = Annotated[str, AfterValidator(_window)]
"""A time longer than nothing."""
