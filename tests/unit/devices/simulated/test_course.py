"""What a card truly does at an instant."""

import math
import timeit

import pytest

from agent.devices.simulated.course import Course
from agent.devices.simulated.loads import Load
from agent.devices.simulated.models import MODELS

SECOND = 1_000_000_000
DAY_S = 86_400
THIRTY_YEARS_S = 30 * 365 * DAY_S


def a_course(load: Load = Load.LLM_DIURNAL, *, seed: int = 1, starts_at_hour: int = 9) -> Course:
    return Course(
        seed=seed,
        index=0,
        model=MODELS["h100"],
        load=load,
        starts_at_hour=starts_at_hour,
    )


def test_sums_start_at_zero() -> None:
    """With the boot nothing has been consumed and nothing generated, whatever the hour."""
    course = a_course()

    assert course.energy_mj(0) == 0
    assert course.generated_tokens(0) == 0


@pytest.mark.parametrize("load", Load)
def test_energy_across_midnight_is_the_sum_of_its_seconds(load: Load) -> None:
    """Over two hours across a midnight the counter gains what 7200 readings of power add up to."""
    course = a_course(load)
    start_s = 2 * DAY_S + 14 * 3_600  # 23:00 where the clock started at 09:00

    seconds = range(start_s, start_s + 7_200)

    assert sum(map(course.power_mw, seconds)) == (
        course.energy_mj(seconds.stop * SECOND) - course.energy_mj(start_s * SECOND)
    )


def test_energy_within_a_second_follows_its_power() -> None:
    """Power is constant within a second, so a quarter of it holds a quarter of its energy."""
    course = a_course()
    power_mw = course.power_mw(1_234)

    gained = course.energy_mj(1_234 * SECOND + SECOND // 4) - course.energy_mj(1_234 * SECOND)

    assert gained == power_mw // 4


def test_days_of_noise_keep_apart_yet_sum_alike() -> None:
    """Two days differ second by second and are the same in sum."""
    course = a_course()
    days = [range(day * DAY_S, day * DAY_S + 600) for day in (0, 1)]
    ends = [course.energy_mj(day * DAY_S * SECOND) for day in (0, 1, 2)]

    assert list(map(course.power_mw, days[0])) != list(map(course.power_mw, days[1]))
    assert ends[1] - ends[0] == ends[2] - ends[1]


def test_noise_is_a_few_watts() -> None:
    """An empty H100 wavers by at most 2.5 W around 70 W, and it does waver."""
    powers = [a_course(Load.EMPTY).power_mw(second) for second in range(600)]

    assert min(powers) >= 67_500
    assert max(powers) <= 72_500
    assert max(powers) - min(powers) > 4_000


def test_temperature_follows_power_within_a_minute() -> None:
    """63 % of the step from silence to full work is made in 60 s, nearly all in 5 min."""
    course = a_course(starts_at_hour=0)  # parked until 06:00, when the first requests come
    start_s = 6 * 3_600

    before, after_tau, after_long = (
        course.temperature_celsius(start_s + wait) for wait in (0, 60, 420)
    )

    assert before == round(26 + 45 * 112 / 700)
    assert (after_tau - before) / (after_long - before) == pytest.approx(0.63, abs=0.10)


def test_temperature_equals_the_weighted_past() -> None:
    """Adding up ten minutes of power second by second gives the same within a degree."""
    course = a_course()
    now_s = 5_000
    weighted = math.fsum(
        course.power_mw(now_s - 1 - age) * (math.exp(-age / 60) - math.exp(-(age + 1) / 60))
        for age in range(900)
    )

    assert course.temperature_celsius(now_s) == pytest.approx(26 + 45 * weighted / 700_000, abs=1)


def test_far_future_costs_no_more_than_now() -> None:
    """A jump of thirty years is answered in under 5 ms: no walk through the time between."""

    def jump() -> None:
        a_course().energy_mj(THIRTY_YEARS_S * SECOND)

    seconds = min(timeit.repeat(jump, number=1, repeat=5))

    assert seconds < 0.005
