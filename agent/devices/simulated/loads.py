"""What a card is used for, hour by hour.

An hour of the day always holds the same segments; chance decides their order and where bursts
fall. So the sums of any day are known without walking through it (see ``course``).

Source of all figures: hardware.md 5.1 (batch, power, tokens) and 5.5 (profiles).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from types import MappingProxyType

from agent.devices.simulated.chance import between, chance, shuffled
from agent.devices.simulated.models import CardModel
from agent.devices.simulated.segments import HOUR_S, Hour, Segment, hour_of

HOURS_PER_DAY = 24


class Load(StrEnum):
    """What a card is used for."""

    LLM_DIURNAL = "llm_diurnal"
    """Serves a language model from 06:00 to midnight; at night the model stays loaded, silent."""
    TRAINING = "training"
    """Steps of 1 to 2 s between two levels of power; a checkpoint of 30 s every ten minutes."""
    NOTEBOOK = "notebook"
    """A kernel that holds its context and computes now and then, mostly in working hours."""
    EMPTY = "empty"
    """Nobody has it."""


@dataclass(frozen=True, slots=True)
class HourKey:
    """Which hour of which card; ``hour`` counts from the midnight the card's clock started at."""

    seed: int
    index: int
    hour: int

    @property
    def hour_of_day(self) -> int:
        """0 to 23."""
        return self.hour % HOURS_PER_DAY


