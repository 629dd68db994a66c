"""What the log says of cards: each change once, never the same at every tick."""

import logging

from agent.samples.device import FaultReason, fault_of
from agent.units import NANOSECONDS_PER_SECOND
from agent.view import View

log = logging.getLogger(__name__)

SLOW_AGAIN_NS = 600 * NANOSECONDS_PER_SECOND
"""That cards are slow is told again after so long a time without it."""
SLOW_TICKS = 3
"""So often it must happen; once it does beside a hung card, or when the agent is stopped."""
_NOTHING_HEARD = frozenset({FaultReason.OPENING, FaultReason.NO_TIME})
"""Nothing new of the card: what was said of it goes on."""


class Reports:
    """Remembers what was said of each card; used by the tick thread alone."""

    def __init__(self) -> None:
        self._said: dict[str, FaultReason] = {}
        self._slow_until_ns = 0
        self._slow_ticks = 0

    def tell(self, view: View) -> None:
        """Log what changed since the view before."""
        before, said = self._said, {}
        faults = {card.identity.uuid: fault_of(card.report) for card in view.cards}
        for uuid, reason in faults.items():
            told = before.get(uuid) if reason in _NOTHING_HEARD else reason
            if told is not None:
                said[uuid] = told
        for uuid in said.keys() - before.keys():
            log.warning("%s gives no sample: %s", uuid, said[uuid])
        for uuid in before.keys() - said.keys():
            log.info("%s answers again", uuid)
        self._said = said
        self._tell_slow(list(faults.values()).count(FaultReason.NO_TIME), view)

    def _tell_slow(self, slow: int, view: View) -> None:
        now_ns = view.at.boottime_ns
        if now_ns >= self._slow_until_ns:
            self._slow_ticks = 0
        if not slow:
            return
        self._slow_until_ns = now_ns + SLOW_AGAIN_NS
        self._slow_ticks += 1
        if self._slow_ticks == SLOW_TICKS:
            log.warning(
                "no time was left in a tick to read %d of %d cards: slow cards are read less often than "
                "each tick, which gpufin_gpu_missing_readings_total counts",
                slow,
                len(view.cards),
            )
