"""What ``gpufin report`` says of budgets and of the month's end."""

import json
from collections.abc import Callable
from pathlib import Path

import click

from agent.config.durations import seconds
from agent.config.fleet import Budget as BudgetSection, Fleet
from agent.config.load import load
from agent.cost.prices import Tier
from agent.ledger.entry import MonthKey
from agent.ledger.period import Month
from agent.money import NANOS_PER_UNIT
from agent.report.budget import Budget, Outlook, spending, statuses
from agent.report.forecast import Look
from agent.report.period import Period
from agent.report.tally import Rows
from agent.storage.reading import LedgerReader, Selection

ALIVE_SECONDS = 3_600
"""Copies of ledgers are not all made in one moment; what is older than this is of a node that is gone."""
DEFAULT_FLEET = Path("/etc/gpufin/fleet.yaml")


def fleet_of(path: Path | None, period: Period) -> Fleet:
    """The fleet file that holds for a report of a period; all defaults when there is none.

    Raises:
        ConfigError: the file is faulty.
        click.UsageError: it was asked for, and the period is not the month that budgets are for.
    """
    if path is None:
        return load(DEFAULT_FLEET, Fleet) if DEFAULT_FLEET.exists() else Fleet.model_validate({})
    if len(period.months) != 1:
        raise click.UsageError("budgets are for a calendar month: give --period like 2026-11")
    return load(path, Fleet)


def outlook(
    reader: LedgerReader,
    period: Period,
    rows: Callable[[], Rows],
    fleet: Fleet,
    *,
    now: int,
    cluster: str | None,
) -> Outlook | None:
    """Budgets and forecast of a month, with ``rows`` of it; None when the period is not one."""
    if len(period.months) != 1:
        return None
    month = Month(period.months[0], period.start, period.end)
    look = _look(reader, month, fleet, now)
    window: Rows = () if look is None else reader.rows(Selection(look.reach, look.until))
    found = spending(
        month,
        look,
        (rows(), window),
        ahead=_ahead(reader),
        spot=_spot(reader),
    )
    forecasts = fleet.forecast
    held = statuses(
        [_budget(each, fleet.currency) for each in fleet.budgets],
        found,
        cluster=cluster,
        windows={text: seconds(text) for text in forecasts.burn_windows},
        pace=seconds(forecasts.pace_window),
    )
    skipped = [b.name for b in fleet.budgets if b.scope.cluster not in {None, cluster}]
    return Outlook(found, tuple(held), tuple(skipped))


def _look(reader: LedgerReader, month: Month, fleet: Fleet, now: int) -> Look | None:
    """As of the last flush: what was booked and what is ahead then fit each other."""
    flushed = [at for key, _, at in reader.ahead() if key.month == month.label]
    first_hours = reader.first_hours().values()
    if not month.start <= now < month.end or not first_hours:
        return None
    return Look(
        now=min(now, max(flushed, default=now)),
        month_start=month.start,
        month_end=month.end,
        known_since=min(first_hours),
        window=seconds(fleet.forecast.window),
        minimum=seconds(fleet.forecast.minimum),
    )


def _ahead(reader: LedgerReader) -> list[tuple[MonthKey, int]]:
    """What the agents that are alive said is ahead; one that is gone takes what was ahead along."""
    told = list(reader.ahead())
    newest = max((at for _, _, at in told), default=0)
    return [(key, nanos) for key, nanos, at in told if newest - at <= ALIVE_SECONDS]


def _spot(reader: LedgerReader) -> frozenset[str]:
    return frozenset(
        identifier
        for identifier, records in reader.records().items()
        if any(json.loads(record).get("tier") == Tier.SPOT for record in records)
    )


def _budget(section: BudgetSection, currency: str) -> Budget:
    return Budget(
        name=section.name,
        amount=round(section.amount * NANOS_PER_UNIT),
        currency=section.currency or currency,
        team=section.scope.team,
        cluster=section.scope.cluster,
    )
