"""From the account to the immutable view that scrapes share."""

from dataclasses import dataclass

from agent.ledger.account import Account
from agent.ledger.card import Card
from agent.ledger.period import month_at, month_before
from agent.money import units
from agent.ports import ViewProvider
from agent.samples.device import GpuSample, NodeSample
from agent.samples.instant import Instant
from agent.view import CardView, CollectorHealth, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the process lives."""

    source: str
    ledger_id: str
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
) -> View:
    """The view of one tick; makes copies, so that later ticks leave it alone."""
    policy = account.policy
    table = policy.table
    month = month_at(now.wall_ns, policy.zone)
    months = (month_before(month, policy.zone), month)
    tariff = table.tariff
    cards = sorted(account.cards.values(), key=lambda card: card.identity.index)
    return View(
        at=now,
        started_wall_ns=facts.started_wall_ns,
        source=facts.source,
        currency=table.currency,
        ledger_id=facts.ledger_id,
        settled=node.settled,
        driver_up=node.driver_up,
        driver_reason=node.driver_reason,
        driver_code=node.driver_code,
        driver_version=node.driver_version,
        cards=tuple(_card_view(account, card, now) for card in cards),
        counters=account.counters.snapshot(),
        months=months,
        month_cost=account.months.snapshot(each.label for each in months),
        energy_price_per_kwh=None if tariff is None else float(tariff.per_kwh),
        collectors=collectors,
        pending_entries=len(account.pending),
        unreconciled_nanos=account.unreconciled_nanos,
        fresh_until_boottime_ns=now.boottime_ns + facts.stale_after_ns,
    )


def _card_view(account: Account, card: Card, now: Instant) -> CardView:
    price = account.price_of(card, now.wall_ns)
    sample = card.report if isinstance(card.report, GpuSample) else None
    power_mw = sample.power_mw if sample is not None and isinstance(sample.power_mw, int) else None
    rate = None
    if price is not None and not (price.bills_energy and sample is not None and power_mw is None):
        rate = account.policy.table.rate_per_hour(price, now.wall_ns, power_mw)
    return CardView(
        identity=card.identity,
        report=card.report,
        state=card.activity.state,
        idle_since_wall_ns=card.activity.idle_since_wall_ns,
        energy_source=str(card.meter.method),
        price=price,
        rate_per_hour=rate,
        team=card.given_to,
        filled_ns=card.filled_ns,
    )


def status_line(view: View) -> str:
    """One line for people: systemd's status, the log."""
    present = sum(isinstance(card.report, GpuSample) for card in view.cards)
    rate = sum(card.rate_per_hour or 0.0 for card in view.cards)
    month = view.months[-1].label
    spent = sum(
        cost
        for key, (cost, _) in view.month_cost.items()
        if key.month == month and key.currency == view.currency
    )
    driver = "" if view.driver_up else f", driver: {view.driver_reason}"
    return (
        f"{present} of {len(view.cards)} cards, {rate:.2f} {view.currency}/h, "
        f"{units(spent):.2f} {view.currency} in {month}{driver}"
    )
