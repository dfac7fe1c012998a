"""Answer values: anything at all is taken whole or refused with an error of ours, and the row still folds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.errors import DualcontrolError
from dualcontrol.evolve import fold

BASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "approval": ({}, {"action": "pay", "args": {"n": 1}}),
    "labels": ({"labels": ["spam", 1]}, {"proposal": "spam"}),
    "preference": ({}, {"candidates": ["a", "b", "c"]}),
    "fallback": ({}, {}),
}
VERDICTS = ["approve", "edit", "reject", "respond", "label", "prefer", "abstain", "escalate"]
IDS = st.sampled_from(["c1", "c2", "c3", "c4"])
RANKINGS = st.fixed_dictionaries({"ranking": st.lists(st.lists(IDS, max_size=3) | IDS, max_size=4)}, optional={
    "rejected": st.lists(IDS, max_size=3), "strength": st.floats() | st.text(max_size=2)})  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    | st.tuples(inner), max_leaves=6,
)  # fmt: skip


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        for mode, (how, _) in BASES.items():
            desk.loop(mode, mode=mode, context=["meta"], **how)
        yield desk


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(sorted(BASES)), verdict=st.sampled_from(VERDICTS), value=ODD | RANKINGS | st.just("spam"))
def test_any_answer(desk: dc.Desk, mode: str, verdict: str, value: Any) -> None:
    case = desk.loop(mode).propose(input=1, meta={"a": 1}, **BASES[mode][1])
    claim = desk.claim("ana", case=case)
    before, refused = desk.case(case.id), False
    try:
        claim.answer(verdict, value)
    except DualcontrolError:
        refused = True
    assert (desk.case(case.id) == before) == refused
    after = None
    for entry in desk.store.queries.entries(f"case/{case.id}"):
        after = fold(after, entry.events, seq=entry.seq)
    assert after == desk.case(case.id)
    desk.erase(case.id)
