"""The physics of the simulated node, over seeds, mixes, speeds and moments."""

from itertools import pairwise

from hypothesis import given, settings, strategies as st

from agent.devices.simulated.faults import Fault, FaultKind
from agent.devices.simulated.loads import Load
from agent.devices.simulated.models import MODELS
from agent.devices.simulated.node import Card, SimulatedCard, SimulatedNode, cards_of
from agent.devices.simulated.source import SimulatedSource, sample_of
from agent.ports import identities_of
from agent.samples.device import GpuSample
from agent.samples.instant import Instant
from agent.samples.reading import Missing

SECOND = 1_000_000_000
YEAR_S = 365 * 86_400


class HandClock:
    """A clock that the test moves."""

    def __init__(self, boottime_ns: int) -> None:
        self.boottime_ns = boottime_ns

    def now(self) -> Instant:
        return Instant(self.boottime_ns, self.boottime_ns)


seeds = st.integers(0, 2**32)
simulated_cards = st.builds(
    SimulatedCard,
    model=st.sampled_from([model for model in MODELS.values() if not model.unsupported]),
    load=st.sampled_from(Load),
    starts_at_hour=st.integers(0, 23),
)
one_card = st.builds(
    lambda seed, card: cards_of(SimulatedNode(cards=(card,), seed=seed))[0],
    seeds,
    simulated_cards,
)
nodes = st.builds(
    SimulatedNode,
    cards=st.lists(simulated_cards, min_size=1, max_size=4).map(tuple),
    seed=seeds,
    time_scale=st.sampled_from([1, 7, 60, 3_600]),
)
moments_s = st.one_of(
    st.integers(0, YEAR_S),
    # around the edges of hours, where sums of different making meet
    st.builds(lambda h, off: max(0, 3_600 * h + off), st.integers(0, 8_760), st.integers(-90, 90)),
)


def energy(sample: GpuSample) -> int:
    assert not isinstance(sample.energy_mj, Missing)
    return sample.energy_mj


@given(card=one_card, start_s=moments_s, seconds=st.integers(1, 300), rest=st.integers(0, 999))
def test_energy_is_exactly_the_integral_of_power(
    card: Card, start_s: int, seconds: int, rest: int
) -> None:
    """Between any two moments the counter gains power times time, to the millijoule."""
    end_s = start_s + seconds
    rest_ns = rest * SECOND // 1_000

    gained = card.course.energy_mj(end_s * SECOND + rest_ns) - card.course.energy_mj(
        start_s * SECOND
    )

    whole = sum(card.course.power_mw(second) for second in range(start_s, end_s))
    assert gained == whole + card.course.power_mw(end_s) * rest // 1_000


@given(card=one_card, moments=st.lists(moments_s, min_size=2, max_size=20))
def test_counters_only_rise(card: Card, moments: list[int]) -> None:
    """Energy rises with every second and tokens never fall."""
    ordered = [moment * SECOND for moment in sorted(set(moments))]

    for before, after in pairwise(ordered):
        assert card.course.energy_mj(before) < card.course.energy_mj(after)
        assert card.course.generated_tokens(before) <= card.course.generated_tokens(after)


@given(card=one_card, second=moments_s)
def test_readings_stay_within_the_physical(card: Card, second: int) -> None:
    """Power stays between nothing and the limit, noise within 3 W, memory within the card."""
    sample = sample_of(card, second * SECOND, 0)
    level_mw = set(card.course.segment(second).pattern_mw)

    assert isinstance(sample.power_mw, int)
    assert 0 < sample.power_mw <= card.model.power_limit_mw
    assert min(abs(sample.power_mw - level) for level in level_mw) <= 3_000
    assert isinstance(sample.utilization_percent, int)
    assert 0 <= sample.utilization_percent <= 100
    assert isinstance(sample.memory_used_bytes, int)
    assert 0 < sample.memory_used_bytes < card.model.memory_total_bytes
    assert isinstance(sample.temperature_celsius, int)
    assert 26 <= sample.temperature_celsius <= 71


