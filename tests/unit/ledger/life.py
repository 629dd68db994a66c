"""One process of an account over a store, driven by hand."""

from collections.abc import Mapping

from agent.ledger.account import Account
from agent.ledger.entry import EntryKey
from agent.ledger.fill import Host
from agent.ledger.policy import AccountPolicy
from agent.samples.device import GpuFault, GpuSample, NodeSample
from tests.builders import (
    CARD,
    HERE,
    SECOND,
    a_node,
    a_policy,
    a_rental,
    a_sample,
    an_owned,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeLedger

PER_SECOND = 1_000_000
"""Nanos of a rental of 3.60 an hour."""
LABELS = (CARD, "0")
RENTED = a_policy(a_rental("3.60"))
OWNED = a_policy(an_owned())


class Life:
    """One process: an account over a store, driven by hand."""

    def __init__(
        self,
        clock: FakeClock,
        store: FakeLedger | None = None,
        policy: AccountPolicy = RENTED,
        host: Host = HERE,
    ) -> None:
        self.clock = clock
        self.store = store or FakeLedger()
        self.account = Account(policy, self.store.recover(), host)

    def tick(self, *reports: GpuSample | GpuFault, seconds: float = 1.0) -> None:
        self.node(a_node(*reports), seconds=seconds)

    def node(self, node: NodeSample, seconds: float = 1.0) -> None:
        self.account.advance(node, self.clock.move(seconds))

    def lose_for_good(self, node: NodeSample | None = None) -> None:
        """The card is away for longer than max_down."""
        self.node(node or a_node(cards=[]), seconds=3_601)
        self.node(node or a_node(cards=[]))

    def flush(self) -> None:
        self.store.write(self.account.take())

    def sample(self, **readings: int) -> GpuSample:
        """What the card says at the coming tick."""
        return a_sample(self.clock.boottime_ns + SECOND, **readings)  # type: ignore[arg-type]  # one of them is no reading

    def counter(self, name: str) -> Mapping[tuple[str, ...], int]:
        return self.account.counters.snapshot().get(name, {})

    def cost(self) -> int:
        return self.account.counters.total("gpufin_cost_total")

    def rows(self, **parts: object) -> dict[EntryKey, tuple[int, int]]:
        return {
            key: amounts
            for key, amounts in self.store.rows.items()
            if all(getattr(key, name) == part for name, part in parts.items())
        }


def booked(rows: Mapping[EntryKey, tuple[int, int]]) -> int:
    return sum(nanos for nanos, _ in rows.values())
