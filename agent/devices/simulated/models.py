"""Which cards can be simulated: what they draw, hold and cannot tell.

Source: hardware.md (the project's hardware reference) 2.3 for idle and parked power, 5.4 for
limits, 5.5 for power under load; memory as ``nvidia-smi`` totals it, modal-labs/modal-client #2797.
Figures of the RTX 4090 and the P100 beyond limit and memory are judgement, except that one stream
of decoding draws 246 W on a 4090 (noonghunna/club-3090 #697).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CardModel:
    """One model of card; pairs of power are (least, most) and, with noise, stay within the limit.

    ``idle_mw`` is drawn with no context, ``parked_mw`` with a model or kernel loaded and silent.
    ``serving_mw`` is drawn by the first request and would be by an endless batch.
    ``training_mw`` is drawn in the two halves of a step.
    ``notebook_mw`` is drawn at 20 % and at 95 % utilisation.
    ``bandwidth_permille`` is memory bandwidth against an H100's 3.35 TB/s: decoding is bound by it.
    ``unsupported`` names the fields of ``GpuSample`` the card's driver never fills.
    """

    name: str
    memory_total_bytes: int
    power_limit_mw: int
    idle_mw: int
    parked_mw: int
    checkpoint_mw: int
    serving_mw: tuple[int, int]
    training_mw: tuple[int, int]
    notebook_mw: tuple[int, int]
    bandwidth_permille: int
    unsupported: frozenset[str] = frozenset()

    @property
    def noise_mw(self) -> int:
        """How far power strays either way: 2.5 W, or 1 % of the limit on small cards."""
        return min(2_500, self.power_limit_mw // 100)


MODELS: Mapping[str, CardModel] = MappingProxyType(
    {
        "h100": CardModel(
            name="NVIDIA H100 80GB HBM3",
            memory_total_bytes=81_559 * MEBIBYTE,
            power_limit_mw=700_000,
            idle_mw=70_000,
            parked_mw=112_000,
            checkpoint_mw=130_000,
            serving_mw=(470_000, 700_000),
            training_mw=(350_000, 650_000),
            notebook_mw=(200_000, 500_000),
            bandwidth_permille=1_000,
        ),
        "a100": CardModel(
            name="NVIDIA A100-SXM4-80GB",
            memory_total_bytes=81_920 * MEBIBYTE,
            power_limit_mw=400_000,
            idle_mw=52_000,
            parked_mw=82_000,
            checkpoint_mw=90_000,
            serving_mw=(230_000, 385_000),
            training_mw=(250_000, 397_000),
            notebook_mw=(120_000, 300_000),
            bandwidth_permille=609,
        ),
        "l40s": CardModel(
            name="NVIDIA L40S",
            memory_total_bytes=46_068 * MEBIBYTE,
            power_limit_mw=350_000,
            idle_mw=38_000,
            parked_mw=100_000,
            checkpoint_mw=105_000,
            serving_mw=(220_000, 342_000),
            training_mw=(250_000, 345_000),
            notebook_mw=(130_000, 300_000),
            bandwidth_permille=258,
        ),
        "t4": CardModel(
            name="Tesla T4",
            memory_total_bytes=15_360 * MEBIBYTE,
            power_limit_mw=70_000,
            idle_mw=14_000,
            parked_mw=28_000,
            checkpoint_mw=32_000,
            serving_mw=(50_000, 69_000),
            training_mw=(66_000, 69_000),
            notebook_mw=(40_000, 68_000),
            bandwidth_permille=96,
        ),
        "rtx4090": CardModel(
            name="NVIDIA GeForce RTX 4090",
            memory_total_bytes=24_564 * MEBIBYTE,
            power_limit_mw=450_000,
            idle_mw=18_000,
            parked_mw=55_000,
            checkpoint_mw=70_000,
            serving_mw=(240_000, 420_000),
            training_mw=(280_000, 430_000),
            notebook_mw=(110_000, 330_000),
            bandwidth_permille=301,
        ),
        "p100": CardModel(
            name="Tesla P100-PCIE-16GB",
            memory_total_bytes=16_276 * MEBIBYTE,
            power_limit_mw=250_000,
            idle_mw=28_000,
            parked_mw=38_000,
            checkpoint_mw=50_000,
            serving_mw=(110_000, 220_000),
            training_mw=(140_000, 240_000),
            notebook_mw=(70_000, 180_000),
            bandwidth_permille=219,
            unsupported=frozenset({"energy_mj"}),  # hardware.md 1.1: none before Volta
        ),
    }
)
"""Short name to model."""
