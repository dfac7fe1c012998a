"""Examples: each human decision with its provenance and its weight; what lacks them is left out."""

from __future__ import annotations

import pytest

from dualcontrol.learn.dataset import dataset


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
