"""What is said of prices, each thing once."""

import logging
from dataclasses import replace

import pytest

from agent.ports import ViewProvider
from agent.runtime.prices import PriceWatch
from agent.view import CardView, View
from tests.unit.export.views import NOW, PRICE, bare, card, view

DAY = 86_400


class Watched(ViewProvider):
    """A watch over views that a test changes; digests are single words."""

    def __init__(self, *cards: CardView, **known: frozenset[str]) -> None:
        self.picture: View | None = view(*cards)
        self.watch = PriceWatch(self, known, stale_days=90)

    def current(self) -> View | None:
        return self.picture


def priced(record: str = "", age_days: int | None = None) -> CardView:
    retrieved_at = None if age_days is None else NOW.wall_ns // 10**9 - age_days * DAY
    return replace(card(0), price=replace(PRICE, digest=record, retrieved_at=retrieved_at))


def test_nothing_is_said_before_the_cards_are_known(caplog: pytest.LogCaptureFixture) -> None:
    """No success either: nobody has looked."""
    watched = Watched(bare(0))
    watched.picture = None
    assert watched.watch.check() is None
    watched.picture = replace(view(bare(0)), settled=False)
    assert watched.watch.check() is None
    assert caplog.messages == []


def test_a_card_without_a_price_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Again only after it had one."""
    watched = Watched(priced(), bare(1))
    assert [watched.watch.check(), watched.watch.check()] == [False, False]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("GPU-1 has no price")
    watched.picture = view(priced())
    assert watched.watch.check() is True
    watched.picture = view(bare(1))
    watched.watch.check()
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("doubtful", "words"),
    [
        (priced(record="edited"), "h100 was edited in place"),
        (priced(age_days=91), "h100 is 91 days old"),
    ],
)
def test_a_doubtful_record_is_told_once(
    doubtful: CardView, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each look, and anew after the prices were read anew."""
    caplog.set_level(logging.WARNING)
    watched = Watched(doubtful, h100=frozenset({"as it was"}))
    assert [watched.watch.check() for _ in range(3)] == [True] * 3
    assert [words in message for message in caplog.messages] == [True]
    watched.watch.forget()
    watched.watch.check()
    assert len(caplog.messages) == 2


def test_a_record_as_it_was_and_a_fresh_list_price_are_not_doubted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """90 days are not yet old."""
    watched = Watched(priced(record="same", age_days=90), h100=frozenset({"same"}))
    assert watched.watch.check() is True
    assert caplog.messages == []
