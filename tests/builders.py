"""One call for each thing a test needs; what the test is not about has a usual value."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from zoneinfo import ZoneInfo

from agent.cost.energy import EnergyPrice, Tariff
from agent.cost.prices import Price, PriceTable, Tier
from agent.cost.rates import FOREVER_NS, depreciation, hourly
from agent.ledger.account import Account
from agent.ledger.batch import Recovered
from agent.ledger.entry import Component, EntryKey
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import NO_EMISSIONS, Emissions
from agent.samples.device import (
    FaultReason,
    GpuFault,
    GpuIdentity,
    GpuSample,
    NodeSample,
    ProcessKind,
    ProcessSample,
)
from agent.samples.reading import Missing, Reading
from agent.units import NANOSECONDS_PER_HOUR, NANOSECONDS_PER_SECOND
from agent.usage.exemption import Exemption
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.usage.team import TeamRule
from agent.usage.timetable import Timetable, When

SECOND = NANOSECONDS_PER_SECOND
HOUR = NANOSECONDS_PER_HOUR
UTC = ZoneInfo("UTC")
CARD = "GPU-00000000-0000-0000-0000-000000000000"
OTHER_CARD = "GPU-11111111-1111-1111-1111-111111111111"
MODEL = "NVIDIA H100 80GB HBM3"
HERE = Host(machine_id="machine", boot_id="boot-1", clock_synchronized=True)
REBOOTED = Host(machine_id="machine", boot_id="boot-2", clock_synchronized=True)
PROCESS = ProcessSample(4_711, ProcessKind.COMPUTE, 1 << 30)


def a_card(uuid: str = CARD, *, index: int = 0, model: str = MODEL) -> GpuIdentity:
    return GpuIdentity(uuid=uuid, index=index, model=model, pci_bus_id=f"00000000:{index:02X}:00.0")


def a_sample(
    at_ns: int = 0,
    *,
    uuid: str = CARD,
    utilization: Reading[int] = 0,
    power_mw: Reading[int] = 100_000,
    limit_mw: Reading[int] = 700_000,
    energy_mj: Reading[int] = Missing.NOT_SUPPORTED,
    processes: Reading[tuple[ProcessSample, ...]] = (),
) -> GpuSample:
    return GpuSample(
        uuid=uuid,
        boottime_ns=at_ns,
        utilization_percent=utilization,
        power_mw=power_mw,
        power_limit_mw=limit_mw,
        energy_mj=energy_mj,
        processes=processes,
    )


def a_fault(reason: FaultReason, uuid: str = CARD) -> GpuFault:
    return GpuFault(uuid, reason)


def a_node(
    *reports: GpuSample | GpuFault,
    cards: Sequence[GpuIdentity] | None = None,
    driver_up: bool = True,
    settled: bool = True,
) -> NodeSample:
    """``cards`` are those the driver lists; without it, those that the reports are of."""
    listed = [a_card(report.uuid) for report in reports] if cards is None else cards
    return NodeSample(
        identities={card.uuid: card for card in listed},
        reports={report.uuid: report for report in reports},
        driver_up=driver_up,
        settled=settled,
        driver_reason="" if driver_up else "no driver",
    )


def a_rental(
    per_hour: str | Fraction = "2.50",
    *,
    id: str = "rented",  # noqa: A002 - the record's own word
    tier: Tier = Tier.ON_DEMAND,
    uuid: str | None = None,
    model: str | None = None,
    valid_from_ns: int = 0,
    valid_to_ns: int = FOREVER_NS,
) -> Price:
    """A rental of every card unless ``uuid`` or ``model`` says which."""
    return Price(
        id=id,
        tier=tier,
        rates=(hourly(Fraction(per_hour), Component.RENTAL),),
        match=CardMatch(uuid=uuid, model=model if uuid or model else "*"),
        valid_from_ns=valid_from_ns,
        valid_to_ns=valid_to_ns,
    )


def an_owned(
    *,
    id: str = "owned",  # noqa: A002 - the record's own word
    purchase: str = "280000",
    salvage: str = "28000",
    cards: int = 8,
    in_service_ns: int = 0,
    end_of_life_ns: int = FOREVER_NS,
    opex: str | None = None,
    host_mw: int = 0,
) -> Price:
    capital = depreciation(
        Fraction(purchase) - Fraction(salvage),
        cards=cards,
        in_service_ns=in_service_ns,
        end_of_life_ns=end_of_life_ns,
        component=Component.CAPITAL,
    )
    return Price(
        id=id,
        tier=Tier.OWNED,
        rates=(capital,) if opex is None else (capital, hourly(Fraction(opex), Component.OPEX)),
        match=CardMatch(model="*"),
        bills_energy=True,
        host_mw=host_mw,
    )


def a_tariff(
    per_kwh: str | Fraction = "0.12",
    *bands: tuple[When, str],
    pue: str | Fraction = "1.4",
    id: str = "grid",  # noqa: A002 - the record's own word
    zone: ZoneInfo = UTC,
    valid_from_ns: int = 0,
    valid_to_ns: int = FOREVER_NS,
) -> Tariff:
    """Flat, or with ``bands`` of other prices."""
    entries = tuple(
        (when, EnergyPrice(f"{id}/{number}", Fraction(price), Fraction(pue)))
        for number, (when, price) in enumerate(bands)
    )
    flat = EnergyPrice(id, Fraction(per_kwh), Fraction(pue))
    timetable = Timetable(zone=zone, entries=entries, otherwise=flat)
    return Tariff(id=id, bands=timetable, valid_from_ns=valid_from_ns, valid_to_ns=valid_to_ns)


def a_table(*prices: Price, tariffs: Sequence[Tariff] | None = None) -> PriceTable:
    """A rental of 2.50 an hour, and 0.12 for a kWh at a PUE of 1.4, unless told."""
    chosen = (a_tariff(),) if tariffs is None else tariffs
    return PriceTable(prices or (a_rental(),), currency="USD", tariffs=chosen)


def a_policy(
    *prices: Price,
    zone: ZoneInfo = UTC,
    teams: Iterable[TeamRule] = (),
    retired: Iterable[str] = (),
    tariffs: Sequence[Tariff] | None = None,
    exemptions: Iterable[Exemption] = (),
    emissions: Emissions = NO_EMISSIONS,
    max_down_rented_ns: int = HOUR,
    max_down_owned_ns: int = 30 * 24 * HOUR,
) -> AccountPolicy:
    return AccountPolicy(
        table=a_table(*prices, tariffs=tariffs),
        zone=zone,
        teams=tuple(teams),
        retired=frozenset(retired),
        exemptions=tuple(exemptions),
        emissions=emissions,
        max_down_rented_ns=max_down_rented_ns,
        max_down_owned_ns=max_down_owned_ns,
    )


def an_account(
    policy: AccountPolicy | None = None, recovered: Recovered | None = None, host: Host = HERE
) -> Account:
    return Account(policy or a_policy(), recovered or Recovered(ledger_id="none"), host)


def a_key(
    *,
    hour: int = 0,
    month: str = "1970-01",
    state: str = "active",
    component: str = Component.RENTAL,
    team: str = "research",
    filled: bool = False,
) -> EntryKey:
    return EntryKey(
        hour=hour,
        month=month,
        uuid=CARD,
        state=CardState(state),
        component=component,
        price_id="rented",
        currency="USD",
        team=team,
        model=MODEL,
        method="time",
        filled=filled,
    )
