"""From booked entries to the counters of this process: which series a card has, and what adds to them."""

from collections.abc import Iterable

from agent.cost.prices import COMMITTED, PriceTable
from agent.ledger.book import Counters
from agent.ledger.card import Card
from agent.ledger.entry import MONEY_COMPONENTS, Component, Entry
from agent.ledger.posting import Interval
from agent.samples.device import GpuFault
from agent.usage.energy import EnergyAnomaly
from agent.usage.state import CardState
from agent.usage.team import team_charged

_QUANTITIES = {
    Component.UNPRICED: "gpufin_unpriced_seconds_total",
    Component.UNPRICED_ENERGY: "gpufin_unpriced_energy_joules_total",
    Component.CARBON: "gpufin_carbon_grams_total",
}
"""Components without money that have a counter of their own quantity."""


def start_counters(counters: Counters, card: Card, table: PriceTable, *, carbon: bool) -> None:
    """Let every series that a card may get stand at 0 before it rises."""
    add, labels, currency = counters.add, card.labels, table.currency
    for state in CardState:
        add("gpufin_gpu_state_seconds_total", (*labels, state), 0)
    for anomaly in EnergyAnomaly:
        add("gpufin_gpu_energy_anomalies_total", (*labels, anomaly), 0)
    candidates = table.candidates(card.identity)
    add("gpufin_unpriced_seconds_total", labels, 0)
    if carbon:
        add("gpufin_carbon_grams_total", labels, 0)
    components = {rate.component for price in candidates for rate in price.rates}
    if any(price.bills_energy for price in candidates):
        components.add(Component.ENERGY)
        add("gpufin_unpriced_energy_joules_total", labels, 0)
    for component in components:
        add("gpufin_cost_component_total", (*labels, component, currency), 0)
    for state in CardState if candidates else ():
        add("gpufin_cost_total", (*labels, state, currency), 0)
        team = team_charged(card.given_to, state)
        add("gpufin_team_cost_total", (team, card.identity.model, state, currency), 0)
        if any(price.bills_energy or price.tier not in COMMITTED for price in candidates):
            add("gpufin_team_variable_cost_total", (team, currency), 0)


def count(counters: Counters, card: Card, interval: Interval, entries: Iterable[Entry]) -> None:
    """Add an interval and what was booked for it."""
    duration_ns = interval.end_wall_ns - interval.start_wall_ns
    counters.add("gpufin_gpu_state_seconds_total", (*card.labels, interval.state), duration_ns)
    count_booked(counters, card, interval, entries)


def count_booked(
    counters: Counters, card: Card, interval: Interval, entries: Iterable[Entry]
) -> None:
    """Add the energy of an interval whose time was counted before, and what was booked."""
    add, labels, state = counters.add, card.labels, interval.state
    if interval.energy_mj is not None:
        add("gpufin_gpu_energy_joules_total", labels, interval.energy_mj)
    for entry in entries:
        key = entry.key
        if key.component in _QUANTITIES:
            add(_QUANTITIES[key.component], labels, entry.quantity)
        elif key.price_id and key.component in MONEY_COMPONENTS:
            add("gpufin_cost_total", (*labels, state, key.currency), entry.nanos)
            component = (*labels, key.component, key.currency)
            add("gpufin_cost_component_total", component, entry.nanos)
            team = (key.team, key.model, state, key.currency)
            add("gpufin_team_cost_total", team, entry.nanos)
            if entry.variable:
                add("gpufin_team_variable_cost_total", (key.team, key.currency), entry.nanos)


def count_missing(counters: Counters, card: Card) -> None:
    """Count what a tick did not learn of a card, each with its reason."""
    name, report = "gpufin_gpu_missing_readings_total", card.report
    if isinstance(report, GpuFault):
        counters.add(name, (*card.labels, "all", report.reason), 1)
        return
    for reading, reason in report.missing():
        counters.add(name, (*card.labels, reading, reason), 1)
