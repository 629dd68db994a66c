"""Random days of a node: ticks, faults, gaps, clock steps and price changes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from agent.cost.energy import CarbonIntensity, Tariff, embodied_nanograms_per_ns
from agent.cost.prices import Price
from agent.cost.rates import FOREVER_NS
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import NO_EMISSIONS, Emissions
from agent.samples.device import FaultReason, GpuFault, GpuSample, NodeSample
from agent.samples.reading import Missing
from agent.units import nanoseconds
from agent.usage.exemption import Exemption
from agent.usage.match import CardMatch
from agent.usage.team import TeamRule
from agent.usage.timetable import Timetable, When
from tests.builders import (
    CARD,
    HOUR,
    OTHER_CARD,
    PROCESS,
    SECOND,
    a_card,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    a_tariff,
    an_owned,
)
from tests.fakes.clock import SOME_WALL_NS

CARDS = (CARD, OTHER_CARD)
PRICES_CHANGE_NS = SOME_WALL_NS + 40 * SECOND + 7
MONTHS = [f"{year}-{month:02d}" for year in range(2025, 2030) for month in range(1, 13)]


def policies() -> st.SearchStrategy[AccountPolicy]:
    """Rented, owned, changing, missing prices; with and without a team; short patience."""
    amounts = st.fractions("0.01", "20", max_denominator=997)
    changing: st.SearchStrategy[tuple[Price, ...]] = st.builds(
        lambda old, new, gap_ns: (
            a_rental(old, id="old", valid_to_ns=PRICES_CHANGE_NS),
            a_rental(new, id="new", valid_from_ns=PRICES_CHANGE_NS + gap_ns),
        ),
        amounts,
        amounts,
        st.sampled_from([0, 1, 30 * SECOND]),
    )
    owned = st.builds(
        lambda life_ns, opex, host_mw: (
            an_owned(
                in_service_ns=SOME_WALL_NS - HOUR,
                end_of_life_ns=SOME_WALL_NS + life_ns,
                opex=opex,
                host_mw=host_mw,
            ),
        ),
        st.sampled_from([45 * SECOND, 10**17]),
        st.sampled_from([None, "0.627854"]),
        st.sampled_from([0, 175_001]),
    )
    mixed = st.builds(
        lambda amount: (a_rental(amount, uuid=CARD), an_owned(end_of_life_ns=FOREVER_NS)), amounts
    )
    return st.builds(
        lambda prices, teams, zone, tariffs, exemptions, emissions: a_policy(
            *prices,
            zone=zone,
            teams=teams,
            tariffs=[tariff(zone) for tariff in tariffs],
            exemptions=exemptions,
            emissions=emissions,
            max_down_rented_ns=20 * SECOND,
            max_down_owned_ns=40 * SECOND,
        ),
        st.one_of(changing, owned, mixed, st.just((a_rental(model="nothing"),))),
        st.sampled_from([(), (TeamRule("mine", CardMatch(uuid=CARD)),)]),
        st.sampled_from(ZONES),
        st.sampled_from(TARIFFS),
        st.sampled_from([(), (Exemption(name="pool", match=CardMatch(uuid=CARD), hours=NIGHT),)]),
        st.sampled_from(EMISSIONS),
    )


ZONES = [
    ZoneInfo(name)
    for name in (
        *("UTC", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12"),
        *("Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns"),
    )
]
_EVENING = When(from_minute=16 * 60, to_minute=21 * 60, weekdays=frozenset(range(5)))
_BANDS = ((_EVENING, "0.31"), (When(from_minute=22 * 60, to_minute=6 * 60), "0.07"))
TARIFFS: list[tuple[Callable[[ZoneInfo], Tariff], ...]] = [
    (),
    (lambda _: a_tariff(),),
    (lambda zone: a_tariff("0.1234567", *_BANDS, zone=zone, pue="1.54"),),
    (
        lambda zone: a_tariff("0.10", *_BANDS, zone=zone, valid_to_ns=PRICES_CHANGE_NS),
        lambda _: a_tariff("0.11", id="after", valid_from_ns=PRICES_CHANGE_NS + 9 * SECOND),
    ),
]
NIGHT = Timetable(
    zone=ZoneInfo("Europe/Berlin"),
    entries=((When(from_minute=9 * 60, to_minute=10 * 60), False),),
    otherwise=True,
)
EMISSIONS = [
    NO_EMISSIONS,
    Emissions(expected=True),
    Emissions(
        expected=True,
        intensity=CarbonIntensity("DE", Fraction("380.95"), Fraction("1.54")),
        embodied_ng_per_ns=embodied_nanograms_per_ns(Fraction(318), 5 * 8_760 * HOUR),
    ),
]


@dataclass(frozen=True)
class Turn:
    """What happens between two ticks, and what is then seen."""

    passed_ns: int
    step_seconds: int
    reports: tuple[tuple[str, str, int, int], ...]
    """(uuid, what it says, utilisation, power in mW) for each card."""
    driver_up: bool
    listed: bool
    swapped: bool
    """The driver numbers the cards the other way round."""
    counter_fault: int
    """Added to the energy counters that are shown."""

    def node(self, at_ns: int, energy_mj: int) -> NodeSample:
        reports = [self._report(*each, at_ns=at_ns, energy_mj=energy_mj) for each in self.reports]
        cards = [
            a_card(uuid, index=1 - index if self.swapped else index)
            for index, uuid in enumerate(CARDS)
        ]
        return a_node(
            *(report for report in reports if report is not None),
            cards=cards if self.listed else [],
            driver_up=self.driver_up,
        )

    def _report(
        self, uuid: str, says: str, percent: int, power_mw: int, *, at_ns: int, energy_mj: int
    ) -> GpuSample | GpuFault | None:
        if says == "nothing":
            return None
        if says in set(FaultReason):
            return GpuFault(uuid, FaultReason(says))
        return a_sample(
            at_ns,
            uuid=uuid,
            utilization=Missing.FAILED if says == "blind" else percent,
            power_mw=Missing.TIMEOUT if says == "powerless" else power_mw,
            energy_mj=(
                Missing.NO_DATA if says == "counterless" else max(0, energy_mj + self.counter_fault)
            ),
            processes=(PROCESS,) if percent % 2 else (),
        )


STARTS = (
    "2026-10-17T08:00:00+00:00",
    "2026-10-25T00:58:00+00:00",  # Berlin and London put the clock back at 01:00 UTC
    "2026-03-29T00:58:00+00:00",  # and forward
    "2026-11-01T05:59:30+00:00",  # New York puts it back, and a month begins
    "2028-02-28T23:59:00+00:00",  # a leap day begins
    "2026-12-31T23:59:30+00:00",
    "2026-10-03T15:29:30+00:00",  # Lord Howe puts it forward by half an hour
)
starts = st.sampled_from([int(datetime.fromisoformat(start).timestamp()) for start in STARTS])
"""UTC seconds at which a day begins: where calendars are awkward."""

SAYS = ["fine"] * 8 + ["blind", "powerless", "counterless", "nothing", *FaultReason]
passed = st.one_of(
    st.just(SECOND),
    st.integers(1, 2 * SECOND),
    st.integers(0, 60).map(nanoseconds),
    st.just(2 * HOUR + 1),
)
turns = st.builds(
    Turn,
    passed_ns=passed,
    step_seconds=st.sampled_from([0] * 8 + [-4_000, 90_000, 3_000_000, -3_000_000]),
    reports=st.tuples(
        *(
            st.tuples(
                st.just(uuid),
                st.sampled_from(SAYS),
                st.sampled_from([0, 3, 5, 100]),
                st.integers(0, 700_000),
            )
            for uuid in CARDS
        )
    ),
    driver_up=st.sampled_from([True, True, True, False]),
    listed=st.sampled_from([True, True, True, False]),
    swapped=st.sampled_from([False, False, True]),
    counter_fault=st.sampled_from([0] * 6 + [-(10**9), 10**12, 2**64 - 10**12]),
)
days = st.lists(turns, min_size=2, max_size=25)
