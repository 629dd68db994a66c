"""How long a running agent's ledger keeps what: hours, then days, then nothing."""

import logging
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.errors import LedgerError
from agent.ledger.period import month_at
from agent.ledger.policy import Retention
from agent.storage.upkeep import DAY_SECONDS, compact, drop_months
from agent.units import NANOSECONDS_PER_SECOND

log = logging.getLogger(__name__)

MONTHS_PER_YEAR = 12


def retain(place: Path, retention: Retention, wall_ns: int, zone: ZoneInfo) -> bool:
    """Merge hours that are old enough into days, and delete months beyond those that are kept.

    For a clock that can be trusted only: by one that runs in the future everything is old.
    False when it could not be done now.
    """
    before = wall_ns // NANOSECONDS_PER_SECOND - retention.compact_after_days * DAY_SECONDS
    try:
        compact(place, before, zone)
        if retention.keep_months is not None:
            drop_months(place, _first_kept(wall_ns, zone, retention.keep_months))
    except LedgerError as error:
        log.warning("old rows of the ledger stay as they are: %s", error)
        return False
    return True


def _first_kept(wall_ns: int, zone: ZoneInfo, keep_months: int) -> str:
    year, month = map(int, month_at(wall_ns, zone).label.split("-"))
    year, month = divmod(year * MONTHS_PER_YEAR + month - keep_months, MONTHS_PER_YEAR)
    return f"{year:04d}-{month + 1:02d}"
