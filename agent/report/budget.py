"""Budgets of the fleet file held against ledgers, with the formula that the rendered rules have too."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from agent.ledger.entry import MONEY_COMPONENTS, Component, MonthKey
from agent.ledger.period import Month
from agent.report.forecast import (
    HOUR,
    Forecast,
    Look,
    Past,
    burn,
    forecast,
    hours_to_exhaustion,
)
from agent.report.tally import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Nanos that may be spent in a calendar month; ``team`` and ``cluster`` None: of any."""

    name: str
    amount: int
    currency: str
    team: str | None = None
    cluster: str | None = None

    def covers(self, team: str, currency: str, cluster: str | None) -> bool:
        """Whether money of a team is the budget's; ``cluster`` None: which one it is, is not known."""
        return (
            currency == self.currency
            and self.team in {None, team}
            and self.cluster in {None, cluster}
        )


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """Where a budget stands."""

    budget: Budget
    spent: int
    forecast: Forecast | None
    """None: data are too young, or the month is over."""
    burn: Mapping[str, Fraction]
    """Window, as the fleet file writes it, to times the budgeted rate; nothing when the month is over."""
    exhausted_in: Fraction | None
    """Hours until all is spent at the pace of the last day; None: the pace is zero or not known."""

    @property
    def used(self) -> Fraction:
        """Share of the budget that is spent."""
        return Fraction(self.spent, self.budget.amount)


@dataclass(slots=True)
class Spend:
    """What one team has spent in one currency."""

    month: int = 0
    ahead: int = 0
    hours: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """All money of the last days, by hour."""
    variable: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True, slots=True)
class Spending:
    """What is known of the spend of a month, by (team, currency); ``look`` None: the month is over."""

    month: Month
    teams: Mapping[tuple[str, str], Spend]
    present: frozenset[int]
    look: Look | None

    def within(self, scope: Iterable[tuple[str, str]]) -> Past:
        """The past of some teams together."""
        chosen = [self.teams[each] for each in scope]
        variable: dict[int, int] = defaultdict(int)
        for spend in chosen:
            for hour, nanos in spend.variable.items():
                variable[hour] += nanos
        return Past(
            spent=sum(spend.month for spend in chosen),
            fixed_ahead=sum(spend.ahead for spend in chosen),
            variable=variable,
            present=self.present,
        )

    def of(self, currency: str) -> Past:
        """The past of all teams in one currency."""
        return self.within(each for each in self.teams if each[1] == currency)

    def forecast_of(self, currency: str) -> Forecast | None:
        """The forecast of all teams in one currency; None where no money is known of."""
        if self.look is None or all(each[1] != currency for each in self.teams):
            return None
        return forecast(self.of(currency), self.look)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a report of one month says beside its sums."""

    spending: Spending
    budgets: Sequence[BudgetStatus]
    left_out: Sequence[str]
    """Budgets of clusters: a ledger does not know which it is of."""


def spending(
    month: Month,
    look: Look | None,
    rows: tuple[Rows, Rows],
    *,
    ahead: Iterable[tuple[MonthKey, int]],
    spot: frozenset[str],
) -> Spending:
    """Sum up ``rows``: those of the month, and those of the hours that ``look`` goes back.

    ``spot`` are the ids of price records whose cards may be gone any minute.
    """
    teams: dict[tuple[str, str], Spend] = defaultdict(Spend)
    present: set[int] = set()
    of_month, of_window = rows
    for _, key, (nanos, _) in of_month:
        if key.component in MONEY_COMPONENTS:
            teams[key.team, key.currency].month += nanos
    for _, key, (nanos, _) in of_window:
        present.add(key.hour)
        if key.component in MONEY_COMPONENTS:
            spend = teams[key.team, key.currency]
            spend.hours[key.hour] += nanos
            if key.component == Component.ENERGY or key.price_id in spot:
                spend.variable[key.hour] += nanos
    for month_key, nanos in ahead:
        if month_key.month == month.label:
            teams[month_key.team, month_key.currency].ahead += nanos
    return Spending(month, dict(teams), frozenset(present), look)


def statuses(
    budgets: Sequence[Budget],
    found: Spending,
    *,
    cluster: str | None,
    windows: Mapping[str, int],
    pace: int,
) -> Iterator[BudgetStatus]:
    """Every budget that ledgers can speak of.

    ``windows`` are those of the burn, ``pace`` that of the exhaustion, in seconds.  A budget of a cluster
    is left out unless ``cluster`` says that the ledgers are all of it: a ledger does not know its cluster.
    """
    for budget in budgets:
        if budget.cluster is not None and cluster != budget.cluster:
            continue
        scope = [each for each in found.teams if budget.covers(*each, cluster)]
        past, look = found.within(scope), found.look
        if look is None:
            yield BudgetStatus(budget, past.spent, None, {}, None)
            continue
        hours = (found.month.end - found.month.start) // HOUR
        spends = {window: _spent(found, scope, look, size) for window, size in windows.items()}
        yield BudgetStatus(
            budget,
            past.spent,
            forecast(past, look),
            {
                window: burn(*spend, budget.amount, hours)
                for window, spend in spends.items()
                if spend is not None
            },
            _exhausted(budget.amount - past.spent, _spent(found, scope, look, pace)),
        )


def _spent(
    found: Spending, scope: Iterable[tuple[str, str]], look: Look, size: int
) -> tuple[int, int] | None:
    """Nanos in the last full hours of a window, and how many of them are known; None without any."""
    last = range(look.until - max(size, HOUR), look.until, HOUR)
    known = [hour for hour in last if hour in found.present]
    spent = sum(found.teams[each].hours.get(hour, 0) for each in scope for hour in known)
    return (spent, len(known)) if known else None


def _exhausted(left: int, spend: tuple[int, int] | None) -> Fraction | None:
    return None if spend is None else hours_to_exhaustion(left, *spend)
