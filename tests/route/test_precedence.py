"""The order of routing: the first that speaks wins, and its name and a sentence are recorded."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dualcontrol.case import Candidate, Quorum
from dualcontrol.commands import Propose
from dualcontrol.control import Facts, Guarantee, Rule
from dualcontrol.errors import ProposalError, SignalError
from dualcontrol.evolve import fold
from dualcontrol.route import HANDLERS, reroute
from dualcontrol.route.precedence import distinct

ALWAYS = {name: Rule(name=name, when="true", route=name) for name in ("human", "autopilot", "block")}
BROKEN = Rule(name="broken", when="args.missing > 1", route="human")


def test_opened_carries_structure_and_seals_only_what_was_given(make: Any) -> None:
    command = make.command(args={"amount": 1.5}, input={"q": 1}, confidence=0.5, key="k", run="r", owner="ana")
    opened, routed = make.propose(make.control(threshold=0.9, epoch=3), command)
    assert (opened.action, opened.confidence, opened.key, opened.run, opened.owner) == (
        "refund", "0.5", "k", "r", "ana",
    )  # fmt: skip
    assert sorted(opened.content.values) == ["candidates", "input"]
    assert (routed.control, routed.epoch, opened.at) == (7, 3, 1_000)


def test_events_fold_to_a_case_that_reroutes_the_same_way(make: Any) -> None:
    rules = (Rule(name="large", when="args.amount > 500.0", route="human", quorum=Quorum(answers=2)),)
    control = make.control(threshold=0.9, rules=rules)
    case = fold(None, make.propose(control, make.command(args={"amount": 5.0}, confidence=0.95)))
    assert reroute(case, case.candidates[0], control).to == "autopilot"
    edited = reroute(case, Candidate(id="e", action="refund", value={"amount": 900.0}), control)
    assert (edited.to, edited.by, edited.quorum.answers, edited.audited) == ("human", "rule:large", 2, False)


def test_block_action_is_before_everything(routed: Any) -> None:
    knobs = {"block_actions": ("refund",), "human_actions": ("refund",), "rules": (ALWAYS["autopilot"],)}
    found = routed(knobs, requires_approval=True)
    assert (found.to, found.by, found.inclusion, found.due_at) == ("block", "block_actions", "0.0", None)


def test_block_rule_counts_wherever_it_stands(routed: Any) -> None:
    knobs = {"rules": (ALWAYS["human"], ALWAYS["block"])}
    found = routed(knobs, requires_approval=True)
    assert (found.to, found.by) == ("block", "rule:block")


def test_a_block_rule_that_fails_asks_a_human_unless_another_blocks(routed: Any) -> None:
    failing = Rule(name="b", when="args.missing > 1", route="block")
    found = routed({"rules": (ALWAYS["autopilot"], failing)})
    assert (found.to, found.by) == ("human", "rule:b")
    assert routed({"rules": (failing, ALWAYS["block"])}).to == "block"


@pytest.mark.parametrize(
    ("fields", "knobs", "by"),
    [
        ({"requires_approval": True}, {}, "requires_approval"),
        ({}, {"human_actions": ("refund",)}, "human_actions"),
        ({"candidates": (), "proposed": None}, {}, "no_proposal"),
        ({}, {"mode": "preference"}, "no_proposal"),
    ],
)
def test_demands_for_a_human_are_before_rules(routed: Any, fields: Any, knobs: Any, by: str) -> None:
    found = routed({"rules": (ALWAYS["autopilot"],), "threshold": 0.0, **knobs}, confidence=1.0, **fields)
    assert (found.to, found.by, found.inclusion) == ("human", by, "1.0")


def test_a_matching_human_rule_only_adds_demands(routed: Any) -> None:
    rule = Rule(
        name="large", when="true", route="human", group="leads", quorum=Quorum(answers=1), risk="high",
        respond_within="1h",
    )  # fmt: skip
    knobs = {"rules": (rule,), "quorum": Quorum(answers=2), "respond_within": "15m"}
    found = routed(knobs, requires_approval=True, risk="low")
    assert (found.by, found.group, found.quorum.answers, found.risk) == (
        "requires_approval",
        "leads",
        2,
        "high",
    )
    assert found.due_at == 1_000 + 15 * 60 * 1_000_000


def test_the_rule_that_speaks_names_its_own_demands(routed: Any) -> None:
    rule = Rule(name="large", when="true", route="human", quorum=Quorum(answers=1), respond_within="1h")
    found = routed({"rules": (rule,), "quorum": Quorum(answers=2), "respond_within": "15m"})
    assert (found.by, found.quorum.answers, found.due_at) == ("rule:large", 1, 1_000 + 3_600_000_000)


def test_rules_are_read_from_the_top(routed: Any) -> None:
    assert routed({"rules": (ALWAYS["autopilot"], BROKEN)}).by == "rule:autopilot"
    found = routed({"rules": (BROKEN, ALWAYS["autopilot"])})
    assert (found.to, found.by) == ("human", "rule:broken")


@pytest.mark.parametrize(
    ("given", "rule_risk", "ceiling", "to"),
    [
        ("medium", None, "medium", "autopilot"),
        (0.5, None, "medium", "autopilot"),
        (0.500001, None, "medium", "human"),
        ("low", "high", "medium", "human"),
        ("high", "low", "medium", "human"),
        (None, "high", "medium", "human"),
        (None, None, "low", "autopilot"),
        ("critical", None, "critical", "autopilot"),
        ("low", "medium", 0.5, "autopilot"),
    ],
)
def test_no_rule_overrides_the_risk_ceiling(routed: Any, given: Any, rule_risk: Any, ceiling: Any, to: str) -> None:
    rule = Rule(name="go", when="true", route="autopilot", risk=rule_risk)
    found = routed({"rules": (rule,), "risk_ceiling": ceiling}, risk=given)
    assert (found.to, found.by) == (to, "risk_ceiling" if to == "human" else "rule:go")


@pytest.mark.parametrize("risk", ["high", "critical", 0.500001, 0.98, 1.0])
@pytest.mark.parametrize(
    "knobs", [{"threshold": 0.5}, {"autopilot_actions": ("refund",)}, {"rules": (ALWAYS["autopilot"],)}], ids=list
)
def test_without_a_declared_ceiling_it_is_medium(routed: Any, knobs: Any, risk: Any) -> None:
    found = routed(knobs, confidence=0.99, risk=risk)
    assert (found.to, found.by) == ("human", "risk_ceiling")
    assert routed(knobs, confidence=0.99, risk="medium").to == "autopilot"


@pytest.mark.parametrize("name", ["Refund", "REFUND ", "re\u200bfund", "ｒｅｆｕｎｄ", "refun\u0064", "\u00adrefund"])
@pytest.mark.parametrize("named", ["block_actions", "human_actions", "autopilot_actions"])
def test_an_action_is_in_a_list_however_it_is_spelled(routed: Any, named: str, name: str) -> None:
    assert routed({named: (name,)}, action="refund").by == named
    assert routed({named: ("refund",)}, action=name).by == named


@pytest.mark.parametrize("risk", ["spicy", "info", 1.5, -0.1, float("nan")])
def test_an_unknown_risk_asks_a_human(routed: Any, risk: Any) -> None:
    knobs = {"rules": (ALWAYS["autopilot"],), "on_timeout": "autopilot"}
    found = routed(knobs, risk=risk)
    assert (found.to, found.by, found.on_timeout) == ("human", "error", "reject")
    assert "risk" in found.reason


def test_autopilot_actions_are_below_the_ceiling_only(routed: Any) -> None:
    knobs = {"autopilot_actions": ("refund",), "risk_ceiling": "low"}
    assert routed(knobs).by == "autopilot_actions"
    assert routed(knobs, risk="medium").by == "risk_ceiling"


@pytest.mark.parametrize(
    ("confidence", "to"), [(0.9, "autopilot"), (0.8999999, "human"), (0, "human"), (1, "autopilot")]
)
def test_confidence_reaches_the_threshold_or_not(routed: Any, confidence: float, to: str) -> None:
    found = routed({"threshold": 0.9}, confidence=confidence)
    assert (found.to, found.by) == (to, "threshold")


def test_the_reason_is_a_sentence_with_both_numbers(routed: Any) -> None:
    found = routed({"threshold": 0.9}, confidence=0.62)
    assert found.reason == "confidence 0.62 is below 0.90, the autopilot threshold of refunds"
    assert "0.8999999 is below 0.9000000" in routed({"threshold": 0.9}, confidence=0.8999999).reason


@pytest.mark.parametrize(
    ("pair", "texts"),
    [
        ((0.62, 0.9), ("0.62", "0.90")),
        ((0.9, 0.9), ("0.90", "0.90")),
        ((0.905, 0.905), ("0.905", "0.905")),
        ((0.9 - 1e-16, 0.9), ("0.8999999999999999", "0.9000000000000000")),
    ],
)
def test_two_numbers_never_read_the_same(pair: tuple[float, float], texts: tuple[str, str]) -> None:
    assert distinct(*pair) == texts


def test_autopilot_needs_a_positive_reason(routed: Any) -> None:
    assert routed({"threshold": 0.0}, risk="low").by == "no_signal"
    unset = routed({}, confidence=1.0)
    assert (unset.to, unset.by) == ("human", "threshold")
    assert "no threshold is set" in unset.reason
    guaranteed = routed({"guarantee": Guarantee(max_error=0.02), "threshold": 0.5}, confidence=1.0)
    assert (guaranteed.to, "certified" in guaranteed.reason) == ("human", True)


def test_the_threshold_of_the_segment_is_in_force(routed: Any) -> None:
    knobs = {"threshold": 0.99, "thresholds": {"eu": 0.6}}
    assert routed(knobs, confidence=0.7, segment="eu").to == "autopilot"
    assert routed(knobs, confidence=0.7, segment="us").to == "human"


@pytest.mark.parametrize(
    "knobs", [{"threshold": 0.5}, {"autopilot_actions": ("refund",)}, {"rules": (ALWAYS["autopilot"],)}]
)
def test_a_closed_segment_closes_every_way_to_autopilot(routed: Any, knobs: Any) -> None:
    knobs = {**knobs, "closed": {"eu": "drift"}}
    shut = routed(knobs, confidence=0.9, segment="eu")
    assert (shut.to, shut.by, shut.reason) == ("human", "closed", "autopilot is closed: drift")
    assert routed(knobs, confidence=0.9, segment="us").to == "autopilot"


def test_suggest_asks_a_human_and_shadow_records_as_computed(make: Any, routed: Any) -> None:
    found = routed({"threshold": 0.5, "start": "suggest"}, confidence=0.9)
    assert (found.to, found.by) == ("human", "start")
    opened, shadow = make.propose(make.control(threshold=0.5, start="shadow"), make.command(confidence=0.9))
    assert (opened.origin, shadow.to) == ("shadow", "autopilot")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"confidence": 0.9}, "autopilot"),
        ({"risk": "high"}, "reject"),
        ({"risk": "high", "requires_approval": True}, "reject"),
    ],
)
def test_a_timeout_never_lets_a_high_risk_through(routed: Any, fields: Any, expected: str) -> None:
    found = routed({"threshold": 0.5, "risk_ceiling": "medium", "on_timeout": "autopilot"}, **fields)
    assert found.on_timeout == expected


def test_a_failed_rule_is_not_let_through_by_a_timeout(routed: Any) -> None:
    assert routed({"rules": (BROKEN,), "on_timeout": "autopilot"}).on_timeout == "reject"


def test_autopilot_has_a_due_time_only_when_audited(routed: Any) -> None:
    knobs = {"threshold": 0.5, "respond_within": 60}
    assert routed({**knobs, "audit": 0.0}, confidence=0.9).due_at is None
    assert routed({**knobs, "audit": 1.0}, confidence=0.9).due_at == 1_000 + 60_000_000


def test_a_proposal_without_action_has_no_args(routed: Any) -> None:
    rules = (Rule(name="r", when='action == "" && size(args) == 0', route="human"),)
    assert routed({"rules": rules}, action=None, args={"amount": 1}).by == "rule:r"


@pytest.mark.parametrize("confidence", [1.1, -0.1, float("nan"), True, "0.5"])
def test_a_confidence_that_is_none_is_refused_at_the_door(routed: Any, confidence: Any) -> None:
    with pytest.raises(SignalError):
        routed({"threshold": 0.5}, confidence=confidence)


@pytest.mark.parametrize("risk", [True, ["high"]])
def test_a_risk_of_another_type_is_refused_at_the_door(routed: Any, risk: Any) -> None:
    with pytest.raises(SignalError):
        routed({}, risk=risk)


def test_an_index_without_a_candidate_is_refused(routed: Any) -> None:
    with pytest.raises(ProposalError):
        routed({}, proposed=3)


def test_whatever_fails_on_the_way_asks_a_human(routed: Any) -> None:
    found = routed({"threshold": 0.5, "risk_ceiling": "spicy", "on_timeout": "autopilot"}, confidence=0.9, risk="low")
    assert (found.to, found.by, found.on_timeout) == ("human", "error", "reject")
    assert "UnknownRiskError" in found.reason


LEARNED = {"guarantee": Guarantee(max_error=0.05, score="risk"), "scorer": "r1", "thresholds": {"": 0.95}}


@pytest.mark.parametrize(
    ("score", "knobs", "found"),
    [
        (0.97, {}, ("autopilot", "threshold", "chance of being right 0.97 (learned) reaches 0.95")),
        (0.9, {}, ("human", "threshold", "chance of being right 0.90 (learned) is below 0.95")),
        (0.97, {"thresholds": {}}, ("human", "threshold", "nothing is certified yet")),
        (None, {}, ("human", "no_signal", "risk model r1 gave no chance of being right")),
        (None, {"scorer": None}, ("human", "no_signal", "no risk model was learned yet")),
    ],
)
def test_a_learned_score_stands_in_the_place_of_confidence(make: Any, score: Any, knobs: Any, found: Any) -> None:
    control = make.control(**{**LEARNED, **knobs})
    env = replace(make.env(), facts=Facts(score=score))
    routed = HANDLERS[Propose](None, make.command(confidence=0.99), control, env)[1]
    assert (routed.to, routed.by) == found[:2]
    assert found[2] in routed.reason
    assert (routed.score, routed.scorer) == ((None, None) if score is None else (str(score), "r1"))


def test_an_edit_needs_no_score(make: Any) -> None:
    control = make.control(**LEARNED)
    case = fold(None, make.propose(control, make.command(args={"amount": 5.0})))
    edited = reroute(case, Candidate(id="e", action="refund", value={"amount": 6.0}), control)
    assert (edited.to, edited.by, edited.score) == ("human", "no_signal", None)
