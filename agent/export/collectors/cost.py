"""What it costs: counters of this process, the rate now, and the months from the ledger."""

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from agent.export.collectors.cards import labels_of
from agent.export.families import Samples, family, single
from agent.money import units
from agent.units import grams, joules, seconds
from agent.view import View

MONTHS = (
    "gpufin_month_cost",
    "gpufin_month_idle_cost",
    "gpufin_month_idle_avoidable_cost",
    "gpufin_month_idle_exempt_cost",
)
"""In the order of ``MonthSums``."""
COUNTERS = (
    "gpufin_cost_total",
    "gpufin_cost_component_total",
    "gpufin_team_cost_total",
    "gpufin_team_variable_cost_total",
)

QUANTITIES: tuple[tuple[str, Callable[[int], float]], ...] = (
    ("gpufin_unpriced_seconds_total", seconds),
    ("gpufin_unpriced_energy_joules_total", joules),
    ("gpufin_carbon_grams_total", grams),
)


def collect(view: View) -> Iterator[Metric]:
    """All families of this question."""
    for name in COUNTERS:
        sums = view.counters.get(name, {})
        yield from family(name, ((labels, units(nanos)) for labels, nanos in sums.items()))
    for name, convert in QUANTITIES:
        sums = view.counters.get(name, {})
        yield from family(name, ((labels, convert(value)) for labels, value in sums.items()))
    yield from family("gpufin_cost_rate_per_hour", _rates(view))
    if view.energy_price_per_kwh is not None:
        yield from family(
            "gpufin_energy_price_per_kilowatt_hour", [((view.currency,), view.energy_price_per_kwh)]
        )
    intensity = view.carbon_grams_per_kwh
    yield from single("gpufin_carbon_intensity_grams_per_kilowatt_hour", intensity)
    yield from family("gpufin_reference_price_timestamp_seconds", _reference_dates(view))
    for column, name in enumerate(MONTHS):
        yield from family(name, _months(view, column))
    yield from family(
        "gpufin_month_remaining_fixed_cost",
        (((*key, view.ledger_id), units(nanos)) for key, nanos in view.month_ahead.items()),
    )
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


def _reference_dates(view: View) -> Samples:
    prices = {card.price.id: card.price for card in view.cards if card.price is not None}
    for price in prices.values():
        if price.retrieved_at is not None:
            yield (price.id,), price.retrieved_at


def _months(view: View, column: int) -> Samples:
    for key, sums in view.month_cost.items():
        yield (key.month, key.team, key.currency, view.ledger_id), units(sums[column])
