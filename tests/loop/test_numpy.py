"""Numbers, flags and texts of NumPy are Python's own at every door: what is recorded, shown and compared is plain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.case import plain
from dualcontrol.errors import KeyFormatError, PayloadError, SignalError

GIVEN: dict[str, Any] = {
    "n": np.int64(3), "small": np.uint8(7), "half": np.float32(0.5), "exact": np.float64(0.1), "yes": np.bool_(True),
    "text": np.str_("so"), "many": [np.int16(1), (np.float16(2.0), None)], np.str_("key"): {"deep": [np.int32(-1)]},
}  # fmt: skip
PLAIN = {
    "n": 3, "small": 7, "half": 0.5, "exact": 0.1, "yes": True, "text": "so", "many": [1, [2.0, None]],
    "key": {"deep": [-1]},
}  # fmt: skip


@pytest.fixture
def desk(database_url: str) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process") as desk:
        yield desk


def same(value: Any, wanted: Any) -> bool:
    """Equal with its types: json refuses numbers of NumPy, and tells 1 from 1.0 and true."""
    return json.dumps(value, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def test_a_proposal(desk: dc.Desk) -> None:
    """Content, signal, key and names; and a rule sees the numbers."""
    rule = {"name": "three", "when": "input.n == 3 && args.n == 3 && meta.n == 3", "route": "human"}
    loop = desk.loop("pay", threshold=np.float32(0.25), rules=[rule], context="minimal", audit=np.int64(0))
    case = loop.propose(
        action=np.str_("pay"), args=GIVEN, input=GIVEN, meta=GIVEN, history=[GIVEN], confidence=np.float32(0.5),
        alternatives=[GIVEN], risk=np.float64(0.25), requires_approval=np.bool_(False), segment=np.str_("eu"),
        rationale=np.str_("due"), key=np.str_("order-1"), owner=np.str_("bot"),
    )  # fmt: skip
    assert (case.route.to, case.route.by) == ("human", "rule:three")
    stored = desk.case(case.id)
    for read in (case, stored):
        for value in (read.input, read.meta, read.history[0], read.proposal.value, read.candidates[1].value):
            assert same(value, PLAIN)
    assert loop.propose(action="pay", args=PLAIN, input=PLAIN, alternatives=[], key="order-1").id == case.id
    tagged = loop.propose(action="pay", args={}, input="x", requires_approval=np.bool_(True), confidence=1)
    assert tagged.route.by == "requires_approval"


def test_labels_settings_and_answers(desk: dc.Desk) -> None:
    kinds = [np.int64(0), np.int64(1), np.float64(2.5), np.bool_(True), np.str_("none")]
    loop = desk.loop("kinds", mode="labels", labels=kinds, context="minimal", lease=np.int64(60))
    assert same(list(desk.control("kinds").settings.labels), [0, 1, 2.5, True, "none"])
    case = loop.propose(input="x", scores={np.int64(1): np.float32(0.75), np.str_("none"): np.float64(0.25)})
    assert (same(case.proposal.value, 1), case.confidence) == (True, 0.75)
    claim = desk.claim(np.str_("ana"), loop, lease=np.int64(90))
    claim.extend(np.float32(120.0))
    done = claim.label(np.bool_(True), confidence=np.float32(0.5), reasons=[np.str_("seen")])
    assert same(done.outcome.value, True)
    assert same(loop.wait(done, timeout=np.int64(0)).value, True)
    assert same([row.value for row in loop.examples(unused=np.bool_(True))], [True])


def test_edits_responses_and_effects(desk: dc.Desk) -> None:
    loop = desk.loop("pay", context="minimal")
    case = loop.propose(action="pay", args={"n": 1, "more": []}, input="x", effect="ready")
    desk.claim("ana", loop).edit({"n": np.int64(2), "more": [np.float32(1.5)]})
    assert same(desk.case(case.id).resolved_value()["args"], {"n": 2, "more": [1.5]})
    fence = loop.start_effect(case.id)
    loop.finish_effect(case.id, np.int64(fence), succeeded=np.bool_(True), result=GIVEN)
    assert same(desk.case(case.id).outcome.effect["result"], PLAIN)
    loop.propose(action="pay", args={"n": 1}, input="y")
    said = desk.claim("ana", loop).respond({"total": np.int64(5)})
    assert same(said.outcome.value, {"total": 5})


def test_a_gate(desk: dc.Desk) -> None:
    """Arguments and results, however deep; equal calls are equal, whoever's numbers they are given with."""
    loop = desk.loop("pay", context="minimal", autopilot_actions=["pay"])
    runs: list[Any] = []

    @loop.gate(risk=np.str_("low"), timeout=np.int64(5))
    def pay(n: int, more: dict[str, Any]) -> Any:
        runs.append(n)
        return {np.int64(1): [np.int64(n), np.float32(0.5)]}

    for args in ((np.int64(3), {"deep": [np.bool_(True)], "key": np.str_("k")}), (3, {"deep": [True], "key": "k"})):
        with desk.run("monday"), loop.context(input={"n": np.int64(1)}):
            result = pay(*args)
    assert (runs, result) == ([3], {"1": [3, 0.5]})


