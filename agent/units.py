"""The only unit conversions: NVML's integers in, base units out.

Sums that live for months stay integers (nanoseconds, millijoules, 1e-9 of a currency) and become
floats here, at the edge where they are shown.
"""

NANOSECONDS_PER_SECOND = 1_000_000_000
SECONDS_PER_HOUR = 3_600
NANOSECONDS_PER_HOUR = SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
MILLIJOULES_PER_KILOWATT_HOUR = 3_600_000_000


def seconds(nanoseconds: int) -> float:
    """Nanoseconds as seconds."""
    return nanoseconds / NANOSECONDS_PER_SECOND


def nanoseconds(seconds_: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds_ * NANOSECONDS_PER_SECOND)


def watts(milliwatts: int) -> float:
    """Milliwatts as watts."""
    return milliwatts / 1_000


def joules(millijoules: int) -> float:
    """Millijoules as joules."""
    return millijoules / 1_000


def ratio(percent: int) -> float:
    """Percent (0 to 100) as a ratio (0 to 1)."""
    return percent / 100


def grams(nanograms: int) -> float:
    """Nanograms as grams."""
    return nanograms / 1_000_000_000
