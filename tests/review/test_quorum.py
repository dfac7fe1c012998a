"""When answers settle a case: every way to count, disagreement, passing on, and properties over random votes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.errors import EligibilityError, EscalationError, SamePersonError, SettledError

PAY: dict[str, Any] = {"action": "pay", "args": {"n": 1}, "input": 1, "confidence": 0.5}
PEOPLE = ("ana", "ben", "cleo", "dan", "eve")


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


GROUPS = {"team": list(PEOPLE), "pair": ["ana", "ben"], "leads": ["lee"], "solo": ["ana"]}


def opened(desk, *, base: dict[str, Any] = PAY, mode: str = "approval", **quorum: Any):
    loop = desk.loop("pay", mode=mode, group="team", context="minimal", quorum=quorum or {"answers": 1})
    return loop.propose(**base)


def vote(desk, case, *votes: str) -> None:
    """Each verdict by the next person."""
    for person, verdict in zip(PEOPLE, votes, strict=False):
        value = {"edit": {"n": 2}, "respond": "wait"}.get(verdict)
        desk.claim(person, case=case).answer(verdict, value, rationale="r")


def state(desk, case) -> tuple[str | None, str | None]:
    decision = desk.case(case.id).decision
    return (decision.verdict, decision.settled_by) if decision else (None, None)


@pytest.mark.parametrize(
    ("quorum", "votes", "end"),
    [
        ({"answers": 2}, ["approve", "approve"], ("approve", "unanimous")),
        ({"answers": 3, "settle": "majority"}, ["approve", "reject", "approve"], ("approve", "majority")),
        ({"answers": 3, "settle": "majority"}, ["approve", "reject"], (None, None)),
        ({"answers": 2, "of": 3, "settle": "majority"}, ["approve", "reject"], (None, None)),
        ({"answers": 2, "of": 3, "settle": "majority"}, ["approve", "reject", "reject"], ("reject", "majority")),
        ({"answers": 2, "of": 3, "settle": 2}, ["edit", "edit"], ("edit", "k")),
        ({"answers": 2, "of": 3, "settle": 2}, ["approve", "reject", "reject"], ("reject", "k")),
        ({"answers": 1, "of": 3, "settle": 1}, ["reject"], ("reject", "k")),
        ({"answers": 3, "settle": "majority", "veto": True}, ["approve", "reject"], ("reject", "veto")),
        ({"answers": 3, "ordered": True}, ["approve", "approve", "approve"], ("approve", "unanimous")),
        ({"answers": 2, "of": 4}, ["approve", "approve"], ("approve", "unanimous")),
    ],
)
def test_ways_to_settle(desk, quorum, votes, end):
    case = opened(desk, **quorum)
    vote(desk, case, *votes)
    assert state(desk, case) == end
    waiting = [r for r in desk.case(case.id).reviews if r.state in ("open", "claimed")]
    assert bool(waiting) == (end == (None, None))


@pytest.mark.parametrize(
    ("quorum", "votes"),
    [
        ({"answers": 3, "settle": "majority", "arbiter": "leads"}, ["approve", "reject", "respond"]),
        ({"answers": 2, "arbiter": "leads"}, ["approve", "reject"]),
        ({"answers": 3, "arbiter": "leads"}, ["approve", "reject"]),
        ({"answers": 2, "settle": "majority", "arbiter": "leads"}, ["approve", "reject"]),
        ({"answers": 2, "of": 3, "settle": 3, "arbiter": "leads"}, ["approve", "reject"]),
        ({"answers": 2, "ordered": True, "arbiter": "leads"}, ["approve", "reject"]),
    ],
)
def test_disagreement_goes_to_the_arbiter(desk, quorum, votes):
    case = opened(desk, **quorum)
    vote(desk, case, *votes)
    assert state(desk, case) == (None, None)
    arbiter = desk.claim("lee", case=case)
    assert len(arbiter.view["answers"]) == len(votes)
    arbiter.reject("I have looked")
    assert state(desk, case) == ("reject", "arbiter")
    assert not [r for r in desk.case(case.id).reviews if r.state in ("open", "claimed")]


def test_one_after_the_other(desk):
    case = opened(desk, answers=3, ordered=True)
    first = desk.claim("ana", case=case)
    with pytest.raises(dc.DualcontrolError):
        desk.claim("ben", case=case)
    first.approve()
    with pytest.raises(SamePersonError):
        desk.claim("ana", case=case)
    assert desk.claim("ben", case=case).review.round == 2


def test_the_next_in_order_is_as_blind_as_the_first(desk):
    case = opened(desk, answers=2, ordered=True, arbiter="leads")
    desk.claim("ana", case=case).edit({"n": 2})
    following = desk.claim("ben", case=case)
    assert following.review.kind == "decide"
    assert (following.view["proposal"]["value"], following.view["answers"]) == ({"n": 1}, [])
    following.edit({"n": 2})
    assert state(desk, case) == ("edit", "unanimous")
    assert desk.case(case.id).outcome.value["args"] == {"n": 2}


def test_a_collected_distribution_forces_no_winner(desk):
    base = {"proposal": "spam", "input": 1, "confidence": 0.1}
    case = opened(desk, base=base, mode="labels", answers=3, settle="collect")
    for person, label in zip(PEOPLE, ("spam", "ham", "spam"), strict=False):
        desk.claim(person, case=case).label(label)
    decision = desk.case(case.id).decision
    assert (decision.settled_by, decision.value) == ("collect", None)
    assert [(d["value"], d["answers"]) for d in decision.distribution] == [("spam", 2), ("ham", 1)]


def test_approving_equals_an_edit_to_the_same(desk):
    case = opened(desk, answers=2)
    desk.claim("ana", case=case).approve()
    desk.claim("ben", case=case).edit({"n": 1})
    assert state(desk, case) == ("approve", "unanimous")


def test_the_last_one_left_cannot_pass_it_on(desk):
    case = desk.loop("pay", group="pair", context="minimal").propose(**PAY)
    desk.claim("ana", case=case).abstain()
    last = desk.claim("ben", case=case)
    with pytest.raises(EscalationError, match="nobody else in pair"):
        last.abstain()
    last.approve()
    assert desk.case(case.id).outcome.reviewers == ("ben",)


def test_a_row_that_the_other_will_not_take_goes_to_the_arbiter(desk):
    case = desk.loop("pay", group="pair", context="minimal", quorum={"answers": 2, "arbiter": "leads"}).propose(**PAY)
    desk.claim("ana", case=case).abstain()
    assert [(r.group, r.state) for r in desk.case(case.id).reviews][-1] == ("leads", "open")
    desk.claim("ben", case=case).approve()
    desk.claim("lee", case=case).approve()
    assert state(desk, case) == ("approve", "unanimous")


def test_escalation_needs_somebody(desk):
    case = opened(desk, answers=1)
    claim = desk.claim("ana", case=case)
    for to in ("nobody", "solo"):
        with pytest.raises(EscalationError):
            claim.escalate(to)
    claim.escalate("leads", rationale="too large for me")
    with pytest.raises(EligibilityError):
        desk.claim("ben", case=case)
    desk.claim("lee", case=case).approve()
    assert desk.case(case.id).outcome.reviewers == ("lee",)


def test_an_audit_that_is_passed_on_stays_an_audit(desk):
    loop = desk.loop("pay", group="team", context="minimal", threshold=0.1, audit=1.0)
    case = loop.propose(**PAY)
    desk.claim("ana", case=case).abstain()
    desk.claim("ben", case=case).reject("wrong")
    after = desk.case(case.id)
    assert (after.outcome.by, [a["wrong"] for a in after.audits]) == ("autopilot", [1])
    assert not [r for r in after.reviews if r.state in ("open", "claimed")]


def test_a_retracted_vote_is_asked_for_again(desk):
    case = opened(desk, answers=2, arbiter="leads")
    vote(desk, case, "approve", "reject")
    desk.retract(case.id, "ben")
    desk.claim("cleo", case=case).approve()
    assert state(desk, case) == ("approve", "unanimous")
    with pytest.raises(SettledError):
        desk.claim("lee", case=case)


WAYS = st.one_of(
    st.builds(lambda n: {"answers": n}, st.integers(1, 4)),
    st.builds(lambda n, m: {"answers": n, "of": n + m, "settle": "majority"}, st.integers(1, 3), st.integers(0, 2)),
    st.builds(lambda n, m: {"answers": n, "of": n + m, "settle": n}, st.integers(1, 3), st.integers(0, 2)),
    st.builds(lambda n: {"answers": n, "settle": "majority", "veto": True}, st.integers(2, 4)),
    st.builds(lambda n: {"answers": n, "ordered": True}, st.integers(1, 3)),
)
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(quorum=WAYS, votes=st.lists(st.sampled_from(["approve", "reject", "edit"]), min_size=6, max_size=6))
def test_every_quorum_ends_with_what_enough_people_said(desk, quorum, votes):
    """Whatever is voted: it settles once, by no more people than asked and one arbiter, and for what they said."""
    case = desk.loop("pay", context="minimal", group="reviewers", quorum=quorum).propose(**PAY)
    given_: list[str] = []
    for number, verdict in enumerate(votes):
        if desk.case(case.id).settled is not None:
            break
        given_.append(verdict)
        desk.claim(f"person {number}", case=case).answer(verdict, {"n": 2} if verdict == "edit" else None)
    decision = desk.case(case.id).decision
    asked = max(quorum["answers"], quorum.get("of", 0))
    assert decision is not None
    assert quorum["answers"] <= len(given_) <= asked + 1 or decision.settled_by in ("veto", "arbiter")
    if decision.settled_by == "arbiter":
        assert decision.verdict == given_[-1]
    elif decision.settled_by == "unanimous":
        assert set(given_) == {decision.verdict}
    elif decision.settled_by == "majority":
        assert 2 * given_.count(decision.verdict) > len(given_)
    else:
        assert given_.count(decision.verdict) >= (1 if decision.settled_by == "veto" else quorum["settle"])
