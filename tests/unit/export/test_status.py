"""The status page, for people in any hour."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from agent.export.status import render_status
from agent.samples.device import FaultReason
from tests.unit.export.views import bare, card, faulty, rich, view

HOSTILE = '<script>alert("x")</script>\'&'


class Balance(HTMLParser):
    """Collects text, and fails on a tag that is closed without having been opened."""

    VOID = frozenset({"meta", "br", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(html)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base's name
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_before_the_first_tick_it_says_so() -> None:
    """No picture is a page too."""
    assert "no reading has arrived yet" in Balance(render_status(None)).words


def test_it_shows_money_cards_and_teams() -> None:
    """The sums of the month and of now, each card, each team."""
    words = Balance(render_status(view(card(0), card(1, team="nlp")))).words
    for shown in ("6.00", "3,000.00", "1,000.00", "33%", "vision", "nlp", "42 %", "5.0 GiB",
                  "512 W", "61 °C", "held for 1.5 min", "running for 1.0 h"):  # fmt: skip
        assert shown in words, shown
    assert "no price" not in words


def test_it_says_what_is_wrong() -> None:
    """Faults, missing prices, failing collectors and a silent driver are told."""
    words = Balance(render_status(rich())).words
    for reason in FaultReason:
        assert f"({reason})" in words
    assert "1 of 9 cards have no price" in words
    assert "failing" in words
    dark = Balance(render_status(view(faulty(0, FaultReason.DRIVER), driver_up=False))).words
    assert "not answering: DRIVER_NOT_LOADED" in dark


def test_a_card_without_readings_and_a_node_without_cards_have_a_page() -> None:
    """Missing readings are dashes, never 0."""
    words = Balance(render_status(view(bare(0)))).words
    assert "unpriced" in words
    assert re.search(r"\b0 [%W]", words) is None
    assert "No cards." in Balance(render_status(view())).words


def test_invented_cards_are_called_so() -> None:
    """Nobody takes a simulated node for a real one."""
    words = Balance(render_status(replace(view(card(0)), source="simulated"))).words
    assert "simulated, not real" in words


def test_hostile_names_do_not_become_markup() -> None:
    """Teams, models, prices, reasons and collectors are text, in attributes too."""
    odd = card(0, team=HOSTILE, model=HOSTILE)
    assert odd.price is not None
    odd = replace(
        odd,
        price=replace(odd.price, id=f'"{HOSTILE}'),
        identity=replace(odd.identity, uuid=f'"{HOSTILE}'),
    )
    picture = replace(view(odd), driver_up=False, driver_reason=HOSTILE, source=HOSTILE)
    health = picture.collectors["devices"]
    html = render_status(replace(picture, collectors={HOSTILE: health}))
    page = Balance(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert HOSTILE in page.words


def test_it_needs_nothing_from_elsewhere() -> None:
    """No script, image, font or style sheet is loaded."""
    html = render_status(rich())
    assert not Balance(html).tags & {"script", "img", "link", "iframe"}
    assert "//" not in html.replace("<!doctype html>", "")
