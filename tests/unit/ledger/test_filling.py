"""The time when the agent was away, from the first tick to the moment it can be booked."""

from dataclasses import replace

from agent.cost.prices import Tier
from agent.ledger.account import Account
from agent.ledger.fill import Host
from agent.samples.device import FaultReason
from tests.builders import CARD, a_fault, a_node, a_policy, a_rental, a_sample
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger

HOUR = 3_600
RESERVED = a_policy(a_rental("3.60", tier=Tier.RESERVED))
BEFORE = Host(machine_id="m", boot_id="one", clock_synchronized=True)
REBOOTED = Host(machine_id="m", boot_id="two", clock_synchronized=False)


def ledger_of_a_card_that_ran(clock: FakeClock) -> FakeLedger:
    """A node with one card, booked for a second, and then away for ten hours over a reboot."""
    store = FakeLedger()
    account = Account(RESERVED, store.recover(), BEFORE)
    account.advance(a_node(a_sample()), clock.now())
    account.advance(a_node(a_sample()), clock.move(1))
    store.write(account.take())
    clock.move(10 * HOUR)
    return store


def booked_seconds(store: FakeLedger) -> float:
    return sum(quantity for _, quantity in store.rows.values()) / 1e9


def test_a_reboot_is_filled_when_the_clock_has_become_synchronised() -> None:
    """An agent that starts before the first NTP answer loses nothing of the downtime."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    account = Account(RESERVED, store.recover(), REBOOTED)

    account.advance(a_node(a_sample()), clock.now())
    said = list(account.notes)
    for _ in range(5):
        account.advance(a_node(a_sample()), clock.move(1))
        assert account.notes == []  # once is enough
    account.host = replace(REBOOTED, clock_synchronized=True)
    account.advance(a_node(a_sample()), clock.move(1))
    store.write(account.take())

    assert "not synchronised" in said[0]
    assert booked_seconds(store) == 10 * HOUR + 7
    assert account.cards[CARD].filled_ns == 10 * HOUR * 10**9
    assert account.unreconciled_nanos == 0
    assert account.counters.total("gpufin_cost_total") == 6 * 1_000_000


def test_a_card_that_left_meanwhile_is_filled_until_max_down() -> None:
    """It was expected for an hour after it was last seen, and is not paid for longer."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    account = Account(RESERVED, store.recover(), replace(REBOOTED, clock_synchronized=True))

    account.advance(a_node(cards=[]), clock.now())
    store.write(account.take())

    assert booked_seconds(store) == 1 + HOUR
    assert account.cards == {}
    assert store.recover().checkpoints == {}


def test_nothing_is_filled_before_the_driver_has_spoken() -> None:
    """Whether the card is there decides how much; until then the gap waits."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    account = Account(RESERVED, store.recover(), replace(REBOOTED, clock_synchronized=True))

    account.advance(a_node(driver_up=False, settled=False), clock.now())
    waiting = account.cards[CARD].filled_ns
    account.advance(a_node(a_sample()), clock.move(1))
    store.write(account.take())

    assert waiting is None
    assert booked_seconds(store) == 10 * HOUR + 2


def test_cards_are_not_given_up_while_the_driver_is_silent() -> None:
    """A node whose driver does not load keeps its cards: they are paid for, and down."""
    clock = FakeClock()
    account = Account(RESERVED, FakeLedger().recover(), BEFORE)
    account.advance(a_node(a_sample()), clock.now())

    for _ in range(30):
        account.advance(a_node(a_fault(FaultReason.DRIVER), driver_up=False), clock.move(HOUR))

    assert set(account.cards) == {CARD}


def test_a_step_of_the_wall_clock_gives_up_no_card() -> None:
    """Down time is measured by the boot clock."""
    clock = FakeClock()
    account = Account(RESERVED, FakeLedger().recover(), BEFORE)
    account.advance(a_node(a_sample()), clock.now())

    clock.step(2 * HOUR)
    account.advance(a_node(a_fault(FaultReason.LOST)), clock.move(1))

    assert set(account.cards) == {CARD}
