"""Models of card: what the real family of each answers.

Identity, limits, memory and the NOT_SUPPORTED pattern come from captures of nvidia-smi of real
cards (`-q`, N/A being NOT_SUPPORTED); what does not is said at the profile.
"""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Profile:
    """A model of card: what its real family answers.

    Powers are milliwatts, memories bytes, clocks MHz, temperatures degrees Celsius.
    `power_limits_mw` is (lowest, default, highest). `unsupported` names the calls, and
    `field:N` of nvmlDeviceGetFieldValues, that answer NOT_SUPPORTED.
    """

    name: str
    architecture: int
    capability: tuple[int, int]
    pci_device: int
    memory_total: int
    memory_reserved: int
    bar1_total: int
    power_limits_mw: tuple[int, int, int]
    idle_power_mw: int
    idle_temperature: int
    clock_idle: int
    clock_max: int
    clock_memory: int
    clock_video: int
    unsupported: frozenset[str]
    links: int = 0


_NO_MIG = frozenset({"nvmlDeviceGetMigMode"})
_NO_FAN = frozenset({"nvmlDeviceGetFanSpeed"})
_NO_NVLINK = frozenset({f"field:{number}" for number in (91, 138, 139, 140, 141)})
_NO_MEMORY_SENSOR = frozenset({"field:82"})
_NO_AVERAGE_POWER = frozenset({"field:185"})
_NO_REMAPPING = frozenset({"nvmlDeviceGetRemappedRows"})
_NO_ECC = frozenset({"nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetMemoryErrorCounter"})
_NO_SERIAL = frozenset({"nvmlDeviceGetSerial"})
NO_ENERGY = frozenset({"nvmlDeviceGetTotalEnergyConsumption", "field:83", "field:191"})
"""Added to a card's `unsupported` it makes it a card older than Volta, or a vGPU guest."""
WITH_MIG = frozenset(
    {
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetProcessUtilization",
        "nvmlDeviceGetProcessesUtilizationInfo",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetEncoderUtilization",
        "nvmlDeviceGetDecoderUtilization",
    }
)
"""What a card in MIG mode does not answer for the whole of it."""

H100 = Profile(  # capture of driver 590.48.01: idle 70 W at 345 MHz
    name="NVIDIA H100 80GB HBM3",
    architecture=9,
    capability=(9, 0),
    pci_device=0x233010DE,
    memory_total=81559 * MIB,
    memory_reserved=479 * MIB,
    bar1_total=131072 * MIB,
    power_limits_mw=(200_000, 700_000, 700_000),
    idle_power_mw=70_000,
    idle_temperature=41,
    clock_idle=345,
    clock_max=1980,
    clock_memory=2619,
    clock_video=1545,
    unsupported=_NO_FAN,
    links=18,
)
L40S = Profile(  # capture of driver 595.80; the idle power is the project's own estimate
    name="NVIDIA L40S",
    architecture=8,
    capability=(8, 9),
    pci_device=0x26B910DE,
    memory_total=46068 * MIB,
    memory_reserved=609 * MIB,
    bar1_total=65536 * MIB,
    power_limits_mw=(100_000, 350_000, 350_000),
    idle_power_mw=35_000,
    idle_temperature=35,
    clock_idle=210,
    clock_max=2520,
    clock_memory=9001,
    clock_video=1965,
    unsupported=_NO_FAN | _NO_MIG | _NO_NVLINK | _NO_MEMORY_SENSOR,
)
T4 = Profile(  # capture of nvidia-smi -q -x; idle power from issue captures
    name="Tesla T4",
    architecture=6,
    capability=(7, 5),
    pci_device=0x1EB810DE,
    memory_total=15360 * MIB,
    memory_reserved=448 * MIB,
    bar1_total=256 * MIB,
    power_limits_mw=(60_000, 70_000, 70_000),
    idle_power_mw=14_000,
    idle_temperature=33,
    clock_idle=300,
    clock_max=1590,
    clock_memory=5001,
    clock_video=1470,
    unsupported=(
        _NO_FAN | _NO_MIG | _NO_NVLINK | _NO_MEMORY_SENSOR | _NO_AVERAGE_POWER | _NO_REMAPPING
    ),
)
RTX_4090 = Profile(
    # Pattern, reserve and idle figures are those of the RTX 4080 SUPER capture, the nearest there
    # is; name, memory, limits and clocks are the 4090's specification.
    name="NVIDIA GeForce RTX 4090",
    architecture=8,
    capability=(8, 9),
    pci_device=0x268410DE,
    memory_total=24564 * MIB,
    memory_reserved=434 * MIB,
    bar1_total=32768 * MIB,
    power_limits_mw=(150_000, 450_000, 600_000),
    idle_power_mw=26_000,
    idle_temperature=43,
    clock_idle=210,
    clock_max=3105,
    clock_memory=10501,
    clock_video=2415,
    unsupported=_NO_MIG | _NO_NVLINK | _NO_MEMORY_SENSOR | _NO_REMAPPING | _NO_ECC | _NO_SERIAL,
)


PROFILES = (H100, L40S, T4, RTX_4090)
