"""In the shadow cases are routed and recorded; nobody sees one, and the record does not say that anybody did."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import dualcontrol as dc
from dualcontrol.events import Routed
from dualcontrol.evolve import fold


@pytest.fixture
def desk() -> Iterator[dc.Desk]:
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        yield desk


def loop(desk: dc.Desk, start: str) -> dc.Loop:
    block = {"name": "b", "when": 'action == "drop"', "route": "block"}
    return desk.loop("pay", threshold=0.5, audit=1.0, context="minimal", start=start, rules=[block])


@pytest.mark.parametrize(
    ("action", "confidence", "to"), [("pay", 0.9, "autopilot"), ("pay", 0.1, "human"), ("drop", 0.9, "block")]
)
def test_no_review_is_claimed_where_none_opens(desk: dc.Desk, action: str, confidence: float, to: str) -> None:
    pay = loop(desk, "shadow")
    case = desk.case(pay.propose(action=action, args={}, input="x", confidence=confidence).id)
    assert (case.route.to, case.route.inclusion, case.route.audited, case.reviews) == (to, 0.0, False, ())
    [routed] = [event for event in desk.events(case.id) if isinstance(event, Routed)]
    assert (routed.inclusion, routed.audited) == ("0.0", False)
    assert fold(None, desk.events(case.id)).route == case.route
    assert desk.store.queries.counts(pay.control.loop_id)["audited"] == 0
    assert pay.examples() == []


def test_the_gate_draws_as_before(desk: dc.Desk) -> None:
    pay = loop(desk, "gate")
    audited = pay.propose(action="pay", args={}, input="x", confidence=0.9).route
    asked = pay.propose(action="pay", args={}, input="x", confidence=0.1).route
    assert [(route.inclusion, route.audited) for route in (audited, asked)] == [(1.0, True), (1.0, False)]


def test_what_is_imported_in_the_shadow_is_reviewed_and_says_so(desk: dc.Desk) -> None:
    case = loop(desk, "shadow").propose(action="pay", args={}, input="x", confidence=0.1, origin="import")
    assert (len(desk.case(case.id).reviews), case.route.inclusion) == (1, 1.0)


def test_a_batch_in_the_shadow_is_not_audited(desk: dc.Desk) -> None:
    columns = {"action": ["pay", "pay", "drop"], "input": ["x"] * 3, "confidence": [0.9, 0.1, 0.9]}
    made = loop(desk, "shadow").propose_batch(columns)
    assert (made.counts["audited"], made.audited.any(), made.inclusion.tolist()) == (0, np.False_, [0.0, 0.0, 0.0])
    [case] = [desk.case(case_id) for case_id in made.cases.values()]
    assert (case.route.to, case.route.inclusion, case.reviews) == ("human", 0.0, ())
