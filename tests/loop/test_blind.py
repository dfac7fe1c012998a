"""A blind review tells nothing of the proposal: two cases that differ only in it look the same to the reviewer."""

from __future__ import annotations

import json
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.errors import AnswerError, VerdictError
from dualcontrol.events import Answered, Audited, ReviewOpened, opened
from dualcontrol.evolve import fold
from dualcontrol.review.adjudication import Adjudicated, truth, verdict
from dualcontrol.review.view import digest, view

GROUPS = {"team": ["ana", "ben", "cleo"], "leads": ["lee"]}
PROMISE: dict[str, Any] = {"max_error": 0.05}
TO_AUTOPILOT = {"name": "all", "when": "true", "route": "autopilot"}
LABELS = ["spam", "ham", "news", "bill"]
OWN = ("case_id", "review_id", "opened_at")


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


def labels(desk, *, promise: dict[str, Any] | None = PROMISE, audit: float = 1.0, **settings: Any):
    return desk.loop(
        "mail", mode="labels", context="minimal",
        **{"labels": LABELS, "group": "team", "guarantee": promise, "rules": [TO_AUTOPILOT], "audit": audit, **settings}
    )  # fmt: skip


def fallback(desk, *, promise: dict[str, Any] | None = PROMISE, **settings: Any):
    return desk.loop(
        "help", mode="fallback", context="minimal",
        **{"group": "team", "guarantee": promise, "rules": [TO_AUTOPILOT], "audit": 1.0, **settings}
    )  # fmt: skip


def held(desk, case, person: str = "ana"):
    return desk.claim(person, case=case)


def outside(shown: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in shown.items() if k not in OWN}


SPAM: dict[str, Any] = {
    "proposal": "spam", "scores": {"spam": 0.9, "ham": 0.06, "news": 0.03, "bill": 0.01}, "risk": "low",
    "rationale": "it shouts", "source": {"model": "m1"}, "segment": "de",
}  # fmt: skip
BILL: dict[str, Any] = {
    "proposal": "bill", "scores": {"spam": 0.1, "ham": 0.2, "news": 0.1, "bill": 0.6}, "rationale": "it has a sum",
}  # fmt: skip
FEW: dict[str, Any] = {"proposal": "news", "confidence": 0.4, "alternatives": ["ham"]}


def test_a_blind_view_is_the_same_whatever_is_proposed(desk):
    loop = labels(desk)
    one, other = (held(desk, loop.propose(input="a mail", **given)) for given in (SPAM, BILL))
    assert outside(one.view) == outside(other.view)
    assert (one.view["proposal"], one.view["signal"], one.view["rationale"], one.view["answers"]) == (
        None,
        {},
        None,
        [],
    )
    assert [c["value"] for c in one.view["candidates"]] == LABELS
    assert all("score" not in c and "source" not in c for c in one.view["candidates"])
    assert (one.view["blind"], one.view["input"]) == (True, "a mail")


def test_some_labels_are_no_candidates(desk):
    """Which labels a model took into account at all tells what it thought likely."""
    shown = held(desk, labels(desk).propose(input="a mail", **FEW)).view
    assert shown["candidates"] == []
    assert "news" not in json.dumps(shown)


def test_the_reason_of_the_route_is_not_told(desk):
    rule = {**TO_AUTOPILOT, "name": "surely-spam"}
    shown = held(desk, labels(desk, rules=[rule]).propose(input="a mail", **SPAM)).view
    assert "surely" not in json.dumps(shown)
    assert "blind" in shown["route"]["reason"]


@pytest.mark.parametrize("proposal", ["MARKER", {"text": "MARKER", "MARKER": 1}, ["MARKER"]])
def test_fallback_shows_the_transcript_alone(desk, proposal: Any):
    loop = fallback(desk)
    case = loop.propose(
        input="hello", proposal=proposal, alternatives=["MARKER 2"], rationale="MARKER", confidence=0.98765,
        source={"MARKER": 1}, schema={"title": "MARKER"}, segment="MARKER", history=["before"], meta={"run": 7},
    )  # fmt: skip
    shown = held(desk, case).view
    assert "MARKER" not in json.dumps(shown)
    assert "0.98" not in json.dumps(shown)
    assert (shown["input"], shown["history"], shown["meta"]) == ("hello", ["before"], {})


def test_the_second_is_blind_to_the_first_as_well(desk):
    case = labels(desk).propose(input="a mail", **SPAM)
    held(desk, case).label("ham", rationale="MARKER", confidence=0.5)
    second = held(desk, case, "ben")
    assert (second.review.kind, second.view["blind"], second.view["proposal"]) == ("second", True, None)
    assert "MARKER" not in json.dumps(second.view)
    assert second.view["answers"] == []
    first = view(case, case.reviews[0], "ana")
    assert {name for name in first if second.view[name] != first[name]} <= {
        "review_id", "kind", "round", "opened_at", "candidates",
    }  # fmt: skip


