"""Energy that was measured across more than a tick: where it is booked."""

import pytest

from agent.samples.device import FaultReason, GpuFault
from agent.samples.reading import Missing
from agent.usage.timetable import When
from tests.builders import SECOND, a_fault, a_policy, a_sample, a_tariff, an_owned
from tests.fakes.clock import FakeClock
from tests.unit.ledger.life import LABELS, OWNED, Life

WATTS_600 = 600_000
PEAK = When(from_minute=8 * 60, to_minute=9 * 60)
"""The fake clock starts at 08:00 UTC."""
TARIFFS = a_policy(an_owned(), tariffs=[a_tariff("0.10", (PEAK, "0.30"), pue="1")])


def sample_after(life: Life, seconds: int, start_mj: int = 0) -> None:
    """A tick so much later whose counter shows 600 W since the start."""
    at_ns = life.clock.boottime_ns + seconds * SECOND
    energy = start_mj + WATTS_600 * seconds
    life.tick(a_sample(at_ns, energy_mj=energy, utilization=90), seconds=seconds)


def hang(life: Life, seconds: int, reason: FaultReason = FaultReason.HUNG) -> None:
    for _ in range(seconds // 4):
        life.tick(a_fault(reason), seconds=4)


def energy(life: Life, **parts: object) -> int:
    return sum(q for _, q in life.rows(component="energy", **parts).values())


def test_energy_of_a_hang_is_priced_by_the_hours_it_was_used_in() -> None:
    """Two hours over the end of the peak: half of it at the price of the peak, none at one price alone."""
    life = Life(FakeClock(), policy=TARIFFS)
    sample_after(life, 0)
    hang(life, 7_196)

    life.tick(a_sample(life.clock.boottime_ns + 4 * SECOND, energy_mj=7_200 * WATTS_600), seconds=4)
    life.flush()

    assert (
        energy(life) == 7_200 * WATTS_600 == life.counter("gpufin_gpu_energy_joules_total")[LABELS]
    )
    assert energy(life, price_id="grid/0") == energy(life, price_id="grid") == 3_600 * WATTS_600
    assert {key.hour for key in life.rows(component="energy")} == {
        life.clock.wall_ns // SECOND - 7_200,
        life.clock.wall_ns // SECOND - 3_600,
    }
    assert life.account.unreconciled_nanos == 0


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (a_fault(FaultReason.HUNG), "unknown"),
        (a_fault(FaultReason.LOST), "down"),
    ],
)
def test_energy_of_past_seconds_is_booked_in_their_state(report: GpuFault, state: str) -> None:
    """The time was booked as unknown or down; so is its energy, and the last tick's in the present state."""
    life = Life(FakeClock(), policy=OWNED)
    sample_after(life, 0)
    hang(life, 96, report.reason)

    life.tick(
        a_sample(life.clock.boottime_ns + 4 * SECOND, energy_mj=100 * WATTS_600, utilization=90),
        seconds=4,
    )
    life.flush()

    assert energy(life, state=state) == 96 * WATTS_600
    assert energy(life, state="active") == 4 * WATTS_600
    assert energy(life) == 100 * WATTS_600
    seconds = life.counter("gpufin_gpu_state_seconds_total")
    assert (seconds[*LABELS, state], seconds[*LABELS, "active"]) == (96 * SECOND, 4 * SECOND)


def test_energy_since_before_the_process_is_filled_for_that_part_alone() -> None:
    """The gap's share is no counter's; what the card used while this process saw it hang is."""
    life = Life(FakeClock(), policy=OWNED)
    sample_after(life, 0)
    life.flush()
    life.clock.move(50)
    after = Life(life.clock, life.store, OWNED)
    after.tick(a_fault(FaultReason.HUNG), seconds=0)
    hang(after, 48)

    after.tick(a_sample(after.clock.boottime_ns + 2 * SECOND, energy_mj=60_000_000), seconds=2)
    after.flush()

    assert energy(after, filled=True) == 30_000_000
    assert energy(after, filled=False) == 30_000_000
    assert after.counter("gpufin_gpu_energy_joules_total")[LABELS] == 30_000_000
    assert after.account.unreconciled_nanos == 0


def test_energy_of_a_silent_minute_is_spread_over_it() -> None:
    """Power x time that was held back for a counter that may answer is booked where it was used."""
    clock = FakeClock()
    clock.move(3_600 - 30)
    life = Life(clock, policy=TARIFFS)
    for _ in range(62):
        life.tick(
            a_sample(
                life.clock.boottime_ns + SECOND,
                power_mw=WATTS_600,
                energy_mj=0 if life.account.cards == {} else Missing.FAILED,
            )
        )
    life.flush()

    assert energy(life, price_id="grid/0") == pytest.approx(29 * WATTS_600)
    assert energy(life) == 61 * WATTS_600
