"""What it costs: counters of this process, the rate now, and the months from the ledger."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from agent.export.collectors.cards import labels_of
from agent.export.families import Samples, family
from agent.money import units
from agent.units import seconds
from agent.view import View

COUNTERS = ("gpufin_cost_total", "gpufin_cost_component_total", "gpufin_team_cost_total")


def collect(view: View) -> Iterator[Metric]:
    """All families of this question."""
    for name in COUNTERS:
        sums = view.counters.get(name, {})
        yield from family(name, ((labels, units(nanos)) for labels, nanos in sums.items()))
    unpriced = view.counters.get("gpufin_unpriced_seconds_total", {})
    yield from family(
        "gpufin_unpriced_seconds_total",
        ((labels, seconds(value)) for labels, value in unpriced.items()),
    )
    yield from family("gpufin_cost_rate_per_hour", _rates(view))
    if view.energy_price_per_kwh is not None:
        yield from family(
            "gpufin_energy_price_per_kilowatt_hour", [((view.currency,), view.energy_price_per_kwh)]
        )
    yield from family("gpufin_month_cost", _months(view, 0))
    yield from family("gpufin_month_idle_cost", _months(view, 1))
    yield from family(
        "gpufin_month_start_timestamp_seconds",
        (((month.label,), month.start) for month in view.months),
    )
    yield from family(
        "gpufin_month_end_timestamp_seconds", (((month.label,), month.end) for month in view.months)
    )
    yield from family("gpufin_unreconciled_nanos", [((view.currency,), view.unreconciled_nanos)])


def _rates(view: View) -> Samples:
    for card in view.cards:
        if card.rate_per_hour is not None:
            yield (*labels_of(card), view.currency), card.rate_per_hour


def _months(view: View, column: int) -> Samples:
    for key, sums in view.month_cost.items():
        yield (key.month, key.team, key.currency, view.ledger_id), units(sums[column])
