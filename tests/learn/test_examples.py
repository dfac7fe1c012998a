"""Examples: each human decision with its provenance and its weight; what lacks them is left out."""

from __future__ import annotations

import pytest

from dualcontrol.learn.examples import dataset, label, labelled


def test_a_decision_carries_who_when_what_was_shown_and_its_probability(desk, loop, answer):
    answer(1)
    [row] = loop.examples()
    case = desk.case(row.case_id)
    assert (row.kind, row.who, row.weight, row.inclusion, row.audit) == ("label", ["ana"], 1.0, 1.0, False)
    assert row.shown == [case.answers[0].shown]
    assert row.shown[0]
    assert row.at == case.answers[0].at
    assert row.value in ("left", "right")
    assert row.input == case.input


def test_an_audit_counts_as_one_over_its_probability(desk, loop, answer):
    answer(30, scores={"left": 0.95, "right": 0.05}, candidates=None)
    rows = loop.examples()
    assert 5 < len(rows) < 25
    assert {(row.audit, row.inclusion, row.weight) for row in rows} == {(True, 0.5, 2.0)}
    assert all(row.wrong == (row.value != "left") for row in rows)
    assert all(row.proposal == "left" for row in rows)


def test_an_erased_decision_is_left_out_and_counted(desk, loop, answer):
    answer(2)
    desk.erase(loop.examples()[0].case_id)
    found = dataset(desk, loop.name)
    assert (len(found.rows), found.left_out) == (1, 1)


def test_unused_are_those_that_no_model_learned_from(desk, loop, answer):
    answer(3)
    with desk.store.transaction() as tx:
        tx.mark_used(loop.control.loop_id, [loop.examples()[0].id], "m1")
    assert len(loop.examples(unused=True)) == 2
    assert loop.examples()[0].used_by == "m1"


@pytest.mark.parametrize(
    ("verdict", "value", "kind", "expected"),
    [
        ("approve", None, "approval", {"action": "send", "args": {"to": "bo"}}),
        ("edit", {"to": "cy"}, "edit", {"action": "send", "args": {"to": "cy"}}),
        ("reject", None, "rejection", None),
        ("respond", "no need", "demonstration", {"text": "no need"}),
    ],
)
def test_each_verdict_says_what_is_right(desk, verdict, value, kind, expected):
    mails = desk.loop("mails", mode="approval", context="minimal")
    mails.propose(action="send", args={"to": "bo"}, input="write to bo")
    desk.claim("ana", mails).answer(verdict, value)
    [row] = mails.examples()
    assert (row.kind, row.value) == (kind, expected)
    assert row.proposal == {"action": "send", "args": {"to": "bo"}}


def test_late_answers_to_one_case_are_rows_of_their_own(desk):
    two = desk.loop("two", mode="labels", labels=["a", "b"], context="minimal", quorum={"answers": 2})
    two.propose(proposal="a", input="x")
    for person in ("ana", "bo"):
        desk.claim(person, two).label("b")
    [row] = two.examples()
    assert (row.who, row.value, len(row.shown)) == (["ana", "bo"], "b", 2)


def collected(desk, *labels, context="minimal", given="x"):
    loop = desk.loop(
        "soft", mode="labels", labels=["a", "b"], context=context, quorum={"answers": len(labels), "settle": "collect"}
    )
    loop.propose(proposal="a", input=given)
    for person, said in enumerate(labels):
        desk.claim(f"p{person}", loop).label(said)
    return loop.examples()[-1]


def test_a_decision_without_an_input_is_an_example_where_none_is_required(desk):
    loop = desk.loop("bare", context=["proposal"])
    loop.propose(action="send", args={})
    desk.claim("ana", loop).approve()
    found = dataset(desk, "bare")
    assert [(row.kind, row.input, row.value["action"]) for row in found.rows] == [("approval", None, "send")]
    assert found.left_out == 0


@pytest.mark.parametrize(("said", "learned"), [("abb", "b"), ("aab", "a"), ("ab", None), ("bb", "b"), ("abba", None)])
def test_answers_that_were_only_collected_are_a_soft_label(desk, said, learned):
    row = collected(desk, *said)
    assert row.value is None
    assert {each["value"]: each["answers"] for each in row.distribution} == {one: said.count(one) for one in said}
    assert label(row) == learned
    assert [one.value for one in labelled([row])] == [learned] * (learned is not None)


def test_what_a_majority_settled_keeps_what_each_said(desk):
    loop = desk.loop("most", mode="labels", labels=["a", "b"], context="minimal", quorum={"answers": 3})
    loop.propose(proposal="a", input="x")
    for person, said in zip(("ana", "bo", "cy"), "aba", strict=True):
        desk.claim(person, loop).label(said)
    [row] = loop.examples()
    assert (row.value, [each["answers"] for each in row.distribution]) == ("a", [2, 1])


def test_one_answer_has_no_distribution(desk, loop, answer):
    answer(1)
    assert loop.examples()[0].distribution is None
