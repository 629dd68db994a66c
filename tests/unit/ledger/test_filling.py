"""The time when the agent was away, from the first tick to the moment it can be booked."""

from collections import defaultdict
from dataclasses import replace

import pytest

from agent.cost.prices import Tier
from agent.ledger.account import Account
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason
from tests.builders import (
    CARD,
    a_fault,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger

HOUR = 3_600
RESERVED = a_policy(a_rental("3.60", tier=Tier.RESERVED))
BEFORE = Host(machine_id="m", boot_id="one", clock_synchronized=True)
REBOOTED = Host(machine_id="m", boot_id="two", clock_synchronized=False)


def ledger_of_a_card_that_ran(clock: FakeClock, policy: AccountPolicy = RESERVED) -> FakeLedger:
    """A node with one card, booked for a second, and then away for ten hours over a reboot."""
    store = FakeLedger()
    account = Account(policy, store.recover(), BEFORE)
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


# ---- several restarts before the gap can be measured


def synchronised(boot: str) -> Host:
    return replace(REBOOTED, boot_id=boot, clock_synchronized=True)


def test_restarts_before_the_clock_is_synchronised_lose_nothing() -> None:
    """Each process hands the open gap on, and the first that can be sure of the time fills it, once."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)

    for _ in range(3):
        account = Account(RESERVED, store.recover(), REBOOTED)
        account.advance(a_node(a_sample()), clock.now())
        account.advance(a_node(a_sample()), clock.move(1))
        store.write(account.take())
    clock.step(90)
    for _ in range(2):
        account = Account(RESERVED, store.recover(), synchronised("two"))
        account.advance(a_node(a_sample()), clock.move(1))
        store.write(account.take())

    assert booked_seconds(store) == 1 + 10 * HOUR + 90 + 5


@pytest.mark.parametrize("error_seconds", [0, -40 * 365 * 24 * HOUR, 5 * HOUR])
def test_a_boot_whose_clock_never_was_right_loses_nothing(error_seconds: int) -> None:
    """It ended before NTP answered: what it booked and what lies around it sum to the whole time."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    clock.step(error_seconds)
    account = Account(RESERVED, store.recover(), REBOOTED)
    account.advance(a_node(a_sample()), clock.now())
    account.advance(a_node(a_sample()), clock.move(30))
    store.write(account.take())
    clock.step(-error_seconds)
    clock.reboot(off_seconds=2 * HOUR)

    after = Account(RESERVED, store.recover(), synchronised("three"))
    after.advance(a_node(a_sample()), clock.now())
    store.write(after.take())

    assert booked_seconds(store) == 1 + 10 * HOUR + 30 + 2 * HOUR
    assert after.unreconciled_nanos == 0


def test_a_driver_that_hangs_at_boot_loses_nothing() -> None:
    """The process ends with 75 before it knew whether the card is there, again and again, over reboots."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    silent = a_node(cards=[], driver_up=False, settled=False)

    for boot in ("two", "two", "two", "three", "three"):
        account = Account(RESERVED, store.recover(), synchronised(boot))
        for _ in range(3):
            account.advance(silent, clock.move(10))
        store.write(account.take())
        clock.move(5)
    assert len(store.recover().checkpoints[CARD].gaps) == 4
    account = Account(RESERVED, store.recover(), synchronised("three"))
    account.advance(a_node(a_sample()), clock.now())
    store.write(account.take())

    assert booked_seconds(store) == 1 + 10 * HOUR + 5 * 35


def test_energy_waits_for_a_driver_that_hangs() -> None:
    """Also when the process that met the hang ends: within one boot the counter knows."""
    clock = FakeClock()
    store, policy = FakeLedger(), a_policy(an_owned())
    account = Account(policy, store.recover(), BEFORE)
    account.advance(a_node(a_sample(clock.boottime_ns, energy_mj=5)), clock.now())
    store.write(account.take())

    for _ in range(2):
        account = Account(policy, store.recover(), BEFORE)
        account.advance(a_node(cards=[], driver_up=False, settled=False), clock.move(10))
        store.write(account.take())
    account = Account(policy, store.recover(), BEFORE)
    clock.move(10)
    account.advance(a_node(a_sample(clock.boottime_ns, energy_mj=9_005)), clock.now())
    store.write(account.take())

    energy = [q for key, (_, q) in store.rows.items() if key.component == "energy"]
    assert energy == [9_000]


def test_a_gap_that_waits_goes_with_a_card_that_is_given_up() -> None:
    """Nobody fills it any more when the card is not expected."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    account = Account(RESERVED, store.recover(), REBOOTED)

    account.advance(a_node(cards=[]), clock.now())
    account.advance(a_node(cards=[]), clock.move(2 * HOUR))
    store.write(account.take())

    assert not store.recover().checkpoints


def test_a_card_that_left_is_not_given_up_by_a_wrong_clock() -> None:
    """Decades off and unsynchronised: it does not tell how long ago the card was seen."""
    clock = FakeClock()
    store = ledger_of_a_card_that_ran(clock)
    clock.step(10**9)
    account = Account(RESERVED, store.recover(), REBOOTED)
    account.advance(a_node(cards=[]), clock.now())
    store.write(account.take())
    clock.move(3 * HOUR)

    account = Account(RESERVED, store.recover(), REBOOTED)
    account.advance(a_node(cards=[]), clock.now())
    store.write(account.take())

    assert booked_seconds(store) == 1 + HOUR  # max_down, and no longer
    assert not account.cards


# ---- terms that change while the agent is away


def prices(first: Tier, second: Tier, edge_ns: int) -> AccountPolicy:
    return a_policy(
        a_rental("1", id="first", tier=first, valid_to_ns=edge_ns),
        a_rental("1", id="second", tier=second, valid_from_ns=edge_ns),
    )


@pytest.mark.parametrize(
    ("first", "second", "filled"),
    [
        (Tier.RESERVED, Tier.ON_DEMAND, {"first": 4}),
        (Tier.ON_DEMAND, Tier.RESERVED, {"second": 6}),
        (Tier.RESERVED, Tier.OWNED, {"first": 4, "second": 6}),
        (Tier.SPOT, Tier.ON_DEMAND, {}),
    ],
)
def test_a_long_gap_is_filled_where_the_price_runs_on(
    first: Tier, second: Tier, filled: dict[str, int]
) -> None:
    """A reservation that ends, or begins, while the node is off is billed for its own hours."""
    clock = FakeClock()
    policy = prices(first, second, clock.wall_ns + 4 * HOUR * 10**9 + 10**9)
    store = ledger_of_a_card_that_ran(clock, policy)
    account = Account(policy, store.recover(), synchronised("two"))

    account.advance(a_node(a_sample()), clock.now())
    store.write(account.take())

    found: dict[str, float] = defaultdict(float)
    for key, (_, quantity) in store.rows.items():
        if key.filled:
            found[key.price_id] += quantity / 1e9 / HOUR
    assert found == filled
    assert any("max_fill" in note for note in account.notes) is (sum(filled.values()) < 10)


def test_a_short_gap_is_filled_under_all_terms() -> None:
    """A reboot is on the invoice whatever the record says."""
    clock = FakeClock()
    policy = prices(Tier.ON_DEMAND, Tier.SPOT, clock.wall_ns + 100 * 10**9)
    store = ledger_of_a_card_that_ran(clock, replace(policy, max_fill_ns=11 * HOUR * 10**9))
    policy = replace(policy, max_fill_ns=11 * HOUR * 10**9)
    account = Account(policy, store.recover(), synchronised("two"))

    account.advance(a_node(a_sample()), clock.now())
    store.write(account.take())

    assert booked_seconds(store) == 1 + 10 * HOUR
