"""Of agent.units."""

from agent import units


def test_units_convert_to_base_units() -> None:
    """Nanoseconds, milliwatts, millijoules and percent become what Prometheus wants."""
    assert units.seconds(1_500_000_000) == 1.5
    assert units.nanoseconds(0.1) == 100_000_000
    assert units.watts(699_500) == 699.5
    assert units.joules(1_234) == 1.234
    assert units.ratio(95) == 0.95
    assert units.NANOSECONDS_PER_HOUR == 3_600 * units.NANOSECONDS_PER_SECOND
