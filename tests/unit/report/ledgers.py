"""Ledgers for reports, made by a real account."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from agent.ledger.account import Account
from agent.ledger.policy import AccountPolicy
from agent.samples.device import GpuSample
from agent.storage.ledger import SqliteLedger
from agent.usage.state import ActivityPolicy
from tests.builders import HERE, HOUR, PROCESS, SECOND, a_node, a_sample
from tests.fakes.clock import FakeClock

STEP_NS = HOUR // 2


@dataclass(frozen=True)
class Hours:
    """So many hours in which a card shows this."""

    hours: float
    utilization: int = 0
    held: bool = False
    watts: int = 70


ACTIVE, HELD, IDLE = Hours(1, 90, True, 500), Hours(1, 0, True, 120), Hours(1, 0, False, 70)


def of(hours: float, kind: Hours) -> Hours:
    return Hours(hours, kind.utilization, kind.held, kind.watts)


def make(
    directory: Path, policy: AccountPolicy, courses: Mapping[str, Sequence[Hours]], begin: str
) -> None:
    """Write a ledger in which each card goes through its course from a moment (UTC) on."""
    wide = _patient(policy)
    start_ns = int(datetime.fromisoformat(f"{begin}+00:00").timestamp()) * SECOND
    clock = FakeClock(wall_ns=start_ns)
    steps = {uuid: _steps(course) for uuid, course in courses.items()}
    energy = dict.fromkeys(courses, 0)
    with closing(SqliteLedger(directory, source="simulated")) as store:
        account = Account(wide, store.recover(), HERE)
        account.advance(a_node(*(_sample(u, IDLE, clock, 0) for u in courses)), clock.now())
        for number in range(max(map(len, steps.values()))):
            clock.move(ns=STEP_NS)
            reports = []
            for uuid, course in steps.items():
                energy[uuid] += course[number].watts * STEP_NS // 1_000_000
                reports.append(_sample(uuid, course[number], clock, energy[uuid]))
            account.advance(a_node(*reports), clock.now())
            store.write(account.take())


def _patient(policy: AccountPolicy) -> AccountPolicy:
    """With steps of half an hour that are no gaps, and no minute of grace."""
    return replace(policy, max_gap_ns=2 * HOUR, activity=ActivityPolicy(idle_after_ns=0))


def _steps(course: Sequence[Hours]) -> list[Hours]:
    return [kind for kind in course for _ in range(round(kind.hours * HOUR / STEP_NS))]


def _sample(uuid: str, kind: Hours, clock: FakeClock, energy_mj: int) -> GpuSample:
    return a_sample(
        clock.boottime_ns,
        uuid=uuid,
        utilization=kind.utilization,
        power_mw=kind.watts * 1_000,
        energy_mj=energy_mj,
        processes=(PROCESS,) if kind.held else (),
    )
