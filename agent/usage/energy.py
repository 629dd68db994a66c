"""How much energy a card used between two samples: its own counter first, else its power over time.

The counter (NVML total energy) can restart (driver reload, GPU reset), jump and stand still; each is
found, counted and bridged with power x time, and never taken at face value.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent.samples.device import GpuSample
from agent.samples.reading import Missing
from agent.units import NANOSECONDS_PER_SECOND, nanoseconds

POWER_MARGIN = 1.2
"""How far above its limit a board may plausibly draw."""
UNKNOWN_LIMIT_MW = 3_000_000
"""Bound where the limit cannot be read; the largest known module (GB300) is limited to 2,900 W."""
COUNTER_STEP_NS = nanoseconds(0.2)
"""Counters advance in steps of up to 100 ms; two of them may fall into one interval."""
FREEZE_AFTER_NS = nanoseconds(5)
"""A counter that stands still for longer while the board draws power is frozen."""
FREEZE_POWER_MW = 1_000
GIVE_UP_COUNTER_NS = nanoseconds(60)
"""A counter that has been silent for so long is bridged by power x time."""


class EnergyMethod(StrEnum):
    """How an amount of energy is known."""

    COUNTER = "counter"
    INTEGRATED = "integrated"
    NONE = "none"


class EnergyAnomaly(StrEnum):
    """A reading of the counter, or of power where there is none, that was not taken at face value."""

    RESET = "reset"
    JUMP = "jump"
    """More than the board's limit allows for."""
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """What must be remembered of one card's energy between samples.

    ``still_ns`` and ``still_mj``: for how long the counter has stood still while the board drew power,
    and what power x time gives for that time; a board that draws nothing has nothing to count.
    ``silent_ns`` and ``silent_mj``: the same for a counter that does not answer; ``bridged_mj`` is
    what has been booked of it, and is taken off when the counter answers again.
    ``residue``: what integer division left of the integral, in mW x ns x 2.
    """

    counter_mj: int | None = None
    counter_at_ns: int = 0
    power_mw: int | None = None
    power_at_ns: int = 0
    still_ns: int = 0
    still_mj: int = 0
    silent_ns: int = 0
    silent_mj: int = 0
    bridged_mj: int = 0
    residue: int = 0
    method: EnergyMethod = EnergyMethod.NONE

    @property
    def frozen(self) -> bool:
        """Whether the counter stands still under power, so that power x time is booked instead."""
        return self.still_ns >= FREEZE_AFTER_NS


@dataclass(frozen=True, slots=True)
class EnergyStep:
    """The energy of one interval; ``millijoules`` is None when it could not be measured.

    ``covered_ns`` is how far back from the sample it reaches, where there is any: longer than the time
    since the sample before when the counter could not be read in between.
    """

    millijoules: int | None
    method: EnergyMethod
    anomaly: EnergyAnomaly | None = None
    covered_ns: int = field(default=0, compare=False)


def advance(
    meter: EnergyMeter, sample: GpuSample, *, max_gap_ns: int
) -> tuple[EnergyMeter, EnergyStep]:
    """Take one more sample: the meter after it, and the energy since the one before.

    ``max_gap_ns`` is the longest interval that power x time may bridge; the counter bridges any.
    """
    covered_ns = sample.boottime_ns - meter.power_at_ns
    integral, meter = _integrate(meter, sample, max_gap_ns)
    counter = sample.energy_mj
    if isinstance(counter, Missing):
        method = EnergyMethod.NONE if integral is None else EnergyMethod.INTEGRATED
        if meter.counter_mj is not None:
            return _counter_silent(meter, integral, covered_ns)
        # The power of this sample is there and was not kept: it cannot be true.
        absurd = meter.power_mw is None and not isinstance(sample.power_mw, Missing)
        anomaly = EnergyAnomaly.JUMP if absurd else None
        step = EnergyStep(integral, method, anomaly, covered_ns=covered_ns)
        return replace(meter, method=method), step
    if meter.counter_mj is None:
        first = replace(
            meter,
            counter_mj=counter,
            counter_at_ns=sample.boottime_ns,
            still_ns=0,
            still_mj=0,
            method=EnergyMethod.COUNTER,
        )
        # The interval before a first counter reading is known only as far as power was.
        method = EnergyMethod.NONE if integral is None else EnergyMethod.INTEGRATED
        return first, EnergyStep(integral, method, covered_ns=covered_ns)
    return _by_counter(meter, sample, counter, (integral, covered_ns))


