"""An action is judged in two steps: said what should happen, then seen and answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import AnswerError, AnswerValueError, ClaimError, CommitError, PayloadError
from dualcontrol.events import Answered, Audited, Committed
from dualcontrol.evolve import fold
from dualcontrol.review.adjudication import Adjudicated, verdict
from dualcontrol.review.view import digest
from dualcontrol.testing import ScriptedReviewer

GROUPS = {"team": ["ana", "ben", "cleo"], "leads": ["lee"]}
TO_ANA = {"should": "happen", "to": "Jana"}


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


def refunds(desk, *, promise: dict[str, Any] | None = None, **settings: Any):
    return desk.loop(
        "refunds", context="minimal",
        **{"group": "team", "guarantee": {"max_error": 0.05, **(promise or {})}, "autopilot_actions": ["refund"],
           "audit": 1.0, **settings},
    )  # fmt: skip


def proposed(loop, **given: Any):
    return loop.propose(**{
        "action": "refund", "args": {"to": "MARKER", "amount": 98.76}, "input": "please pay me", "history": ["before"],
        "rationale": "MARKER", "confidence": 0.9876, "risk": "low", "schema": {"title": "MARKER"}, **given,
    })  # fmt: skip


def happened(desk, case, kind: type) -> list[Any]:
    return [e for e in desk.events(case.id) if isinstance(e, kind)]


def test_before_the_commitment_nothing_of_the_action_is_shown(desk):
    claim = desk.claim("ana", case=proposed(refunds(desk)))
    text = json.dumps(claim.view)
    assert [word for word in ("MARKER", "98.76", "0.98", '"refund"') if word in text] == []
    assert (claim.view["blind"], claim.view["committed"], claim.view["actions"]) == (True, None, [])
    assert (claim.view["proposal"], claim.view["candidates"], claim.view["signal"]) == (None, [], {})
    assert (claim.view["input"], claim.view["history"]) == ("please pay me", ["before"])


def test_kinds_of_actions_are_listed_where_there_are_several(desk):
    others = [{"action": "resend", "args": {"MARKER": 1}}, {"action": "ask", "args": {}}]
    one = desk.claim("ana", case=proposed(refunds(desk), alternatives=others))
    assert one.view["actions"] == ["ask", "refund", "resend"]
    assert "MARKER" not in json.dumps(one.view)


def test_the_commitment_shows_the_action_and_stays_with_the_answer(desk):
    case = proposed(refunds(desk))
    claim = desk.claim("ana", case=case)
    before = claim.view
    after = claim.commit("happen", to="Jana").view
    assert (after["proposal"]["value"], after["rationale"]) == ({"to": "MARKER", "amount": 98.76}, "MARKER")
    assert (after["committed"], after["signal"]["confidence"], after["blind"]) == (TO_ANA, 0.9876, True)
    assert desk.claimed(claim.id).view == after
    claim.reject("not hers")
    (committed,), (answered,) = happened(desk, case, Committed), happened(desk, case, Answered)
    assert (committed.person, committed.shown, answered.shown) == ("ana", digest(before), digest(after))
    assert list(committed.content.seals) == [f"first/{claim.review.id}"]
    (answer,) = desk.case(case.id).answers
    assert answer.first == {"verdict": "approve", "value": "Jana"}
    assert [e.wrong for e in happened(desk, case, Audited)] == [1]
    assert [f for f in examine(desk.store) if f.level == PROBLEM] == []


@pytest.mark.parametrize("what", [("approve",), ("reject",), ("edit", {"to": "x", "amount": 1.0}), ("respond", "no")])
def test_an_answer_before_it_is_refused(desk, what: tuple[Any, ...]):
    case = proposed(refunds(desk))
    claim = desk.claim("ana", case=case)
    with pytest.raises(CommitError, match="only after a commitment") as refused:
        claim.answer(*what)
    assert (refused.value.code, "claim.commit" in refused.value.hint) == ("DC-COMMIT", True)
    assert "MARKER" not in str(refused.value)
    claim.commit("not")
    claim.answer(*what)
    assert desk.case(case.id).answers[0].first == {"verdict": "reject", "value": None}


def test_who_cannot_say_may_pass_it_on(desk):
    case = proposed(refunds(desk, quorum={"arbiter": "leads"}))
    desk.claim("ana", case=case).abstain()
    committed = desk.claim("ben", case=case).commit("happen", to="Jana")
    committed.escalate("leads", rationale="MARKER is above me")
    last = desk.claim("lee", case=case)
    assert (last.view["committed"], last.view["escalations"]) == (None, [])
    assert "MARKER" not in json.dumps(last.view)
    with pytest.raises(CommitError):
        last.approve()
    assert [e["person"] for e in last.commit("not").view["escalations"]] == ["ben"]


def test_it_is_said_once(desk):
    case = proposed(refunds(desk))
    claim = desk.claim("ana", case=case).commit("happen", to="Jana")
    claim.commit("happen", to="Jana")
    with pytest.raises(CommitError, match="is not changed"):
        claim.commit("not")
    assert len(happened(desk, case, Committed)) == 1


@pytest.mark.parametrize("should", ["", "maybe", "approve"])
def test_a_commitment_says_happen_or_not(desk, should: str):
    claim = desk.claim("ana", case=proposed(refunds(desk)))
    with pytest.raises(AnswerValueError, match='"happen" or "not"'):
        claim.commit(should)
    with pytest.raises(PayloadError):
        claim.commit("happen", to=float("nan"))
    with pytest.raises(AnswerError):
        claim.commit(None)
    assert claim.desk.claimed(claim.id).view["committed"] is None


def test_who_gives_it_back_stays_committed_and_others_commit_anew(desk):
    case = proposed(refunds(desk))
    desk.claim("ana", case=case).commit("happen", to="Jana").release()
    ben = desk.claim("ben", case=case)
    assert (ben.view["committed"], ben.view["proposal"]) == (None, None)
    ben.release()
    ana = desk.claim("ana", case=case)
    assert ana.view["committed"] == TO_ANA
    with pytest.raises(CommitError):
        ana.commit("not")
    ana.release()
    assert desk.claim("ben", case=case).commit("not").view["committed"] == {"should": "not", "to": None}


def test_only_who_holds_the_claim_commits(desk):
    case = proposed(refunds(desk))
    claim = desk.claim("ana", case=case)
    claim.release()
    with pytest.raises(ClaimError):
        desk.commit(claim.id, "happen")


@pytest.mark.parametrize("promise", [{"blind": False}, None])
def test_a_review_that_is_not_blind_asks_for_none(desk, promise: dict[str, Any] | None):
    by_rule = {"autopilot_actions": [], "human_actions": ["refund"]}
    loop = refunds(desk, promise=promise) if promise else refunds(desk, **by_rule)
    claim = desk.claim("ana", case=proposed(loop))
    assert ("committed" in claim.view, claim.view["proposal"]["value"]["to"]) == (False, "MARKER")
    with pytest.raises(CommitError, match="asks for no commitment"):
        claim.commit("happen")
    claim.approve()


def test_the_second_after_a_decision_commits_too(desk):
    case = proposed(refunds(desk, autopilot_actions=[], audit=0.0))
    desk.claim("ana", case=case).commit("happen").reject("MARKER")
    second = desk.claim("ben", case=case)
    assert (second.view["committed"], "MARKER" in json.dumps(second.view)) == (None, False)
    assert second.commit("happen").view["answers"] == []
    second.approve()
    assert verdict(desk.case(case.id), desk.control("refunds")) == Adjudicated(state="final", wrong=0)


def test_scripts_commit_by_themselves(desk):
    loop = refunds(desk, promise={"adjudicate": False})
    case, other = proposed(loop), proposed(loop)
    assert ScriptedReviewer(desk, "ana", lambda view: "approve").once().id == case.id
    told = ScriptedReviewer(desk, "ana", lambda view: "reject", first=lambda view: ("not", view["input"]))
    assert told.all() == 1
    firsts = [desk.case(c.id).answers[0].first for c in (case, other)]
    assert firsts == [{"verdict": "approve", "value": None}, {"verdict": "reject", "value": "please pay me"}]


def test_async_programs_commit(desk):
    case = proposed(refunds(desk))

    async def play() -> dict[str, Any]:
        claim = await desk.aio.claim("ana", case=case.id)
        await claim.commit("happen", to="Jana")
        again = await desk.aio.commit(claim.id, "happen", "Jana")
        assert again.view == claim.view
        await claim.approve()
        return claim.view

    assert asyncio.run(play())["committed"] == TO_ANA


def test_the_events_give_the_case_again(desk):
    case = proposed(refunds(desk))
    desk.claim("ana", case=case).commit("happen", to="Jana").approve()
    entries = desk.store.queries.entries(f"case/{case.id}")
    again = None
    for entry in entries:
        again = fold(again, entry.events, seq=entry.seq)
    assert again == desk.case(case.id)


def test_on_every_database(database_url: str):
    with dc.open(database_url, durability="process", groups=GROUPS) as desk:
        case = proposed(refunds(desk))
        claim = desk.claim("ana")
        assert claim.view["proposal"] is None
        desk.commit(claim.id, "happen", "Jana").release()
        mine = desk.claim("ben").commit("not", to=["nobody"])
        assert (mine.view["committed"], mine.view["proposal"]["action"]) == (
            {"should": "not", "to": ["nobody"]}, "refund",
        )  # fmt: skip
        mine.reject()
        assert desk.case(case.id).answers[0].first == {"verdict": "reject", "value": ["nobody"]}