def test_rows_of_a_batch(desk: dc.Desk) -> None:
    """Columns of Python's lists that hold numbers of NumPy."""
    rule = {"name": "three", "when": "input.n == 3 || meta.m.n == 3", "route": "human"}
    loop = desk.loop("kinds", mode="labels", labels=[0, 1], rules=[rule], threshold=0.5, context="minimal")
    made = loop.propose_batch(
        {
            "input.n": [np.int64(1), 3, np.float32(3.0), 9],
            "meta.m": [{"n": np.int64(3)}, {"n": 1}, {"n": 1.0}, {"n": np.int8(2)}],
            "proposal": [np.int64(1), np.int8(0), 1, 0],
            "confidence": [np.float32(0.75), np.float64(0.75), 0.75, 1],
        }
    )
    assert made.to.tolist() == [1, 1, 1, 2]
    case = desk.case(made.cases[0])
    assert same([case.input, case.meta, case.proposal.value], [{"n": 1}, {"m": {"n": 3}}, 1])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"input": {"x": np.float64("nan")}}, PayloadError),
        ({"input": {"x": np.float32("inf")}}, PayloadError),
        ({"input": {np.int64(1): 2}}, PayloadError),  # as {1: 2} is
        ({"input": np.ones(3)}, PayloadError),
        ({"input": [np.datetime64("2026-01-01")]}, PayloadError),
        ({"input": np.complex128(1)}, PayloadError),
        ({"confidence": np.bool_(True)}, SignalError),
        ({"confidence": np.float32("inf")}, SignalError),
        ({"requires_approval": np.int64(1)}, SignalError),
        ({"key": np.int64(7)}, KeyFormatError),  # as 7 is
    ],
)
def test_what_python_may_not_give_numpy_may_not(desk: dc.Desk, change: dict[str, Any], kind: type) -> None:
    loop = desk.loop("pay", context="minimal")
    with pytest.raises(kind):
        loop.propose(**{"action": "pay", "args": {}, "input": "x"} | change)


def wrapped(value: Any, pick: Any) -> Any:
    """A value with some of its scalars as NumPy's."""
    if isinstance(value, dict):
        return {np.str_(key) if pick() else key: wrapped(item, pick) for key, item in value.items()}
    if isinstance(value, list):
        return [wrapped(item, pick) for item in value]
    kinds: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}
    return kinds[type(value)](value) if type(value) in kinds and pick() else value


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@settings(max_examples=300, deadline=None)
@given(value=TREES, data=st.data())
def test_any_value_is_the_same_whoever_wrote_its_numbers(value: Any, data: st.DataObject) -> None:
    assert same(plain(wrapped(value, lambda: data.draw(st.booleans()))), value)
