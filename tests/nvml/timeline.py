"""Values as functions of time, in the integer arithmetic of script_values.c."""

import itertools
from dataclasses import dataclass, replace

NS = 1_000_000_000
"""Nanoseconds in a second."""


def nanoseconds(seconds: float) -> int:
    """Script times are whole nanoseconds on both sides, so that sums agree exactly."""
    return round(seconds * NS)


def seconds_text(ns: int) -> str:
    """Decimal seconds without loss, as scripts have them."""
    sign = "-" if ns < 0 else ""
    return f"{sign}{abs(ns) // NS}.{abs(ns) % NS:09d}"


@dataclass(frozen=True)
class Segment:
    """From `start_ns` to the next segment's start, a straight line from `value` to `end`."""

    start_ns: int
    value: int
    end: int


@dataclass(frozen=True)
class Timeline:
    """A value as a function of the time since the epoch: pieces of constants and straight lines.

    With a `period_ns` the pieces repeat for ever; otherwise the last value stays. Before the epoch
    it is the first value, and the integral is nothing.
    """

    segments: tuple[Segment, ...]
    period_ns: int = 0

    @classmethod
    def of(
        cls, *points: tuple[float, int] | tuple[float, int, int], period: float = 0.0
    ) -> "Timeline":
        """Build from (start in seconds, value) or (start in seconds, value, value at the end)."""
        segments = tuple(
            Segment(nanoseconds(point[0]), point[1], point[2] if len(point) == 3 else point[1])
            for point in points
        )
        return cls(segments, nanoseconds(period))

    @classmethod
    def constant(cls, value: int) -> "Timeline":
        """The same for ever."""
        return cls((Segment(0, value, value),))

    def then(self, at: float, value: int) -> "Timeline":
        """The same until `at` seconds, and `value` from there on.

        A slope under way at that time is cut at the value it has reached, rounded up so that an
        energy counter read before never goes back; a repeating timeline is unrolled up to it.
        """
        at_ns = nanoseconds(at)
        kept: list[Segment] = []
        for segment, end_ns in self._pieces(at_ns):
            rise, length = segment.end - segment.value, end_ns - segment.start_ns
            reached = -(-rise * (min(end_ns, at_ns) - segment.start_ns) // length)
            kept.append(Segment(segment.start_ns, segment.value, segment.value + reached))
        return Timeline((*kept, Segment(max(at_ns, 0), value, value)))

    def value(self, at_ns: int) -> int:
        """The value at a time."""
        at_ns = max(at_ns, 0)
        if self.period_ns:
            at_ns %= self.period_ns
        segment, end_ns = self._segment(at_ns)
        return _line(segment, end_ns, at_ns) if segment.end != segment.value else segment.value

    def integral(self, at_ns: int) -> int:
        """Integral from the epoch to a time, in units of the value times nanoseconds."""
        if at_ns <= 0:
            return 0
        loops, rest = divmod(at_ns, self.period_ns) if self.period_ns else (0, at_ns)
        return loops * self._within_loop(self.period_ns) + self._within_loop(rest)

    def text(self) -> str:
        """As the script has it."""
        points = ",".join(
            f"{seconds_text(s.start_ns)}:{s.value}" + (f">{s.end}" if s.end != s.value else "")
            for s in self.segments
        )
        period = f" period={seconds_text(self.period_ns)}" if self.period_ns else ""
        return f"{period} points={points}"

    def _segment(self, at_ns: int) -> tuple[Segment, int]:
        ends = [s.start_ns for s in self.segments[1:]] + [self.period_ns]
        return [
            pair for pair in zip(self.segments, ends, strict=True) if pair[0].start_ns <= at_ns
        ][-1]

    def _within_loop(self, at_ns: int) -> int:
        total = 0
        ends = [s.start_ns for s in self.segments[1:]] + [self.period_ns or at_ns]
        for segment, end_ns in zip(self.segments, ends, strict=True):
            elapsed = min(at_ns, end_ns) - segment.start_ns
            if elapsed <= 0:
                break
            rise, length = segment.end - segment.value, end_ns - segment.start_ns
            total += segment.value * elapsed + (rise * elapsed * elapsed // (2 * length))
        return total

    def _pieces(self, until_ns: int) -> list[tuple[Segment, int]]:
        """The segments that begin before a time, unrolled, each with its end."""
        found: list[tuple[Segment, int]] = []
        for loop in itertools.count():
            shift = loop * self.period_ns
            ends = [s.start_ns for s in self.segments[1:]] + [self.period_ns or until_ns]
            for segment, end_ns in zip(self.segments, ends, strict=True):
                start_ns = segment.start_ns + shift
                if start_ns >= until_ns:
                    return found
                found.append((replace(segment, start_ns=start_ns), end_ns + shift))
            if not self.period_ns:
                break
        return found


def _line(segment: Segment, end_ns: int, at_ns: int) -> int:
    rise = (segment.end - segment.value) * (at_ns - segment.start_ns)
    return segment.value + rise // (end_ns - segment.start_ns)
