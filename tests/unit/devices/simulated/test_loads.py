"""What a card is used for, hour by hour."""

from itertools import product

import pytest

from agent.devices.simulated.loads import (
    HourKey,
    Load,
    load_hour,
    serving_mw,
    serving_tokens_per_second,
)
from agent.devices.simulated.models import MODELS
from agent.devices.simulated.segments import HOUR_S, Hour

H100 = MODELS["h100"]


def an_hour(load: Load, hour: int, seed: int = 1) -> Hour:
    return load_hour(load, H100, HourKey(seed, 0, hour))


@pytest.mark.parametrize(("load", "hour"), list(product(Load, (0, 3, 9, 14, 23))))
def test_every_hour_is_full_and_sums_alike_every_day(load: Load, hour: int) -> None:
    """An hour of the day has 3600 s and the same sums on every day, whatever chance orders."""
    hours = [an_hour(load, 24 * day + hour, seed) for day, seed in product((0, 1, 700), (1, 2))]

    assert {h.starts_s[-1] for h in hours} == {HOUR_S}
    assert len({(h.energy_mj[-1], h.tokens[-1]) for h in hours}) == 1


@pytest.mark.parametrize(
    ("batch", "watts", "tokens_per_second"),
    [
        (8, 486, 1_070),
        (32, 560, 3_391),
        (64, 610, 5_147),
        (128, 669, 7_037),
        (256, 691, 9_010),
    ],
)
def test_serving_follows_the_measured_curve(batch: int, watts: int, tokens_per_second: int) -> None:
    """Power is within 25 W and tokens within 5 % of what was measured on an H100."""
    assert serving_mw(H100, batch) / 1_000 == pytest.approx(watts, abs=25)
    assert serving_tokens_per_second(H100, batch) == pytest.approx(tokens_per_second, rel=0.05)


def test_serving_is_busy_by_day() -> None:
    """From 06:00 to midnight there is always a request, and the card is 90 to 100 % busy."""
    segments = [s for hour in range(6, 24) for s in an_hour(Load.LLM_DIURNAL, hour).segments]

    assert min(s.running for s in segments) >= 1
    assert {s.utilization_percent for s in segments} == {(90, 100)}
    assert len({s.running for s in segments}) > 50


def test_serving_parks_at_night() -> None:
    """At night the model stays loaded and nothing comes out of it."""
    (night,) = an_hour(Load.LLM_DIURNAL, 3).segments

    assert night.pattern_mw == (112_000,)
    assert night.utilization_percent == (0, 0)
    assert night.tokens_per_second == 0


def test_training_steps_and_saves_every_ten_minutes() -> None:
    """Six checkpoints of 30 s an hour, between them steps from 350 to 650 W of 1 to 2 s."""
    segments = an_hour(Load.TRAINING, 5).segments
    checkpoints = [s for s in segments if s.pattern_mw == (130_000,)]
    steps = {s.pattern_mw for s in segments} - {(130_000,)}

    assert [s.seconds for s in checkpoints] == [30] * 6
    assert steps == {(650_000, 350_000, 650_000, 650_000, 350_000, 350_000)}


def test_training_cards_save_together() -> None:
    """The training cards of one node do one job, so all reach a checkpoint at once."""
    one, other = (load_hour(Load.TRAINING, H100, HourKey(1, index, 5)) for index in (0, 7))

    assert one == other


def test_notebook_mostly_waits() -> None:
    """Bursts of 0.5 to 5 min at 20 to 95 % and 200 to 500 W, the rest of the time silence."""
    segments = [s for hour in range(48) for s in an_hour(Load.NOTEBOOK, hour).segments]
    bursts = [s for s in segments if s.utilization_percent != (0, 0)]

    assert sum(s.seconds for s in bursts) / (48 * HOUR_S) < 0.10
    assert all(30 <= s.seconds <= 300 for s in bursts)
    assert all(s.utilization_percent[0] >= 20 for s in bursts)
    assert all(s.utilization_percent[1] <= 95 for s in bursts)
    assert all(200_000 <= s.pattern_mw[0] <= 500_000 for s in bursts)


def test_notebook_bursts_keep_apart() -> None:
    """Between two bursts there is at least a minute, so none grows beyond five."""
    segments = [s for hour in range(48) for s in an_hour(Load.NOTEBOOK, hour).segments]
    gaps = [s.seconds for s in segments if s.utilization_percent == (0, 0)]

    assert min(gaps) >= 60


def test_empty_is_idle() -> None:
    """Nobody there: idle power, nothing computed."""
    (idle,) = an_hour(Load.EMPTY, 0).segments

    assert idle.pattern_mw == (70_000,)
    assert idle.utilization_percent == (0, 0)
