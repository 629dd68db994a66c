"""One moment on the two clocks that count."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment.

    ``boottime_ns`` (CLOCK_BOOTTIME) measures durations, suspended time included, within one boot.
    ``wall_ns`` (UTC, since 1970) places money in the calendar; it may step.
    """

    boottime_ns: int
    wall_ns: int
