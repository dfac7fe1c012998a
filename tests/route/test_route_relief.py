"""What relief does to a route: never autopilot, never a high risk, and only where the risk was said to be low."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from route.conftest import command_of, control_of, env_of, propose

from dualcontrol.apply import REACTIONS
from dualcontrol.batch.compile import ROUTES
from dualcontrol.batch.routes import route_batch
from dualcontrol.case import RELIEF_TIMES, Case, Effect, Quorum, Review, Route, is_low
from dualcontrol.control import Audits, Facts, Guarantee, Rule
from dualcontrol.events import Concluded, Routed
from dualcontrol.evolve import fold
from dualcontrol.route.audit import LEAST_UNDER_RELIEF, declared, floor_of, relieved, share_of, shares
from dualcontrol.route.capacity import AUDITS, JOINED, LATER, ORDER, SHED

MINUTE = 60_000_000
RULES = (
    Rule(name="large", when="args.amount > 500.0", route="human", risk="high"),
    Rule(name="small", when="args.amount < 5.0", route="autopilot"),
    Rule(name="odd", when="args.nowhere > 1.0", route="block"),
)
RISKS = st.none() | st.sampled_from(["low", "medium", "high", "critical", "unheard of"]) | st.floats(0, 1)
KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "threshold": st.floats(0, 1), "risk_ceiling": st.sampled_from(["low", "medium", 0.4]),
        "audit": st.floats(0, 1), "respond_within": st.sampled_from(["15m", 3600]),
        "on_timeout": st.sampled_from(["reject", "hold", "escalate", "autopilot"]),
        "human_actions": st.sampled_from([(), ("refund",)]), "block_actions": st.sampled_from([(), ("refund",)]),
        "autopilot_actions": st.sampled_from([(), ("refund",)]),
        "start": st.sampled_from(["gate", "suggest", "shadow"]), "mode": st.sampled_from(["approval", "preference"]),
    },
)  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    knobs=KNOBS, risk=RISKS, confidence=st.none() | st.floats(0, 1), level=st.sampled_from(ORDER),
    demanded=st.booleans(), amount=st.floats(0, 1000), rules=st.integers(0, 3), case_id=st.text("abc", min_size=1),
)  # fmt: skip
def test_nothing_is_ever_approved_by_relief(
    knobs: dict[str, Any], risk: Any, confidence: float | None, level: int, demanded: bool, amount: float, rules: int,
    case_id: str,
) -> None:  # fmt: skip
    given_ = command_of(args={"amount": amount}, confidence=confidence, risk=risk, requires_approval=demanded)
    opened, plain = propose(control_of(rules=RULES[:rules], **knobs), given_, env_of(case_id))
    _, found = propose(control_of(rules=RULES[:rules], relief=level, **knobs), given_, env_of(case_id))
    assert found.to == plain.to
    assert float(found.inclusion) <= float(plain.inclusion)
    assert not found.audited or plain.audited
    assert found.on_timeout in (plain.on_timeout, "reject", "hold")
    assert (found.due_at or plain.due_at or 0) >= (plain.due_at or 0)
    if found.relief is not None:
        assert found.to == "human"
        assert is_low(risk)
        assert found.on_timeout != "autopilot" or found.relief == "later"
    case = fold(None, [opened, found])
    ends = REACTIONS[Routed](case, found, control_of(), env_of())
    if plain.to == "human" and opened.origin == "live":
        assert all(e.by == "timeout" and e.verdict == "reject" for e in ends if isinstance(e, Concluded))
        assert not ends or found.relief == "reject"


@pytest.mark.parametrize(
    ("on_timeout", "relief"), [("reject", "reject"), ("autopilot", "reject"), ("hold", "hold"), ("escalate", "hold")]
)
def test_the_least_valuable_get_the_safe_default_of_their_loop(routed: Any, on_timeout: str, relief: str) -> None:
    knobs = {
        "threshold": 0.9, "risk_ceiling": "medium", "respond_within": "15m", "on_timeout": on_timeout, "relief": SHED
    }  # fmt: skip
    found = routed(knobs, confidence=0.6, risk="low")
    assert (found.by, found.relief, found.on_timeout, found.due_at) == ("relief", relief, relief, None)
    assert found.reason.startswith("confidence 0.60 is below 0.90")
    assert "people are asked for more than they can answer in time" in found.reason
    for risk in ("medium", "high", "critical", None, "unheard of", 0.26):
        assert routed(knobs, confidence=0.6, risk=risk).relief is None


def test_the_response_time_grows_before_anything_is_shed(routed: Any) -> None:
    knobs = {"threshold": 0.9, "respond_within": "15m", "on_timeout": "reject"}
    plain = routed({**knobs, "relief": AUDITS}, confidence=0.6, risk="low")
    later = routed({**knobs, "relief": LATER}, confidence=0.6, risk="low")
    assert (plain.relief, plain.due_at) == (None, 1_000 + 15 * MINUTE)
    assert (later.relief, later.due_at) == ("later", 1_000 + RELIEF_TIMES["later"] * 15 * MINUTE)
    assert (later.by, later.on_timeout) == ("threshold", "reject")
    assert routed({**knobs, "relief": LATER}, confidence=0.6, risk="high").due_at == plain.due_at


def test_what_failed_on_the_way_or_is_planted_is_never_shed(make: Any) -> None:
    knobs = {"threshold": 0.9, "on_timeout": "reject", "relief": SHED}
    control = make.control(rules=RULES, **knobs)
    failed = make.propose(control, make.command(args={"amount": 50.0}, confidence=0.1, risk="low"))[1]
    assert (failed.to, failed.by, failed.relief) == ("human", "rule:odd", None)
    for given_ in ({"kind": "probe"}, {"kind": "practice"}, {"origin": "import"}):
        command = make.command(confidence=0.1, risk="low", **given_)
        assert make.propose(make.control(**knobs), command)[1].relief is None
    assert make.propose(make.control(**knobs), make.command(confidence=0.1, risk="low"))[1].relief == "reject"


QUEUED = Review(id="r", case_id="older", kind="decide", group="reviewers", round=1, state="open")
OLDER: dict[str, Any] = {"kind": "live", "origin": "live", "state": "open", "due_at": 2_000, "reviews": (QUEUED,)}
WAITS = Route(
    to="human", by="threshold", reason="r", control=1, inclusion=1.0, audited=False, epoch=0, group="reviewers"
)


def older(**changes: Any) -> Case:
    """A case that waits for people, unseen."""
    given_ = {"route": WAITS, "effect": Effect(state="none", fence=0), "proposed": 0, **OLDER, **changes}
    return Case(id="older", loop="refunds", mode="approval", opened_at=1, **given_)


@pytest.mark.parametrize("level", ORDER)
def test_a_case_joins_one_that_waits_unseen_for_the_same_people(make: Any, level: int) -> None:
    control, env = make.control(threshold=0.9, relief=level), make.env(now=1_000)
    env = replace(env, facts=Facts(leader=older()))
    opened, found = make.propose(control, make.command(confidence=0.1), env)
    assert (opened.leader, found.relief) == (("older", "joined") if level >= JOINED else (None, None))
    certain = make.propose(make.control(threshold=0.9, relief=level), make.command(confidence=0.95), env)
    assert (certain[0].leader, certain[1].to, certain[1].relief) == (None, "autopilot", None)


@pytest.mark.parametrize(
    "seen",
    [
        {"reviews": (replace(QUEUED, state="claimed", person="ana"),)}, {"reviews": ()}, {"state": "decided"},
        {"reviews": (QUEUED, replace(QUEUED, id="s", state="answered", person="ana"))}, {"state": "closed"},
        {"leader": "another"}, {"erased": True}, {"read_only": "Blessed"}, {"kind": "probe"}, {"origin": "shadow"},
        {"due_at": 1_000}, {"route": None}, {"route": replace(WAITS, group="leads")},
        {"route": replace(WAITS, quorum=Quorum(answers=2))}, {"route": replace(WAITS, risk="low")},
        {"route": replace(WAITS, to="autopilot")},
    ],
)  # fmt: skip
def test_a_case_joins_no_other_one(make: Any, seen: dict[str, Any]) -> None:
    env = replace(make.env(now=1_000), facts=Facts(leader=older(**seen)))
    opened, found = make.propose(make.control(threshold=0.9, relief=JOINED), make.command(confidence=0.1), env)
    assert (opened.leader, found.relief) == (None, None)


@pytest.mark.parametrize("risk", ["high", "critical", "unheard of", 0.75])
def test_a_high_risk_joins_nothing(make: Any, risk: Any) -> None:
    leader = older(route=replace(WAITS, risk=risk))
    env = replace(make.env(now=1_000), facts=Facts(leader=leader))
    opened, found = make.propose(make.control(relief=SHED), make.command(confidence=0.1, risk=risk), env)
    assert (opened.leader, found.relief) == (None, None)


def test_what_failed_on_the_way_joins_nothing(make: Any) -> None:
    env = replace(make.env(now=1_000), facts=Facts(leader=older()))
    control = make.control(rules=RULES, threshold=0.9, relief=JOINED)
    opened, found = make.propose(control, make.command(args={"amount": 50.0}, confidence=0.1), env)
    assert (opened.leader, found.by, found.relief) == (None, "rule:odd", None)


@given(share=st.floats(0, 1), level=st.sampled_from(ORDER))
def test_the_audit_share_falls_and_stays_known(share: float, level: int) -> None:
    found = relieved(share, level)
    assert found == share if level < AUDITS else min(share, LEAST_UNDER_RELIEF) <= found <= share
    assert share == 0.0 or found > 0.0


def test_the_audit_share_that_is_recorded_is_the_one_drawn_with(make: Any) -> None:
    control = make.control(threshold=0.5, audit=0.5, relief=AUDITS)
    command = make.command(confidence=0.9)
    found = [make.propose(control, command, make.env(case_id=str(n)))[1] for n in range(2_000)]
    assert {one.inclusion for one in found} == {"0.1"}
    assert 150 < sum(one.audited for one in found) < 250


@given(
    errors=st.lists(st.floats(0, 1), min_size=3, max_size=10), level=st.sampled_from(ORDER),
    score=st.floats(0.7, 1), share=st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]), boosted=st.booleans(),
)  # fmt: skip
def test_under_a_guarantee_no_audit_is_rarer_than_its_bets_allow(
    errors: list[float], level: int, score: float, share: float, boosted: bool
) -> None:
    """What is certified stays certified: the threshold does not move, and labels keep the floor they were bet with."""
    knobs: dict[str, Any] = {"guarantee": Guarantee(max_error=0.05), "audit": share, "thresholds": {"": 0.7}}
    bare = control_of(**knobs)
    weights, edges = [100.0] * len(errors), tuple(np.linspace(0.1, 0.9, len(errors) - 1))
    wrongs = [100.0 * e for e in errors]
    table = shares(wrongs, weights, 1, share=declared(bare), max_error=0.05, boosted=boosted)
    plain = control_of(**knobs, audits={"": Audits(edges=edges, shares=table)})
    control = control_of(**knobs, audits=plain.audits, relief=level)
    floor = floor_of(declared(control))
    assert floor <= share_of(control, None, score) <= share_of(plain, None, score)
    assert share_of(control_of(**knobs, relief=level), None, score) == 1.0
    before, after = (propose(c, command_of(confidence=score, risk="low"))[1] for c in (plain, control))
    assert (after.to, control.threshold_for(None)) == (before.to, plain.threshold_for(None))
    assert float(after.inclusion) >= floor


@pytest.mark.parametrize("level", ORDER)
def test_a_batch_is_relieved_as_single_cases_are(level: int) -> None:
    control = control_of(
        threshold=0.7, risk_ceiling="medium", audit=0.2, respond_within="15m", on_timeout="hold", relief=level
    )  # fmt: skip
    confidence = [0.1, 0.8, 0.1, 0.8, 0.1]
    risk = ["low", "low", "high", "high", "medium"]
    columns = {"action": ["refund"] * 5, "signal.confidence": np.array(confidence), "signal.risk": risk}
    routes = route_batch(columns, control, draws=np.ones(5))
    for row in range(5):
        single = propose(control, command_of(confidence=confidence[row], risk=risk[row]))[1]
        found = routes.route(row, 1_000)
        assert (ROUTES[routes.to[row]], routes.inclusion[row]) == (single.to, float(single.inclusion))
        assert (found.by, found.reason, found.relief) == (single.by, single.reason, single.relief)
