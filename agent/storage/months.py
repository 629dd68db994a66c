"""What each month cost, summed up from the rows of a ledger."""

import sqlite3
from collections.abc import Iterable

from agent.ledger.entry import AVOIDABLE_COMPONENTS, MONEY_COMPONENTS, MonthKey, MonthSums
from agent.money import NANOS_PER_UNIT
from agent.usage.state import IDLE_STATES


def listed(values: Iterable[str]) -> str:
    """Words as SQL writes them in a list."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def _parts(nanos: str) -> str:
    """A sum in whole units and what is left of them: of small currencies, 64 bits hold no month."""
    return f"SUM(({nanos}) / {NANOS_PER_UNIT}), SUM(({nanos}) % {NANOS_PER_UNIT})"


_WASTE = f"state IN ({listed(IDLE_STATES)}) AND exempt = ''"
_AVOIDABLE = f"component IN ({listed(AVOIDABLE_COMPONENTS)})"
_EXEMPT = f"state IN ({listed(IDLE_STATES)}) AND exempt != ''"
_MONTHS = f"""
SELECT month, team, currency, {_parts("nanos")},
  {_parts(f"CASE WHEN {_WASTE} THEN nanos ELSE 0 END")},
  {_parts(f"CASE WHEN {_WASTE} AND {_AVOIDABLE} THEN nanos ELSE 0 END")},
  {_parts(f"CASE WHEN {_EXEMPT} THEN nanos ELSE 0 END")}
FROM entry WHERE component IN ({listed(MONEY_COMPONENTS)}) GROUP BY month, team, currency
"""  # noqa: S608 - states and components are this package's own constants


def read_months(database: sqlite3.Connection) -> dict[MonthKey, MonthSums]:
    """The sums of every month, team and currency: the same that a running agent keeps."""
    return {
        MonthKey(*row[:3]): MonthSums(
            *(
                whole * NANOS_PER_UNIT + rest
                for whole, rest in zip(row[3::2], row[4::2], strict=True)
            )
        )
        for row in database.execute(_MONTHS)
    }
