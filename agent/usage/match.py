"""Which cards a rule of the operator speaks of: prices, teams and exemptions all choose alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase

from agent.samples.device import GpuIdentity
from agent.samples.reading import Missing

GIBIBYTE = 1 << 30
_LEAST_SHARE, _MOST_ABOVE = 0.9, 0.5
"""A driver shows less than the name promises: 48 GB of an L40S are 45.0 GiB, 16 of a T4 15.0.
None shows more; a size may be rounded from what it shows."""


class FormFactor(StrEnum):
    """How a card is built, as far as NVML's product name tells."""

    SXM = "sxm"
    PCIE = "pcie"
    NVL = "nvl"


_FORM_FACTORS = (
    ("*SXM*", FormFactor.SXM),
    ("*NVL*", FormFactor.NVL),
    ("*PCIe*", FormFactor.PCIE),
    ("*H100 80GB HBM3*", FormFactor.SXM),
    ("*H200*", FormFactor.SXM),
    ("*B200*", FormFactor.SXM),
)
"""The first glob that matches the name; every other board goes into a PCIe slot."""


class Level(IntEnum):
    """How closely a match names a card; the closest comes first."""

    UUID = 0
    MIG_PROFILE = 1
    NODE = 2
    MODEL = 3


def form_factor(model: str) -> FormFactor:
    """The form factor that a product name stands for."""
    found = (form for glob, form in _FORM_FACTORS if fnmatchcase(model, glob))
    return next(found, FormFactor.PCIE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMatch:
    """Everything that is given must hold.

    ``model`` and ``mig_profile`` are globs over NVML's names, ``memory_gb`` is the size in the name of
    the product, ``node`` maps names of node labels to globs over their values.
    """

    uuid: str | None = None
    model: str | None = None
    memory_gb: int | None = None
    form_factor: FormFactor | None = None
    mig_profile: str | None = None
    node: Mapping[str, str] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """How closely it names a card."""
        if self.uuid is not None:
            return Level.UUID
        if self.mig_profile is not None:
            return Level.MIG_PROFILE
        return Level.NODE if self.node else Level.MODEL

    def matches(self, card: GpuIdentity, labels: Mapping[str, str]) -> bool:
        """Whether it speaks of a card of a node with these labels."""
        return (
            self.uuid in {None, card.uuid}
            and _like(card.model, self.model)
            and (self.memory_gb is None or _has_memory(card, self.memory_gb))
            and self.form_factor in {None, form_factor(card.model)}
            and (self.mig_profile is None or _has_profile(card, self.mig_profile))
            and all(_like(labels.get(key, ""), glob) for key, glob in self.node.items())
        )

    def why_not(self, card: GpuIdentity, labels: Mapping[str, str]) -> str:
        """The keys that keep it from a card of a node with these labels; empty when it matches."""
        found = [
            _differs("uuid", self.uuid, card.uuid, holds=self.uuid == card.uuid),
            _differs("model", self.model, card.model, holds=_like(card.model, self.model)),
            self._why_not_memory(card),
            _differs(
                "form_factor",
                self.form_factor,
                form_factor(card.model),
                holds=self.form_factor == form_factor(card.model),
            ),
            self._why_not_profile(card),
        ]
        for key, glob in self.node.items():
            if not _like(labels.get(key, ""), glob):
                has = labels.get(key) or "no such label"
                found.append(f"node {key} must be {glob}, and this node has {has}")
        return "; ".join(filter(None, found))

    def _why_not_memory(self, card: GpuIdentity) -> str:
        if self.memory_gb is None or _has_memory(card, self.memory_gb):
            return ""
        total = card.memory_total_bytes
        if isinstance(total, Missing):
            return (
                f"memory_gb must be {self.memory_gb}, and the card's is not known: give --memory-gb"
            )
        return f"memory_gb must be {self.memory_gb}, and this card has {total / GIBIBYTE:.1f} GiB"

    def _why_not_profile(self, card: GpuIdentity) -> str:
        if self.mig_profile is None or _has_profile(card, self.mig_profile):
            return ""
        has = ", ".join(card.mig_profiles) or "no MIG instances"
        return f"mig_profile must be {self.mig_profile}, and this card has {has}"

    def meets(self, other: "CardMatch") -> bool:
        """Whether some card could match both, and neither names it more closely."""
        if self.level != other.level:
            return False
        if self.uuid is not None and self.uuid != other.uuid:
            return False
        if None not in (forms := {self.form_factor, other.form_factor}) and len(forms) > 1:
            return False
        if not _sizes_meet(self.memory_gb, other.memory_gb):
            return False
        globs = [(self.model, other.model), (self.mig_profile, other.mig_profile)]
        globs += [(glob, other.node.get(key)) for key, glob in self.node.items()]
        return all(globs_intersect(one or "*", two or "*") for one, two in globs)

    def __str__(self) -> str:
        parts = {
            "uuid": self.uuid,
            "model": self.model,
            "memory_gb": self.memory_gb,
            "form_factor": self.form_factor,
            "mig_profile": self.mig_profile,
            **{f"node {key}": glob for key, glob in self.node.items()},
        }
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _differs(key: str, wanted: str | None, given: str, *, holds: bool) -> str:
    if wanted is None or holds:
        return ""
    has = f"this card has {given}" if given else f"the card's is not known: give --{key}"
    return f"{key} must be {wanted}, and {has}"


def _like(name: str, glob: str | None) -> bool:
    return glob is None or fnmatchcase(name, glob)


def _has_memory(card: GpuIdentity, memory_gb: int) -> bool:
    total = card.memory_total_bytes
    if isinstance(total, Missing):
        return False
    least, most = _sizes(memory_gb)
    return least <= total / GIBIBYTE <= most


def _sizes(memory_gb: int) -> tuple[float, float]:
    """What a driver may show for a size in a product's name, in GiB."""
    return memory_gb * _LEAST_SHARE, memory_gb + _MOST_ABOVE


def _sizes_meet(first: int | None, second: int | None) -> bool:
    """Whether a card may show what fits both: 141 and 144 GB are one card to a driver."""
    if first is None or second is None:
        return True
    (least, most), (from_, to) = _sizes(first), _sizes(second)
    return least <= to and from_ <= most


def _has_profile(card: GpuIdentity, glob: str) -> bool:
    return bool(card.mig_profiles) and all(fnmatchcase(each, glob) for each in card.mig_profiles)


def globs_intersect(first: str, second: str) -> bool:
    """Whether some name matches both globs of ``*`` and ``?`` (no character classes)."""
    row = [True] + [False] * len(second)
    for column, char in enumerate(second, 1):
        row[column] = row[column - 1] and char == "*"
    for char in first:
        above, row = row, [row[0] and char == "*"]
        for column, other in enumerate(second, 1):
            if "*" in (char, other):
                row.append(above[column] or row[column - 1])
            else:
                row.append(above[column - 1] and (char == other or "?" in (char, other)))
    return row[-1]
