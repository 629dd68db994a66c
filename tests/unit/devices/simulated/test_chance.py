"""Repeatable chance."""

from agent.devices.simulated.chance import between, chance, shuffled


def test_chance_is_the_same_for_ever() -> None:
    """A seed written down today gives the same node in another process and next year."""
    assert chance(1, 0, "uuid", 0) == 7679886885568377450


def test_between_keeps_its_bounds_and_reaches_both() -> None:
    """Both ends of a range occur and nothing outside it."""
    seen = {between(-2, 2, "range", number) for number in range(200)}

    assert seen == {-2, -1, 0, 1, 2}


def test_shuffled_is_a_reordering_that_the_key_decides() -> None:
    """Every number comes exactly once, and another key gives another order."""
    first, second = shuffled(120, "hour", 1), shuffled(120, "hour", 2)

    assert sorted(first) == list(range(120))
    assert first != second
