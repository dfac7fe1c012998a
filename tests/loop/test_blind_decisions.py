"""What people decide is evidence where they were asked blind: which cases are drawn, and what each answer counts as."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from certify_cases import EASY, Stream, problems

import dualcontrol as dc
from dualcontrol.errors import CommitError
from dualcontrol.events import AuditsChanged, EpochBegan, EvidenceCounted, ReliefChanged, Routed
from dualcontrol.guarantee.evidence import floors, label_of
from dualcontrol.review.adjudication import verdict
from dualcontrol.testing import FakeClock

GROUPS = {"team": ["ana", "ben", "cleo"], "leads": ["lee"]}
BLIND = EASY | {"blind": True, "blind_share": 0.3}


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


@pytest.fixture
def stream():
    made = Stream("sqlite:///:memory:", guarantee=BLIND)
    yield made
    made.desk.close()


def mails(desk, **settings: Any):
    promise = {"max_error": 0.05} | settings.pop("promise", {})
    return desk.loop("mail", mode="labels", labels=["spam", "ham"], context="minimal", group="team",
                     guarantee=promise, **settings)  # fmt: skip


def refunds(desk, **settings: Any):
    promise = {"max_error": 0.05} | settings.pop("promise", {})
    return desk.loop("refunds", context="minimal", group="team", guarantee=promise, **settings)


def refund(loop, **given: Any):
    return loop.propose(**{"action": "refund", "args": {"amount": 9.0}, "input": "pay me", "confidence": 0.5, **given})


def routed(desk, case) -> Routed:
    return next(e for e in desk.events(case.id) if isinstance(e, Routed))


def by_hand(s: Stream, purpose: str, case_id: str) -> float:
    """The draw as the docs say it: HMAC-SHA256 of purpose, a zero byte and the case id."""
    digest = hmac.new(s.desk.steps.secret, f"{purpose}\0{case_id}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


# which cases


def test_everything_is_asked_blind_until_autopilot_opens_and_a_share_after(stream):
    cases = []
    while not stream.loop.control.thresholds:
        cases.append(stream.propose())
        assert stream.desk.claim("ana", case=cases[-1]).label(stream.truth[cases[-1].id])
    draws = [routed(stream.desk, case) for case in cases]
    assert {(d.evidence, d.asked_blind) for d in draws} == {("1.0", True)}
    assert [e.blind for e in stream.events(AuditsChanged)][-1] == "0.3"
    low = [stream.propose(0.001) for _ in range(200)]
    drawn = [routed(stream.desk, case).asked_blind for case in low]
    assert {routed(stream.desk, case).evidence for case in low} == {"0.3"}
    assert 35 < sum(drawn) < 85  # 60 expected of 200, give or take 6.5
    assert drawn == [by_hand(stream, "blind", case.id) < 0.3 for case in low]
    shown = [stream.desk.claim("ana", case=case).view["proposal"] is not None for case in low[:30]]
    assert shown == [not blind for blind in drawn[:30]]


def test_a_draw_has_nothing_to_do_with_that_of_audits(stream):
    ids = [stream.new_id() for _ in range(4_000)]
    both = sum(by_hand(stream, "blind", i) < 0.3 and by_hand(stream, "audit", i) < 0.3 for i in ids)
    assert 290 < both < 430  # 360 of 4,000 where they are independent


def test_after_an_alarm_everything_is_blind_until_autopilot_opens_again(stream):
    usual = stream.opened().risk
    stream.risk = lambda score: 0.9
    while stream.loop.control.thresholds:
        stream.go(20)
    assert stream.standing().state == "closed"
    assert routed(stream.desk, stream.propose(0.001)).evidence == "1.0"
    stream.risk = usual
    stream.opened()
    assert routed(stream.desk, stream.propose(0.001)).evidence == "0.3"


def test_the_share_begins_after_the_phase_in_which_everything_is_reviewed():
    """Its one exact test takes every case, and is over at the first that was not to be labelled for sure."""
    s = Stream("sqlite:///:memory:", guarantee=BLIND | {"launch": 2_000}).opened()
    assert [e.blind for e in s.events(AuditsChanged)] == [None]
    assert routed(s.desk, s.propose(0.001)).evidence == "1.0"


def test_another_models_cases_are_all_blind(stream):
    """They are to be the first evidence of its own certificate, and no draw of the present one may thin them out."""
    stream.opened()
    assert routed(stream.desk, stream.propose(0.001)).evidence == "0.3"
    other = {"proposal": {"value": "a", "source": {"model": "other"}}}
    assert routed(stream.desk, stream.propose(0.001, **other)).evidence == "1.0"


@pytest.mark.parametrize("changes", [{"blind": False}, None])
def test_without_blind_answers_every_answer_counts(changes: dict[str, Any] | None):
    s = Stream("sqlite:///:memory:", guarantee=EASY if changes else None)
    case = s.propose()
    assert (routed(s.desk, case).evidence, routed(s.desk, case).asked_blind) == (None, None)
    assert s.desk.claim("ana", case=case).view["proposal"]["value"] == "a"


def test_what_no_certificate_speaks_for_is_shown(desk):
    loop = mails(desk, rules=[{"name": "all", "when": "true", "route": "human"}])
    case = loop.propose(input="a mail", proposal="spam", confidence=0.5)
    assert (routed(desk, case).score, routed(desk, case).evidence) == (None, None)
    unscored = mails(desk).propose(input="a mail", proposal="spam")
    assert routed(desk, unscored).evidence is None


def test_free_responses_are_asked_blind_too_and_then_compared(desk):
    loop = desk.loop("chat", mode="fallback", context="minimal", guarantee={"max_error": 0.05})
    case = loop.propose(input="hello", proposal="Hi.", confidence=0.5)
    assert (routed(desk, case).evidence, routed(desk, case).asked_blind) == ("1.0", True)
    desk.claim("ana", case=case).respond("Good day.")
    assert [bool(review.against) for review in desk.case(case.id).reviews] == [False, True]
    schema = {"type": "number"}
    loop = desk.loop("sums", mode="fallback", context="minimal", schema=schema, guarantee={"max_error": 0.05})
    case = loop.propose(input="1 + 1", proposal=2, confidence=0.5)
    claim = desk.claim("ana", case=case)
    assert (claim.view["proposal"], routed(desk, case).evidence) == (None, "1.0")
    claim.respond(2)
    assert label_of(desk.case(case.id), desk.control("sums")) == 0


# what counts


def test_shown_answers_are_no_evidence_and_blind_ones_count_by_one_over_their_probability(stream):
    stream.opened()
    stream.loop.certify()
    before, shown = {row["seq"] for row in stream.loop.evidence()}, stream.standing().shown
    low = [stream.propose(0.001, wrong=False) for _ in range(60)]
    drawn = [routed(stream.desk, case).asked_blind for case in low]
    for case in low:
        stream.answer(case=case)
    stream.loop.certify()
    rows = [row for row in stream.loop.evidence() if row["seq"] not in before]
    assert [(row["inclusion"], row["wrong"]) for row in rows] == [(0.3, 0)] * sum(drawn)
    assert stream.standing().shown == sum(e.shown for e in stream.events(EvidenceCounted)) == shown + 60 - sum(drawn)
    assert stream.standing().blind
    stream.check()
    assert problems(stream.desk) == []


def test_nobody_waits_for_an_answer_that_does_not_count(stream):
    stream.opened()
    while routed(stream.desk, case := stream.propose(0.001)).asked_blind:
        stream.answer(case=case)
    blind = next(c for c in (stream.propose(0.001) for _ in range(100)) if routed(stream.desk, c).asked_blind)
    stream.answer(case=blind)
    stream.loop.certify()
    assert stream.loop.evidence()[-1]["inclusion"] == 0.3
    assert stream.desk.case(case.id).state == "open"


def test_a_missing_blind_answer_counts_as_wrong_and_a_missing_shown_one_does_not(stream):
    stream.opened()
    low = [stream.propose(0.001, wrong=False) for _ in range(40)]
    blind = sum(bool(routed(stream.desk, case).asked_blind) for case in low)
    stream.clock.tick(8 * 86_400)
    stream.loop.certify()
    assert [row["wrong"] for row in stream.loop.evidence()[-blind:]] == [1] * blind
    assert stream.standing().missing == blind


def test_an_empty_chair_makes_no_running_bound_better(stream):
    """Shown decisions of people are none of autopilot's, which the running bound is about."""
    stream.opened()
    stream.loop.certify()
    before = stream.standing().autopilot_cases
    for _ in range(50):
        stream.answer(case=stream.propose(0.001))
    stream.loop.certify()
    assert stream.standing().autopilot_cases == before


