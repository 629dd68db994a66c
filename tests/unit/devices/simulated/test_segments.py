"""Stretches of steady behaviour and their sums."""

import pytest

from agent.devices.simulated.segments import Segment, hour_of


def a_segment(seconds: int, *pattern_mw: int, tokens_per_second: int = 0) -> Segment:
    return Segment(
        seconds=seconds,
        pattern_mw=pattern_mw,
        noise_mw=0,
        tokens_per_second=tokens_per_second,
    )


@pytest.mark.parametrize("seconds", range(8))
def test_energy_is_the_sum_of_the_seconds(seconds: int) -> None:
    """The closed form gives what adding up the pattern second by second gives."""
    segment = a_segment(7, 500, 300, 100)

    assert segment.energy_mj(seconds) == sum(segment.level_mw(n) for n in range(seconds))


def test_hour_finds_the_segment_of_a_second() -> None:
    """The first and the last second of a segment are its own."""
    hour = hour_of([a_segment(10, 1), a_segment(20, 2), a_segment(3570, 3)])

    assert [hour.position(second) for second in (0, 9, 10, 29, 30, 3599)] == [0, 0, 1, 1, 2, 2]


def test_hour_sums_what_passed_before_each_segment() -> None:
    """Energy and tokens stand beside each segment's start, and the whole at the end."""
    hour = hour_of([a_segment(10, 5, tokens_per_second=2), a_segment(20, 1)])

    assert hour.starts_s == (0, 10, 30)
    assert hour.energy_mj == (0, 50, 70)
    assert hour.tokens == (0, 20, 20)
