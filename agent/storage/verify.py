"""What can be wrong with a ledger, looked for in the file itself; reads beside a running agent."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template

from agent.ledger.entry import MONEY_COMPONENTS, QUANTITY_UNITS
from agent.storage.months import listed
from agent.storage.upkeep import COMPACTED, opened
from agent.usage.state import CardState

SLACK_NS = 1_000_000_000
"""An hour may hold this much more than an hour: a step of the wall clock below what counts as one."""
MAX_SHOWN = 20


QUERIES: tuple[tuple[str, str], ...] = (
    (
        "a state that does not exist",
        "SELECT DISTINCT state FROM entry WHERE state NOT IN ($states)",
    ),
    (
        "a component that does not exist",
        "SELECT DISTINCT component FROM entry WHERE component NOT IN ($components)",
    ),
    (
        "money on a component that has none, or without a price record",
        """SELECT hour, uuid, component, nanos FROM entry
           WHERE nanos != 0 AND (component NOT IN ($money) OR price_id = '')""",
    ),
    (
        "an hour that does not begin on the hour",
        "SELECT DISTINCT hour FROM entry WHERE hour % 3600 != 0 OR hour < 0",
    ),
    (
        # Zones reach from UTC-12 to UTC+14; a compacted row stands for a day of up to 25 hours.
        "a month that its hour does not touch",
        """SELECT DISTINCT hour, month FROM entry WHERE month NOT IN (
             strftime('%Y-%m', hour - 43200, 'unixepoch'),
             strftime('%Y-%m', hour + 140400, 'unixepoch'))""",
    ),
    (
        "an amount below zero with its corrections added in",
        """SELECT hour, uuid, state, component, price_id, SUM(nanos), SUM(quantity) FROM entry
           GROUP BY hour, month, uuid, state, component, price_id, team, model, method, filled, exempt
           HAVING SUM(nanos) < 0 OR SUM(quantity) < 0""",
    ),
    (
        "more seconds of a card than its hour or day has (was the clock set back?)",
        """SELECT hour, uuid, SUM(most) / 1000000000 FROM (
             SELECT hour, month, uuid, MAX(total) AS most FROM (
               SELECT hour, month, uuid, price_id, component, SUM(quantity) AS total FROM entry
               WHERE component IN ($time) GROUP BY hour, month, uuid, price_id, component
             ) GROUP BY hour, month, uuid, price_id
           ) GROUP BY hour, uuid HAVING SUM(most) > $slack + 1000000000 * CASE
             WHEN hour < (SELECT COALESCE(MAX(CAST(value AS INTEGER)), 0) FROM meta
                          WHERE key = '$compacted') THEN 90000 ELSE 3600 END""",
    ),
    (
        "a remainder that is not below its denominator",
        """SELECT uuid, component, price_id, remainder, denominator FROM remainder
           WHERE remainder LIKE '-%' OR LENGTH(remainder) > LENGTH(denominator)
           OR (LENGTH(remainder) = LENGTH(denominator) AND remainder >= denominator)""",
    ),
    (
        "a correction that nobody gave a reason for",
        """SELECT DISTINCT correction FROM entry WHERE correction != 0
           AND correction NOT IN (SELECT number FROM correction)""",
    ),
    (
        "a price record that was edited in place, versions under one id",
        "SELECT id, COUNT(*) FROM price_record GROUP BY id HAVING COUNT(*) > 1",
    ),
)
"""What is wrong, and a query for the rows that show it."""


_WORDS = {
    "states": listed(CardState),
    "components": listed(QUANTITY_UNITS),
    "money": listed(MONEY_COMPONENTS),
    "time": listed(name for name, unit in QUANTITY_UNITS.items() if unit == "ns"),
    "slack": str(SLACK_NS),
    "compacted": COMPACTED,
}


def findings(place: Path, each: Callable[[str], None] | None = None) -> list[str]:
    """What is wrong with a ledger, in words; nothing when it is good.

    ``each`` hears of every check before it begins.

    Raises:
        LedgerError: it cannot be read at all.
    """
    with opened(place, read_only=True) as database:
        database.execute("BEGIN")  # one picture, whatever the agent writes meanwhile
        return list(_findings(database, each or (lambda _: None)))


def _findings(database: sqlite3.Connection, each: Callable[[str], None]) -> Iterator[str]:
    each("the file")
    for (answer,) in database.execute(f"PRAGMA integrity_check({MAX_SHOWN})"):
        if answer != "ok":
            yield f"the file is damaged: {answer}"
    for what, query in QUERIES:
        each(what)
        rows = database.execute(Template(query).substitute(_WORDS)).fetchmany(MAX_SHOWN + 1)
        for row in rows[:MAX_SHOWN]:
            yield f"{what}: {', '.join(str(value) for value in row)}"
        if len(rows) > MAX_SHOWN:
            yield f"{what}: and more"
