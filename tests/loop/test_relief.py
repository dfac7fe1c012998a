"""Relief through the real desk: a tenfold burst, what is shed, what programs see of it, and how it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from burst import Plan, Play, Told, at_level, routed, seeded, shed_in_ledger

import dualcontrol as dc
from dualcontrol.case import is_high, is_low
from dualcontrol.doctor import PROBLEM, WARNING, examine
from dualcontrol.errors import TimedOut
from dualcontrol.route.capacity import ALARM, AUDITS, FEWER, ORDER, SHED
from dualcontrol.sweep import measured_load
from dualcontrol.testing import FakeClock

PROMISE = 900.0
CREW = {"reviewers": 3, "availability": 1.0}
PAY = {"action": "pay", "args": {}, "input": "x"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open("sqlite:///:memory:", durability="process", clock=clock) as desk:
        yield desk


def opened(desk: dc.Desk, **settings: Any) -> dc.Loop:
    given = {
        "threshold": 0.9, "risk_ceiling": "medium", "audit": 0.2, "context": "minimal", "lease": "1h",
        "respond_within": "15m", "on_timeout": "reject", "capacity": CREW,
    }  # fmt: skip
    return desk.loop("pay", **{**given, **settings})


# the burst


@pytest.fixture(scope="module", params=["reject", "hold"])
def burst(request: pytest.FixtureRequest) -> Iterator[tuple[dc.Desk, dc.Loop, Told, str]]:
    clock = FakeClock()
    with seeded(17, clock) as desk:
        loop = opened(desk, on_timeout=request.param)
        yield desk, loop, Play(desk, clock, loop, Plan()).run(), request.param


Burst = tuple[dc.Desk, dc.Loop, Told, str]


def test_high_risks_wait_no_longer_than_promised(burst: Burst) -> None:
    _, _, told, _ = burst
    waits = [told.waited.get(c.id, np.inf) for c in told.cases if c.route and c.route.to == "human" and is_high(c.risk)]
    assert len(waits) >= 10
    assert np.percentile(waits, 95) <= PROMISE


def test_nothing_is_approved_by_relief(burst: Burst) -> None:
    _, loop, told, _ = burst
    assert loop.control.thresholds == {}
    for case in told.cases:
        assert case.route is not None
        sure = (case.confidence or 0.0) >= 0.9 and not is_high(case.risk)
        assert case.route.to == ("autopilot" if sure else "human")
        assert sure or case.outcome is None or case.outcome.verdict is not None
        assert sure or case.outcome is None or case.outcome.by in ("human", "timeout")


def test_every_shed_case_is_in_the_ledger(burst: Burst) -> None:
    desk, loop, told, how = burst
    shed = [c for c in told.cases if c.route and c.route.by == "relief"]
    assert len(shed) >= 20
    assert shed_in_ledger(desk, loop)[how] == len(shed) == Counter(c.route.relief for c in told.cases if c.route)[how]
    for case in shed:
        assert is_low(case.risk)
        assert "more than they can answer" in routed(desk, case).reason
    if how == "reject":
        ended = ["Opened", "Routed", "TimedOut", "Concluded"]
        assert all([type(e).__name__ for e in desk.events(c.id)] == ended for c in shed)
        assert {(c.outcome.by, c.outcome.verdict) for c in shed if c.outcome} == {("timeout", "reject")}
    else:
        assert all(c.reviews and c.due_at is None for c in shed)
        assert {c.outcome.by for c in shed if c.outcome} <= {"human"}


def test_relief_moves_in_its_order_and_ends(burst: Burst) -> None:
    _, _, told, _ = burst
    levels = [0, *(move.level for move in told.moves)]
    assert max(levels) == ALARM
    assert all(abs(ORDER.index(a) - ORDER.index(b)) == 1 for a, b in pairwise(levels))
    assert (told.control.relief, told.control.version) == (0, 1 + len(told.moves))
    assert [move.version for move in told.moves] == list(range(2, 2 + len(told.moves)))
    alarm = next(move for move in told.moves if move.level == ALARM)
    assert alarm.understaffed >= 1
    assert f"it would take {alarm.understaffed} more" in alarm.reason
    assert float(alarm.demand) > float(alarm.capacity)


def test_the_doctor_finds_everything_as_its_entries_say(burst: Burst) -> None:
    desk, _, _, _ = burst
    assert [found for found in examine(desk.store) if found.level == PROBLEM] == []


def test_without_a_declared_capacity_there_is_no_relief(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, capacity=None)
    told = Play(desk, clock, loop, Plan(before=60.0, after=60.0, burst=1800.0)).run()
    assert (told.moves, told.control.version) == ([], 1)
    assert shed_in_ledger(desk, loop) == {}


# one case


def test_a_gate_whose_case_is_shed_says_so_and_runs_nothing(desk: dc.Desk) -> None:
    loop, ran = opened(desk), []
    at_level(desk, loop, SHED)

    @loop.gate(confidence=0.5, risk="low", context=lambda amount: {"input": "x"})
    def pay(amount: float) -> None:
        ran.append(amount)

    with pytest.raises(TimedOut):
        pay(10.0)
    assert ran == []
    assert desk.claim("ana", loop) is None


def test_a_held_case_comes_last_and_is_answered_when_there_is_time(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, on_timeout="hold")
    at_level(desk, loop, SHED)
    held = loop.propose(**PAY, confidence=0.5, risk="low")
    clock.tick(3 * PROMISE)
    other = loop.propose(**PAY, confidence=0.5, risk="medium")
    assert [desk.claim(person, loop).case.id for person in ("ana", "ben")] == [other.id, held.id]
    assert loop.look(held.id).state == "open"


@pytest.mark.parametrize("level", [0, SHED])
def test_under_relief_a_high_risk_goes_ahead_of_a_long_queue(desk: dc.Desk, clock: FakeClock, level: int) -> None:
    loop = opened(desk, on_timeout="hold")
    if level:
        at_level(desk, loop, level)
    waiting = loop.propose(**PAY, confidence=0.5, risk="medium")
    clock.tick(4 * PROMISE)
    urgent = loop.propose(**PAY, confidence=0.5, risk="high")
    assert desk.claim("ana", loop).case.id == (urgent.id if level else waiting.id)


def test_an_edit_of_a_case_that_is_open_knows_nothing_of_relief(desk: dc.Desk) -> None:
    rule = {"name": "large", "when": "args.amount > 500.0", "route": "human", "quorum": {"answers": 2}}
    loop = opened(desk, on_timeout="hold", rules=[rule])
    case = loop.propose(**{**PAY, "args": {"amount": 1.0}}, confidence=0.5, risk="low")
    at_level(desk, loop, SHED)
    desk.claim("ana", loop).edit({"amount": 900.0})
    assert desk.case(case.id).outcome is None
    desk.claim("ben", loop).approve()
    assert desk.case(case.id).outcome.verdict in ("edit", "approve")


def test_a_batch_sheds_as_single_cases_do(desk: dc.Desk) -> None:
    loop = opened(desk)
    at_level(desk, loop, SHED)
    columns = {"action": ["pay"] * 3, "input": ["x"] * 3, "rationale": ["y"] * 3, "alternatives": [[]] * 3}
    made = loop.propose_batch({**columns, "confidence": [0.5] * 3, "risk": ["low", "medium", "high"]})
    cases = [desk.case(made.cases[row]) for row in range(3)]
    assert [c.route.relief for c in cases] == ["reject", None, None]
    assert [c.outcome.by if c.outcome else None for c in cases] == ["timeout", None, None]


# what is measured


def test_what_is_measured(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, audit=1.0, quorum={"answers": 2})
    for risk in ("low", "low", "medium", "high", None):
        loop.propose(**PAY, confidence=0.5, risk=risk)
    loop.propose(**PAY, confidence=0.95, risk="low")
    claim = desk.claim("ana", loop)
    clock.tick(100)
    claim.approve()
    found = measured_load(desk.store.queries, loop.control, clock())
    window = 2 * PROMISE
    assert found.demand.low == pytest.approx(2 * 2 / window)
    assert found.demand.other == pytest.approx(2 * 3 / window)
    assert found.demand.audits == pytest.approx(1 / window)
    assert found.crew.handling.mean == pytest.approx((100 + 10 * 240) / 11)
    assert (found.crew.people, found.crew.servers, found.crew.promise) == (3, 3, PROMISE)
    at_level(desk, loop, AUDITS)
    assert measured_load(desk.store.queries, loop.control, clock()).demand.audits == pytest.approx(FEWER / window)
    clock.tick(window)
    assert measured_load(desk.store.queries, loop.control, clock()).demand.whole == 0.0


def test_members_of_the_group_are_counted_where_no_number_is_declared(clock: FakeClock) -> None:
    team = {"team": ["ana", "ben", "cleo", "dan"]}
    with dc.open("sqlite:///:memory:", durability="process", clock=clock, groups=team) as desk:
        loop = opened(desk, group="team", capacity={"availability": 0.5})
        assert measured_load(desk.store.queries, loop.control, clock()).crew.servers == 2


def test_relief_ends_when_capacity_is_no_longer_declared(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk)
    at_level(desk, loop, SHED)
    desk.loop("pay", capacity=None)
    clock.tick(60)
    desk.sweep()
    assert loop.control.relief == 0


def test_the_doctor_says_that_relief_is_in_force(desk: dc.Desk) -> None:
    at_level(desk, opened(desk), SHED)
    assert [found for found in examine(desk.store) if found.level == PROBLEM] == []
    warnings = [found.what for found in examine(desk.store) if found.level == WARNING and "loop" in found.what]
    assert warnings == ["loop pay: relief 'shed' is in force, understaffed by 3"]
