"""A titled table, and how its figures are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

NO_VALUE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; ``numbers`` is how many columns, from the right, are figures."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: int
    note: str = ""


def money(nanos: int | Fraction) -> str:
    """Nanos in units of the currency, with thousands and two decimals."""
    return f"{float(nanos) / 1e9:,.2f}"


def share(part: int, whole: int) -> str:
    """A part in per cent of a whole."""
    return f"{part / whole:.1%}" if whole else NO_VALUE
