"""One line of the ledger: what was booked, for whom, at which price, and how much of it."""

from dataclasses import dataclass
from typing import NamedTuple

from agent.usage.state import CardState


class Component:
    """What money is paid for; the values of the label ``component`` and of the ledger's column."""

    RENTAL = "rental"
    CAPITAL = "capital"
    OPEX = "opex"
    ENERGY = "energy"
    UNPRICED = "unpriced"
    """Time of a card for which no price holds: a quantity without money, never a guess."""


class EntryKey(NamedTuple):
    """What ledger rows are summed by; one row for each key, hour and process life."""

    hour: int
    """Start of the UTC hour, seconds since 1970."""
    month: str
    """The calendar month in the fleet's zone, such as ``2026-11``; an hour may hold two."""
    uuid: str
    state: CardState
    component: str
    price_id: str
    """The price record; empty for unpriced time and for energy that a rental contains."""
    currency: str
    team: str
    model: str
    method: str
    """How the quantity is known: ``time``, or for energy ``counter`` or ``integrated``."""
    filled: bool
    """Booked after the fact, for a time when the agent was not there."""


class MonthKey(NamedTuple):
    """What month-to-date money is kept by."""

    month: str
    team: str
    currency: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Money and quantity to add to a key; quantity is nanoseconds, for energy millijoules."""

    key: EntryKey
    nanos: int
    quantity: int
