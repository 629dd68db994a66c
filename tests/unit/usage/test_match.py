"""Which cards a rule speaks of."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, strategies as st

from agent.samples.device import GpuIdentity
from agent.samples.reading import Missing
from agent.usage.match import CardMatch, FormFactor, Level, form_factor
from tests.builders import CARD, OTHER_CARD, a_card

GIB = 1 << 30


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("NVIDIA H100 80GB HBM3", FormFactor.SXM),
        ("NVIDIA H100 PCIe", FormFactor.PCIE),
        ("NVIDIA H100 NVL", FormFactor.NVL),
        ("NVIDIA H200", FormFactor.SXM),
        ("NVIDIA H200 NVL", FormFactor.NVL),
        ("NVIDIA A100-SXM4-80GB", FormFactor.SXM),
        ("NVIDIA A100 80GB PCIe", FormFactor.PCIE),
        ("NVIDIA L40S", FormFactor.PCIE),
        ("Tesla T4", FormFactor.PCIE),
        ("Tesla V100-SXM2-16GB", FormFactor.SXM),
        ("NVIDIA B200", FormFactor.SXM),
    ],
)
def test_form_factor_is_read_from_the_product_name(model: str, form: FormFactor) -> None:
    """NVML has no call for it; the name tells."""
    assert form_factor(model) is form


@pytest.mark.parametrize(
    ("total_bytes", "size", "holds"),
    [
        (85_520_809_984, 80, True),  # H100 80 GB: 79.6 GiB
        (42_505_273_344, 40, True),
        (42_505_273_344, 80, False),
        (46_068 << 20, 48, True),  # L40S
        (15_360 << 20, 16, True),  # T4 with ECC
        (23_034 << 20, 24, True),  # L4
        (23_034 << 20, 16, False),
        (24_564 << 20, 24, True),  # RTX 4090
        (10_240 << 20, 12, False),  # RTX 3080, which there is with 10 and with 12
        (12_288 << 20, 10, False),
        (22_731 << 20, 24, True),  # A10G
        (143_771 << 20, 141, True),  # H200
        (183_359 << 20, 180, True),  # B200
        (183_359 << 20, 192, True),  # as it is sold
    ],
)
def test_memory_is_the_size_in_the_product_name(total_bytes: int, size: int, holds: bool) -> None:
    """Drivers report less than is sold."""
    card = replace(a_card(), memory_total_bytes=total_bytes)

    assert CardMatch(model="*", memory_gb=size).matches(card, {}) is holds


@pytest.mark.parametrize(
    ("one", "two", "meet"),
    [(141, 144, True), (180, 192, True), (94, 96, True), (80, 96, False), (10, 12, False)],
)
def test_neighbouring_sizes_meet_where_a_card_can_show_both(one: int, two: int, meet: bool) -> None:
    """Two records for one card would leave the choice to the order of the file."""
    first, second = (CardMatch(model="*", memory_gb=size) for size in (one, two))
    shown = (replace(a_card(), memory_total_bytes=mib << 20) for mib in range(8_192, 200_000, 64))

    assert first.meets(second) is second.meets(first) is meet
    assert any(first.matches(card, {}) and second.matches(card, {}) for card in shown) is meet


def test_memory_that_is_not_known_matches_no_size() -> None:
    """Missing is not any size."""
    card = replace(a_card(), memory_total_bytes=Missing.NOT_SUPPORTED)

    assert not CardMatch(model="*", memory_gb=80).matches(card, {})


def test_mig_profile_needs_every_instance() -> None:
    """A card cut into different sizes is no card of either."""
    match = CardMatch(mig_profile="1g.*")

    assert match.matches(replace(a_card(), mig_profiles=("1g.10gb", "1g.10gb")), {})
    assert not match.matches(replace(a_card(), mig_profiles=("1g.10gb", "3g.40gb")), {})
    assert not match.matches(a_card(), {})


def test_node_labels_are_globs_and_an_absent_label_is_empty() -> None:
    """A rule for a pool does not speak of nodes that name none."""
    match = CardMatch(model="*", node={"pool": "train*"})

    assert match.matches(a_card(), {"pool": "training"})
    assert not match.matches(a_card(), {"pool": "serving"})
    assert not match.matches(a_card(), {})


def test_level_is_the_closest_name() -> None:
    """A card's own UUID, then its MIG profile, then its node, then its model."""
    levels = [
        CardMatch(uuid=CARD, node={"pool": "a"}).level,
        CardMatch(mig_profile="*", node={"pool": "a"}).level,
        CardMatch(model="*", node={"pool": "a"}).level,
        CardMatch(model="*").level,
    ]

    assert levels == [Level.UUID, Level.MIG_PROFILE, Level.NODE, Level.MODEL]


