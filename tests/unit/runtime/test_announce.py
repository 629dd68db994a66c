"""What the world hears of the agent's life."""

from dataclasses import replace

from agent.runtime.announce import Announcer
from agent.runtime.notify import Notifier
from agent.runtime.picture import status_line
from tests.unit.export.views import SECOND, bare, card, rich, view


class Heard(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.words: list[str] = []

    def ready(self, status: str) -> None:
        self.words.append(f"ready: {status}")

    def status(self, status: str) -> None:
        self.words.append(status)


def test_ready_is_said_once_when_the_driver_has_answered() -> None:
    """Not while it has not: a service manager would go on to what needs the cards."""
    heard, begun = Heard(), list[str]()
    announcer = Announcer(heard, on_ready=lambda: begun.append("now"))
    announcer.turn(replace(rich(), settled=False))
    assert (heard.words, begun) == ([], [])
    announcer.turn(rich())
    announcer.turn(rich())
    assert heard.words == [f"ready: {status_line(rich())}"]
    assert begun == ["now"]


def test_the_status_is_renewed_every_half_minute() -> None:
    """Not at each tick."""
    heard = Heard()
    announcer = Announcer(heard, on_ready=lambda: None)
    for passed in (0, 29, 30, 31):
        at = replace(rich().at, boottime_ns=rich().at.boottime_ns + passed * SECOND)
        announcer.turn(replace(rich(), at=at))
    assert len(heard.words) == 2


def test_the_status_line_counts_cards_without_a_price_and_calls_no_cost_zero() -> None:
    """What nobody put a price on does not cost 0.00."""
    both, none = view(card(0), bare(1)), replace(view(bare(0)), month_cost={})
    assert status_line(both) == "2 of 2 cards, 1 unpriced, 3.00 USD/h, 3000.00 USD in 2026-10"
    assert status_line(none) == "1 of 1 cards, 1 unpriced"
    assert status_line(replace(view(card(0)), month_cost={})) == (
        "1 of 1 cards, 3.00 USD/h, 0.00 USD in 2026-10"
    )


def test_the_status_line_says_why_the_driver_is_silent() -> None:
    """In its own word."""
    assert status_line(view(card(0), driver_up=False)).endswith(", driver: DRIVER_NOT_LOADED")
