"""The status page, for people in any hour."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from agent.export.status import TROUBLE, render_status
from agent.samples.device import FaultReason
from agent.view import CollectorHealth, View
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


def page_of(picture: View | None) -> str:
    return render_status(picture, "gpu-node-17")


def test_before_the_first_tick_it_says_so() -> None:
    """No picture is a page too."""
    assert "no reading has arrived yet" in Balance(page_of(None)).words


def test_it_shows_money_cards_and_teams() -> None:
    """The sums of the month and of now, each card, each team."""
    words = Balance(page_of(view(card(0), card(1, team="nlp")))).words
    for shown in ("6.00", "3,000.00", "1,000.00", "33%", "vision", "nlp", "42 %", "5.0 GiB",
                  "512 W", "61 °C", "held for 1.5 min", "running for 1.0 h"):  # fmt: skip
        assert shown in words, shown
    assert "no price" not in words


def test_it_says_which_host_which_card_and_which_price() -> None:
    """In the title and the heading; a card by its UUID and its price by its id, to be copied."""
    html = page_of(view(card(0)))
    assert "<title>gpu-node-17 \N{MIDDLE DOT} 3.00 USD/h" in html
    assert "<h1>gpu-node-17 " in html
    words = Balance(html).words
    assert "GPU-0" in words
    assert re.search(r"3\.00\s*h100\b", words)


def test_sums_are_of_one_currency() -> None:
    """A month that was begun in another one is not added to this."""
    picture = view(card(0))
    other = {key._replace(currency="EUR"): sums for key, sums in picture.month_cost.items()}
    words = Balance(page_of(replace(picture, month_cost={**picture.month_cost, **other}))).words
    assert "1,500.00" in words
    assert "3,000.00" not in words


def test_what_nobody_put_a_price_on_is_not_zero() -> None:
    """A dash, and what unpriced means."""
    words = Balance(page_of(replace(view(bare(0)), month_cost={}))).words
    assert "0.00" not in words
    assert "Unpriced means that no record of the price table holds" in words


def test_a_part_that_fails_says_what_that_means() -> None:
    """In words; each that the agent has, and one that is not known here."""
    failing = {name: CollectorHealth(False, 0.0, None) for name in (*TROUBLE, "tokens")}
    words = Balance(page_of(replace(view(card(0)), collectors=failing))).words
    assert all(meaning in words for meaning in TROUBLE.values())
    assert re.search(r"tokens\s*failing: the log says why", words)
    fine = {name: CollectorHealth(True, 0.0, 1) for name in TROUBLE}
    assert "failing" not in Balance(page_of(replace(view(card(0)), collectors=fine))).words


def test_it_says_what_is_wrong() -> None:
    """Faults, missing prices, failing collectors and a silent driver are told."""
    words = Balance(page_of(rich())).words
    for reason in FaultReason:
        assert f"({reason})" in words
    assert "1 of 10 cards have no price" in words
    assert "failing" in words
    dark = Balance(page_of(view(faulty(0, FaultReason.DRIVER), driver_up=False))).words
    assert "not answering: DRIVER_NOT_LOADED" in dark


def test_a_card_without_readings_and_a_node_without_cards_have_a_page() -> None:
    """Missing readings are dashes, never 0."""
    words = Balance(page_of(view(bare(0)))).words
    assert "unpriced" in words
    assert re.search(r"\b0 [%W]", words) is None
    assert "No cards." in Balance(page_of(view())).words


def test_invented_cards_are_called_so() -> None:
    """Nobody takes a simulated node for a real one."""
    words = Balance(page_of(replace(view(card(0)), source="simulated"))).words
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
    html = page_of(replace(picture, collectors={HOSTILE: health}))
    page = Balance(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert HOSTILE in page.words


def test_it_needs_nothing_from_elsewhere() -> None:
    """No script, image, font or style sheet is loaded."""
    html = page_of(rich())
    assert not Balance(html).tags & {"script", "img", "link", "iframe"}
    assert "//" not in html.replace("<!doctype html>", "")