parts = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["*", "NVIDIA H100*", "*PCIe", "NVIDIA A?00*", "Tesla T4"]),
        "memory_gb": st.sampled_from([15, 16, 40, 80]),
        "form_factor": st.sampled_from(list(FormFactor)),
        "mig_profile": st.sampled_from(["1g.10gb", "1g.*", "3g.40gb"]),
        "node": st.sampled_from([{"pool": "a*"}, {"pool": "*b"}, {"pool": "b"}, {"zone": "x"}]),
        "uuid": st.sampled_from([CARD, OTHER_CARD]),
    },
).map(lambda given: CardMatch(**given))  # type: ignore[arg-type]  # kinds go with names above
WORLD = [
    (
        replace(a_card(uuid, model=model), memory_total_bytes=size * GIB, mig_profiles=profiles),
        {"pool": pool, "zone": zone},
    )
    for uuid, model, size, profiles, pool, zone in product(
        (CARD, OTHER_CARD),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA A100-PCIE-40GB", "Tesla T4"),
        (15, 40, 80),
        ((), ("1g.10gb",), ("3g.40gb",)),
        ("a", "ab", "b"),
        ("x", "y"),
    )
]


@given(first=parts, second=parts)
def test_matches_that_share_a_card_meet(first: CardMatch, second: CardMatch) -> None:
    """No overlap of two rules of one level goes unseen."""
    shared = any(
        first.matches(card, labels) and second.matches(card, labels) for card, labels in WORLD
    )

    assert first.meets(second) == second.meets(first)
    if shared and first.level == second.level:
        assert first.meets(second)


@pytest.mark.parametrize(
    ("match", "card", "why"),
    [
        (
            CardMatch(model="NVIDIA H100*", memory_gb=80, form_factor=FormFactor.SXM),
            a_card(),
            "memory_gb must be 80, and the card's is not known: give --memory-gb",
        ),
        (
            CardMatch(model="*", memory_gb=80),
            replace(a_card(), memory_total_bytes=40 * GIB),
            "memory_gb must be 80, and this card has 40.0 GiB",
        ),
        (
            CardMatch(model="Tesla T4", form_factor=FormFactor.PCIE),
            a_card(),
            (
                "model must be Tesla T4, and this card has NVIDIA H100 80GB HBM3; "
                "form_factor must be pcie, and this card has sxm"
            ),
        ),
        (
            CardMatch(uuid=OTHER_CARD),
            a_card(),
            f"uuid must be {OTHER_CARD}, and this card has {CARD}",
        ),
        (
            CardMatch(uuid=CARD),
            a_card(""),
            f"uuid must be {CARD}, and the card's is not known: give --uuid",
        ),
        (
            CardMatch(model="NVIDIA*"),
            a_card(model=""),
            "model must be NVIDIA*, and the card's is not known: give --model",
        ),
        (
            CardMatch(mig_profile="1g.*"),
            a_card(),
            "mig_profile must be 1g.*, and this card has no MIG instances",
        ),
        (
            CardMatch(mig_profile="1g.*"),
            replace(a_card(), mig_profiles=("1g.10gb", "3g.40gb")),
            "mig_profile must be 1g.*, and this card has 1g.10gb, 3g.40gb",
        ),
        (
            CardMatch(model="*", node={"pool": "train*", "zone": "x", "rack": "r*"}),
            a_card(),
            (
                "node pool must be train*, and this node has serving; "
                "node rack must be r*, and this node has no such label"
            ),
        ),
    ],
)
def test_why_not_names_the_keys_that_fail_for_the_card(
    match: CardMatch, card: GpuIdentity, why: str
) -> None:
    """Only those, with what the card has, or how to say what it has."""
    assert match.why_not(card, {"pool": "serving", "zone": "x"}) == why


@given(match=parts)
def test_why_not_is_empty_exactly_for_what_matches(match: CardMatch) -> None:
    """An answer for every card that is passed over, and none for the others."""
    for card, labels in WORLD:
        assert (match.why_not(card, labels) == "") == match.matches(card, labels)
