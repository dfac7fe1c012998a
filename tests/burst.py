"""A loop under a burst, through the real desk: cases come by chance, people answer one after the other.

Time is a clock that jumps from one thing that happens to the next, so that hours pass in seconds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

import dualcontrol as dc
from dualcontrol.control import Control
from dualcontrol.errors import DualcontrolError
from dualcontrol.events import ReliefChanged, Routed
from dualcontrol.route.capacity import LEVELS
from dualcontrol.testing import FakeClock, seeded_ids

MINUTE = 60.0
RISKS, MIX = ("low", "medium", "high", "critical", None), (0.66, 0.22, 0.03, 0.01, 0.08)


def seeded(seed: int, clock: FakeClock) -> dc.Desk:
    """A desk in memory on which one seed gives one run: ids and secret decide which cases are audited."""
    ids, secret = seeded_ids(seed), f"the same for every {seed}"
    return dc.open("sqlite:///:memory:", durability="process", clock=clock, new_id=ids, secret=secret)


class Plan(NamedTuple):
    """Cases an hour in quiet times, how many times that in the burst, how long each part lasts, and who answers."""

    quiet: float = 25.0
    times: float = 10.0
    before: float = 60 * MINUTE
    burst: float = 30 * MINUTE
    after: float = 90 * MINUTE
    people: int = 3
    handling: float = 4 * MINUTE
    autopilot: float = 0.5
    seed: int = 17


class Told(NamedTuple):
    """What happened: the cases in order, how long those that people took had waited, the moves of relief."""

    cases: list[dc.Case]
    waited: dict[str, float]
    moves: list[ReliefChanged]
    control: Any


def arrivals(plan: Plan) -> Iterator[float]:
    """Times of proposals: Poisson, faster during the burst; those on autopilot come on top."""
    rng, now, end = np.random.default_rng(plan.seed), 0.0, plan.before + plan.burst + plan.after
    while now < end:
        rate = plan.quiet * (plan.times if plan.before <= now < plan.before + plan.burst else 1.0)
        now += rng.exponential(3600.0 * (1 - plan.autopilot) / rate)
        yield now


class Play:
    """One run of a plan on a desk: everything that happens waits in a heap for its time."""

    def __init__(self, desk: dc.Desk, clock: FakeClock, loop: dc.Loop, plan: Plan, sweep: float = 15.0) -> None:
        self.desk, self.clock, self.loop, self.plan = desk, clock, loop, plan
        self.start, self.rng = clock.at, np.random.default_rng(plan.seed + 1)
        self.pace = np.random.default_rng(plan.seed + 2)
        self.ids: list[str] = []
        self.waited: dict[str, float] = {}
        self.idle = [f"reviewer {n}" for n in range(plan.people)]
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        last = 0.0
        for last in arrivals(plan):
            self.at(last, self.propose)
        for time in np.arange(sweep, last + 60 * MINUTE, sweep).tolist():
            self.at(time, lambda: self.desk.sweep() and None)

    def at(self, time: float, do: Callable[[], None]) -> None:
        """Let something happen at a time."""
        heapq.heappush(self.heap, (time, len(self.heap) * 1_000_000 + len(self.ids), do))

    def run(self) -> Told:
        """Let everything happen; whoever is idle takes what is next."""
        while self.heap:
            time, _, do = heapq.heappop(self.heap)
            self.clock.at = max(self.clock.at, self.start + int(time * 1_000_000))
            do()
            while self.idle and self.take(self.idle[-1], time):
                self.idle.pop()
        entries = self.desk.store.queries.entries(self.loop.stream)
        moves = [event for entry in entries for event in entry.events if isinstance(event, ReliefChanged)]
        return Told([self.desk.case(i) for i in self.ids], self.waited, moves, self.loop.control)

    def propose(self) -> None:
        """A case of a random risk; some are sure enough for autopilot."""
        risk = RISKS[int(self.rng.choice(len(RISKS), p=MIX))]
        sure = self.rng.random() < self.plan.autopilot
        confidence = float(self.rng.uniform(0.9, 1.0) if sure else self.rng.uniform(0.3, 0.9))
        case = self.loop.propose(action="pay", args={"n": len(self.ids)}, input="x", confidence=confidence, risk=risk)
        self.ids.append(case.id)

    def take(self, person: str, time: float) -> bool:
        """The next case for a person, if there is one; they answer when their time for it is over."""
        claim = self.desk.claim(person, self.loop)
        if claim is None:
            return False
        self.waited.setdefault(claim.case.id, (self.clock.at - claim.review.opened_at) / 1_000_000)
        taken = self.pace.lognormal(np.log(self.plan.handling) - 0.5, 1.0)
        self.at(time + min(float(taken), 50 * MINUTE), lambda: self.done(claim, person))
        return True

    def done(self, claim: dc.Claim, person: str) -> None:
        """An answer, unless the case is over by now."""
        with suppress(DualcontrolError):
            claim.approve()
        self.idle.insert(0, person)


def at_level(desk: dc.Desk, loop: dc.Loop, level: int) -> None:
    """Put a relief in force, as if it had been measured."""

    def make(control: Control, now: int) -> Any:
        event = ReliefChanged(
            version=control.version + 1, at=now, level=level, name=LEVELS[level], demand="90.0", capacity="45.0",
            understaffed=3, reason="test",
        )  # fmt: skip
        return [event] if level != control.relief else []

    desk.steps.move(loop.name, make)


def routed(desk: dc.Desk, case: dc.Case) -> Routed:
    """How the ledger says that a case was routed."""
    return next(event for event in desk.events(case.id) if isinstance(event, Routed))


def shed_in_ledger(desk: dc.Desk, loop: dc.Loop) -> Counter[str]:
    """What relief did, counted in the entries of every case and nowhere else."""
    found: Counter[str] = Counter()
    for stream in desk.store.queries.streams():
        if stream.startswith("case/"):
            for entry in desk.store.queries.entries(stream, values=False):
                found.update(e.relief for e in entry.events if isinstance(e, Routed) and e.relief)
    return found
