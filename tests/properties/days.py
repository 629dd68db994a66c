"""Random days of a node: ticks, faults, gaps, clock steps and price changes."""

from dataclasses import dataclass

from hypothesis import strategies as st

from agent.cost.prices import FOREVER_NS, Price
from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason, GpuFault, GpuSample, NodeSample
from agent.samples.reading import Missing
from agent.units import nanoseconds
from agent.usage.team import TeamRule
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
    an_owned,
)
from tests.fakes.clock import SOME_WALL_NS

CARDS = (CARD, OTHER_CARD)
PRICES_CHANGE_NS = SOME_WALL_NS + 40 * SECOND + 7
MONTHS = [f"{year}-{month:02d}" for year in (2026, 2027) for month in range(1, 13)]


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
        lambda life_ns: (
            an_owned(in_service_ns=SOME_WALL_NS - HOUR, end_of_life_ns=SOME_WALL_NS + life_ns),
        ),
        st.sampled_from([45 * SECOND, 10**17]),
    )
    mixed = st.builds(
        lambda amount: (a_rental(amount, uuid=CARD), an_owned(end_of_life_ns=FOREVER_NS)), amounts
    )
    return st.builds(
        lambda prices, teams: a_policy(
            *prices,
            teams=teams,
            max_down_rented_ns=20 * SECOND,
            max_down_owned_ns=40 * SECOND,
        ),
        st.one_of(changing, owned, mixed, st.just((a_rental(model="nothing"),))),
        st.sampled_from([(), (TeamRule("mine", uuid=CARD),)]),
    )


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
