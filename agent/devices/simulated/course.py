"""What one card truly does at any instant: power, energy, tokens, utilisation, temperature.

Power is constant within each simulated second, so energy is exact: milliwatts times seconds.
Noise comes in pairs of seconds that cancel, and every day holds the same hours in sum, so the
integral since second 0 costs one look-up however long ago that was.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate, pairwise

from agent.devices.simulated.chance import between
from agent.devices.simulated.loads import HOURS_PER_DAY, HourKey, Load, load_hour
from agent.devices.simulated.models import CardModel
from agent.devices.simulated.segments import HOUR_S, Hour, Segment
from agent.units import NANOSECONDS_PER_SECOND

AMBIENT_CELSIUS = 26
RISE_CELSIUS = 45
"""How much hotter than its air a card gets at its power limit."""
THERMAL_TAU_S = 60
"""Time constant with which temperature follows power. Source: hardware.md 5.5."""


@lru_cache(maxsize=64)
def _day_sums(load: Load, model: CardModel) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(energy in millijoules, tokens) from midnight to each of the 25 edges of any day's hours."""
    hours = [load_hour(load, model, HourKey(0, 0, hour)) for hour in range(HOURS_PER_DAY)]
    energy = accumulate((hour.energy_mj[-1] for hour in hours), initial=0)
    tokens = accumulate((hour.tokens[-1] for hour in hours), initial=0)
    return tuple(energy), tuple(tokens)


class Course:
    """The true course of one card; ``second`` and ``nanoseconds`` count from simulated time 0.

    Any thread may ask: it keeps a few hours at hand and no other state.
    """

    def __init__(
        self, *, seed: int, index: int, model: CardModel, load: Load, starts_at_hour: int
    ) -> None:
        self._seed = seed
        self._index = index
        self._model = model
        self._load = load
        self._shift_s = starts_at_hour * HOUR_S
        self._hour = lru_cache(maxsize=16)(self._build_hour)
        self._energy_edges, self._token_edges = _day_sums(load, model)
        self._energy_before_mj = self._local_energy_mj(self._shift_s, 0)
        self._tokens_before = self._local_tokens(self._shift_s, 0)

    def segment(self, second: int) -> Segment:
        """What it is doing."""
        hour, position, _ = self._spot(second + self._shift_s)
        return hour.segments[position]

    def power_mw(self, second: int) -> int:
        """Power throughout this second, in milliwatts."""
        return self._local_power_mw(second + self._shift_s)

    def utilization_percent(self, second: int) -> int:
        """Share of this second in which a kernel ran, 0 to 100; 0 means that no token came out."""
        low, high = self.segment(second).utilization_percent
        return between(low, high, self._seed, self._index, "util", second) if high else 0

    def energy_mj(self, nanoseconds: int) -> int:
        """The integral of power since time 0, in millijoules, rounded down."""
        second, rest = divmod(nanoseconds, NANOSECONDS_PER_SECOND)
        return self._local_energy_mj(second + self._shift_s, rest) - self._energy_before_mj

    def generated_tokens(self, nanoseconds: int) -> int:
        """Tokens generated since time 0, rounded down."""
        second, rest = divmod(nanoseconds, NANOSECONDS_PER_SECOND)
        return self._local_tokens(second + self._shift_s, rest) - self._tokens_before

    def temperature_celsius(self, second: int) -> int:
        """Air plus the power of the past, weighted with ``THERMAL_TAU_S``, steps smoothed out."""
        power_mw = 0.0
        weight_left = 1.0
        for age_s, mean_mw in self._past(second + self._shift_s):
            older = math.exp(-age_s / THERMAL_TAU_S) if age_s < 8 * THERMAL_TAU_S else 0.0
            power_mw += (weight_left - older) * mean_mw
            weight_left = older
            if not older:
                break
        return round(AMBIENT_CELSIUS + RISE_CELSIUS * power_mw / self._model.power_limit_mw)

    def _build_hour(self, hour: int) -> Hour:
        return load_hour(self._load, self._model, HourKey(self._seed, self._index, hour))

    def _spot(self, local_s: int) -> tuple[Hour, int, int]:
        """The hour, the segment's place in it, and the second within the segment."""
        number, second = divmod(local_s, HOUR_S)
        hour = self._hour(number)
        position = hour.position(second)
        return hour, position, second - hour.starts_s[position]

    def _noise_mw(self, segment: Segment, local_s: int, offset: int) -> int:
        """Chance's part of this second's power; an even second and the next cancel each other."""
        if offset == segment.seconds - 1 and offset % 2 == 0:
            return 0  # it has no partner
        bound = segment.noise_mw
        noise = between(-bound, bound, self._seed, self._index, "noise", local_s - offset % 2)
        return -noise if offset % 2 else noise

    def _local_power_mw(self, local_s: int) -> int:
        hour, position, offset = self._spot(local_s)
        segment = hour.segments[position]
        return segment.level_mw(offset) + self._noise_mw(segment, local_s, offset)

    def _local_energy_mj(self, local_s: int, rest_ns: int) -> int:
        hour, position, offset = self._spot(local_s)
        segment = hour.segments[position]
        days, hour_of_day = divmod(local_s // HOUR_S, HOURS_PER_DAY)
        noise = self._noise_mw(segment, local_s, offset)
        odd = -noise if offset % 2 else 0  # the pair's first second, whose second is not over
        return (
            days * self._energy_edges[-1]
            + self._energy_edges[hour_of_day]
            + hour.energy_mj[position]
            + segment.energy_mj(offset)
            + odd
            + (segment.level_mw(offset) + noise) * rest_ns // NANOSECONDS_PER_SECOND
        )

    def _local_tokens(self, local_s: int, rest_ns: int) -> int:
        hour, position, offset = self._spot(local_s)
        per_second = hour.segments[position].tokens_per_second
        days, hour_of_day = divmod(local_s // HOUR_S, HOURS_PER_DAY)
        return (
            days * self._token_edges[-1]
            + self._token_edges[hour_of_day]
            + hour.tokens[position]
            + per_second * offset
            + per_second * rest_ns // NANOSECONDS_PER_SECOND
        )

    def _past(self, local_s: int) -> Iterator[tuple[int, float]]:
        """(seconds since its start, mean power in mW) of segments up to now, newest first."""
        number, second = divmod(local_s, HOUR_S)
        while True:
            hour = self._hour(number)
            last = hour.position(min(second, HOUR_S - 1))
            edges = list(pairwise(hour.energy_mj[: last + 2]))
            for position in range(last, -1, -1):
                before, after = edges[position]
                yield (
                    second - hour.starts_s[position],
                    (after - before) / hour.segments[position].seconds,
                )
            number -= 1
            second += HOUR_S
