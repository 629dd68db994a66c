"""The account of one node: what each card did, cost and used since the last tick, summed up.

``Account.advance`` is the core of a tick.  It takes a node sample and a moment and touches neither
clock nor disk.  It is not thread-safe: whoever calls ``take`` from another thread shares a lock.
"""

from dataclasses import replace

from agent.cost.prices import Price
from agent.ledger.ahead import cost_ahead
from agent.ledger.batch import Batch, KnownGpu, News, Recovered
from agent.ledger.book import Counters, Months, Pending
from agent.ledger.card import Away, Card, UnfilledEnergy, report_of
from agent.ledger.counting import count, count_missing, start_counters
from agent.ledger.entry import Entry
from agent.ledger.fill import Host, NotFilled, counter_goes_on, gap_to_fill
from agent.ledger.policy import AccountPolicy
from agent.ledger.posting import (
    Books,
    Interval,
    Remainders,
    post,
    post_energy,
    post_time,
)
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample, NodeSample
from agent.samples.instant import Instant
from agent.units import NANOSECONDS_PER_SECOND, seconds
from agent.usage.energy import EnergyMeter, EnergyMethod, EnergyStep, advance
from agent.usage.exemption import exemption_of
from agent.usage.state import IDLE_STATES, CardState, next_activity
from agent.usage.team import team_charged, team_of

_GONE = frozenset({FaultReason.LOST, FaultReason.VANISHED})
"""A card that is down by itself; without a driver nothing is known of it."""