def test_a_shown_wrong_asks_nobody_again():
    s = Stream("sqlite:///:memory:", guarantee=BLIND | {"adjudicate": True}, groups={"reviewers": ["ana", "ben"]})
    while not s.loop.control.thresholds:
        case = s.answer(case=s.propose())
        if len(case.reviews) == 2:
            s.answer("ben", case=case)
    pairs = {}
    for case in (s.propose(0.001, wrong=True) for _ in range(40)):
        s.answer(case=case)
        pairs[bool(routed(s.desk, case).asked_blind)] = [r.kind for r in s.desk.case(case.id).reviews]
    assert pairs == {True: ["decide", "second"], False: ["decide"]}


# several answers, arbiters, actions


def test_all_rows_that_can_settle_a_drawn_case_are_blind(desk):
    case = mails(desk, quorum={"answers": 2, "arbiter": "leads"}).propose(input="x", proposal="spam", confidence=0.5)
    for person, label in (("ana", "ham"), ("ben", "spam")):
        claim = desk.claim(person, case=case)
        assert (claim.review.kind, claim.view["proposal"], claim.view["answers"]) == ("decide", None, [])
        claim.label(label)
    last = desk.claim("lee", case=case)
    assert (last.review.kind, last.view["proposal"], last.view["answers"]) == ("arbiter", None, [])
    last.label("ham")
    assert verdict(desk.case(case.id), desk.control("mail")).state == "pending"  # a second is asked, blind as well


