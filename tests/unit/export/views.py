"""Pictures of a node for the exporter, rich ones and poor ones."""

from dataclasses import replace
from fractions import Fraction
from zoneinfo import ZoneInfo

from agent.cost.prices import Price, Tier
from agent.cost.rates import hourly
from agent.ledger.entry import MonthKey, MonthSums
from agent.ledger.period import month_at, month_before
from agent.samples.device import (
    FaultReason,
    GpuFault,
    GpuIdentity,
    GpuSample,
    ProcessKind,
    ProcessSample,
)
from agent.samples.instant import Instant
from agent.samples.reading import Missing
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.view import CardView, CollectorHealth, ConfigHealth, View

NOW = Instant(1_000_000_000_000, 1_792_224_000_000_000_000)
SECOND = 1_000_000_000
PRICE = Price(
    id="h100",
    tier=Tier.ON_DEMAND,
    rates=(hourly(Fraction(3), "rental"),),
    match=CardMatch(model="*"),
    retrieved_at=1_767_225_600,
)


def identity(number: int, model: str = "NVIDIA H100") -> GpuIdentity:
    return GpuIdentity(uuid=f"GPU-{number}", index=number, model=model, pci_bus_id=f"0:{number}")


def sample(number: int) -> GpuSample:
    return GpuSample(
        uuid=f"GPU-{number}",
        boottime_ns=NOW.boottime_ns,
        utilization_percent=42,
        memory_used_bytes=5 << 30,
        memory_total_bytes=80 << 30,
        power_mw=512_345,
        power_limit_mw=700_000,
        energy_mj=1 << 60,
        temperature_celsius=61,
        processes=(ProcessSample(7, ProcessKind.COMPUTE, Missing.NO_DATA),),
    )


def card(number: int, *, team: str = "vision", model: str = "NVIDIA H100") -> CardView:
    """A card with everything there is to say of one."""
    return CardView(
        identity=identity(number, model),
        report=sample(number),
        state=CardState.HELD,
        idle_since_wall_ns=NOW.wall_ns - 90 * SECOND,
        energy_source="counter",
        price=PRICE,
        rate_per_hour=3.0,
        team=team,
        exemption="standby pool",
        filled_ns=5 * SECOND,
    )


def faulty(number: int, reason: FaultReason) -> CardView:
    return replace(
        card(number),
        report=GpuFault(f"GPU-{number}", reason, 15),
        state=CardState.DOWN,
        idle_since_wall_ns=None,
    )


def bare(number: int) -> CardView:
    """A card that gives no reading, has no price and no team."""
    return replace(
        card(number),
        report=GpuSample(uuid=f"GPU-{number}", boottime_ns=0, processes=Missing.NOT_SUPPORTED),
        idle_since_wall_ns=None,
        energy_source="none",
        price=None,
        rate_per_hour=None,
        team="",
        exemption="",
        filled_ns=None,
    )


def counters_of(*cards: CardView) -> dict[str, dict[tuple[str, ...], int]]:
    found: dict[str, dict[tuple[str, ...], int]] = {
        "gpufin_ticks_total": {(): 12},
        "gpufin_ticks_late_total": {(): 0},
        "gpufin_readers_abandoned_total": {(): 0},
        "gpufin_clock_steps_total": {(): 0},
    }

    def put(name: str, labels: tuple[str, ...], value: int) -> None:
        found.setdefault(name, {})[labels] = value

    for each in cards:
        labels = (each.identity.uuid, str(each.identity.index))
        put("gpufin_gpu_energy_joules_total", labels, 1_500)
        put("gpufin_unpriced_seconds_total", labels, 0)
        put("gpufin_unpriced_energy_joules_total", labels, 7_000)
        put("gpufin_carbon_grams_total", labels, 9 * SECOND)
        if isinstance(each.report, GpuSample):
            for reading, reason in each.report.missing():
                put("gpufin_gpu_missing_readings_total", (*labels, reading, reason), 1)
        else:
            put("gpufin_gpu_missing_readings_total", (*labels, "all", each.report.reason), 1)
        for kind in ("reset", "jump", "freeze"):
            put("gpufin_gpu_energy_anomalies_total", (*labels, kind), 1)
        for component in ("rental", "capital", "energy"):
            put("gpufin_cost_component_total", (*labels, component, "USD"), 3 * SECOND)
        for state in CardState:
            put("gpufin_gpu_state_seconds_total", (*labels, state), 2 * SECOND)
            put("gpufin_cost_total", (*labels, state, "USD"), 1_234_567_890)
            put("gpufin_team_cost_total", (each.team, each.identity.model, state, "USD"), 7)
        put("gpufin_team_variable_cost_total", (each.team, "USD"), 3)
    return found


def view(*cards: CardView, driver_up: bool = True) -> View:
    month = month_at(NOW.wall_ns, ZoneInfo("UTC"))
    before = month_before(month, ZoneInfo("UTC"))
    return View(
        at=NOW,
        started_wall_ns=NOW.wall_ns - 3_700 * SECOND,
        source="nvml",
        currency="USD",
        ledger_id="4f1d",
        settled=True,
        driver_up=driver_up,
        driver_reason="" if driver_up else "DRIVER_NOT_LOADED",
        driver_code=None if driver_up else 9,
        driver_version="590.48.01" if driver_up else "",
        cards=cards,
        counters=counters_of(*cards),
        months=(before, month),
        month_cost={
            MonthKey(label, team, "USD"): MonthSums(
                1_500 * SECOND, 500 * SECOND, 400 * SECOND, 100 * SECOND
            )
            for label in (before.label, month.label)
            for team in {each.team for each in cards}
        },
        month_ahead={
            MonthKey(month.label, team, "USD"): 70 * SECOND
            for team in {each.team for each in cards}
        },
        energy_price_per_kwh=0.31,
        carbon_grams_per_kwh=380.95,
        config=ConfigHealth(NOW.wall_ns - SECOND, successful=False),
        collectors={
            "devices": CollectorHealth(True, 0.001, NOW.wall_ns),
            "ledger": CollectorHealth(False, 0.5, None),
        },
        pending_entries=3,
        tick_seconds=0.0015,
        fresh_until_boottime_ns=NOW.boottime_ns + 5 * SECOND,
    )


def rich() -> View:
    """Two cards with everything, one without anything, one of each fault."""
    faults = [faulty(number, reason) for number, reason in enumerate(FaultReason, 3)]
    return view(card(0), card(1, team="nlp"), bare(2), *faults)
