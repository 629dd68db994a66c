"""Every metric once, as data.

Read by the exporter, the dashboards, the reference page and the tests; nothing else names a metric.
Names and labels are a contract: renaming one is a removal and an addition in the changelog.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Prometheus types used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    ``unit`` is the base unit of the values, for people; the name carries it where Prometheus wants it.
    ``per_card`` is how many default series one card has at the most.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str
    per_card: int = 0


_CARD = ("uuid", "gpu")

CATALOG: tuple[Metric, ...] = (
    # ---- cards
    Metric(
        "gpufin_gpu_info",
        Kind.INFO,
        "",
        (
            *_CARD,
            "model",
            "driver_version",
            "pci_bus_id",
            "source",
            "energy_source",
            "price_id",
            "team",
        ),
        "Facts of a card: model, driver, bus id, where readings come from (nvml, simulated, replay), "
        "how its energy is known (counter, integrated, none), the price record in force (empty: unpriced) "
        "and the team it is given to (empty: none).",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_up",
        Kind.GAUGE,
        "",
        _CARD,
        "1 when the card answered when it was last read, else 0.",
        1,
    ),
    Metric(
        "gpufin_gpu_state",
        Kind.GAUGE,
        "",
        _CARD,
        "State of the card at the last tick: 0 down, 1 unknown, 2 idle, 3 held, 4 active.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_idle_since_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        _CARD,
        "When the present spell of the states held or idle began; absent in any other state.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_idle_exemption_info",
        Kind.INFO,
        "",
        (*_CARD, "exemption"),
        "The exemption under which the card is held or idle now; absent when none covers it.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_utilization_ratio",
        Kind.GAUGE,
        "ratio",
        _CARD,
        "Share of the driver's last sampling window in which a kernel ran; says nothing of how well it ran.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_memory_used_bytes",
        Kind.GAUGE,
        "bytes",
        _CARD,
        "Memory allocated on the card, without what the driver reserves.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_memory_total_bytes",
        Kind.GAUGE,
        "bytes",
        _CARD,
        "Memory of the card.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_power_watts",
        Kind.GAUGE,
        "watts",
        _CARD,
        "Power drawn by the board (a 1 s mean or an instant value, as the card's family reports it).",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_power_limit_watts",
        Kind.GAUGE,
        "watts",
        _CARD,
        "Power limit the driver enforces.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_temperature_celsius",
        Kind.GAUGE,
        "celsius",
        _CARD,
        "Temperature of the GPU die.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_energy_joules_total",
        Kind.COUNTER,
        "joules",
        _CARD,
        "Energy used by the board since the agent started.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_energy_anomalies_total",
        Kind.COUNTER,
        "",
        (*_CARD, "kind"),
        "Readings of energy, or of power in its place, not taken at face value: reset, jump or freeze.",
        per_card=3,
    ),
    Metric(
        "gpufin_gpu_state_seconds_total",
        Kind.COUNTER,
        "seconds",
        (*_CARD, "state"),
        "Time spent in each state since the agent started; active persists 60 s after the last activity.",
        per_card=5,
    ),
    Metric(
        "gpufin_gpu_processes",
        Kind.GAUGE,
        "",
        _CARD,
        "Processes with a context on the card.",
        per_card=1,
    ),
    Metric(
        "gpufin_gpu_missing_readings_total",
        Kind.COUNTER,
        "",
        (*_CARD, "reading", "reason"),
        "Ticks in which the card did not give a reading, and why; reading is all when it gave none.",
        per_card=10,
    ),
    # ---- money
    Metric(
        "gpufin_cost_total",
        Kind.COUNTER,
        "currency",
        (*_CARD, "state", "currency"),
        "Cost of the card since the agent started, by the state it was in.",
        per_card=5,
    ),
    Metric(
        "gpufin_cost_component_total",
        Kind.COUNTER,
        "currency",
        (*_CARD, "component", "currency"),
        "The same cost by what is paid for: rental, capital, opex, energy.",
        per_card=3,
    ),
    Metric(
        "gpufin_cost_rate_per_hour",
        Kind.GAUGE,
        "currency per hour",
        (*_CARD, "currency"),
        "What the card costs now, per hour; absent when no price holds.",
        per_card=1,
    ),
    Metric(
        "gpufin_energy_price_per_kilowatt_hour",
        Kind.GAUGE,
        "currency per kilowatt hour",
        ("currency",),
        "Tariff in force for owned cards, PUE not included; absent without a tariff.",
    ),
    Metric(
        "gpufin_unpriced_seconds_total",
        Kind.COUNTER,
        "seconds",
        _CARD,
        "Time in which no price held for the card, so that its cost is not known.",
        per_card=1,
    ),
    Metric(
        "gpufin_unpriced_energy_joules_total",
        Kind.COUNTER,
        "joules",
        _CARD,
        "Energy of owned cards at a time for which no tariff holds, so that its cost is not known.",
        per_card=1,
    ),
    Metric(
        "gpufin_carbon_grams_total",
        Kind.COUNTER,
        "grams",
        _CARD,
        "Carbon dioxide equivalent of the energy drawn since the agent started; absent unless configured.",
        per_card=1,
    ),
    Metric(
        "gpufin_carbon_intensity_grams_per_kilowatt_hour",
        Kind.GAUGE,
        "grams per kilowatt hour",
        (),
        "Carbon intensity in force, PUE not included; absent when it is not known.",
    ),
    Metric(
        "gpufin_team_cost_total",
        Kind.COUNTER,
        "currency",
        ("team", "model", "state", "currency"),
        "Cost since the agent started by team and model of card; sums to the cost of the node.",
    ),
    Metric(
        "gpufin_team_variable_cost_total",
        Kind.COUNTER,
        "currency",
        ("team", "currency"),
        "The part of it that follows use and not the clock: energy, and the time of spot cards.",
    ),
    Metric(
        "gpufin_month_cost",
        Kind.GAUGE,
        "currency",
        ("month", "team", "currency", "ledger"),
        "Cost booked in a calendar month of the fleet's zone (this month and the last), from the ledger.",
    ),
    Metric(
        "gpufin_month_idle_cost",
        Kind.GAUGE,
        "currency",
        ("month", "team", "currency", "ledger"),
        "The part of the month's cost in which cards were held or idle and no exemption covered them.",
    ),
    Metric(
        "gpufin_month_idle_avoidable_cost",
        Kind.GAUGE,
        "currency",
        ("month", "team", "currency", "ledger"),
        "The part of the month's idle cost that stops when a card is given back or switched off: rent "
        "and energy; the rest is sunk.",
    ),
    Metric(
        "gpufin_month_idle_exempt_cost",
        Kind.GAUGE,
        "currency",
        ("month", "team", "currency", "ledger"),
        "Cost of held and idle cards under an exemption: not part of the month's idle cost.",
    ),
    Metric(
        "gpufin_month_remaining_fixed_cost",
        Kind.GAUGE,
        "currency",
        ("month", "team", "currency", "ledger"),
        "What the rest of this month will cost by the clock if the cards of now stay, by the price records "
        "known now; without energy and spot cards.",
    ),
    Metric(
        "gpufin_month_start_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        ("month",),
        "When the month starts in the fleet's zone.",
    ),
    Metric(
        "gpufin_month_end_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        ("month",),
        "When the month ends in the fleet's zone.",
    ),
    Metric(
        "gpufin_unreconciled_nanos",
        Kind.GAUGE,
        "1e-9 of the currency",
        ("currency",),
        "By how much this process's cost differs summed by state, component and team; not 0 is a defect.",
    ),
    # ---- the agent itself
    Metric(
        "gpufin_gpus_expected",
        Kind.GAUGE,
        "",
        (),
        "Cards this node has or is known to have had and still pays for.",
    ),
    Metric(
        "gpufin_gpus_present", Kind.GAUGE, "", (), "Cards that answered when they were last read."
    ),
    Metric("gpufin_driver_up", Kind.GAUGE, "", (), "1 when the driver answers, else 0."),
    Metric(
        "gpufin_driver_info",
        Kind.INFO,
        "",
        ("driver_version", "reason", "code"),
        "Driver version, and why the driver does not answer (empty when it does) with the NVML code.",
    ),
    Metric(
        "gpufin_collector_success",
        Kind.GAUGE,
        "",
        ("collector",),
        "1 when the last run of a source of data (devices, ledger, prices, clock, config, carbon) succeeded.",
    ),
    Metric(
        "gpufin_collector_duration_seconds",
        Kind.GAUGE,
        "seconds",
        ("collector",),
        "How long its last run took.",
    ),
    Metric(
        "gpufin_collector_last_success_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        ("collector",),
        "When it last succeeded; absent until it has.",
    ),
    Metric("gpufin_ticks_total", Kind.COUNTER, "", (), "Turns of sample, price, book and publish."),
    Metric(
        "gpufin_ticks_late_total",
        Kind.COUNTER,
        "",
        (),
        "Ticks that started more than half an interval late, or overran their interval.",
    ),
    Metric(
        "gpufin_tick_duration_seconds",
        Kind.GAUGE,
        "seconds",
        (),
        "How long the last tick took from reading to published view.",
    ),
    Metric(
        "gpufin_readers_abandoned_total",
        Kind.COUNTER,
        "",
        (),
        "Reader threads given up because a call into the driver passed its deadline.",
    ),
    Metric(
        "gpufin_clock_steps_total",
        Kind.COUNTER,
        "",
        (),
        "Steps of the wall clock of a second or more.",
    ),
    Metric(
        "gpufin_ledger_pending_entries",
        Kind.GAUGE,
        "",
        (),
        "Ledger rows in memory that wait for the next flush; grows while the disk refuses writes.",
    ),
    Metric(
        "gpufin_filled_seconds",
        Kind.GAUGE,
        "seconds",
        _CARD,
        "Time filled into the ledger when this process started, for the time the agent was away.",
        per_card=1,
    ),
    Metric(
        "gpufin_config_last_reload_successful",
        Kind.GAUGE,
        "",
        (),
        "1 when the configuration file is the one in force, 0 when it was found faulty and the old one kept.",
    ),
    Metric(
        "gpufin_config_last_reload_success_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        (),
        "When the configuration in force was read.",
    ),
    Metric(
        "gpufin_reference_price_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        ("price_id",),
        "Date of a list price that came with gpufin and is in force for a card here.",
    ),
    Metric(
        "gpufin_build_info", Kind.INFO, "", ("version", "python_version"), "The agent that answers."
    ),
    Metric(
        "process_cpu_seconds_total",
        Kind.COUNTER,
        "seconds",
        (),
        "User and system CPU time of the agent.",
    ),
    Metric(
        "process_resident_memory_bytes", Kind.GAUGE, "bytes", (), "Resident memory of the agent."
    ),
    Metric(
        "process_start_time_seconds",
        Kind.GAUGE,
        "seconds",
        (),
        "When the agent started, since 1970.",
    ),
    Metric("process_open_fds", Kind.GAUGE, "", (), "Open file descriptors of the agent."),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOG}

MAX_SERIES_PER_CARD = 45
