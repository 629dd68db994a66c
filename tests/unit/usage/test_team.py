"""Whose card it is."""

import pytest

from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.usage.team import UNALLOCATED, UNATTRIBUTED, TeamRule, team_charged, team_of
from tests.builders import CARD, OTHER_CARD, a_card

RULES = (
    TeamRule("everybody", CardMatch(model="NVIDIA *")),
    TeamRule("later", CardMatch(model="NVIDIA H100*")),
    TeamRule("mine", CardMatch(uuid=CARD)),
)


def test_team_of_a_card_named_by_uuid_comes_before_its_model() -> None:
    """A rule for the card itself beats rules for its model, wherever it stands."""
    assert team_of(a_card(), {}, RULES) == "mine"


def test_team_of_a_model_is_the_first_that_matches() -> None:
    """Among rules for models the first counts."""
    assert team_of(a_card(OTHER_CARD), {}, RULES) == "everybody"


def test_card_without_a_rule_has_no_team() -> None:
    """No rule, no team."""
    assert team_of(a_card(OTHER_CARD, model="Tesla T4"), {}, RULES) == ""


@pytest.mark.parametrize("state", list(CardState))
def test_team_pays_in_every_state(state: CardState) -> None:
    """A card given to a team is charged to it whatever it does."""
    assert team_charged("mine", state) == "mine"


@pytest.mark.parametrize(
    ("state", "team"),
    [
        (CardState.IDLE, UNALLOCATED),
        (CardState.DOWN, UNALLOCATED),
        (CardState.ACTIVE, UNATTRIBUTED),
        (CardState.HELD, UNATTRIBUTED),
        (CardState.UNKNOWN, UNATTRIBUTED),
    ],
)
def test_card_of_nobody_tells_nobody_from_nobody_known(state: CardState, team: str) -> None:
    """Idle and down cards are held by nobody; of the others the holder is not known."""
    assert team_charged("", state) == team
