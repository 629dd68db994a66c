"""The account of one node: what each card did, cost and used since the last tick, summed up.

``Account.advance`` is the core of a tick.  It takes a node sample and a moment and touches neither
clock nor disk.  It is not thread-safe: whoever calls ``take`` from another thread shares a lock.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.ledger.ahead import cost_ahead, records_of
from agent.ledger.batch import Batch, KnownGpu, News, Recovered
from agent.ledger.book import Counters, Months, Pending, Sums
from agent.ledger.card import GONE, Card, report_of, still_known
from agent.ledger.charging import NOTHING_MEASURED, far_intervals, interval_of
from agent.ledger.counting import count, count_booked, count_missing, start_counters
from agent.ledger.fill import Checkpoint, Host, TrueTime
from agent.ledger.filling import fill, late_energy, take_up
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import (
    Books,
    Interval,
    Remainders,
    add_remainders,
    post,
    post_energy,
    post_time,
)
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample, fault_of
from agent.samples.instant import Instant
from agent.usage.energy import EnergyStep
from agent.usage.state import CardState, next_activity
from agent.usage.team import team_of


class Account:
    """The sums of one node; see the module."""

    def __init__(self, policy: AccountPolicy, recovered: Recovered, host: Host) -> None:
        self.policy = policy
        self.ledger_id = recovered.ledger_id
        """Empty while the ledger cannot be opened: its months are not known then."""
        self._sums = Sums(recovered.months)
        self.cards: dict[str, Card] = {}
        self.notes: list[str] = []
        """What the operator should know of the last tick; the runtime logs it."""
        self._late_notes: list[str] = []
        """Of what happened between two ticks."""
        self.host = host
        """Replaced by the runtime when the clock has become synchronised."""
        self._remainders: Remainders = dict(recovered.remainders)
        self._checkpoints: dict[str, Checkpoint] = {}
        self._known: tuple[KnownGpu, ...] = ()
        self._gone: set[str] = set()
        self._dropped: set[str] = set()
        """Cards that this process has booked and let go: no gap before it is theirs any more."""
        self._to_retire: frozenset[str] = frozenset()
        self._retired = recovered.retired
        self.emissions = policy.emissions
        """Replaced by the runtime when the carbon intensity of a file changes."""
        self._true_time = TrueTime()
        self._last = Instant(0, 0)
        self._take_up(recovered)

    @property
    def expected(self) -> set[str]:
        """UUIDs of the cards it waits for, those of the ledger that it has not met yet included."""
        retired = self.policy.retired | self._retired
        known = {gpu.identity.uuid for gpu in self._known}
        return (known - retired) | self.cards.keys()

    def advance(self, node: NodeSample, now: Instant) -> None:
        """Book the time since the last call for every expected card."""
        self.notes, self._late_notes = self._late_notes, []
        self._true_time.learn(now, self.host)
        for known in self._known:
            self._adopt(known.identity, known.last_seen_wall_ns, now)
        self._known = ()
        for uuid, identity in node.identities.items():
            if uuid in self.cards:
                self._recognise(self.cards[uuid], identity)
            elif uuid not in self._gone or isinstance(node.reports.get(uuid), GpuSample):
                self._adopt(identity, now.wall_ns, now)
        for card in list(self.cards.values()):
            card.report = card.hear(report_of(card.identity.uuid, node))
            if isinstance(card.report, GpuSample):
                card.last_seen_wall_ns = now.wall_ns
                card.down_ns = 0
            if card.gaps and node.settled and not card.sought:
                self._fill_time(card, now)
            self._book(card, now)
            self._give_up_on(card, now)
        self._last = now

    def use(self, policy: AccountPolicy) -> None:
        """Go on under another policy; what is booked stays as it is."""
        self.policy = policy
        self.emissions = policy.emissions
        for card in self.cards.values():
            card.given_to = self._team_of(card.identity)
            start_counters(self.counters, card, policy.table, carbon=self.emissions.expected)
        self._retire()

    def resync(self, news: News) -> None:
        """Take up what another program wrote into the ledger: corrections, retired cards.

        Its months are the sums that the ledger holds now; what waits for a flush comes on top.
        """
        self.ledger_id = news.ledger_id
        self._sums.resync(news.months)
        self._retired = news.retired
        self._retire()

    def join(self, recovered: Recovered) -> None:
        """Go on with a ledger that could be opened only now, in the middle of a run.

        What the first one knows is taken up as at a start, beside what this process has booked so far;
        of one that takes the place of another, only its months and retired cards.
        """
        first = not self.ledger_id
        retired = recovered.retired | self._retired
        self._to_retire = retired - recovered.retired
        self.resync(News(ledger_id=recovered.ledger_id, months=recovered.months, retired=retired))
        if not first:
            return
        self._take_up(recovered)
        add_remainders(self._remainders, recovered.remainders)
        for card in self.cards.values():
            checkpoint = self._checkpoints.pop(card.identity.uuid, None)
            if checkpoint is not None:
                self._late_notes += self._resume(card, checkpoint, card.met)
                late = late_energy(card, checkpoint, self.host, self._last, self.policy)
                self._book_far(late, card)

    @property
    def counters(self) -> Counters:
        """The sums of this process, from 0."""
        return self._sums.counters

    @property
    def months(self) -> Months:
        """What each month cost, by the ledger and what is not written yet."""
        return self._sums.months

    @property
    def pending(self) -> Pending:
        """Rows that wait for the next flush."""
        return self._sums.pending

    @property
    def unreconciled_nanos(self) -> int:
        """By how much sums differ that must be equal; see ``Sums``."""
        return self._sums.unreconciled_nanos

    def take(self) -> Batch:
        """All that the ledger does not hold yet, and the state that belongs to it."""
        wall_ns, machine_id = self._last.wall_ns, self.host.machine_id
        last = self._true_time.moment(self._last, self.host)
        to_retire, self._to_retire = self._to_retire, frozenset()
        return Batch(
            rows=self.pending.take(),
            checkpoints=[card.checkpoint(last, machine_id) for card in self.cards.values()],
            remainders=dict(self._remainders),
            gpus=[KnownGpu(card.identity, card.last_seen_wall_ns) for card in self.cards.values()],
            gone=sorted(self._gone),
            ahead=cost_ahead(self.cards.values(), self.policy, wall_ns),
            ahead_from_ns=wall_ns,
            retired=to_retire,
            prices=records_of(self.cards.values(), self.policy.table),
        )

    @property
    def _books(self) -> Books:
        return Books(self.policy.table, self.policy.zone, self._remainders, self.emissions)

    # ---- a card's time and energy

    def _book(self, card: Card, now: Instant) -> None:
        elapsed_ns = max(0, now.boottime_ns - card.booked_until_boottime_ns)
        gap, before = elapsed_ns > self.policy.max_gap_ns, card.activity.state
        if fault_of(card.report) is FaultReason.NO_TIME:
            if not gap:
                count_missing(self.counters, card)
                return  # what it did in this tick its next reading tells
            card.report = GpuFault(card.identity.uuid, FaultReason.HUNG)
        card.booked_until_boottime_ns = now.boottime_ns
        card.activity = next_activity(
            card.activity,
            card.report,
            elapsed_ns=0 if gap else elapsed_ns,  # nobody knows whether it was quiet
            now_ns=now.boottime_ns,
            policy=self.policy.activity,
        )
        if gap:
            card.activity = replace(card.activity, state=CardState.UNKNOWN, idle_since_ns=None)
        if fault_of(card.report) in GONE:
            card.down_ns += elapsed_ns
        count_missing(self.counters, card)
        resumed, step = card.resumed, self._meter_energy(card)
        # Twice: a sample is taken some time before its tick, so it covers a little more or less.
        far = bool(step.millijoules) and (resumed or step.covered_ns > 2 * elapsed_ns)
        state, span = card.activity.state, (now.wall_ns - elapsed_ns, now.wall_ns)
        near = NOTHING_MEASURED if far else step
        interval = interval_of(card, span, state, self.policy, step=near)
        entries = post(interval, self._books)
        count(self.counters, card, interval, entries)
        self._sums.keep(entries)
        if far:
            met_ns = now.wall_ns - (now.boottime_ns - card.met.boottime_ns) if resumed else 0
            self._book_far(far_intervals(card, step, before, (met_ns, *span), self.policy), card)

    def _book_far(self, intervals: Iterable[Interval], card: Card) -> None:
        for interval in intervals:
            entries = post_energy(interval, self._books)
            if not interval.filled:
                count_booked(self.counters, card, interval, entries)
            self._sums.keep(entries, filled=interval.filled)

    def _meter_energy(self, card: Card) -> EnergyStep:
        step, anomaly = card.metered(self.policy.max_gap_ns)
        if anomaly is not None:
            self.counters.add("gpufin_gpu_energy_anomalies_total", (*card.labels, anomaly), 1)
            self.notes.append(f"{card.identity.uuid}: its energy shows a {anomaly}")
        return step

    # ---- cards come and go

    def _adopt(self, identity: GpuIdentity, last_seen_wall_ns: int, now: Instant) -> None:
        if identity.uuid in self.policy.retired | self._retired:
            self._gone.add(identity.uuid)
            self._checkpoints.pop(identity.uuid, None)  # what comes after it is not paid for
            return
        self._gone.discard(identity.uuid)
        card = Card(
            identity=identity,
            given_to=self._team_of(identity),
            last_seen_wall_ns=last_seen_wall_ns,
            met=now,
            booked_until_boottime_ns=now.boottime_ns,
            report=GpuFault(identity.uuid, FaultReason.OPENING),  # nothing is heard of it yet
        )
        self.cards[identity.uuid] = card
        start_counters(self.counters, card, self.policy.table, carbon=self.emissions.expected)
        checkpoint = self._checkpoints.pop(identity.uuid, None)
        if checkpoint is not None:
            self.notes += self._resume(card, checkpoint, now)

    def _team_of(self, identity: GpuIdentity) -> str:
        return team_of(identity, self.policy.table.labels, self.policy.teams)

    def _recognise(self, card: Card, identity: GpuIdentity) -> None:
        identity = still_known(identity, card.identity)
        if identity == card.identity:
            return
        if identity.index != card.identity.index:  # series are named by the index too
            self.notes.append(
                f"{identity.uuid}: moved from index {card.identity.index} to {identity.index}"
            )
            self.counters.relabel(card.labels, (identity.uuid, str(identity.index)))
        card.identity = identity
        # Another model, memory or MIG profile may have another price.
        start_counters(self.counters, card, self.policy.table, carbon=self.emissions.expected)

    def _give_up_on(self, card: Card, now: Instant) -> None:
        price = self.policy.table.at(card.identity, now.wall_ns)
        if card.down_ns > self.policy.longest_down_ns(price):
            self.notes.append(self._drop(card, "it was down for max_down"))

    def _retire(self) -> None:
        for uuid in self.cards.keys() & (self.policy.retired | self._retired):
            self._late_notes.append(self._drop(self.cards[uuid], "it is retired"))

    def _drop(self, card: Card, why: str) -> str:
        uuid = card.identity.uuid
        del self.cards[uuid]
        self._gone.add(uuid)
        self._dropped.add(uuid)
        self.counters.forget(card.labels)
        lost = "; what waited for a right clock is not filled" if card.gaps else ""
        return f"{uuid}: not expected any more, {why}{lost}"

    # ---- the time when the agent was away: into the ledger and its months, never into a counter

    def _take_up(self, recovered: Recovered) -> None:
        self._gone |= (self.policy.retired | self._retired) & recovered.checkpoints.keys()
        past, known = self._gone | self._dropped, recovered.checkpoints.items()
        self._checkpoints = {uuid: point for uuid, point in known if uuid not in past}
        for checkpoint in recovered.checkpoints.values():
            self._true_time.recall(checkpoint, self.host)
        here = self.cards.keys() | self._gone
        self._known = tuple(gpu for uuid, gpu in recovered.gpus.items() if uuid not in here)

    def _resume(self, card: Card, checkpoint: Checkpoint, met: Instant) -> list[str]:
        return take_up(card, checkpoint, self._true_time.moment(met, self.host), self.host)

    def _fill_time(self, card: Card, now: Instant) -> None:
        filling = fill(card, self._true_time.moment(now, self.host), self.policy)
        self.notes += filling.notes
        for span in filling.spans:
            interval = interval_of(card, span, CardState.UNKNOWN, self.policy, filled=True)
            self._sums.keep(post_time(interval, self._books), filled=True)
