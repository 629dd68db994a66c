"""How much energy a card used."""

from dataclasses import replace

import pytest

from agent.samples.device import GpuSample
from agent.samples.reading import Missing, Reading
from agent.usage.energy import (
    FREEZE_AFTER_NS,
    EnergyAnomaly,
    EnergyMeter,
    EnergyMethod,
    EnergyStep,
    _most_mj,
    advance,
)
from tests.builders import SECOND, a_sample

MAX_GAP_NS = 5 * SECOND
U64_MAX = 2**64 - 1
COUNTER, INTEGRATED = EnergyMethod.COUNTER, EnergyMethod.INTEGRATED


def run(*samples: GpuSample) -> list[EnergyStep]:
    meter, steps = EnergyMeter(), []
    for sample in samples:
        meter, step = advance(meter, sample, max_gap_ns=MAX_GAP_NS)
        steps.append(step)
    return steps


def at(
    second: float,
    energy_mj: int | Missing = Missing.NOT_SUPPORTED,
    power_mw: int | Missing = 100_000,
) -> GpuSample:
    return a_sample(round(second * SECOND), energy_mj=energy_mj, power_mw=power_mw)


def total(steps: list[EnergyStep]) -> int:
    return sum(step.millijoules or 0 for step in steps)


# ---- by counter


def test_counter_is_taken_before_power() -> None:
    """The counter's difference is booked, whatever power says."""
    steps = run(at(0, 1_000), at(1, 351_000), at(2, 701_000))

    assert steps[1:] == [EnergyStep(350_000, COUNTER)] * 2


def test_first_counter_reading_books_nothing() -> None:
    """The lifetime on the counter was used before us."""
    assert run(at(0, 9 * 10**12)) == [EnergyStep(None, EnergyMethod.NONE)]


def test_counter_of_64_bits_is_exact() -> None:
    """Counters near 2**64 mJ lose no digit."""
    steps = run(at(0, U64_MAX - 100_001), at(1, U64_MAX - 1))

    assert steps[1] == EnergyStep(100_000, COUNTER)


def test_counter_bridges_any_gap() -> None:
    """After an hour without samples the counter still knows what was used."""
    steps = run(at(0, 0), at(3_600, 360_000_000))

    assert steps[1] == EnergyStep(360_000_000, COUNTER)


def test_counter_missing_for_a_while_covers_that_time_when_it_is_back() -> None:
    """What it could not be asked for is booked once, by the counter, not twice."""
    steps = run(at(0, 0), at(1, Missing.FAILED), at(2, Missing.FAILED), at(3, 300_000))

    assert [step.millijoules for step in steps[1:]] == [None, None, 300_000]


def test_counter_that_appears_late_takes_over_from_power() -> None:
    """Power is integrated until the first counter reading, then the counter counts."""
    steps = run(at(0), at(1), at(2, 5_000_000), at(3, 5_090_000))

    assert steps[1:] == [
        EnergyStep(100_000, INTEGRATED),
        EnergyStep(100_000, INTEGRATED),
        EnergyStep(90_000, COUNTER),
    ]


def test_reset_books_what_the_counter_says_when_plausible() -> None:
    """After a driver reload the counter starts at 0; what it shows was used since."""
    steps = run(at(0, 10**9), at(1, 60_000), at(2, 160_000))

    assert steps[1] == EnergyStep(60_000, COUNTER, EnergyAnomaly.RESET)
    assert steps[2] == EnergyStep(100_000, COUNTER)


def test_reset_to_an_implausible_value_books_power() -> None:
    """A counter that falls to more than the board can have used is not believed."""
    steps = run(at(0, 10**12), at(1, 10**11), at(2, 10**11 + 100_000))

    assert steps[1] == EnergyStep(100_000, INTEGRATED, EnergyAnomaly.RESET)
    assert steps[2] == EnergyStep(100_000, COUNTER)


@pytest.mark.parametrize("value", [10**7, U64_MAX - 90_000])
def test_jump_is_discarded_and_bridged(value: int) -> None:
    """A counter that rises faster than the board can draw is bridged with power and goes on."""
    steps = run(at(0, 0), at(1, value), at(2, value + 90_000))

    assert steps[1] == EnergyStep(100_000, INTEGRATED, EnergyAnomaly.JUMP)
    assert steps[2] == EnergyStep(90_000, COUNTER)


def test_jump_without_power_is_unmeasured() -> None:
    """Where power is not known either, nothing is booked: never a guess, never 0."""
    steps = run(at(0, 0, Missing.FAILED), at(1, 10**9, Missing.FAILED))

    assert steps[1] == EnergyStep(None, INTEGRATED, EnergyAnomaly.JUMP)


def test_short_standstill_is_covered_by_the_counter() -> None:
    """A counter that updates slowly books nothing, then all of it."""
    steps = run(at(0, 0), at(1, 0), at(2, 0), at(3, 300_000))

    assert [step.millijoules for step in steps[1:]] == [0, 0, 300_000]
    assert not any(step.anomaly for step in steps)


def test_frozen_counter_is_replaced_by_power() -> None:
    """After 5 s under power the freeze is told once, and the time since is made up for."""
    steps = run(*(at(second, 777) for second in range(11)))

    assert [step.anomaly for step in steps].count(EnergyAnomaly.FREEZE) == 1
    assert steps[5].anomaly is EnergyAnomaly.FREEZE
    assert total(steps) == 10 * 100_000


@pytest.mark.parametrize("held_back", [1, 1_000_000, 10**9])
def test_counter_that_moves_after_a_freeze_is_not_booked_twice(held_back: int) -> None:
    """Whether it catches up or not, the frozen time was booked by power already."""
    frozen = [at(second, 777) for second in range(10)]

    steps = run(*frozen, at(10, 777 + held_back), at(11, 777 + held_back + 95_000))

    assert steps[-2] == EnergyStep(100_000, INTEGRATED)
    assert steps[-1] == EnergyStep(95_000, COUNTER)
    assert total(steps) == 10 * 100_000 + 95_000


