"""How much of the time when the agent was away may be booked."""

from dataclasses import replace

import pytest

from agent.ledger.fill import (
    Checkpoint,
    Gap,
    Host,
    Measured,
    Moment,
    Stretch,
    TrueTime,
    counter_goes_on,
    gaps_since,
    measure,
)
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


def at(boot: str, boottime_ns: int, wall_ns: int, *, trusted: bool = True) -> Moment:
    return Moment(boot, Instant(boottime_ns, wall_ns), trusted)


def found(host: Host, now: Instant, last: Checkpoint = LAST) -> Measured:
    met = Moment(host.boot_id, now, trusted=host.clock_synchronized)
    gaps, why_not = gaps_since(last, met, host)
    measured = measure(gaps, met)
    return replace(measured, refused=(*measured.refused, *[why_not] * bool(why_not)))


def lengths(measured: Measured) -> list[int]:
    return [stretch.end_ns - stretch.start_ns for stretch in measured.stretches]


def test_gap_within_one_boot_is_measured_by_the_boot_clock() -> None:
    """However long, and wherever the wall clock stands meanwhile."""
    now = Instant(1_000 * SECOND + 3 * HOUR, 0)

    for host in (HERE, replace(HERE, clock_synchronized=False)):
        (stretch,) = found(host, now).stretches
        assert (stretch.start_ns, stretch.end_ns) == (-3 * HOUR, 0)
        assert not stretch.rebooted


def test_gap_is_never_negative() -> None:
    """A boot clock behind the checkpoint gives nothing to book."""
    assert lengths(found(HERE, Instant(0, YEAR))) == [0]


def test_gap_over_a_reboot_is_measured_by_the_wall_clock() -> None:
    """From the last row to now, when both can be trusted."""
    assert found(REBOOTED, Instant(7, 2 * YEAR)).stretches == (
        Stretch(YEAR, 2 * YEAR, trusted=True, rebooted=True),
    )


@pytest.mark.parametrize(
    ("host", "last", "wall_ns", "why"),
    [
        (REBOOTED, LAST, YEAR - 1, "behind"),
        (replace(HERE, machine_id="another"), LAST, YEAR + SECOND, "another machine"),
        (replace(REBOOTED, machine_id="another"), LAST, YEAR + SECOND, "another machine"),
        (replace(REBOOTED, machine_id=""), replace(LAST, machine_id=""), YEAR, "no id"),
        (REBOOTED, replace(LAST, trusted=False), 56 * YEAR, "when the last run ended"),
    ],
)
def test_gap_that_cannot_be_trusted_stays_empty(
    host: Host, last: Checkpoint, wall_ns: int, why: str
) -> None:
    """Time is not guessed; a clock that began in 1970 must not bill for the years since."""
    measured = found(host, Instant(5_000 * SECOND, wall_ns), last)

    assert not measured.stretches
    assert not measured.waiting
    assert why in measured.refused[0]


def test_gap_waits_while_the_clock_is_not_synchronised() -> None:
    """And has its length when the clock is, although it was set meanwhile."""
    met = at("boot-2", 20 * SECOND, 3, trusted=False)
    gaps, _ = gaps_since(LAST, met, REBOOTED)

    waiting = measure(gaps, at("boot-2", 50 * SECOND, 33, trusted=False)).waiting
    then = measure(waiting, at("boot-2", 60 * SECOND, YEAR + HOUR + 40 * SECOND))

    assert lengths(then) == [HOUR]
    assert not then.waiting


def test_boot_that_cannot_be_told_is_another_boot() -> None:
    """Two empty boot ids prove nothing; the wall clock has to."""
    nameless = replace(LAST, boot_id="")
    host = replace(HERE, boot_id="", clock_synchronized=False)

    assert found(host, Instant(10**18, YEAR), nameless).waiting
    assert not counter_goes_on(nameless, host)


@pytest.mark.parametrize(
    ("told", "places"),
    [
        # (met, last row) of the boot between, on its own clock, 100 s apart.
        ((3 * HOUR, 3 * HOUR + 100 * SECOND), [(0, 3 * HOUR), (3 * HOUR + 100 * SECOND, 5 * HOUR)]),
        ((-YEAR, -YEAR + 100 * SECOND), [(100 * SECOND, 5 * HOUR)]),
        ((YEAR, YEAR + 100 * SECOND), [(100 * SECOND, 5 * HOUR)]),
        ((2 * HOUR, HOUR), [(100 * SECOND, 5 * HOUR)]),
    ],
)
def test_gaps_around_a_boot_without_a_trusted_clock_are_measured_together(
    told: tuple[int, int], places: list[tuple[int, int]]
) -> None:
    """Their sum is the time between less what was booked; that boot's clock may say where they lie."""
    gaps = (
        Gap(at("1", 9, 0), at("2", 20 * SECOND, told[0], trusted=False)),
        Gap(at("2", 120 * SECOND, told[1], trusted=False), at("3", 7, 5 * HOUR)),
    )

    measured = measure(gaps, at("3", 7, 5 * HOUR))

    assert [(each.start_ns, each.end_ns) for each in measured.stretches] == places
    assert sum(lengths(measured)) == 5 * HOUR - 100 * SECOND


def test_gaps_of_a_boot_become_one() -> None:
    """Restarts while the driver hangs do not pile up; those over a reboot are kept apart."""
    over = Gap(at("boot-0", 5, 0), at("boot-1", 10 * SECOND, HOUR))
    first = Gap(at("boot-1", 100 * SECOND, YEAR), at("boot-1", 130 * SECOND, YEAR))
    last = replace(LAST, gaps=(over, first))

    gaps, _ = gaps_since(last, at("boot-1", 1_010 * SECOND, YEAR), HERE)

    assert gaps[0] == over
    assert [gap.boottime_ns for gap in gaps[1:]] == [40 * SECOND]


def test_true_time_outlasts_a_clock_that_is_set_wrong() -> None:
    """What a synchronised clock told holds for the boot, also in the next process."""
    time = TrueTime()
    time.learn(Instant(10, 1_000), HERE)
    time.learn(Instant(20, 5), replace(HERE, clock_synchronized=False))
    heir, stranger = TrueTime(), TrueTime()
    heir.recall(replace(LAST, until=Instant(10, 1_000)), HERE)
    stranger.recall(LAST, REBOOTED)

    for known in (time, heir):
        assert known.moment(Instant(30, 7), HERE) == at("boot-1", 30, 1_020)
    assert not stranger.moment(Instant(30, 7), REBOOTED).trusted


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


@pytest.mark.parametrize(("minutes", "count"), [(59, 2), (30, 1)])
def test_gaps_are_merged_within_an_hour_only(minutes: int, count: int) -> None:
    """What was booked between goes to the front of a merged one: it must not leave its hour."""
    minute, hour = 60 * SECOND, 10_000 * HOUR

    def on(number: int) -> Moment:
        return at("boot", number * minute, hour + number * minute)

    before = Gap(on(minutes - 20), on(minutes))
    last = replace(LAST, boot_id="boot", until=on(minutes + 2).at, gaps=(before,))

    gaps, _ = gaps_since(last, on(minutes + 3), replace(HERE, boot_id="boot"))

    assert len(gaps) == count
    assert sum(gap.boottime_ns for gap in gaps) == 21 * minute