def test_who_takes_an_escalated_or_passed_review_is_asked_blind_too(desk):
    case = mails(desk, quorum={"arbiter": "leads"}).propose(input="x", proposal="spam", confidence=0.5)
    desk.claim("ana", case=case).abstain()
    desk.claim("ben", case=case).escalate("leads", rationale="MARKER")
    last = desk.claim("lee", case=case)
    assert (last.view["proposal"], last.view["escalations"], last.view["blind"]) == (None, [], True)


def test_the_commitment_counts_and_the_verdict_runs(desk):
    """Who says no before they see the action, and lets it run then, has found it wrong: that is the evidence."""
    case = refund(refunds(desk, promise={"adjudicate": False}))
    claim = desk.claim("ana", case=case)
    with pytest.raises(CommitError):
        claim.approve()
    claim.commit("not").approve()
    case = desk.case(case.id)
    assert (case.outcome.verdict, case.decision.wrong, label_of(case, desk.control("refunds"))) == ("approve", 1, 1)


@pytest.mark.parametrize(
    ("first", "then", "wrong"), [("happen", "approve", 0), ("not", "approve", 1), ("happen", "reject", 1)]
)
@pytest.mark.parametrize("audit", [False, True])
def test_an_action_is_right_where_both_say_so(desk, first: str, then: str, wrong: int, audit: bool):
    more: dict[str, Any] = {"autopilot_actions": ["refund"], "audit": 1.0} if audit else {}
    case = refund(refunds(desk, promise={"adjudicate": False}, **more))
    desk.claim("ana", case=case).commit(first).answer(then)
    assert verdict(desk.case(case.id), desk.control("refunds")).wrong == wrong


def test_two_who_let_it_run_are_not_agreed_where_one_said_no_first(desk):
    case = refund(refunds(desk, quorum={"answers": 2}))
    desk.claim("ana", case=case).commit("not").approve()
    desk.claim("ben", case=case).commit("happen").approve()
    assert [r.kind for r in desk.case(case.id).reviews if r.state == "open"] == ["second"]
    desk.claim("cleo", case=case).commit("happen").approve()
    assert label_of(desk.case(case.id), desk.control("refunds")) == 0


def test_a_committed_arbiter_sees_what_the_others_said(desk):
    case = refund(refunds(desk, quorum={"answers": 2, "settle": "unanimous", "arbiter": "leads"}))
    desk.claim("ana", case=case).commit("happen").approve()
    desk.claim("ben", case=case).commit("not").reject()
    last = desk.claim("lee", case=case)
    assert last.view["answers"] == []
    assert [a["verdict"] for a in last.commit("happen").view["answers"]] == ["approve", "reject"]