def test_frozen_counter_without_power_is_unmeasured() -> None:
    """When neither tells, the energy is not known, which is not 0."""
    frozen = [at(second, 777) for second in range(7)]

    steps = run(*frozen, at(7, 777, Missing.FAILED))

    assert steps[-1] == EnergyStep(None, INTEGRATED)


def test_counter_of_a_card_without_power_draw_may_stand_still() -> None:
    """A card that draws nothing is not frozen."""
    steps = run(*(at(second, 777, 0) for second in range(20)))

    assert steps[1:] == [EnergyStep(0, COUNTER)] * 19


def test_time_without_power_is_no_part_of_a_freeze() -> None:
    """After a long time at 0 W the first moment under power has not moved the counter yet."""
    steps = run(at(0, 777, 0), at(7, 777, 0), at(7.001, 777, 1_000), at(8.001, 1_777, 1_000))

    assert [step.millijoules for step in steps[1:]] == [0, 0, 1_000]
    assert not any(step.anomaly for step in steps)


def test_meter_says_when_it_is_frozen() -> None:
    """Nobody may go on from a frozen counter after a restart."""
    assert replace(EnergyMeter(), still_ns=FREEZE_AFTER_NS).frozen
    assert not EnergyMeter().frozen


# ---- by power


def test_power_is_integrated_as_trapezoid() -> None:
    """Between 100 W and 200 W lie 150 J a second."""
    assert run(at(0, power_mw=100_000), at(1, power_mw=200_000))[1] == EnergyStep(
        150_000, INTEGRATED
    )


def test_integral_of_odd_intervals_loses_nothing() -> None:
    """What division leaves of each interval is carried: 1000 odd intervals sum to the whole."""
    steps = run(*(at(tick / 1_000 * 333, power_mw=77_777) for tick in range(1_001)))

    assert total(steps) == 77_777 * 333


def test_integral_of_bursts_is_within_one_percent() -> None:
    """A bursty load read as 1-s means comes out within 1 % of its true integral."""
    means = [100_000 + 500_000 * (second * 7 % 11 < 4) for second in range(3_600)]

    booked = total(run(*(at(second, power_mw=mean) for second, mean in enumerate(means))))

    assert booked == pytest.approx(sum(means), rel=0.01)


@pytest.mark.parametrize(
    ("absurd_mw", "limit"), [(4_900_000, 700_000), (4_900_000_000, Missing.NOT_SUPPORTED)]
)
def test_power_beyond_the_limit_is_no_energy(absurd_mw: int, limit: int | Missing) -> None:
    """As for the counter: what the board cannot draw is not booked, is counted, and is over when it is."""
    powers = [500_000, 500_000, absurd_mw, 500_000, 500_000]
    steps = run(
        *(
            a_sample(second * SECOND, power_mw=power, limit_mw=limit)
            for second, power in enumerate(powers)
        )
    )

    assert [step.millijoules for step in steps] == [None, 500_000, None, None, 500_000]
    assert [step.anomaly for step in steps] == [None, None, EnergyAnomaly.JUMP, None, None]


def test_a_short_peak_above_the_limit_is_energy() -> None:
    """Boards exceed their limit for moments; the bound is that of the counter."""
    assert [step.millijoules for step in run(at(0, power_mw=700_000), at(1, power_mw=800_000))] == [
        None,
        750_000,
    ]


def test_gap_is_not_integrated() -> None:
    """Over a gap nobody knows what was drawn: it is unmeasured, and counting starts anew."""
    steps = run(at(0), at(6), at(7))

    assert [step.millijoules for step in steps] == [None, None, 100_000]


def test_missing_power_is_unmeasured() -> None:
    """No trapezoid reaches over a reading that is not there."""
    steps = run(at(0), at(1, power_mw=Missing.TIMEOUT), at(2), at(3))

    assert [step.millijoules for step in steps] == [None, None, None, 100_000]


def test_same_sample_twice_books_nothing_more() -> None:
    """A sample that was delivered again adds no energy."""
    by_power = run(at(0), at(1), at(1))
    by_counter = run(at(0, 0), at(1, 100_000), at(1, 100_000))

    assert total(by_power) == total(by_counter) == 100_000


@pytest.mark.parametrize(
    ("limit", "most"),
    [(700_000, 1_008_000), (Missing.NOT_SUPPORTED, 4_320_000), (0, 4_320_000)],
)
def test_bound_follows_the_power_limit(limit: int | Missing, most: int) -> None:
    """The bound is 1.2 times the limit, or that of the largest module where it is not known."""
    assert _most_mj(a_sample(limit_mw=limit), SECOND) == most


def test_a_silent_counter_is_bridged_by_power_and_counts_nothing_twice() -> None:
    """After a minute without it power x time is booked; what it shows on its return is the rest."""
    meter, booked = EnergyMeter(), []
    for second in range(201):
        silent = 10 <= second < 150
        energy: Reading[int] = Missing.FAILED if silent else 300_000 * second
        sample = a_sample(second * SECOND, power_mw=300_000, energy_mj=energy)
        meter, step = advance(meter, sample, max_gap_ns=5 * SECOND)
        booked.append(step)

    assert [step.millijoules for step in booked[10:68]] == [None] * 58
    assert booked[100].millijoules == 300_000
    assert booked[100].method is EnergyMethod.INTEGRATED
    assert booked[200].method is EnergyMethod.COUNTER
    assert sum(step.millijoules or 0 for step in booked) == 300_000 * 200
