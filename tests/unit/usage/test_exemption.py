"""Idle time that is meant to be."""

from zoneinfo import ZoneInfo

from agent.usage.exemption import Exemption, exemption_of
from agent.usage.match import CardMatch
from agent.usage.timetable import Timetable, When
from tests.builders import CARD, OTHER_CARD, UTC, a_card

ALWAYS = Timetable(zone=UTC, otherwise=True)
NIGHT = Timetable(
    zone=ZoneInfo("Europe/Berlin"),
    entries=((When(from_minute=20 * 60, to_minute=8 * 60), True),),
    otherwise=False,
)
RULES = (
    Exemption(name="standby", match=CardMatch(uuid=CARD), hours=ALWAYS),
    Exemption(name="nights", match=CardMatch(model="*"), team="research", hours=NIGHT),
)
NOON, MIDNIGHT = 1_792_231_200, 1_792_274_400  # 2026-10-17 10:00 and 22:00 UTC


def test_the_first_exemption_that_holds_counts() -> None:
    """By card, by team and hour, or none."""
    assert exemption_of(a_card(), "research", {}, RULES, MIDNIGHT) == "standby"
    other = a_card(OTHER_CARD)
    assert exemption_of(other, "research", {}, RULES, MIDNIGHT) == "nights"
    assert exemption_of(other, "research", {}, RULES, NOON) == ""
    assert exemption_of(other, "vision", {}, RULES, MIDNIGHT) == ""
