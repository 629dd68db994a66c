"""An hour of a card as stretches of steady behaviour whose sums need no counting of seconds."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

HOUR_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of whole seconds in which a card does one thing.

    ``pattern_mw`` is the power of its seconds, repeated from its start; ``noise_mw`` bounds what
    chance adds. ``utilization_percent`` is (least, most). ``tokens_per_second`` are generated ones;
    ``running`` and ``waiting`` are requests.
    """

    seconds: int
    pattern_mw: tuple[int, ...]
    noise_mw: int
    utilization_percent: tuple[int, int] = (0, 0)
    running: int = 0
    waiting: int = 0
    tokens_per_second: int = 0

    def level_mw(self, offset: int) -> int:
        """Power in the second ``offset`` of the segment, without noise."""
        return self.pattern_mw[offset % len(self.pattern_mw)]

    def energy_mj(self, seconds: int) -> int:
        """Energy of its first ``seconds`` seconds, without noise."""
        rounds, rest = divmod(seconds, len(self.pattern_mw))
        return rounds * sum(self.pattern_mw) + sum(self.pattern_mw[:rest])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour of segments with what has passed at the start of each.

    Each of the three tuples of sums has one entry more than there are segments: the whole hour.
    """

    segments: tuple[Segment, ...]
    starts_s: tuple[int, ...]
    energy_mj: tuple[int, ...]
    tokens: tuple[int, ...]

    def position(self, second: int) -> int:
        """Which segment the second of the hour, 0 to 3599, lies in."""
        return bisect_right(self.starts_s, second) - 1


def hour_of(segments: Iterable[Segment]) -> Hour:
    """The hour that ``segments`` fill; their order changes none of its sums."""
    row = tuple(segments)
    return Hour(
        segments=row,
        starts_s=tuple(accumulate((s.seconds for s in row), initial=0)),
        energy_mj=tuple(accumulate((s.energy_mj(s.seconds) for s in row), initial=0)),
        tokens=tuple(accumulate((s.tokens_per_second * s.seconds for s in row), initial=0)),
    )