class Account:
    """The sums of one node; see the module."""

    def __init__(self, policy: AccountPolicy, recovered: Recovered, host: Host) -> None:
        self.policy = policy
        self.ledger_id = recovered.ledger_id
        """Empty while the ledger cannot be opened: its months are not known then."""
        self.counters = Counters()
        self.months = Months(recovered.months)
        self.pending = Pending()
        self.cards: dict[str, Card] = {}
        self.notes: list[str] = []
        """What the operator should know of the last tick; the runtime logs it."""
        self._late_notes: list[str] = []
        """Of what happened between two ticks."""
        self.host = host
        """Replaced by the runtime when the clock has become synchronised."""
        self._recovered_nanos = self.months.total()
        self._filled_nanos = 0
        self._remainders: Remainders = dict(recovered.remainders)
        self._checkpoints = dict(recovered.checkpoints)
        self._known = tuple(recovered.gpus.values())
        self._gone: set[str] = set()
        self._retired = recovered.retired
        self._corrected_nanos = 0
        self.emissions = policy.emissions
        """Replaced by the runtime when the carbon intensity of a file changes."""
        self._last = Instant(0, 0)

    def advance(self, node: NodeSample, now: Instant) -> None:
        """Book the time since the last call for every expected card."""
        self.notes, self._late_notes = self._late_notes, []
        for known in self._known:
            self._adopt(known.identity, known.last_seen_wall_ns, now)
        self._known = ()
        for uuid, identity in node.identities.items():
            if uuid in self.cards:
                self._recognise(self.cards[uuid], identity)
            elif uuid not in self._gone or isinstance(node.reports.get(uuid), GpuSample):
                self._adopt(identity, now.wall_ns, now)
        for card in list(self.cards.values()):
            card.report = report_of(card.identity.uuid, node)
            if isinstance(card.report, GpuSample):
                card.last_seen_wall_ns = now.wall_ns
                card.down_ns = 0
            if card.away is not None and node.settled:
                self._fill_time(card, card.away, now)
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
        before = self.months.total()
        self.ledger_id = news.ledger_id
        self.months = Months(news.months)
        self.months.add(self.pending.entries())
        self._corrected_nanos += self.months.total() - before
        self._retired = news.retired
        self._retire()

    def price_of(self, card: Card, wall_ns: int) -> Price | None:
        """The price record that holds for a card at a moment."""
        return self.policy.table.at(card.identity, wall_ns)

    @property
    def unreconciled_nanos(self) -> int:
        """By how much sums differ that are kept apart and must be equal; anything but 0 is a defect.

        This process's cost by state, by component, by team, and what the months have grown by.
        """
        cost = self.counters.total("gpufin_cost_total")
        others = (
            self.counters.total("gpufin_cost_component_total"),
            self.counters.total("gpufin_team_cost_total"),
            self.months.total()
            - self._recovered_nanos
            - self._filled_nanos
            - self._corrected_nanos,
        )
        return max(abs(cost - other) for other in others)

    def take(self) -> Batch:
        """All that the ledger does not hold yet, and the state that belongs to it."""
        wall_ns = self._last.wall_ns
        checkpoints = [card.checkpoint(wall_ns, self.host) for card in self.cards.values()]
        return Batch(
            rows=self.pending.take(),
            checkpoints=checkpoints,
            remainders=dict(self._remainders),
            gpus=[KnownGpu(card.identity, card.last_seen_wall_ns) for card in self.cards.values()],
            gone=sorted(self._gone),
            ahead=cost_ahead(self.cards.values(), self.policy, wall_ns),
            prices={
                price.id: (price.digest, price.record)
                for card in self.cards.values()
                for price in self.policy.table.candidates(card.identity)
                if price.record
            },
        )

    def exemption_of(self, card: Card, state: CardState, wall_ns: int) -> str:
        """The exemption under which a card is held or idle, or empty."""
        if state not in IDLE_STATES or not self.policy.exemptions:
            return ""
        labels, rules = self.policy.table.labels, self.policy.exemptions
        return exemption_of(
            card.identity, card.given_to, labels, rules, wall_ns // NANOSECONDS_PER_SECOND
        )

    @property
    def _books(self) -> Books:
        policy = self.policy
        return Books(policy.table, policy.zone, self._remainders, self.emissions)

    # ---- a card's time and energy

    def _book(self, card: Card, now: Instant) -> None:
        elapsed_ns = max(0, now.boottime_ns - card.booked_until_boottime_ns)
        card.booked_until_boottime_ns = now.boottime_ns
        gap = elapsed_ns > self.policy.max_gap_ns
        card.activity = next_activity(
            card.activity,
            card.report,
            elapsed_ns=0 if gap else elapsed_ns,  # nobody knows whether it was quiet
            wall_ns=now.wall_ns,
            policy=self.policy.activity,
        )
        if gap:
            card.activity = replace(card.activity, state=CardState.UNKNOWN, idle_since_wall_ns=None)
        if isinstance(card.report, GpuFault) and card.report.reason in _GONE:
            card.down_ns += elapsed_ns
        count_missing(self.counters, card)
        interval = self._interval(
            card, now.wall_ns - elapsed_ns, now.wall_ns, self._meter_energy(card)
        )
        entries = post(interval, self._books)
        count(self.counters, card, interval, entries)
        self._keep(entries)

    def _meter_energy(self, card: Card) -> EnergyStep:
        sample = card.report
        if not isinstance(sample, GpuSample):
            return EnergyStep(None, card.meter.method)
        card.meter, step = advance(card.meter, sample, max_gap_ns=self.policy.max_gap_ns)
        if step.anomaly is not None:
            self.counters.add("gpufin_gpu_energy_anomalies_total", (*card.labels, step.anomaly), 1)
            self.notes.append(f"{card.identity.uuid}: the energy counter shows a {step.anomaly}")
        if card.unfilled is not None and isinstance(sample.energy_mj, int):
            gap, card.unfilled = card.unfilled, None
            if step.anomaly is None:
                self._fill_energy(card, gap, step)
            return EnergyStep(None, step.method)  # it reaches back to before this process
        return step

    def _interval(
        self, card: Card, start_ns: int, end_ns: int, step: EnergyStep, *, filled: bool = False
    ) -> Interval:
        state = CardState.UNKNOWN if filled else card.activity.state
        return Interval(
            gpu=card.identity,
            team=team_charged(card.given_to, state),
            state=state,
            exempt=self.exemption_of(card, state, start_ns),
            start_wall_ns=start_ns,
            end_wall_ns=end_ns,
            energy_mj=step.millijoules,
            energy_method=step.method,
            filled=filled,
        )

    def _keep(self, entries: list[Entry]) -> None:
        self.months.add(entries)
        self.pending.add(entries)

    # ---- cards come and go

    def _adopt(self, identity: GpuIdentity, last_seen_wall_ns: int, now: Instant) -> None:
        if identity.uuid in self.policy.retired | self._retired:
            self._gone.add(identity.uuid)
            return
        self._gone.discard(identity.uuid)
        card = Card(
            identity=identity,
            given_to=self._team_of(identity),
            last_seen_wall_ns=last_seen_wall_ns,
            booked_until_boottime_ns=now.boottime_ns,
            report=GpuFault(identity.uuid, FaultReason.FAILED),
        )
        self.cards[identity.uuid] = card
        start_counters(self.counters, card, self.policy.table, carbon=self.emissions.expected)
        checkpoint = self._checkpoints.pop(identity.uuid, None)
        if checkpoint is not None:
            card.away = Away(checkpoint, now.boottime_ns)

    def _team_of(self, identity: GpuIdentity) -> str:
        return team_of(identity, self.policy.table.labels, self.policy.teams)

    def _recognise(self, card: Card, identity: GpuIdentity) -> None:
        if identity == card.identity:
            return
        if identity.index != card.identity.index:  # series are named by the index too
            self.notes.append(
                f"{identity.uuid}: moved from index {card.identity.index} to {identity.index}"
            )
            self.counters.relabel(card.labels, (identity.uuid, str(identity.index)))
        card.identity = identity

    def _give_up_on(self, card: Card, now: Instant) -> None:
        if card.down_ns <= self.policy.longest_down_ns(self.price_of(card, now.wall_ns)):
            return
        self.notes.append(self._drop(card, "it was down for max_down"))

    def _retire(self) -> None:
        for uuid in self.cards.keys() & (self.policy.retired | self._retired):
            self._late_notes.append(self._drop(self.cards[uuid], "it is retired"))

    def _drop(self, card: Card, why: str) -> str:
        del self.cards[card.identity.uuid]
        self._gone.add(card.identity.uuid)
        self.counters.forget(card.labels)
        return f"{card.identity.uuid}: not expected any more, {why}"

    # ---- the time when the agent was away: into the ledger and its months, never into a counter

    def _fill_time(self, card: Card, away: Away, now: Instant) -> None:
        checkpoint, uuid = away.checkpoint, card.identity.uuid
        price = self.price_of(card, checkpoint.until.wall_ns)
        end_ns = now.wall_ns - (now.boottime_ns - away.until_boottime_ns)
        gap_ns = gap_to_fill(
            checkpoint,
            now=Instant(away.until_boottime_ns, end_ns),
            host=self.host,
            tier=None if price is None else price.tier,
            max_fill_ns=self.policy.max_fill_ns,
        )
        if isinstance(gap_ns, NotFilled):
            if not away.told:
                later = "yet" if gap_ns.later else ""
                self.notes.append(
                    f"{uuid}: time since the last run not filled {later}: {gap_ns.reason}"
                )
            card.away = replace(away, told=True) if gap_ns.later else None
            return
        card.away = None
        start_ns = end_ns - gap_ns
        if isinstance(card.report, GpuFault) and card.report.reason in _GONE:
            # It left while we were away: expected, and paid for, until max_down and no longer.
            longest_ns = self.policy.longest_down_ns(self.price_of(card, now.wall_ns))
            card.down_ns = max(0, end_ns - card.last_seen_wall_ns)
            end_ns = max(start_ns, min(end_ns, card.last_seen_wall_ns + longest_ns))
        nothing = EnergyStep(None, EnergyMethod.NONE)
        interval = self._interval(card, start_ns, end_ns, nothing, filled=True)
        self._keep_filled(post_time(interval, self._books))
        card.filled_ns = end_ns - start_ns
        self.notes.append(f"{uuid}: filled {seconds(card.filled_ns):.1f} s since the last run")
        if counter_goes_on(checkpoint, self.host):
            card.meter = EnergyMeter(
                counter_mj=checkpoint.energy_mj,
                counter_at_ns=checkpoint.energy_at_ns,
                method=EnergyMethod.COUNTER,
            )
            card.unfilled = UnfilledEnergy(start_ns, end_ns)

    def _keep_filled(self, entries: list[Entry]) -> None:
        self._filled_nanos += sum(entry.nanos for entry in entries)
        self._keep(entries)

    def _fill_energy(self, card: Card, gap: UnfilledEnergy, step: EnergyStep) -> None:
        interval = self._interval(card, gap.start_wall_ns, gap.end_wall_ns, step, filled=True)
        self._keep_filled(post_energy(interval, self._books))