def _counter_silent(
    meter: EnergyMeter, integral: int | None, covered_ns: int
) -> tuple[EnergyMeter, EnergyStep]:
    """The counter's last value stays: when it answers again, it covers this time too.

    When it has been silent for ``GIVE_UP_COUNTER_NS``, power x time is booked for it meanwhile.
    """
    if integral is None:
        return meter, EnergyStep(None, meter.method)
    silent_ns, silent_mj = meter.silent_ns + covered_ns, meter.silent_mj + integral
    if silent_ns < GIVE_UP_COUNTER_NS:
        return replace(meter, silent_ns=silent_ns, silent_mj=silent_mj), EnergyStep(
            None, EnergyMethod.COUNTER
        )
    reaches_ns = covered_ns if meter.bridged_mj else silent_ns
    after = replace(
        meter,
        silent_ns=silent_ns,
        silent_mj=0,
        bridged_mj=meter.bridged_mj + silent_mj,
        method=EnergyMethod.INTEGRATED,
    )
    return after, EnergyStep(silent_mj, EnergyMethod.INTEGRATED, covered_ns=reaches_ns)


def _by_counter(
    meter: EnergyMeter, sample: GpuSample, counter: int, by_power: tuple[int | None, int]
) -> tuple[EnergyMeter, EnergyStep]:
    """``by_power`` is the integral of power since the last sample, and the time it covers."""
    integral, covered_ns = by_power
    elapsed_ns = sample.boottime_ns - meter.counter_at_ns
    moved = counter - (meter.counter_mj or 0)
    most = _most_mj(sample, elapsed_ns)
    moving = replace(
        meter,
        counter_mj=counter,
        counter_at_ns=sample.boottime_ns,
        still_ns=0,
        still_mj=0,
        silent_ns=0,
        silent_mj=0,
        bridged_mj=0,
        method=EnergyMethod.COUNTER,
    )
    if moved == 0:
        return _standing_still(meter, sample, *by_power)
    if meter.frozen:
        # It moves again, perhaps by all it held back: that time is booked already, by power.
        return moving, EnergyStep(integral, EnergyMethod.INTEGRATED, covered_ns=covered_ns)
    if moved < 0 and counter <= most and not meter.bridged_mj:
        # All since the restart fits into this interval.
        return moving, EnergyStep(counter, EnergyMethod.COUNTER, EnergyAnomaly.RESET, elapsed_ns)
    if moved < 0 or moved > most:
        anomaly = EnergyAnomaly.RESET if moved < 0 else EnergyAnomaly.JUMP
        return moving, EnergyStep(integral, EnergyMethod.INTEGRATED, anomaly, covered_ns)
    booked_mj = max(0, moved - meter.bridged_mj)
    return moving, EnergyStep(booked_mj, EnergyMethod.COUNTER, covered_ns=elapsed_ns)


def _standing_still(
    meter: EnergyMeter, sample: GpuSample, integral: int | None, covered_ns: int
) -> tuple[EnergyMeter, EnergyStep]:
    power = sample.power_mw
    if meter.frozen and integral is None:  # neither the counter nor power tells
        return meter, EnergyStep(None, EnergyMethod.INTEGRATED)
    if isinstance(power, Missing) or power < FREEZE_POWER_MW or integral is None:
        return meter, EnergyStep(0, EnergyMethod.COUNTER)
    still_ns, still_mj = meter.still_ns + covered_ns, meter.still_mj + integral
    after = replace(meter, still_ns=still_ns, still_mj=still_mj)
    if meter.frozen:
        return after, EnergyStep(integral, EnergyMethod.INTEGRATED, covered_ns=covered_ns)
    if still_ns < FREEZE_AFTER_NS:
        return after, EnergyStep(0, EnergyMethod.COUNTER)
    return after, EnergyStep(still_mj, EnergyMethod.INTEGRATED, EnergyAnomaly.FREEZE, still_ns)


def _integrate(
    meter: EnergyMeter, sample: GpuSample, max_gap_ns: int
) -> tuple[int | None, EnergyMeter]:
    """The trapezoid of power since the last power reading, None where there is none or a gap.

    More than the board's limit allows for is not true either: both readings are dropped.
    """
    power = sample.power_mw
    if isinstance(power, Missing):
        return None, replace(meter, power_mw=None, residue=0)
    elapsed_ns = sample.boottime_ns - meter.power_at_ns
    millijoules, residue = None, 0
    if meter.power_mw is not None and 0 < elapsed_ns <= max_gap_ns:
        area = (meter.power_mw + power) * elapsed_ns + meter.residue
        millijoules, residue = divmod(area, 2 * NANOSECONDS_PER_SECOND)
        if millijoules > _most_mj(sample, elapsed_ns):
            return None, replace(meter, power_mw=None, residue=0)
    after = replace(meter, power_mw=power, power_at_ns=sample.boottime_ns, residue=residue)
    return millijoules, after


def _most_mj(sample: GpuSample, elapsed_ns: int) -> int:
    limit = sample.power_limit_mw
    limit_mw = UNKNOWN_LIMIT_MW if isinstance(limit, Missing) or limit <= 0 else limit
    return int(POWER_MARGIN * limit_mw * (elapsed_ns + COUNTER_STEP_NS)) // NANOSECONDS_PER_SECOND