MEAN_BATCH = (
    *(0, 0, 0, 0, 0, 0, 10, 24, 48, 80, 110, 128),
    *(120, 128, 140, 136, 124, 108, 96, 92, 84, 60, 32, 14),
)
"""Requests at once by hour of the day: 14 to 1 between peak and trough, hardware.md 5.2."""
MOST_RUNNING = 256
"""vLLM's ``max_num_seqs``; what is beyond waits."""
ARRIVAL_S = 30
"""How long one draw of the arrival noise lasts."""
ARRIVALS = tuple(
    math.exp(0.35 * NormalDist().inv_cdf((rank + 0.5) * ARRIVAL_S / HOUR_S))
    for rank in range(HOUR_S // ARRIVAL_S)
)
"""Arrivals against the hour's mean: evenly spaced ranks of a lognormal, half to twice."""


def _steady(model: CardModel, power_mw: int, seconds: int) -> Segment:
    return Segment(seconds=seconds, pattern_mw=(power_mw,), noise_mw=model.noise_mw)


def serving_mw(model: CardModel, running: int) -> int:
    """Power with ``running`` requests at once: low + span (1 - e^(-b/90)), hardware.md 5.1."""
    low, high = model.serving_mw
    return low + round((high - low) * (1 - math.exp(-running / 90)))


def serving_tokens_per_second(model: CardModel, running: int) -> int:
    """Tokens generated per second: 11,200 b/(b + 75) on an H100, by memory bandwidth elsewhere."""
    return round(11_200 * running / (running + 75) * model.bandwidth_permille / 1_000)


@lru_cache(maxsize=256)
def _serving(model: CardModel, mean_batch: int) -> tuple[Segment, ...]:
    demands = [max(1, round(mean_batch * arrivals)) for arrivals in ARRIVALS]
    return tuple(
        Segment(
            seconds=ARRIVAL_S,
            pattern_mw=(serving_mw(model, running),),
            noise_mw=model.noise_mw,
            utilization_percent=(90, 100),
            running=running,
            waiting=demand - running,
            tokens_per_second=serving_tokens_per_second(model, running),
        )
        for demand in demands
        for running in (min(demand, MOST_RUNNING),)
    )


def _llm_diurnal(model: CardModel, key: HourKey) -> tuple[Segment, ...]:
    mean_batch = MEAN_BATCH[key.hour_of_day]
    if mean_batch == 0:
        return (_steady(model, model.parked_mw, HOUR_S),)
    draws = _serving(model, mean_batch)
    order = shuffled(len(draws), key.seed, key.index, "arrivals", key.hour)
    return tuple(draws[draw] for draw in order)


CHECKPOINT_S = 30
CHECKPOINT_EVERY_S = 600


def _steps(model: CardModel, seconds: int) -> tuple[Segment, ...]:
    low, high = model.training_mw
    step = Segment(
        seconds=seconds,
        pattern_mw=(high, low, high, high, low, low),
        noise_mw=model.noise_mw,
        utilization_percent=(95, 100),
    )
    return (step,) if seconds else ()


def _training(model: CardModel, key: HourKey) -> tuple[Segment, ...]:
    """All training cards of a node do one job: their steps and checkpoints fall together."""
    steps_s = CHECKPOINT_EVERY_S - CHECKPOINT_S
    before_s = 6 * between(0, steps_s // 6 - 1, key.seed, "checkpoint")
    checkpoint = Segment(
        seconds=CHECKPOINT_S,
        pattern_mw=(model.checkpoint_mw,),
        noise_mw=model.noise_mw,
        utilization_percent=(0, 10),
    )
    round_ = (*_steps(model, before_s), checkpoint, *_steps(model, steps_s - before_s))
    return round_ * (HOUR_S // CHECKPOINT_EVERY_S)


WORKING_HOURS = range(9, 19)
WORK_BURSTS = ((45, 30), (120, 60), (240, 88))
"""(seconds, mean utilisation in percent) of the cells run in a working hour."""
OTHER_BURSTS = ((60, 30),)
LEAST_GAP_S = 60


def _burst(model: CardModel, seconds: int, percent: int) -> Segment:
    low, high = model.notebook_mw
    return Segment(
        seconds=seconds,
        pattern_mw=(low + (high - low) * (percent - 20) // 75,),
        noise_mw=model.noise_mw,
        utilization_percent=(percent - 5, percent + 5),
    )


def _notebook(model: CardModel, key: HourKey) -> tuple[Segment, ...]:
    bursts = WORK_BURSTS if key.hour_of_day in WORKING_HOURS else OTHER_BURSTS
    spare_s = HOUR_S - sum(seconds for seconds, _ in bursts) - LEAST_GAP_S * (len(bursts) + 1)
    cuts = sorted(
        chance(key.seed, key.index, "gap", key.hour, number) % (spare_s + 1)
        for number in range(len(bursts))
    )
    gaps = [LEAST_GAP_S + after - before for before, after in pairwise((0, *cuts, spare_s))]
    segments: list[Segment] = []
    order = shuffled(len(bursts), key.seed, key.index, "bursts", key.hour)
    for gap_s, number in zip(gaps, order, strict=False):
        segments += (_steady(model, model.parked_mw, gap_s), _burst(model, *bursts[number]))
    return (*segments, _steady(model, model.parked_mw, gaps[-1]))


def _empty(model: CardModel, _key: HourKey) -> tuple[Segment, ...]:
    return (_steady(model, model.idle_mw, HOUR_S),)


_HOURS: Mapping[Load, Callable[[CardModel, HourKey], tuple[Segment, ...]]] = MappingProxyType(
    {
        Load.LLM_DIURNAL: _llm_diurnal,
        Load.TRAINING: _training,
        Load.NOTEBOOK: _notebook,
        Load.EMPTY: _empty,
    }
)


def load_hour(load: Load, model: CardModel, key: HourKey) -> Hour:
    """What a card of ``model`` under ``load`` does in the hour of ``key``."""
    return hour_of(_HOURS[load](model, key))


MEMORY_PERMILLE: Mapping[Load, tuple[int, int]] = MappingProxyType(
    {
        Load.LLM_DIURNAL: (880, 920),
        Load.TRAINING: (750, 950),
        Load.NOTEBOOK: (50, 300),
        Load.EMPTY: (0, 0),
    }
)
"""Share of the card's memory its process holds, (least, most); it moves only when it is loaded."""
