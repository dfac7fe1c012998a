"""What becomes of what a caller gives: candidates, scores and signals, types kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from counted import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.control import LoopSettings
from dualcontrol.errors import PayloadError, ProposalError, SignalError
from dualcontrol.labels import ByLabel
from dualcontrol.propose import command

LABELS = LoopSettings(name="mail", mode="labels", labels=("spam", "ham", 1, True, "1"))
FREE = LoopSettings(name="free", mode="labels")
PAIRS = LoopSettings(name="pairs", mode="preference")
PAY = LoopSettings(name="pay")


def shown(made: Any) -> list[tuple[Any, float | None]]:
    return [(c["value"], c.get("score")) for c in made.candidates]


def test_classes_become_candidates_the_likeliest_first():
    made = command(LABELS, scores={"ham": 0.3, "spam": 0.7}, input="x")
    assert (shown(made), made.proposed, made.confidence) == ([("spam", 0.7), ("ham", 0.3)], 0, 0.7)
    made = command(LABELS, proposal="ham", scores={"ham": 0.3, "spam": 0.7}, input="x")
    assert (made.proposed, made.confidence) == (1, 0.3)


def test_labels_of_like_spelling_stay_apart():
    """1, true and "1" are three labels; a class that could be two of them is neither."""
    for label in (1, True, "1"):
        made = command(LABELS, proposal=label, scores={"spam": 0.4}, input="x")
        assert [type(c["value"]) for c in made.candidates] == [str, type(label)]
        assert made.candidates[made.proposed]["value"] is label
    assert shown(command(LABELS, scores={1: 0.6, "1": 0.4}, input="x")) == [(1, 0.6), ("1", 0.4)]


def test_json_names_numbers_by_text():
    digits = LoopSettings(name="digits", mode="labels", labels=tuple(range(10)))
    made = command(digits, scores={"3": 0.9, "5": 0.1}, input="x")
    assert shown(made) == [(3, 0.9), (5, 0.1)]
    with pytest.raises(SignalError, match="twice"):
        command(digits, scores={"3": 0.9, 3: 0.1}, input="x")


KINDS = [
    (True, False), (1, 2, 3), (1.5, 2.5), (["a"], ["a", "b"], []), (None, "none", "null"), ({"k": 1}, {"k": 2}),
    (True, 1, "1", "true", "True", 1.5, [1], "[1]", None, "null"),
]  # fmt: skip


@pytest.mark.parametrize("labels", KINDS, ids=repr)
@pytest.mark.parametrize("settled", [True, False], ids=["a set", "any label"])
def test_what_a_model_says_of_labels_of_any_kind_is_proposed_as_it_is(labels: tuple[Any, ...], settled: bool):
    """Each label comes back itself, with its score and its type."""
    loop = LoopSettings(name="kinds", mode="labels", labels=labels if settled else None)
    chances = [(place + 1) / 100 for place in range(len(labels))]
    made = command(loop, scores=ByLabel(labels, chances), input="x")
    wanted = sorted(zip(labels, chances, strict=True), key=lambda pair: -pair[1])
    assert json.dumps(shown(made)) == json.dumps([list(pair) for pair in wanted])
    assert made.confidence == chances[-1]


@pytest.mark.parametrize(
    ("labels", "name", "label"),
    [
        ((True, False), "true", True),
        ((True, False), "False", False),
        ((True, False), np.bool_(True), True),
        ((["a", "b"], ["c"]), '["a", "b"]', ["a", "b"]),
        ((["a", "b"], ["c"]), ("a", "b"), ["a", "b"]),
        (({"k": [1]}, {"k": [2]}), '{"k": [1]}', {"k": [1]}),
        ((1, 2), np.int64(2), 2),
        ((1, 2), np.float32(2.0), 2),
        ((1, 2), "2.0", 2),
        ((1.0, 2.0), 2, 2.0),
        ((None, "x"), "null", None),
        (("true", True), "true", "true"),
        ((1, "1"), "1", "1"),
        ((1, 1.0), 1.0, 1.0),
    ],
)
def test_a_class_names_its_label(labels: tuple[Any, ...], name: Any, label: Any):
    """JSON has only texts for names, Python no lists, and NumPy has types of its own."""
    made = command(LoopSettings(name="kinds", mode="labels", labels=labels), scores={name: 0.5}, input="x")
    assert json.dumps(shown(made)) == json.dumps([[label, 0.5]])


@pytest.mark.parametrize("name", ["tru", "[1", "3", 3, ("a",), "1.5", "NaN", 1.5, "\u00bd"])
def test_a_class_that_names_no_label_is_refused(name: Any):
    with pytest.raises(ProposalError, match="is not a label"):
        command(LoopSettings(name="kinds", mode="labels", labels=(1, 2, [1])), scores={name: 0.5}, input="x")


def test_numbers_are_the_labels_that_they_equal():
    """1.0 is 1, wherever it stands in a label; true is not."""
    loop = LoopSettings(name="kinds", mode="labels", labels=(1, [2, {"n": 3}]))
    made = command(loop, proposal=1.0, alternatives=[[2.0, {"n": np.float64(3)}]], input="x")
    assert json.dumps([value for value, _ in shown(made)]) == '[1, [2, {"n": 3}]]'
    with pytest.raises(ProposalError, match="True is not a label"):
        command(loop, proposal=True, input="x")


@pytest.mark.parametrize("kind", ["text", "number", "list"])
def test_the_work_grows_with_the_labels_and_no_faster(kind: str):
    def work(count: int) -> int:
        labels: list[Any] = {"text": [f"l{n}" for n in range(count)], "number": [*range(count)],
                             "list": [[n] for n in range(count)]}[kind]  # fmt: skip
        loop = LoopSettings(name="many", mode="labels", labels=tuple(labels))
        names = {json.dumps(label) if kind != "text" else label: 1 / count for label in labels}
        return calls(lambda: command(loop, proposal=labels[0], alternatives=labels[1:], scores=names, input="x"))

    assert work(2_000) < 2.3 * work(1_000)


def test_objects_may_be_labels():
    made = command(FREE, proposal={"kind": "a"}, scores={"b": 0.2}, input="x")
    assert [c["value"] for c in made.candidates] == ["b", {"kind": "a"}]
    assert made.proposed == 1


def test_scores_beside_candidates_in_order():
    made = command(PAIRS, candidates=["a", "b"], scores=np.array([0.25, 0.75]), input="x")
    assert (shown(made), made.proposed) == ([("a", 0.25), ("b", 0.75)], None)
    assert all(type(c["score"]) is float for c in made.candidates)


def test_a_hundred_candidates():
    made = command(PAIRS, candidates=[f"answer {n}" for n in range(100)], input="x")
    assert [c["id"] for c in made.candidates] == [f"c{n + 1}" for n in range(100)]


@pytest.mark.parametrize(
    ("candidates", "kind"),
    [
        ([{"id": "a", "value": 1}, {"id": "a", "value": 2}], ProposalError),
        ([{"id": "c2", "value": 1}, "second"], ProposalError),
        ([{"id": 1, "value": 1}, "b"], ProposalError),
        ([{"value": 1, "action": 5}, "b"], ProposalError),
        ([{"value": 1, "score": "high"}, "b"], SignalError),
        ([{"value": 1, "score": 2}, "b"], SignalError),
        ([{"value": 1, "source": "gpt"}, "b"], ProposalError),
        (["only one"], ProposalError),
    ],
)
def test_candidates_that_are_none(candidates, kind):
    with pytest.raises(kind):
        command(PAIRS, candidates=candidates, input="x")


def test_an_object_with_other_fields_is_a_value():
    made = command(PAIRS, candidates=[{"value": 1, "note": "mine"}, {"value": 2}], input="x")
    assert [c["value"] for c in made.candidates] == [{"value": 1, "note": "mine"}, 2]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    | st.tuples(inner) | st.sets(st.integers(), max_size=2),
    max_leaves=6,
)  # fmt: skip
NAMES = st.sampled_from(
    ["action", "args", "proposal", "alternatives", "candidates", "schema", "source", "confidence", "risk", "scores"]
)


@settings(max_examples=300, deadline=None)
@given(loop=st.sampled_from([PAY, LABELS, FREE, PAIRS]), name=NAMES, value=ODD)
def test_anything_is_a_proposal_or_an_error_of_ours(loop: LoopSettings, name: str, value: Any):
    base = {"action": "pay", "args": {}} if loop is PAY and name != "proposal" else {"proposal": "spam"}
    try:
        made = command(loop, **{"candidates": ["spam", "ham"] if loop is PAIRS else None, **base, name: value}, input=1)
    except (ProposalError, PayloadError):
        return
    assert made.confidence is None or 0 <= made.confidence <= 1
    assert len({c["id"] for c in made.candidates}) == len(made.candidates)
    assert all(isinstance(c.get("action", ""), str) for c in made.candidates)
    json.dumps([c.get("score") for c in made.candidates], allow_nan=False)
