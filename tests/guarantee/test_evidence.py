"""Who is evidence: only what the certificate spoke for; the rest neither counts nor holds anything up."""

from __future__ import annotations

from typing import Any

import pytest

RULES = [
    {"name": "mine", "when": "meta.to == 'human'", "route": "human"},
    {"name": "auto", "when": "meta.to == 'auto'", "route": "autopilot"},
    {"name": "no", "when": "meta.to == 'block'", "route": "block"},
]


@pytest.mark.parametrize(
    "given",
    [
        {"meta": {"to": "human"}}, {"meta": {"to": "auto"}}, {"meta": {"to": "block"}}, {"requires_approval": True},
        {"risk": "high"}, {"confidence": None}, {"origin": "import"}, {"segment": "z"},
        {"action": "ask", "proposal": None}, {"action": "run", "proposal": None},
    ],
)  # fmt: skip
def test_what_something_else_routed_is_no_evidence_and_holds_nothing_up(make, given: dict[str, Any]):
    s = make(rules=RULES, risk_ceiling="medium", audit=0.5, human_actions=["ask"], autopilot_actions=["run"])
    if given.get("segment"):
        s.settings["guarantee"] = s.settings["guarantee"] | {"segments": ["x"]}
        s.loop = s.desk.loop("mail", **s.settings)
    inside = {"meta": {"to": ""}} | ({"segment": "x"} if given.get("segment") else {})
    other = s.propose(0.5, **inside | given)
    mine = s.propose(0.5, wrong=False, **inside)
    s.answer(case=mine)
    s.desk.sweep()
    found = s.loop.evidence(inside.get("segment", ""))
    assert [row["seq"] for row in found] == [row["seq"] for row in found if row["score"] == 0.5]
    assert len(found) == 1, s.desk.case(other.id).route
    if s.desk.case(other.id).reviews:
        s.answer(case=other)
        s.desk.sweep()
        assert len(s.loop.evidence(inside.get("segment", ""))) == 1


def test_the_shadow_is_no_evidence(make):
    s = make(start="shadow")
    for _ in range(5):
        s.propose()
    s.desk.sweep()
    assert s.loop.evidence() == []
    assert "EpochBegan" not in s.names()


def test_suggesting_gathers_evidence_and_opens_nothing(make):
    s = make(start="suggest")
    s.opened()
    s.check()
    route = s.propose(0.999).route
    assert (route.to, route.by, route.inclusion, route.score) == ("human", "start", 1.0, 0.999)


def test_autopilot_that_somebody_closed_still_gathers_evidence(stream):
    stream.opened()
    from dualcontrol.events import AutopilotClosed

    said = {"segment": "", "cause": "person", "reason": "a person"}
    stream.desk.steps.move("mail", lambda now, at: [AutopilotClosed(version=now.version + 1, at=at, **said)])
    before = len(stream.loop.evidence())
    assert stream.go(30) == 0
    stream.desk.sweep()
    assert len(stream.loop.evidence()) == before + 30
    assert "AutopilotOpened" not in stream.names()
    stream.check()


def test_cases_on_autopilot_count_with_the_share_that_was_recorded_before_the_draw(stream):
    stream.opened()
    drawn = []
    for _ in range(150):
        table = stream.loop.control.audits.get("")
        version = stream.loop.control.version
        case = stream.propose()
        if case.route.to == "autopilot":
            assert (case.route.inclusion, case.route.control) == (table.share(case.confidence), version)
        if case.route.audited:
            drawn.append((case.confidence, case.route.inclusion))
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)
    stream.desk.sweep()
    assert drawn
    assert set(drawn) <= {(row["score"], row["inclusion"]) for row in stream.loop.evidence()}


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_a_constant_score_is_one_region(stream, score: float):
    for _ in range(200):
        case = stream.propose(score, wrong=stream.noise.random() < 0.02)
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)
    stream.desk.sweep()
    assert stream.check().edges == []
    assert stream.loop.control.thresholds == {"": 0.0}


def test_tied_scores_stay_together(stream):
    for i in range(300):
        case = stream.propose((0.2, 0.9)[i % 2], wrong=i % 2 == 0 and i % 4 == 0)
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)
    stream.desk.sweep()
    assert stream.check().edges == [0.9]
    assert stream.loop.control.thresholds == {"": 0.9}
