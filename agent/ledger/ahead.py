"""What the rest of the month will cost by the clock alone, if the cards of now stay, and by which records.

Exact, since price records are dated: a price that changes next week is in it.
What follows use (energy, spot cards) is not; forecasts add it from the past.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from agent.cost.prices import PriceTable
from agent.ledger.card import Card
from agent.ledger.entry import MonthKey
from agent.ledger.period import month_at
from agent.ledger.policy import AccountPolicy
from agent.units import NANOSECONDS_PER_SECOND
from agent.usage.team import team_charged


def cost_ahead(
    cards: Iterable[Card], policy: AccountPolicy, wall_ns: int
) -> Mapping[MonthKey, int]:
    """Nanos from ``wall_ns`` to the end of its month, by month, team and currency."""
    month, table = month_at(wall_ns, policy.zone), policy.table
    found: dict[MonthKey, int] = defaultdict(int)
    for card in cards:
        if table.candidates(card.identity):
            team = team_charged(card.given_to, card.activity.state)
            nanos = table.committed_nanos(
                card.identity, wall_ns, month.end * NANOSECONDS_PER_SECOND
            )
            found[MonthKey(month.label, team, table.currency)] += nanos
    return found


def records_of(cards: Iterable[Card], table: PriceTable) -> Mapping[str, tuple[str, str]]:
    """The records that speak of cards, by price id: digest and JSON."""
    return {
        price.id: (price.digest, price.record)
        for card in cards
        for price in table.candidates(card.identity)
        if price.record
    }
