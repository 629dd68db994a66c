"""What the operator should hear of prices: cards without one, records edited in place, old list prices."""

import logging
from collections.abc import Mapping

from agent.cost.prices import Price
from agent.ports import ViewProvider
from agent.units import NANOSECONDS_PER_SECOND
from agent.view import View

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400


class PriceWatch:
    """Says each thing once; ``check`` is called by one thread at a time.

    ``known`` holds digests of the records that the ledger has under each price id.
    """

    def __init__(
        self,
        views: ViewProvider,
        known: Mapping[str, frozenset[str]],
        *,
        stale_days: int,
    ) -> None:
        self._views = views
        self._known = known
        self._stale_seconds = stale_days * DAY_SECONDS
        self._unpriced: frozenset[str] = frozenset()
        self._doubted: set[str] = set()

    def check(self) -> bool | None:
        """True when every card has a price; None until it is known which cards there are."""
        view = self._views.current()
        if view is None or not view.settled:
            return None
        for price in {card.price.id: card.price for card in view.cards if card.price}.values():
            if price.id not in self._doubted:
                self._doubt(price, view)
        unpriced = frozenset(card.identity.uuid for card in view.cards if card.price is None)
        for uuid in sorted(unpriced - self._unpriced):
            log.warning(
                "%s has no price: its time is counted as unpriced; gpufin explain-price says why",
                uuid,
            )
        self._unpriced = unpriced
        return not unpriced

    def forget(self) -> None:
        """Other prices hold now: what is doubtful about them is said anew; any thread."""
        self._doubted = set()

    def _doubt(self, price: Price, view: View) -> None:
        known = self._known.get(price.id)
        if known and price.digest and known != {price.digest}:
            log.warning(
                "the price record %s was edited in place: give a changed record a new id, or the "
                "ledger cannot tell what its rows cost",
                price.id,
            )
            self._doubted.add(price.id)
        if price.retrieved_at is None:
            return
        age_seconds = view.at.wall_ns // NANOSECONDS_PER_SECOND - price.retrieved_at
        if age_seconds > self._stale_seconds:
            log.warning(
                "the list price %s is %d days old: put in what your contract says",
                price.id,
                age_seconds // DAY_SECONDS,
            )
            self._doubted.add(price.id)
