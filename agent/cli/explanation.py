"""Which record holds for a card, why the others do not, and what it comes to; for ``explain-price``."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from agent.config.decode import Settings
from agent.cost.energy import EnergyPrice
from agent.cost.prices import Price, PriceTable
from agent.cost.rates import FOREVER_NS, HOURS_PER_DAY, break_even_hours_per_day
from agent.money import NANOS_PER_UNIT
from agent.samples.device import GpuIdentity
from agent.units import NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND
from agent.usage.exemption import exemption_of
from agent.usage.team import team_of

SECONDS_PER_HOUR = 3_600
CONTAINED = "included"
"""What is said of the electricity of a rented card."""


@dataclass(frozen=True)
class Asked:
    """What is to be worked out beside the price; watts are those of one card's board."""

    utilization: float | None
    watts: float | None
    rent: float | None
    idle_watts: float | None


@dataclass(frozen=True)
class BreakEven:
    """From how many busy hours a day an owned card costs less than a rented one; None: there is no number."""

    rent_per_hour: float
    hours_per_day: float | None
    never: bool


@dataclass(frozen=True)
class Explanation:
    """Which record holds for a card, what it comes to, and why the others do not."""

    uuid: str
    model: str
    team: str
    price_id: str
    per_hour: float | None
    """Without the electricity that comes on top."""
    components: dict[str, float]
    electricity: str
    energy_per_hour: float | None
    """Of the electricity that comes on top, at the watts asked for; None: it is not known, or contained."""
    total_per_hour: float | None
    per_used_hour: float | None
    """At the utilisation asked for; without electricity where ``total_per_hour`` is None."""
    break_even: BreakEven | None
    carbon: str
    exemption: str
    why: list[str]


def explain(settings: Settings, card: GpuIdentity, at_ns: int, asked: Asked) -> Explanation:
    """What the prices say of a card at a moment."""
    policy = settings.policy
    table, zone = policy.table, policy.zone
    chosen = table.at(card, at_ns)
    rates = () if chosen is None else (rate for rate in chosen.rates if rate.holds(at_ns))
    components = {
        rate.component: rate.nanos_per_ns * NANOSECONDS_PER_HOUR / NANOS_PER_UNIT for rate in rates
    }
    fixed = None if chosen is None else sum(components.values(), Fraction(0))
    tariff = table.tariff_at(at_ns)
    energy = _energy(chosen, tariff, asked.watts)
    contained = chosen is not None and not chosen.bills_energy
    total = fixed if contained else _sum(fixed, energy)
    team = team_of(card, table.labels, policy.teams)
    intensity = policy.emissions.intensity
    at = at_ns // NANOSECONDS_PER_SECOND
    return Explanation(
        uuid=card.uuid,
        model=card.model,
        team=team,
        price_id="" if chosen is None else chosen.id,
        per_hour=_float(fixed),
        components={name: float(amount) for name, amount in components.items()},
        electricity=_electricity(table, chosen, at_ns),
        energy_per_hour=_float(energy),
        total_per_hour=_float(total),
        per_used_hour=_used(fixed if total is None else total, asked.utilization),
        break_even=_break_even(fixed, energy, _energy(chosen, tariff, asked.idle_watts), asked),
        carbon=""
        if intensity is None
        else f"{float(intensity.grams_per_kwh):g} g/kWh ({intensity.id})",
        exemption=exemption_of(card, team, table.labels, policy.exemptions, at),
        # One in another currency is several, one for each exchange rate: they may say the same.
        why=list(
            dict.fromkeys(_verdict(p, chosen, card, table, (at_ns, zone)) for p in table.prices)
        ),
    )


def _energy(
    chosen: Price | None, tariff: EnergyPrice | None, watts: float | None
) -> Fraction | None:
    """What the electricity on top of an hour comes to; None: contained, or not known."""
    if chosen is None or not chosen.bills_energy or tariff is None or watts is None:
        return None
    milliwatts = Fraction(str(watts)) * 1_000 + chosen.host_mw
    return tariff.nanos_per_mj * milliwatts * SECONDS_PER_HOUR / NANOS_PER_UNIT


def _break_even(
    fixed: Fraction | None, active: Fraction | None, idle: Fraction | None, asked: Asked
) -> BreakEven | None:
    if fixed is None or active is None or idle is None or asked.rent is None:
        return None
    hours = break_even_hours_per_day(
        fixed_per_day=fixed * HOURS_PER_DAY,
        active_energy_per_hour=active,
        idle_energy_per_hour=idle,
        rent_per_hour=Fraction(str(asked.rent)),
    )
    return BreakEven(asked.rent, _float(hours), hours is None or hours > HOURS_PER_DAY)


def _sum(one: Fraction | None, two: Fraction | None) -> Fraction | None:
    return None if one is None or two is None else one + two


def _used(per_hour: Fraction | None, utilization: float | None) -> float | None:
    return None if per_hour is None or utilization is None else float(per_hour) / utilization


def _float(amount: Fraction | None) -> float | None:
    return None if amount is None else float(amount)


def _electricity(table: PriceTable, chosen: Price | None, at_ns: int) -> str:
    if chosen is None or not chosen.bills_energy:
        return CONTAINED
    energy = table.tariff_at(at_ns)
    if energy is None:
        return "on top, but no tariff holds: its energy is counted as unpriced"
    host = f", and {chosen.host_mw / 1_000:g} W of its host" if chosen.host_mw else ""
    return (
        f"on top: {float(energy.per_kwh):g} {table.currency}/kWh ({energy.id}) "
        f"x PUE {float(energy.pue):g}{host}"
    )


def _verdict(
    price: Price,
    chosen: Price | None,
    card: GpuIdentity,
    table: PriceTable,
    moment: tuple[int, ZoneInfo],
) -> str:
    at_ns, zone = moment
    if not price.match.matches(card, table.labels):
        return f"{price.id}: no, {price.match.why_not(card, table.labels)}"
    if not price.holds(at_ns):
        return f"{price.id}: no, it is valid {validity(price, zone)}"
    holding = table.holding(card, at_ns)
    if price is not chosen and price is holding:
        return f"{price.id}: holds, and is unpriced: {price.source}"
    if price is not chosen:
        return f"{price.id}: no, {holding.id if holding else ''} names the card more closely"
    return (
        f"{price.id}: yes, {price.match}, {price.tier}, valid {validity(price, zone)}; "
        f"{price.source}"
    )


def validity(price: Price, zone: ZoneInfo) -> str:
    """When a record holds, in words."""
    start = "since ever" if not price.valid_from_ns else f"from {_date(price.valid_from_ns, zone)}"
    end = (
        "without end" if price.valid_to_ns == FOREVER_NS else f"to {_date(price.valid_to_ns, zone)}"
    )
    return f"{start} {end}"


def _date(wall_ns: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(wall_ns // NANOSECONDS_PER_SECOND, zone).isoformat(" ", "minutes")
