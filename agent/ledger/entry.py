"""One line of the ledger: what was booked, for whom, at which price, and how much of it."""

from dataclasses import dataclass
from typing import NamedTuple

from agent.usage.state import IDLE_STATES, CardState


class Component:
    """What money is paid for; the values of the label ``component`` and of the ledger's column."""

    RENTAL = "rental"
    CAPITAL = "capital"
    OPEX = "opex"
    ENERGY = "energy"
    UNPRICED = "unpriced"
    """Time of a card for which no price holds: a quantity without money, never a guess."""
    UNPRICED_ENERGY = "unpriced_energy"
    """Energy that its owner pays for, at a time for which no tariff holds."""
    CARBON = "carbon"
    """Carbon emitted by the energy drawn: a quantity without money."""
    CARBON_EMBODIED = "carbon_embodied"
    """The share of the carbon of making the card that falls on the time."""
    CARBON_UNKNOWN = "carbon_unknown"
    """Energy whose carbon intensity was not known although one is configured."""


QUANTITY_UNITS: dict[str, str] = {
    Component.RENTAL: "ns",
    Component.CAPITAL: "ns",
    Component.OPEX: "ns",
    Component.UNPRICED: "ns",
    Component.ENERGY: "mJ",
    Component.UNPRICED_ENERGY: "mJ",
    Component.CARBON_UNKNOWN: "mJ",
    Component.CARBON: "ng",
    Component.CARBON_EMBODIED: "ng",
}
"""What the quantity of a component is counted in: nanoseconds, millijoules, nanograms."""
MONEY_COMPONENTS = (Component.RENTAL, Component.CAPITAL, Component.OPEX, Component.ENERGY)
"""The components that can carry money; their sum is the cost."""
AVOIDABLE_COMPONENTS = frozenset({Component.RENTAL, Component.ENERGY})
"""What stops when a card is given back or switched off; the rest of an owned card's cost is sunk."""


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
    """How the quantity is known: ``time``; for energy ``counter``, ``integrated`` or ``host`` (its share
    of the host's power, a figure of the operator)."""
    filled: bool
    """Booked after the fact, for a time when the agent was not there."""
    exempt: str = ""
    """The exemption under which held or idle time does not count as waste, by its name."""
    correction: int = 0
    """0: booked as it happened; else the number of the correction that added the row."""


class MonthKey(NamedTuple):
    """What month-to-date money is kept by."""

    month: str
    team: str
    currency: str


class MonthSums(NamedTuple):
    """Money of a month, in nanos.

    ``idle`` is that of held and idle cards which no exemption covers, ``avoidable_idle`` the part of it
    that stops when the card is given back or switched off (rent, energy), ``exempt_idle`` that of held
    and idle cards under an exemption.
    """

    cost: int = 0
    idle: int = 0
    avoidable_idle: int = 0
    exempt_idle: int = 0

    def plus(self, other: "MonthSums") -> "MonthSums":
        """Both together."""
        return MonthSums(*(one + two for one, two in zip(self, other, strict=True)))


def sums_of(key: EntryKey, nanos: int) -> MonthSums:
    """What money under a key adds to its month."""
    if key.state not in IDLE_STATES:
        return MonthSums(nanos)
    if key.exempt:
        return MonthSums(nanos, exempt_idle=nanos)
    avoidable = nanos if key.component in AVOIDABLE_COMPONENTS else 0
    return MonthSums(nanos, idle=nanos, avoidable_idle=avoidable)


@dataclass(frozen=True, slots=True)
class Entry:
    """Money and quantity to add to a key; ``QUANTITY_UNITS`` says what the quantity counts.

    A correction takes back what was booked with negative amounts.
    """

    key: EntryKey
    nanos: int
    quantity: int
    variable: bool = False
    """Money that follows the use of the card (energy, spot), not the clock; for forecasts."""
