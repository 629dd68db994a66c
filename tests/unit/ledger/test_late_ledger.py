"""A ledger that can be opened only in the middle of a run: what is taken up of it."""

from dataclasses import replace
from fractions import Fraction

import pytest

from agent.ledger.batch import News, Recovered
from agent.ledger.entry import EntryKey
from agent.ledger.policy import AccountPolicy
from agent.samples.device import FaultReason
from agent.samples.reading import Missing
from tests.builders import (
    CARD,
    HERE,
    OTHER_CARD,
    REBOOTED,
    SECOND,
    a_fault,
    a_node,
    a_policy,
    a_rental,
    a_sample,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger
from tests.unit.ledger.life import OWNED, PER_SECOND, RENTED, Life, booked

AWKWARD = a_policy(a_rental(Fraction(10, 3)))


def ran(policy: AccountPolicy = OWNED) -> Life:
    """Two cards that were booked and flushed, a while ago."""
    life = Life(FakeClock(), policy=policy)
    for second in range(3):
        life.tick(
            life.sample(energy_mj=300_000 * second),
            a_sample(life.clock.boottime_ns + SECOND, uuid=OTHER_CARD, energy_mj=7),
        )
    life.flush()
    life.clock.move(600)
    return life


def again(before: Life, *, closed: bool, policy: AccountPolicy = OWNED) -> Life:
    before.store.closed = closed
    return Life(before.clock, before.store, policy)


def open_late(life: Life) -> None:
    """As the flush thread does it."""
    life.store.closed = False
    recovered = life.store.reopen()
    assert recovered is not None
    life.account.join(recovered)
    life.flush()


def sums(store: FakeLedger) -> dict[EntryKey, tuple[int, int]]:
    return {key: amounts for key, amounts in store.rows.items() if amounts != (0, 0)}


def test_opening_late_books_what_opening_at_once_books() -> None:
    """Time, energy and money of both cards, the one that has left too; nothing twice."""
    found = []
    for closed in (False, True):
        life = again(ran(), closed=closed)
        for second in range(4):
            energy = 300_000 * (603 + second)
            life.tick(a_sample(life.clock.boottime_ns + SECOND, energy_mj=energy))
        if closed:
            open_late(life)
        life.tick(life.sample(energy_mj=300_000 * 607))
        life.flush()
        assert life.account.unreconciled_nanos == 0
        assert set(life.account.cards) == {CARD, OTHER_CARD}
        totals: dict[tuple[str, str], int] = {}
        for key, (_, quantity) in life.store.rows.items():
            totals[key.uuid, key.component] = totals.get((key.uuid, key.component), 0) + quantity
        found.append((totals, booked(life.store.rows), life.account.months.total()))

    assert found[0] == found[1]
    assert found[0][0][CARD, "energy"] == 300_000 * 607


def test_remainders_of_both_are_added() -> None:
    """A price that no nanosecond divides comes out to the nano, although the process began at 0."""
    life = again(ran(AWKWARD), closed=True, policy=AWKWARD)
    for _ in range(5):
        life.tick(a_sample(), seconds=1.1)

    open_late(life)
    life.tick(a_sample())
    life.flush()

    mine = sum(n for key, (n, _) in life.store.rows.items() if key.uuid == CARD)
    exact = Fraction(10, 3) * 10**9 * (life.clock.boottime_ns - 1_001 * SECOND) / (3_600 * SECOND)
    assert mine == int(exact)


def test_gap_over_a_reboot_waits_in_a_late_ledger_too() -> None:
    """Opened late and not synchronised: the gap goes on to whoever can measure it."""
    before = ran()
    before.clock.reboot(off_seconds=86_400)
    before.store.closed = True
    cold = Life(before.clock, before.store, OWNED, replace(REBOOTED, clock_synchronized=False))
    cold.tick(a_sample())
    open_late(cold)

    after = Life(before.clock, before.store, OWNED, REBOOTED)
    after.tick(a_sample())
    after.flush()

    time = {key: q for key, (_, q) in after.rows(uuid=CARD, component="capital").items()}
    assert sum(time.values()) == (2 + 600 + 86_400 + 2) * SECOND


@pytest.mark.parametrize("hung", [True, False])
def test_energy_is_never_counted_twice_when_the_first_tick_has_no_counter(hung: bool) -> None:
    """A card that hung is metered on from the ledger; where power was booked the gap's energy stays open."""
    life = again(ran(), closed=True)
    at_ns = life.clock.boottime_ns + SECOND
    life.tick(a_fault(FaultReason.HUNG) if hung else a_sample(at_ns, energy_mj=Missing.TIMEOUT))
    open_late(life)

    for second in (604, 605):
        life.tick(life.sample(energy_mj=300_000 * second))
    life.flush()

    booked_mj = sum(q for _, q in life.rows(uuid=CARD, component="energy").values())
    # 2 s before the gap by the counter, 1 s by power, 1 s by the counter again.
    assert booked_mj == (300_000 * 605 if hung else 600_000 + 100_000 + 300_000)


def test_card_retired_meanwhile_leaves() -> None:
    """And its gap is not filled."""
    life = again(ran(), closed=True)
    life.tick(a_sample())
    life.store.closed = False
    recovered = life.store.reopen()
    assert recovered is not None

    life.account.join(replace(recovered, retired=frozenset({CARD})))
    life.node(a_node(cards=[]))
    life.flush()

    assert CARD not in life.account.cards
    assert not life.rows(uuid=CARD, filled=True)


def test_ledger_that_begins_anew_takes_the_sums_in_memory_alone() -> None:
    """After damage the months are those of the new file: the old one's are told under its own id."""
    life = Life(FakeClock())
    for _ in range(5):
        life.tick(a_sample())
    life.flush()
    life.tick(a_sample())

    life.account.join(replace(FakeLedger().recover(), ledger_id="new"))
    life.tick(a_sample())

    assert life.account.ledger_id == "new"
    assert life.account.months.total() == 2 * PER_SECOND
    assert life.cost() == 6 * PER_SECOND
    assert life.account.unreconciled_nanos == 0
    assert life.account.host == HERE


def test_a_card_that_was_given_up_before_the_ledger_opened_has_no_gap_any_more() -> None:
    """What this process has booked of it lies in the gap: it would be counted twice."""
    for back_first in (True, False):
        life = again(ran(RENTED), closed=True, policy=RENTED)
        life.tick(a_sample())
        life.lose_for_good(a_node(a_fault(FaultReason.LOST)))
        assert CARD not in life.account.cards
        if back_first:
            life.tick(a_sample())
        open_late(life)
        life.tick(a_sample())
        life.tick(a_sample())
        life.flush()

        filled = sum(q for key, (_, q) in life.rows(uuid=CARD).items() if key.filled)
        assert filled == 0


def test_retired_cards_stay_retired_when_a_new_ledger_begins() -> None:
    """Damaged or removed: the list of the one before goes into the one after it."""
    life = ran(RENTED)
    life.account.resync(News(ledger_id="old", months={}, retired=frozenset({CARD})))

    life.account.join(Recovered(ledger_id="new"))
    life.tick(a_sample())

    assert CARD not in life.account.expected
    assert life.account.take().retired == {CARD}
    assert life.account.take().retired == frozenset()