@given(card=one_card, second=moments_s)
def test_an_unused_second_yields_no_token(card: Card, second: int) -> None:
    """Where utilisation reads 0 the token counter stands still."""
    course = card.course
    gained = course.generated_tokens((second + 1) * SECOND) - course.generated_tokens(
        second * SECOND
    )

    if course.utilization_percent(second) == 0:
        assert gained == 0
    assert (gained > 0) == (course.segment(second).running > 0)


@given(card=one_card, one=moments_s, other=moments_s)
def test_memory_and_processes_stay_while_loaded(card: Card, one: int, other: int) -> None:
    """Nothing is loaded or unloaded in a life without faults: memory and pid never move."""
    first, second = (sample_of(card, moment * SECOND, 0) for moment in (one, other))

    assert first.memory_used_bytes == second.memory_used_bytes
    assert first.processes == second.processes
    assert bool(first.processes) == (card.load is not Load.EMPTY)


@given(node=nodes, moments=st.lists(moments_s, min_size=1, max_size=8))
def test_readings_depend_on_the_moment_alone(node: SimulatedNode, moments: list[int]) -> None:
    """Read often, seldom or backwards, by this process or the next: the same readings."""
    steady = SimulatedSource(steady_clock := HandClock(0), node)
    uuids = [gpu.uuid for gpu in identities_of(steady)]
    seen = {}
    for moment in sorted(moments):
        steady_clock.boottime_ns = moment * SECOND
        seen[moment] = [steady.read(uuid) for uuid in uuids]

    cards_of.cache_clear()  # as in a new process
    for moment in sorted(moments, reverse=True):
        anew = SimulatedSource(HandClock(moment * SECOND), node)
        anew.open()
        assert [anew.read(uuid) for uuid in uuids] == seen[moment]


@given(node=nodes, boottime_s=st.integers(0, 10**6))
def test_time_scale_only_moves_time(node: SimulatedNode, boottime_s: int) -> None:
    """A node at 60 reads after a minute what it reads at 1 after an hour."""
    plain = SimulatedNode(cards=node.cards, seed=node.seed)
    scaled_ns = node.simulated_ns(Instant(boottime_s * SECOND, 0))

    for fast, slow in zip(cards_of(node), cards_of(plain), strict=True):
        assert sample_of(fast, scaled_ns, 0) == sample_of(
            slow, boottime_s * node.time_scale * SECOND, 0
        )


counter_faults = st.builds(
    lambda kind, start_s, length_s: Fault(kind=kind, start_s=start_s, end_s=start_s + length_s),
    st.sampled_from([FaultKind.COUNTER_RESET, FaultKind.COUNTER_FREEZE, FaultKind.LOST]),
    st.integers(0, 4_000),
    st.integers(0, 500),
)


@settings(max_examples=50)
@given(
    seed=seeds,
    card=simulated_cards,
    faults=st.lists(counter_faults, max_size=4).map(tuple),
    moments=st.lists(st.integers(0, 5_000), min_size=2, max_size=30),
)
def test_the_counter_falls_only_by_an_injected_reset(
    seed: int, card: SimulatedCard, faults: tuple[Fault, ...], moments: list[int]
) -> None:
    """Whatever faults meet, the counter is never negative and falls at resets and returns only."""
    (subject,) = cards_of(SimulatedNode(cards=(card,), seed=seed, faults=faults))
    resets_s = {fault.start_s for fault in faults if fault.kind is FaultKind.COUNTER_RESET}
    returns_s = {fault.end_s or 0 for fault in faults if fault.kind is FaultKind.LOST}

    for before, after in pairwise(sorted(set(moments))):
        first, second = (energy(sample_of(subject, at * SECOND, 0)) for at in (before, after))
        assert first >= 0
        if not any(before < at <= after for at in resets_s | returns_s):
            assert first <= second
