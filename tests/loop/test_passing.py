"""Views that stand still, what abstaining and escalating keep, first commitments, and alarms when people run out."""

from __future__ import annotations

from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.cli.show import blind_to, plain_case
from dualcontrol.doctor import PROBLEM, WARNING, examine
from dualcontrol.errors import AnswerError, AnswerValueError, EscalationError, VerdictError
from dualcontrol.events import AlarmRaised, Answered, Passed, Rerouted, ReviewOpened
from dualcontrol.review.view import digest

GROUPS = {
    "team": ["ana", "ben", "cleo", "dan"],
    "leads": ["lee", "lou"],
    "solo": ["ana"],
    "boss": ["ira"],
    "owners": ["ana"],
    "both": ["lee", "max"],
    "pair": ["ana", "ben"],
}
LARGE: dict[str, Any] = {"name": "large", "when": "args.amount > 500.0", "route": "human", "group": "leads"}


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


def proposed(desk, given: dict[str, Any] | None = None, **settings: Any):
    loop = desk.loop("a", context="minimal", **{"group": "team", "rules": [LARGE], **settings})
    return loop.propose(**{"action": "pay", "args": {"amount": 100.0}, "input": "x", **(given or {})})


def kinds(desk, case, kind: type) -> list[Any]:
    return [e for e in desk.events(case.id) if isinstance(e, kind)]


def shown_to(desk, case, person: str) -> str:
    return next(e.shown for e in kinds(desk, case, Answered | Passed) if e.actor.person == person)


@pytest.mark.parametrize("blind", [True, False])
def test_what_was_shown_is_what_the_digest_says(desk, blind):
    case = proposed(desk, quorum={"answers": 2, "blind": blind})
    ana, ben = desk.claim("ana", case=case), desk.claim("ben", case=case)
    seen = ben.view
    ana.approve()
    assert desk.claimed(ben.id).view == seen
    ben.approve()
    assert shown_to(desk, case, "ben") == digest(seen)


def test_who_claims_later_sees_more_where_the_quorum_is_not_blind(desk):
    case = proposed(desk, quorum={"answers": 2, "blind": False})
    ben = desk.claim("ben", case=case)
    desk.claim("ana", case=case).approve()
    ben.release()
    again = desk.claim("ben", case=case)
    assert [a["verdict"] for a in again.view["answers"]] == ["approve"]
    again.reject("no")
    assert shown_to(desk, case, "ben") == digest(again.view)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_edit_shows_nothing_to_the_next_of_a_blind_quorum(desk, ordered):
    case = proposed(desk, quorum={"answers": 2, "ordered": ordered})
    before = None if ordered else desk.claim("ben", case=case).view
    desk.claim("ana", case=case).edit({"amount": 900.0})
    ben = desk.claim("ben", case=case)
    assert before is None or ben.view == before
    assert (ben.view["route"]["by"], ben.view["answers"], ben.review.kind) == ("no_signal", [], "decide")
    assert ben.view["proposal"]["value"] == {"amount": 100.0}
    assert kinds(desk, case, Rerouted) == []


def test_those_who_are_asked_about_an_edit_do_not_see_each_other(desk):
    case = proposed(desk, rules=[{**LARGE, "quorum": {"answers": 2}}])
    desk.claim("ana", case=case).edit({"amount": 900.0})
    desk.claim("lee", case=case).reject("no")
    assert [a["actor"]["person"] for a in desk.claim("lou", case=case).view["answers"]] == ["ana"]
    assert len(blind_to(desk.case(case.id), "lou")) == 2


def test_the_view_of_an_arbiter_stands_still(desk):
    case = proposed(desk, quorum={"answers": 3, "arbiter": "leads"}, rules=[])
    cleo = desk.claim("cleo", case=case)
    desk.claim("ana", case=case).approve()
    desk.claim("ben", case=case).reject("no")
    lee = desk.claim("lee", case=case)
    seen = lee.view
    cleo.escalate("boss", rationale="I know them")
    desk.claim("ira", case=case).approve()
    assert desk.claimed(lee.id).view == seen
    lee.reject("no")
    assert shown_to(desk, case, "lee") == digest(seen)


def test_passing_keeps_what_was_said(desk):
    case = proposed(desk, quorum={"arbiter": "leads"})
    first = {"verdict": "reject", "value": None}
    said: dict[str, Any] = {"rationale": "r", "reasons": ["coi"], "confidence": 0.3, "first": first}
    desk.claim("ana", case=case).abstain(**said)
    desk.claim("ben", case=case).escalate(**said)
    for event, value in zip(kinds(desk, case, Passed), (None, {"to": "leads"}), strict=True):
        assert (event.reasons, event.confidence, event.presented) == (("coi",), "0.3", ("c1",))
        assert float(event.seconds) >= 0
        kept = event.content.values[f"answer/{event.review_id}"]
        assert (kept["rationale"], kept["first"], kept.get("value")) == ("r", first, value)


def test_a_first_commitment_of_who_passed_is_not_shown_while_others_answer(desk):
    case = proposed(desk, quorum={"answers": 2})
    ana = desk.claim("ana", case=case)
    ana.abstain(rationale="r", first={"verdict": "reject"})
    desk.claim("ben", case=case).approve()
    after = desk.case(case.id)
    assert plain_case(after, blind_to(after, "cleo"))["content"][f"answer/{ana.review.id}"] == {"rationale": "r"}


