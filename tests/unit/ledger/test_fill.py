"""How much of the time when the agent was away may be booked."""

from dataclasses import replace

import pytest

from agent.cost.prices import Tier
from agent.ledger.fill import Checkpoint, Host, NotFilled, counter_goes_on, gap_to_fill
from agent.samples.instant import Instant
from tests.builders import CARD, HERE, HOUR, MODEL, REBOOTED, SECOND

YEAR = 365 * 24 * HOUR
LAST = Checkpoint(
    uuid=CARD,
    model=MODEL,
    until=Instant(1_000 * SECOND, YEAR),
    boot_id=HERE.boot_id,
    machine_id=HERE.machine_id,
    energy_mj=5_000,
    energy_at_ns=1_000 * SECOND,
)
UNSYNCHRONISED = replace(REBOOTED, clock_synchronized=False)


def gap(host: Host, now: Instant, tier: Tier | None = Tier.ON_DEMAND) -> int | NotFilled:
    return gap_to_fill(LAST, now=now, host=host, tier=tier, max_fill_ns=HOUR)


@pytest.mark.parametrize("tier", [*Tier, None])
def test_gap_within_one_boot_is_measured_by_the_boot_clock(tier: Tier | None) -> None:
    """However long, under any terms, and wherever the wall clock stands meanwhile."""
    now = Instant(1_000 * SECOND + 3 * HOUR, 0)
    unsynchronised = replace(HERE, clock_synchronized=False)

    assert gap(HERE, now, tier) == 3 * HOUR
    assert gap(unsynchronised, now, tier) == 3 * HOUR


def test_gap_is_never_negative() -> None:
    """A boot clock behind the checkpoint gives nothing to book."""
    assert gap(HERE, Instant(0, YEAR)) == 0


@pytest.mark.parametrize("tier", [Tier.ON_DEMAND, Tier.SPOT, None])
def test_rented_card_is_filled_over_a_short_reboot_alone(tier: Tier | None) -> None:
    """A reboot up to max_fill is paid for; a longer stop is not, and none of it is filled."""
    assert gap(REBOOTED, Instant(0, YEAR + HOUR), tier) == HOUR
    too_long = gap(REBOOTED, Instant(0, YEAR + HOUR + 1), tier)
    assert isinstance(too_long, NotFilled)
    assert "max_fill" in too_long.reason


@pytest.mark.parametrize("tier", [Tier.OWNED, Tier.RESERVED])
def test_owned_and_reserved_cards_are_filled_without_limit(tier: Tier) -> None:
    """They cost whether the node runs or not."""
    assert gap(REBOOTED, Instant(0, 2 * YEAR), tier) == YEAR


@pytest.mark.parametrize(
    ("host", "wall_ns", "why"),
    [
        (UNSYNCHRONISED, YEAR + SECOND, "not synchronised"),
        (REBOOTED, YEAR - 1, "behind"),
        (replace(HERE, machine_id="another"), YEAR + SECOND, "another machine"),
        (replace(REBOOTED, machine_id="another"), YEAR + SECOND, "another machine"),
    ],
)
def test_gap_that_cannot_be_trusted_stays_empty(host: Host, wall_ns: int, why: str) -> None:
    """Even an owned card's time is not guessed."""
    found = gap(host, Instant(5_000 * SECOND, wall_ns), Tier.OWNED)

    assert isinstance(found, NotFilled)
    assert why in found.reason


def test_boot_that_cannot_be_told_is_another_boot() -> None:
    """Two empty boot ids prove nothing; the wall clock has to."""
    nameless = replace(LAST, boot_id="")
    host = replace(HERE, boot_id="", clock_synchronized=False)

    found = gap_to_fill(nameless, now=Instant(10**18, YEAR), host=host, tier=None, max_fill_ns=HOUR)

    assert isinstance(found, NotFilled)
    assert not counter_goes_on(nameless, host)


@pytest.mark.parametrize(
    ("host", "checkpoint", "goes_on"),
    [
        (HERE, LAST, True),
        (HERE, replace(LAST, energy_mj=None), False),
        (REBOOTED, LAST, False),
        (replace(HERE, machine_id="another"), LAST, False),
    ],
)
def test_counter_goes_on_within_one_boot_alone(
    host: Host, checkpoint: Checkpoint, goes_on: bool
) -> None:
    """Same boot, same machine, and there was a counter."""
    assert counter_goes_on(checkpoint, host) is goes_on
