"""From the account to the immutable view that scrapes share."""

from dataclasses import dataclass

from agent.ledger.account import Account
from agent.ledger.ahead import cost_ahead
from agent.ledger.card import Card
from agent.ledger.charging import exemption_at
from agent.ledger.period import month_at, month_before
from agent.money import units
from agent.ports import ViewProvider
from agent.samples.device import FaultReason, GpuSample, NodeSample, answers
from agent.samples.instant import Instant
from agent.units import NANOSECONDS_PER_SECOND
from agent.view import CardView, CollectorHealth, ConfigHealth, View

_OFFSET_STEP_NS = NANOSECONDS_PER_SECOND // 10
"""The clocks' difference is measured a little anew each tick; a series need not show that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the process lives."""

    source: str
    started_wall_ns: int
    stale_after_ns: int


class Published(ViewProvider):
    """One writer's reference to the current view; assigning it is atomic, so readers never wait."""

    def __init__(self) -> None:
        self._view: View | None = None

    def publish(self, view: View) -> None:
        """Replace the view; called by the tick thread alone."""
        self._view = view

    def current(self) -> View | None:
        """See ``ViewProvider``."""
        return self._view


def picture(
    account: Account,
    node: NodeSample,
    now: Instant,
    facts: Facts,
    collectors: dict[str, CollectorHealth],
    config: ConfigHealth,
) -> View:
    """The view of one tick; makes copies, so that later ticks leave it alone."""
    policy = account.policy
    table = policy.table
    month = month_at(now.wall_ns, policy.zone)
    months = (month_before(month, policy.zone), month)
    energy_price = table.tariff_at(now.wall_ns)
    intensity = account.emissions.intensity
    cards = sorted(account.cards.values(), key=lambda card: card.identity.index)
    return View(
        at=now,
        started_wall_ns=facts.started_wall_ns,
        source=facts.source,
        currency=table.currency,
        ledger_id=account.ledger_id,
        settled=node.settled,
        driver_up=node.driver_up,
        driver_reason=node.driver_reason,
        driver_code=node.driver_code,
        driver_version=node.driver_version,
        cards=tuple(_card_view(account, card, now) for card in cards),
        counters=account.counters.snapshot(),
        months=months,
        month_cost=(
            account.months.snapshot(each.label for each in months) if account.ledger_id else {}
        ),
        month_ahead=(
            cost_ahead(account.cards.values(), policy, now.wall_ns) if account.ledger_id else {}
        ),
        energy_price_per_kwh=None if energy_price is None else float(energy_price.per_kwh),
        carbon_grams_per_kwh=None if intensity is None else float(intensity.grams_per_kwh),
        config=config,
        collectors=collectors,
        pending_entries=len(account.pending),
        unreconciled_nanos=account.unreconciled_nanos,
        fresh_until_boottime_ns=now.boottime_ns + facts.stale_after_ns,
    )


def _card_view(account: Account, card: Card, now: Instant) -> CardView:
    price = account.policy.table.at(card.identity, now.wall_ns)
    power_mw: int | None = 0  # one that does not answer costs its time
    if isinstance(card.report, GpuSample):
        power_mw = card.report.power_mw if isinstance(card.report.power_mw, int) else None
    elif card.report.reason is FaultReason.NO_TIME:
        power_mw = None  # it draws power that nobody has read
    return CardView(
        identity=card.identity,
        report=card.report,
        state=card.activity.state,
        idle_since_wall_ns=_on_the_wall(card.activity.idle_since_ns, now),
        energy_source=str(card.meter.method),
        price=price,
        rate_per_hour=account.policy.table.rate_per_hour(card.identity, now.wall_ns, power_mw),
        exemption=exemption_at(card, card.activity.state, now.wall_ns, account.policy),
        team=card.given_to,
        filled_ns=card.filled_ns,
    )


def _on_the_wall(boottime_ns: int | None, now: Instant) -> int | None:
    """When a moment was, as the wall clock tells now; steady while that clock is only slewed."""
    if boottime_ns is None:
        return None
    offset_ns = now.wall_ns - now.boottime_ns
    return boottime_ns + offset_ns - offset_ns % _OFFSET_STEP_NS


def status_line(view: View) -> str:
    """One line for people: systemd's status, the log."""
    present = sum(answers(card.report) for card in view.cards)
    rates = [card.rate_per_hour for card in view.cards if card.rate_per_hour is not None]
    unpriced = sum(card.price is None for card in view.cards)
    month = view.months[-1].label
    spent = sum(
        sums.cost
        for key, sums in view.month_cost.items()
        if key.month == month and key.currency == view.currency
    )
    parts = [f"{present} of {len(view.cards)} cards"]
    if unpriced:
        parts.append(f"{unpriced} unpriced")
    if rates:
        parts.append(f"{sum(rates):.2f} {view.currency}/h")
    if spent or not unpriced:  # what nobody put a price on is not 0
        parts.append(f"{units(spent):.2f} {view.currency} in {month}")
    if not view.driver_up:
        parts.append(f"driver: {view.driver_reason}")
    return ", ".join(parts)