# load shedding, batches, the shadow


def test_a_case_that_joins_is_no_evidence_where_equal_questions_count_once():
    """One answer settles the leader and its followers, and is one label: the leader's, if it was drawn."""
    s = Stream("sqlite:///:memory:", guarantee=BLIND, capacity={"reviewers": 1}, respond_within="1h")
    s.opened()
    low: dict[str, Any] = {"input": "the same", "risk": "low"}
    leader = s.propose(0.001, **low)
    s.desk.steps.move("mail", lambda now, at: [relief(now.version + 1, at)])
    followers = [s.propose(0.001, **low) for _ in range(12)]
    routes = [routed(s.desk, case) for case in followers]
    assert {r.relief for r in routes} == {"joined"}
    assert routed(s.desk, leader).evidence == "0.3"
    assert {(r.evidence, r.asked_blind, r.score) for r in routes} == {(None, None, None)}


def relief(version: int, at: int) -> Any:
    return ReliefChanged(
        version=version, at=at, level=1, name="joined", demand="9.0", capacity="1.0", understaffed=1, reason="busy"
    )


def test_rows_of_a_batch_are_drawn_one_by_one(stream):
    stream.opened()
    batch = stream.loop.propose_batch({"proposal": ["a"] * 150, "input": list(range(150)), "confidence": [0.001] * 150})
    draws = [(routed(stream.desk, stream.desk.case(i)), i) for i in batch.cases.values()]
    assert {draw.evidence for draw, _ in draws} == {"0.3"}
    assert [draw.asked_blind for draw, _ in draws] == [by_hand(stream, "blind", i) < 0.3 for _, i in draws]
    assert 20 < sum(bool(draw.asked_blind) for draw, _ in draws) < 70


def test_in_the_shadow_nobody_is_asked_and_nothing_drawn():
    s = Stream("sqlite:///:memory:", guarantee=BLIND, start="shadow", clock=FakeClock())
    case = s.propose()
    assert (routed(s.desk, case).evidence, case.reviews) == (None, ())


def test_what_joins_a_case_of_another_probability_is_no_evidence_either():
    """After the opening one of before, which is asked for sure, and one of another model, which would have been."""
    quick = BLIND | {"answer_within": "10m"}
    s = Stream("sqlite:///:memory:", guarantee=quick, capacity={"reviewers": 1}, respond_within="9h")
    low: dict[str, Any] = {"input": "the same", "risk": "low"}
    old = s.propose(0.001, **low)
    s.clock.tick(601)  # it counts as wrong, and holds nothing up
    while not s.loop.control.thresholds:
        s.answer(case=s.propose())
    young = s.propose(0.001, **low | {"input": "another"})
    s.desk.steps.move("mail", lambda now, at: [relief(now.version + 1, at)])
    other = {"proposal": {"value": "a", "source": {"model": "other"}}}
    joining = [s.propose(0.001, **low), s.propose(0.001, **low | {"input": "another"} | other)]
    assert [routed(s.desk, case).evidence for case in (old, young)] == ["1.0", "0.3"]
    assert [(routed(s.desk, c).evidence, routed(s.desk, c).relief) for c in joining] == [
        (None, "joined"),
        (None, "joined"),
    ]


# the least probability that any decision can have had: bets are as large as it allows


@pytest.mark.parametrize(("audit", "share", "floor"), [(0.0, 0.02, 0.02), (0.0, 0.3, 0.05), (0.6, 0.2, 0.2)])
def test_the_floor_is_the_least_of_audits_and_blind_answers(audit: float, share: float, floor: float):
    s = Stream("sqlite:///:memory:", guarantee=BLIND | {"blind_share": share}, audit=audit)
    s.opened()
    (began,) = s.events(EpochBegan)
    assert json.loads(began.promise)["floor"] == floor
    assert {e.floor for e in s.events(AuditsChanged)} == {str(floor)}
    entries = list(s.desk.store.queries.entries(s.loop.stream))
    least = floors(entries, s.loop.control, "")
    opened = [e.version for e in s.events(AuditsChanged)]
    assert all(least[version] == 1.0 for version in least if version < opened[0])
    assert all(floor <= least[version] <= share for version in least if version >= opened[0])
