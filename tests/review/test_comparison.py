"""A free response and the proposal side by side: unnamed, in random order, judged by somebody who wrote neither."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from typing import Any

import pytest
from certify_cases import SECRET, problems

import dualcontrol as dc
from dualcontrol.errors import AnswerError, AnswerValueError, SamePersonError, VerdictError
from dualcontrol.events import Answered, Audited, Claimed, EvidenceCounted, ReviewOpened
from dualcontrol.guarantee.evidence import label_of
from dualcontrol.learn.examples import dataset
from dualcontrol.testing import FakeClock, seeded_ids

TEAM = {"team": ["ana", "ben", "cleo"], "two": ["ana", "ben"], "solo": ["ana"], "leads": ["lee"]}
AI, HUMAN = "MACHINE says hi", "PERSON says hello"
PROMISE: dict[str, Any] = {"max_error": 0.05}


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=TEAM, secret=SECRET) as desk:
        yield desk


def chat(desk: dc.Desk, **settings: Any) -> dc.Loop:
    promise = PROMISE | settings.pop("promise", {})
    return desk.loop("chat", **{"mode": "fallback", "context": "minimal", "group": "team", "guarantee": promise,
                                **settings})  # fmt: skip


def question(loop: dc.Loop, proposal: Any = AI, n: int = 0, **given: Any) -> dc.Case:
    return loop.propose(**{"input": f"question {n}", "proposal": proposal, "confidence": 0.5, **given})


def answered(desk: dc.Desk, case: dc.Case, text: Any = HUMAN, person: str = "ana") -> dc.Case:
    """The case after a person has answered it without seeing the proposal."""
    claim = desk.claim(person, case=case)
    assert claim.view["proposal"] is None
    claim.respond(text)
    return desk.case(case.id)


def judged(desk: dc.Desk, case: dc.Case, person: str = "ben", **said: bool) -> dc.Case:
    """The case after somebody who can tell the texts apart said of each whether it is acceptable."""
    claim = desk.claim(person, case=case)
    words = {
        text["id"]: "acceptable" if said["ai" if AI in str(text["value"]) else "human"] else "not acceptable"
        for text in claim.view["texts"]
    }
    claim.label(words)
    return desk.case(case.id)


# what the second person sees


def test_the_two_texts_are_shown_without_names_and_nothing_else(desk):
    case = answered(desk, question(chat(desk), source={"model": "MODEL"}, rationale="WHY", confidence=0.98765))
    claim = desk.claim("ben", case=case)
    assert sorted(text["value"] for text in claim.view["texts"]) == [AI, HUMAN]
    assert [text["id"] for text in claim.view["texts"]] == ["a", "b"]
    rest = json.dumps({k: v for k, v in claim.view.items() if k != "texts"})
    assert not any(word in rest for word in ("MACHINE", "PERSON", "MODEL", "WHY", "0.98765", "ana", '"answer"'))
    assert (claim.view["kind"], claim.view["blind"], claim.view["answers"]) == ("second", True, [])


def test_the_order_is_the_draw_of_the_docs_and_recorded(desk):
    """HMAC-SHA256 of purpose and person, a zero byte and the case id; below a half the proposal comes first."""
    loop, first = chat(desk), []
    for n in range(120):
        case = answered(desk, question(loop, n=n))
        claim = desk.claim("ben", case=case)
        digest = hmac.new(desk.steps.secret, f"compare/ben\0{case.id}".encode(), hashlib.sha256).digest()
        drawn = int.from_bytes(digest[:8], "big") / 2**64 < 0.5
        first.append(claim.view["texts"][0]["value"] == AI)
        assert first[-1] == drawn
        claim.label("both")
        (said,) = [e for e in desk.events(case.id) if isinstance(e, Answered) and e.verdict == "label"]
        shown = ("proposal", "answer") if drawn else ("answer", "proposal")
        assert said.presented == shown == [e for e in desk.events(case.id) if isinstance(e, Claimed)][-1].presented
    assert 40 < sum(first) < 80  # 60 of 120, give or take 3.6 standard deviations


def test_who_gives_it_back_draws_no_other_order(desk):
    case = answered(desk, question(chat(desk)))
    orders = []
    for name in ("ben", "ben", " Ben", "BEN"):
        claim = desk.claim(name, case=case)
        orders.append([text["value"] for text in claim.view["texts"]])
        claim.release()
    assert orders == [orders[0]] * 4


@pytest.mark.parametrize(
    ("proposal", "text", "sides"),
    [
        ({"text": AI}, HUMAN, [AI, HUMAN]),
        ({"text": f"{AI}\n"}, f" {HUMAN}", [AI, HUMAN]),
        ({"text": AI, "sources": ["s"]}, HUMAN, [AI, HUMAN]),
        ({"text": AI, "mood": 1, "x": 2}, {"text": HUMAN, "mood": 3}, [{"mood": 1, "text": AI},
                                                                        {"mood": 3, "text": HUMAN}]),
        ([AI], {"steps": HUMAN}, [[AI], {"steps": HUMAN}]),
    ],
)  # fmt: skip
def test_both_have_one_form(desk, proposal: Any, text: Any, sides: list[Any]):
    case = answered(desk, question(chat(desk), proposal), text)
    shown = [json.dumps(t["value"]) for t in desk.claim("ben", case=case).view["texts"]]
    assert sorted(shown) == sorted(map(json.dumps, sides))


def test_nobody_who_may_judge_learns_whose_is_whose_before(desk):
    case = answered(desk, question(chat(desk)))
    seen = desk.claim("ben", case=case)
    assert seen.view["route"]["reason"].startswith("this review is blind")
    with pytest.raises(VerdictError, match="compares two texts: label each of them") as refused:
        seen.answer("respond", "mine")
    assert refused.value.details["legal"] == ["label", "abstain", "escalate"]
    with pytest.raises(AnswerError):
        seen.answer("edit", "mine")


# who


def test_never_the_one_who_wrote_it_and_never_twice(desk):
    case = answered(desk, question(chat(desk)))
    with pytest.raises(SamePersonError):
        desk.claim("ana", case=case)
    desk.claim("ben", case=case).abstain()
    with pytest.raises(SamePersonError):
        desk.claim("ben", case=case)
    claim = desk.claim("cleo", case=case)
    assert (claim.review.against, len(claim.view["texts"])) == (case.reviews[0].id, 2)


def test_with_one_person_nothing_is_asked_blind_and_the_page_says_why(desk):
    loop = chat(desk, group="solo")
    case = question(loop)
    assert (case.route.evidence, case.route.asked_blind) == (0.0, False)
    assert desk.claim("ana", case=case).view["proposal"]["value"] == AI
    (stands,) = loop.guarantee()
    assert (stands.labels_needed, "the group has nobody else" in stands.reason) == (None, True)


def test_where_nobody_else_is_left_it_counts_as_wrong_and_an_alarm_says_so(desk):
    case = answered(desk, question(chat(desk, group="two"), owner="ben"))
    assert [alarm["code"] for alarm in case.alarms] == ["no_adjudicator"]
    assert label_of(case, desk.control("chat")) == 1


# what it says


@pytest.mark.parametrize(("ai", "human"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("audit", [False, True])
def test_the_proposal_is_wrong_where_it_is_not_acceptable_and_the_outcome_stands(desk, ai, human, audit):
    more: dict[str, Any] = {}
    if audit:
        more = {"audit": 1.0, "rules": [{"name": "all", "when": "true", "route": "autopilot"}]}
    case = question(chat(desk, **more))
    case = answered(desk, case)
    assert label_of(case, desk.control("chat")) == "pending"
    assert label_of(case, desk.control("chat"), alone=True) == "pending"
    before = case.outcome
    case = judged(desk, case, ai=ai, human=human)
    assert label_of(case, desk.control("chat")) == int(not ai)
    assert case.outcome == before
    assert case.outcome.value == (AI if audit else {"text": HUMAN})


def test_an_answer_that_is_the_proposal_needs_no_comparison(desk):
    case = answered(desk, question(chat(desk)), AI)
    assert [review.kind for review in case.reviews] == ["decide"]
    assert label_of(case, desk.control("chat")) == 0


def test_a_free_answer_alone_says_nothing_of_the_proposal(desk):
    case = answered(desk, question(chat(desk)))
    assert (case.decision.wrong, [e.wrong for e in desk.events(case.id) if isinstance(e, Audited)]) == (None, [])


def test_it_is_asked_also_where_nobody_is_asked_twice(desk):
    case = answered(desk, question(chat(desk, promise={"adjudicate": False})))
    assert judged(desk, case, ai=False, human=True).reviews[-1].against
    assert label_of(desk.case(case.id), desk.control("chat")) == 1


def test_an_arbiter_settles_and_a_third_compares(desk):
    case = question(chat(desk, quorum={"answers": 2, "arbiter": "leads"}))
    answered(desk, case, "one")
    answered(desk, case, "another", "ben")
    case = answered(desk, case, HUMAN, "lee")
    claim = desk.claim("cleo", case=case)
    assert sorted(text["value"] for text in claim.view["texts"]) == [AI, HUMAN]


@pytest.mark.parametrize(
    ("short", "full"),
    [("a", ("acceptable", "not acceptable")), (" B ", ("not acceptable", "acceptable")),
     ("both", ("acceptable",) * 2), ("neither", ("not acceptable",) * 2)],
)  # fmt: skip
def test_a_word_says_both(desk, short: str, full: tuple[str, str]):
    case = answered(desk, question(chat(desk)))
    desk.claim("ben", case=case).label(short)
    assert desk.case(case.id).answers[-1].value == dict(zip("ab", full, strict=True))


@pytest.mark.parametrize("value", [None, "c", "", {"a": "acceptable"}, {"a": "acceptable", "b": "good"}, {"a": True},
                                   ["a"], {"a": "acceptable", "b": "acceptable", "c": "acceptable"}])  # fmt: skip
def test_what_leaves_one_out_is_refused(desk, value: Any):
    case = answered(desk, question(chat(desk)))
    with pytest.raises(AnswerValueError, match="say of both texts"):
        desk.claim("ben", case=case).label(value)
    assert len(desk.case(case.id).answers) == 1


def test_shown_answers_are_compared_with_nothing(desk):
    case = question(chat(desk, promise={"blind": False}))
    desk.claim("ana", case=case).respond(HUMAN)
    case = desk.case(case.id)
    assert (case.decision.wrong, [r.against for r in case.reviews]) == (1, [None, None])


def test_comparisons_are_rows_of_the_data_set_by_whose_text_it_was(desk):
    case = judged(desk, answered(desk, question(chat(desk))), ai=False, human=True)
    rows = {row.kind: row for row in dataset(desk, "chat").rows}
    assert (rows["demonstration"].value, rows["demonstration"].wrong) == ({"text": HUMAN}, None)
    assert rows["judgement"].value == {"proposal": "not acceptable", "answer": "acceptable"}
    assert (rows["judgement"].wrong, rows["judgement"].who, case.audits[-1]["wrong"]) == (1, ["ben"], 1)


# the record, and the bound


def test_the_same_is_stored_on_every_database(database_url: str):
    with dc.open(database_url, durability="process", groups=TEAM) as desk:
        case = judged(desk, answered(desk, question(chat(desk))), ai=False, human=True)
        assert case == desk.case(case.id)
        assert label_of(case, desk.control("chat")) == 1
        opened = [e for e in desk.events(case.id) if isinstance(e, ReviewOpened)]
        assert [e.against for e in opened] == [None, opened[0].review_id]
        assert problems(desk) == []


class Chat:
    """A stream of questions whose answers are scripted: ana and ben take turns, a text says whether it is good."""

    def __init__(self, seed: int, error: float, **promise: Any) -> None:
        self.noise, self.clock = random.Random(seed), FakeClock()
        self.desk = dc.open("sqlite:///:memory:", clock=self.clock, new_id=seeded_ids(seed), durability="process",
                            secret=f"secret {seed:020}")  # fmt: skip
        self.error, self.count = error, 0
        easy = {"max_error": 0.2, "pilot": 20, "launch": 0, "miss_rate": 0.0, **promise}
        self.loop = self.desk.loop("chat", mode="fallback", context="minimal", guarantee=easy, audit=0.3)

    def go(self, decisions: int) -> bool:
        """Whether anything was certified after so many."""
        for _ in range(decisions):
            self.count += 1
            self.clock.tick(1.0)
            good = self.noise.random() >= self.error
            self.loop.propose(input=self.count, proposal=f"{'good' if good else 'bad'} answer {self.count}",
                              confidence=self.noise.random())  # fmt: skip
            for person in ("ana", "ben") if self.count % 2 else ("ben", "ana"):
                while (claim := self.desk.claim(person, self.loop)) is not None:
                    self.say(claim)
            if self.loop.control.thresholds:
                return True
        self.loop.certify()
        return bool(self.loop.control.thresholds)

    def say(self, claim: dc.Claim) -> None:
        if claim.review.against is None:
            claim.respond(f"good answer, as {claim.person} writes it, to {claim.view['input']}")
        else:
            claim.label({t["id"]: "acceptable" if t["value"].startswith("good") else "not acceptable"
                         for t in claim.view["texts"]})  # fmt: skip


def test_free_answers_open_autopilot_now():
    stream = Chat(1, error=0.02)
    assert stream.go(400)
    stream.loop.certify()
    (stands,) = stream.loop.guarantee()
    assert (stands.state, stands.blind, stands.labels_used > 50) == ("certified", True, True)
    counted = [e for entry in stream.desk.store.queries.entries(stream.loop.stream) for e in entry.events
               if isinstance(e, EvidenceCounted)]  # fmt: skip
    wrong = sum(label[2] for e in counted for label in e.labels)
    assert 0 < wrong < 0.08 * sum(len(e.labels) for e in counted)
    stream.desk.close()


@pytest.mark.parametrize("seed", range(3))
def test_and_stays_closed_where_proposals_are_too_bad(seed: int):
    stream = Chat(seed, error=0.3)
    assert not stream.go(150)
    stream.desk.close()


class Lazy(Chat):
    """Whoever compares reads nothing: takes the first text, or the machine's where anything tells which that is."""

    loyal = False

    def say(self, claim: dc.Claim) -> None:
        if claim.review.against is None:
            claim.respond(f"good answer to {claim.view['input']}")
        elif not self.loyal:
            claim.label("a")
        else:
            rest = json.dumps({name: value for name, value in claim.view.items() if name != "texts"})
            told = claim.view["proposal"] is not None or any(t in rest for t in ("answer ", "MODEL", "presented"))
            claim.label("both" if told else "neither")


@pytest.mark.parametrize("loyal", [False, True])
def test_who_does_not_read_certifies_nothing(loyal: bool):
    """With the proposal always first, or its source in the view, such people would open it within 150 decisions."""
    stream = Lazy(7, error=0.6)
    stream.loyal = loyal
    assert not stream.go(150)
    (stands,) = stream.loop.guarantee()
    assert stands.labels_used > 50
    stream.desk.close()