def test_who_decides_what_a_score_sent_is_asked_blind_and_so_is_the_second(desk):
    case = labels(desk, rules=[], audit=0.0).propose(input="a mail", **SPAM)
    first = held(desk, case)
    assert (first.review.kind, first.view["blind"], first.view["proposal"]) == ("decide", True, None)
    first.label("ham")
    assert held(desk, case, "ben").view["proposal"] is None


def test_a_second_beside_a_decision_is_blind_where_the_first_was_not(desk):
    """A rule sent it, so that no certificate speaks for it: the proposal is shown to who decides."""
    rule = {**TO_AUTOPILOT, "route": "human"}
    case = labels(desk, rules=[rule], audit=0.0).propose(input="a mail", **SPAM)
    seen = held(desk, case)
    assert (seen.view.get("blind"), seen.view["proposal"]["value"]) == (None, "spam")
    seen.label("ham")
    assert held(desk, case, "ben").view["proposal"] is None


@pytest.mark.parametrize(
    ("make", "what", "value", "told"),
    [(labels, "approve", None, "give the label"), (fallback, "edit", "Hi.", "respond without the proposal")],
)
def test_what_needs_the_proposal_is_refused(desk, make, what: str, value: Any, told: str):
    case = make(desk).propose(input="x", proposal="spam" if make is labels else "Hi.", confidence=0.5)
    claim = held(desk, case)
    with pytest.raises(VerdictError, match=f"this review is blind: {told}") as refused:
        claim.answer(what, value)
    assert what not in refused.value.details["legal"]
    with pytest.raises(AnswerError, match="leave first out"):
        claim.answer("label" if make is labels else "respond", "ham", first={"verdict": "approve"})
    assert desk.case(case.id).answers == ()


@pytest.mark.parametrize(
    ("proposal", "said", "wrong"),
    [(42, 42, 0), (42, 43, None), (42, 42.0, 0), ("yes", "yes", 0), ("yes", "no", None), ({"text": "yes"}, "yes", 0)],
)
def test_a_blind_response_is_right_when_it_says_the_very_same(desk, proposal: Any, said: Any, wrong: int | None):
    case = fallback(desk).propose(input="how many?", proposal=proposal)
    held(desk, case).respond(said)
    (audited,) = [e for e in desk.events(case.id) if isinstance(e, Audited)]
    assert audited.wrong == wrong


def test_blind_answers_are_adjudicated(desk):
    case = fallback(desk, schema={"type": "number"}).propose(input="how many?", proposal=42)
    held(desk, case).respond(41)
    held(desk, case, "ben").respond(42)
    assert verdict(desk.case(case.id), desk.control("help")) == Adjudicated(state="final", wrong=0)


def test_what_was_shown_is_what_the_digest_says(desk):
    case = labels(desk).propose(input="a mail", **SPAM)
    claim = held(desk, case)
    seen = claim.view
    claim.label("spam")
    (answered,) = [e for e in desk.events(case.id) if isinstance(e, Answered)]
    assert answered.shown == digest(seen)


def test_who_passes_says_nothing_to_the_next(desk):
    loop = labels(desk, quorum={"arbiter": "leads"})
    case = loop.propose(input="a mail", **SPAM)
    held(desk, case).escalate("leads", rationale="MARKER")
    shown = held(desk, case, "lee").view
    assert (shown["blind"], shown["escalations"], "MARKER" in json.dumps(shown)) == (True, [], False)


@pytest.mark.parametrize("promise", [None, {**PROMISE, "blind": False}])
def test_where_it_is_off_an_audit_shows_the_proposal(desk, promise: dict[str, Any] | None):
    case = labels(desk, promise=promise).propose(input="a mail", **SPAM)
    shown = held(desk, case).view
    assert ("blind" in shown, shown["proposal"]["value"], shown["rationale"]) == (False, "spam", "it shouts")
    assert not desk.case(case.id).reviews[0].blind


def test_entries_from_before_there_were_blind_reviews_still_load(desk):
    case = labels(desk).propose(input="a mail", **SPAM)
    (entry,) = desk.store.queries.entries(f"case/{case.id}")
    old = entry.body.replace('"blind":true,', "").replace(',"blind":true', "")
    assert old != entry.body
    events = opened(old, prev="", digest="").events
    assert [e.blind for e in events if isinstance(e, ReviewOpened)] == [False]
    assert fold(None, events).reviews[0].blind is False


def test_on_every_database(database_url: str):
    with dc.open(database_url, durability="process", groups=GROUPS) as desk:
        case = labels(desk).propose(input="a mail", **SPAM)
        claim = desk.claim("ana")
        assert (claim.view["blind"], [c["value"] for c in claim.view["candidates"]]) == (True, LABELS)
        claim.label("ham")
        assert truth(desk.case(case.id)) is None
        desk.claim("ben").label("ham")
        assert truth(desk.case(case.id)) == "ham"