def test_who_takes_the_place_of_somebody_who_escalated_sees_why(desk):
    case = proposed(desk, quorum={"answers": 2, "arbiter": "leads"}, rules=[])
    desk.claim("ana", case=case).escalate(rationale="too large for me", first={"verdict": "reject"})
    lee = desk.claim("lee", case=case)
    told = {"person": "ana", "group": "team", "to": "leads", "rationale": "too large for me"}
    assert (lee.view["escalations"], lee.view["answers"]) == ([told], [])
    assert desk.claim("ben", case=case).view["escalations"] == []
    lee.abstain()
    assert desk.claim("lou", case=case).view["escalations"] == [told]


@pytest.mark.parametrize(
    ("first", "error"),
    [
        ("garbage", AnswerError),
        ({}, AnswerError),
        ({"verdict": "approve", "more": 1}, AnswerError),
        ({"verdict": "label", "value": 1}, VerdictError),
        ({"verdict": "abstain"}, VerdictError),
        ({"verdict": ["approve"]}, VerdictError),
        ({"verdict": "approve", "value": 1}, AnswerValueError),
        ({"verdict": "edit", "value": {"amount": "much"}}, AnswerValueError),
    ],
)
def test_a_first_commitment_is_as_legal_as_an_answer(desk, first, error):
    case = proposed(desk)
    claim = desk.claim("ana", case=case)
    for verdict in ("approve", "abstain"):
        with pytest.raises(error, match="first"):
            claim.answer(verdict, first=first)
    assert kinds(desk, case, Answered | Passed) == []
    claim.approve(first={"verdict": "edit", "value": {"amount": 1.0}})
    assert desk.case(case.id).answers[0].first == {"verdict": "edit", "value": {"amount": 1.0}}


def test_nobody_is_above_the_arbiter(desk):
    case = proposed(desk, quorum={"arbiter": "leads"})
    desk.claim("ana", case=case).escalate()
    lee = desk.claim("lee", case=case)
    for to in (None, "leads"):
        with pytest.raises(EscalationError):
            lee.escalate(to)
    lee.abstain()
    desk.claim("lou", case=case).approve()
    assert desk.case(case.id).outcome.reviewers == ("lou",)


def test_who_is_of_the_arbiters_group_has_nobody_above_in_another_group_either(desk):
    case = proposed(desk, group="both", quorum={"arbiter": "leads"})
    with pytest.raises(EscalationError, match="lee is of group 'leads'"):
        desk.claim("lee", case=case).escalate()
    desk.claimed(desk.case(case.id).reviews[0].claim_id).release()
    desk.claim("max", case=case).escalate()
    assert desk.claim("lee", case=case).review.group == "leads"


def test_nobody_escalates_to_their_own_group(desk):
    case = proposed(desk)
    with pytest.raises(EscalationError, match="abstain"):
        desk.claim("ana", case=case).escalate("team")


def alarms(desk, case) -> list[tuple[str, str]]:
    """The alarms of a case, each with the group of the row beside it."""
    groups = {e.review_id: e.group for e in kinds(desk, case, ReviewOpened)}
    assert list(desk.case(case.id).alarms) == [
        {"code": a.code, "reason": a.reason, "at": a.at, "review_id": a.review_id}
        for a in kinds(desk, case, AlarmRaised)
    ]
    return [(a.code, groups[a.review_id]) for a in kinds(desk, case, AlarmRaised)]


def warned(desk) -> list[str]:
    found = list(examine(desk.store))
    assert not [f for f in found if f.level == PROBLEM]
    return [f.what for f in found if f.level == WARNING and f.check == "alarms"]


def test_a_row_that_nobody_can_take_raises_an_alarm(desk):
    case = proposed(desk, {"owner": "ana"}, group="solo")
    assert alarms(desk, case) == [("too_few_people", "solo")]
    assert "group 'solo' has 0 eligible of the 1 that are needed" in warned(desk)[0]
    desk.withdraw(case.id)
    assert warned(desk) == []


def test_the_arbiter_decides_alone_where_too_few_are_eligible(desk):
    case = proposed(desk, {"owner": "ana"}, group="pair", quorum={"answers": 2, "arbiter": "leads"}, rules=[])
    assert alarms(desk, case) == [("too_few_people", "leads")]
    claim = desk.claim("lee", case=case)
    assert [a["code"] for a in claim.view["alarms"]] == ["too_few_people"]
    claim.approve()
    assert desk.case(case.id).decision.settled_by == "arbiter"
    assert warned(desk) == []


def test_an_arbiter_who_is_the_owner_is_nobody(desk):
    case = proposed(desk, {"owner": "ana"}, group="solo", quorum={"arbiter": "owners"}, rules=[])
    assert alarms(desk, case) == [("too_few_people", "solo")]


def test_a_dispute_that_nobody_is_left_for_raises_an_alarm(desk):
    case = proposed(desk, group="pair", quorum={"answers": 2})
    desk.claim("ana", case=case).approve()
    assert alarms(desk, case) == []
    desk.claim("ben", case=case).reject("no")
    assert alarms(desk, case) == [("too_few_people", "pair")]


def test_enough_people_raise_no_alarm(desk):
    case = proposed(desk, {"owner": "dan"}, quorum={"answers": 2, "arbiter": "leads"}, rules=[])
    desk.claim("ana", case=case).approve()
    desk.claim("ben", case=case).reject("no")
    assert (alarms(desk, case), "alarms" in desk.case(case.id).to_dict()) == ([], False)
