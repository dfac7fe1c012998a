"""What a loop declared for its response time happens then, and never more; whoever looks first."""

from __future__ import annotations

import pytest

import dualcontrol as dc
from dualcontrol.errors import ClaimError, SettledError, TimedOut
from dualcontrol.testing import FakeClock

PAY = {"action": "pay", "args": {"amount": 10.0}, "input": "invoice 7"}
TEAM = {"team": ["ana", "ben", "cleo"], "leads": ["lee"]}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url, clock):
    with dc.open(database_url, durability="process", clock=clock, groups=TEAM) as desk:
        yield desk


def loop(desk, **settings):
    given = {
        "mode": "approval", "threshold": 0.9, "context": "minimal", "respond_within": "1m", "on_timeout": "autopilot",
        "risk_ceiling": "medium", "group": "team",
    }  # fmt: skip
    return desk.loop("pay", **{**given, **settings})


def test_want_of_confidence_only_may_time_out_to_autopilot(desk, clock):
    case = loop(desk).propose(**PAY, confidence=0.3)
    clock.tick(61)
    outcome = desk.loop("pay").wait(case, timeout=0)
    assert (outcome.by, outcome.verdict, outcome.value["args"]) == ("timeout", None, {"amount": 10.0})


@pytest.mark.parametrize(
    ("settings", "signal"),
    [
        ({}, {"requires_approval": True}),
        ({"human_actions": ["pay"]}, {"confidence": 0.3}),
        ({"rules": [{"name": "all", "when": "args.amount > 1.0", "route": "human"}]}, {"confidence": 0.3}),
        ({"rules": [{"name": "lacks", "when": "args.nowhere > 1.0", "route": "human"}]}, {"confidence": 0.95}),
        ({}, {"confidence": 0.3, "risk": "high"}),
        ({}, {"confidence": 0.95, "risk": "nobody knows"}),
    ],
)
def test_what_demanded_a_human_never_times_out_to_autopilot(desk, clock, settings, signal):
    case = loop(desk, **settings).propose(**PAY, **signal)
    assert case.route.to == "human"
    clock.tick(61)
    outcome = desk.loop("pay").wait(case, timeout=0)
    assert (outcome.by, outcome.verdict, outcome.value) == ("timeout", "reject", None)


@pytest.mark.parametrize(("risk", "runs"), [("low", True), ("medium", False), (0.5, False)])
def test_a_timeout_never_runs_what_is_above_the_ceiling_by_then(desk, clock, risk, runs):
    """The ceiling was higher when it was proposed, so that nothing but confidence was lacking then."""
    case = loop(desk, risk_ceiling="medium").propose(**PAY, confidence=0.3, risk=risk)
    assert case.route.by == "threshold"
    loop(desk, risk_ceiling="low")
    clock.tick(61)
    outcome = desk.loop("pay").wait(case, timeout=0)
    assert (outcome.by, outcome.verdict) == ("timeout", None if runs else "reject")


def test_what_somebody_rejected_never_times_out_to_autopilot(desk, clock):
    refunds, ran = loop(desk, quorum={"answers": 2}), []

    @refunds.gate(timeout=0, confidence=0.3, context=lambda amount: {"input": "invoice 7"})
    def pay(amount: float) -> None:
        ran.append(amount)

    with desk.run("invoice-7"), pytest.raises(dc.Pending):
        pay(10.0)
    desk.claim("ana", loop="pay").reject(rationale="not ours")
    clock.tick(61)
    with desk.run("invoice-7"), pytest.raises(TimedOut):
        pay(10.0)
    assert ran == []


def test_an_answer_after_the_response_time_comes_too_late_without_a_sweep(desk, clock):
    case = loop(desk, on_timeout="reject", lease="1h").propose(**PAY, confidence=0.3)
    claim = desk.claim("ana", loop="pay")
    clock.tick(61)
    with pytest.raises(SettledError):
        claim.approve()
    assert [type(e).__name__ for e in desk.events(case.id)][-2:] == ["Concluded", "ReviewCancelled"]
    assert desk.case(case.id).outcome.by == "timeout"


def test_a_held_case_takes_a_late_answer(desk, clock):
    case = loop(desk, on_timeout="hold", lease="1h").propose(**PAY, confidence=0.3)
    claim = desk.claim("ana", loop="pay")
    clock.tick(61)
    claim.approve()
    assert desk.case(case.id).outcome.verdict == "approve"


def test_a_decision_cannot_be_taken_back_once_effective_without_a_sweep(desk, clock):
    case = loop(desk, on_timeout="reject", respond_within="1h", undo="1m").propose(**PAY, confidence=0.3)
    desk.claim("ana", loop="pay").approve()
    clock.tick(120)
    with pytest.raises(SettledError):
        desk.retract(case.id, "ana")
    assert desk.case(case.id).outcome.verdict == "approve"


def test_a_late_claim_still_says_that_it_expired(desk, clock):
    loop(desk, on_timeout="hold", respond_within="1h", lease="1m").propose(**PAY, confidence=0.3)
    claim = desk.claim("ana", loop="pay")
    clock.tick(61)
    with pytest.raises(ClaimError):
        claim.approve()
