"""What the cards say: readings, states, energy.  A missing reading is an absent series."""

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from agent.export.families import Samples, family, info
from agent.samples.device import GpuSample, answers
from agent.samples.reading import Missing, Reading
from agent.units import joules, ratio, seconds, watts
from agent.usage.state import STATE_CODES
from agent.view import CardView, View

GAUGES: tuple[tuple[str, str, Callable[[int], float]], ...] = (
    ("gpufin_gpu_utilization_ratio", "utilization_percent", ratio),
    ("gpufin_gpu_memory_used_bytes", "memory_used_bytes", float),
    ("gpufin_gpu_memory_total_bytes", "memory_total_bytes", float),
    ("gpufin_gpu_power_watts", "power_mw", watts),
    ("gpufin_gpu_power_limit_watts", "power_limit_mw", watts),
    ("gpufin_gpu_temperature_celsius", "temperature_celsius", float),
)
"""Metric, field of ``GpuSample``, conversion to the base unit."""

COUNTERS: tuple[tuple[str, Callable[[int], float]], ...] = (
    ("gpufin_gpu_energy_joules_total", joules),
    ("gpufin_gpu_energy_anomalies_total", float),
    ("gpufin_gpu_state_seconds_total", seconds),
    ("gpufin_gpu_missing_readings_total", float),
)


def labels_of(card: CardView) -> tuple[str, str]:
    """The labels ``uuid`` and ``gpu``."""
    return (card.identity.uuid, str(card.identity.index))


def collect(view: View) -> Iterator[Metric]:
    """All families of this question."""
    yield from info("gpufin_gpu_info", (_facts(card, view) for card in view.cards))
    yield from family("gpufin_gpu_up", ((labels_of(card), _up(card)) for card in view.cards))
    yield from family(
        "gpufin_gpu_state", ((labels_of(card), STATE_CODES[card.state]) for card in view.cards)
    )
    yield from family("gpufin_gpu_idle_since_timestamp_seconds", _idle_since(view))
    yield from info(
        "gpufin_gpu_idle_exemption_info",
        ((*labels_of(card), card.exemption) for card in view.cards if card.exemption),
    )
    for name, field, convert in GAUGES:
        yield from family(name, _readings(view, field, convert))
    yield from family("gpufin_gpu_processes", _process_counts(view))
    for name, convert in COUNTERS:
        sums = view.counters.get(name, {})
        yield from family(name, ((labels, convert(value)) for labels, value in sums.items()))


def _facts(card: CardView, view: View) -> tuple[str, ...]:
    return (
        *labels_of(card),
        card.identity.model,
        view.driver_version,
        card.identity.pci_bus_id,
        view.source,
        card.energy_source,
        "" if card.price is None else card.price.id,
        card.team,
    )


def _up(card: CardView) -> float:
    return float(answers(card.report))


def _idle_since(view: View) -> Samples:
    for card in view.cards:
        if card.idle_since_wall_ns is not None:
            yield labels_of(card), seconds(card.idle_since_wall_ns)


def _readings(view: View, field: str, convert: Callable[[int], float]) -> Samples:
    for card in view.cards:
        if isinstance(card.report, GpuSample):
            value: Reading[int] = getattr(card.report, field)
            if not isinstance(value, Missing):
                yield labels_of(card), convert(value)


def _process_counts(view: View) -> Samples:
    for card in view.cards:
        if isinstance(card.report, GpuSample) and not isinstance(card.report.processes, Missing):
            yield labels_of(card), len(card.report.processes)
