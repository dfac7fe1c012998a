"""What probes are made of: which settled cases are known well enough, and how a right one is made wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.control import Corruption
from dualcontrol.vigilance.sources import UNTOUCHED, Truth, corrupted, made_of, truth_of

TEAM = ["ana", "ben", "cleo"]
RIGHT = {"spam": 0.2, "ham": 0.7, "note": 0.1}


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups={"team": TEAM}) as desk:
        yield desk


def mails(desk: dc.Desk, **settings: Any) -> dc.Loop:
    return desk.loop("mail", mode="labels", labels=["spam", "ham", "note"], context="minimal", group="team", **settings)


def known(desk: dc.Desk, loop: dc.Loop, *labels: str, scores: dict[str, float] | None = None) -> dc.Case:
    """A case whose proposal is "ham", answered with these labels, one person each."""
    case = loop.propose(proposal="ham", scores=scores, input="a mail", confidence=0.7)
    for person, label in zip(TEAM, labels, strict=False):
        desk.claim(person, case=case.id).label(label)
    return desk.case(case.id)


@pytest.mark.parametrize(
    ("labels", "truth"),
    [
        (("ham",), Truth(False, "ham")),
        (("spam",), None),  # one person alone, until a second has said so
        (("spam", "spam"), Truth(True, "spam")),
        (("spam", "note"), Truth(True, "note")),
        (("spam", "ham"), None),
    ],
)  # fmt: skip
def test_under_a_guarantee_a_wrong_is_known_when_two_say_so_who_have_not_seen_it(desk, labels, truth):
    loop = mails(desk, guarantee={"max_error": 0.05})
    assert truth_of(known(desk, loop, *labels), loop.control) == truth


def test_what_one_person_said_who_saw_the_proposal_is_not_known(desk):
    loop = mails(desk)
    assert truth_of(known(desk, loop, "ham"), loop.control) is None
    assert truth_of(known(desk, loop, "spam"), loop.control) is None


def test_without_a_guarantee_two_who_say_the_same_make_it_known(desk):
    loop = mails(desk, quorum={"answers": 2})
    assert truth_of(known(desk, loop, "ham", "ham"), loop.control) == Truth(False, "ham")
    assert truth_of(known(desk, loop, "note", "note"), loop.control) == Truth(True, "note")


def test_an_action_that_one_person_approved_is_made_wrong_but_never_asked_as_right(desk):
    corruptions = [{"field": "amount", "times": 10, "cue": "ten times"}]
    loop = desk.loop("pay", context="minimal", guarantee={"max_error": 0.05}, probes={"corruptions": corruptions})
    case = loop.propose(action="refund", args={"amount": 4}, input="x", confidence=0.5)
    desk.claim("ana", case=case.id).commit("happen").approve()
    case = desk.case(case.id)
    assert truth_of(case, loop.control) == Truth(False, {"action": "refund", "args": {"amount": 4}}, sure=False)
    assert made_of(case, loop.control, False, 0.5) is None
    source = made_of(case, loop.control, True, 0.5)
    assert (source.candidates[0]["value"], source.cue, source.how) == ({"amount": 40}, "ten times", "mutated")


def test_an_error_of_the_model_is_shown_as_it_was(desk):
    loop = mails(desk, guarantee={"max_error": 0.05})
    source = made_of(known(desk, loop, "spam", "spam"), loop.control, True, 0.5)
    assert (source.wrong, source.how, source.candidates[source.proposed]["value"]) == (True, "replayed", "ham")
    assert "'spam'" in source.cue
    assert made_of(known(desk, loop, "spam", "spam"), loop.control, False, 0.5) is None


def test_another_label_takes_over_the_place_and_the_score_of_the_right_one(desk):
    """So that neither the order nor the figures tell that the label was exchanged."""
    loop = mails(desk, guarantee={"max_error": 0.05})
    case = known(desk, loop, "ham", scores=RIGHT)
    source = made_of(case, loop.control, True, 0.5)
    before = [(row["value"], row["score"]) for row in case.content.get("candidates")]
    after = [(row["value"], row["score"]) for row in source.candidates]
    assert before == [("ham", 0.7), ("spam", 0.2), ("note", 0.1)]
    assert after == [("spam", 0.7), ("ham", 0.2), ("note", 0.1)]
    assert (source.proposed, source.right, source.how) == (0, "ham", "mutated")


def test_where_nothing_else_was_considered_another_label_of_the_loop_is_drawn(desk):
    loop = mails(desk, guarantee={"max_error": 0.05})
    case = known(desk, loop, "ham")
    labels = {made_of(case, loop.control, True, draw).candidates[0]["value"] for draw in (0.0, 0.49, 0.51, 0.99)}
    assert labels == {"spam", "note"}


VALUE = {"amount": 40, "to": {"name": "ana", "iban": "DE1"}, "fast": True}


@pytest.mark.parametrize(
    ("corruption", "value"),
    [
        ({"field": "amount", "times": 10}, VALUE | {"amount": 400}),
        ({"field": "amount", "plus": -1.5}, VALUE | {"amount": 38.5}),
        ({"field": "to.iban", "to": "DE2"}, VALUE | {"to": {"name": "ana", "iban": "DE2"}}),
        ({"field": "fast", "to": False}, VALUE | {"fast": False}),
        ({"field": "fast", "times": 2}, UNTOUCHED),
        ({"field": "amount", "times": 1}, UNTOUCHED),
        ({"field": "to.iban", "to": "DE1"}, UNTOUCHED),
        ({"field": "to.street", "to": "x"}, UNTOUCHED),
        ({"field": "to.name", "plus": 1}, UNTOUCHED),
        ({"field": "to.name", "swap": True}, UNTOUCHED),
    ],
)  # fmt: skip
def test_a_corruption_changes_one_field_or_does_not_apply(corruption, value):
    assert corrupted(VALUE, Corruption(cue="x", **corruption), None) == value
    assert (VALUE["amount"], VALUE["to"]["iban"]) == (40, "DE1")


def test_a_swapped_field_comes_from_another_case(desk):
    loop = desk.loop("pay", context="minimal")
    other = loop.propose(action="refund", args={"to": {"name": "ben"}}, input="x")
    assert corrupted(VALUE, Corruption(field="to.name", cue="x", swap=True), other)["to"]["name"] == "ben"
    same = loop.propose(action="refund", args={"to": {"name": "ana"}}, input="x")
    assert corrupted(VALUE, Corruption(field="to.name", cue="x", swap=True), same) is UNTOUCHED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@given(value=JSON, field=st.text(max_size=6), way=st.sampled_from([{"times": 3.0}, {"plus": 2.0}, {"to": "x"}]))
def test_no_value_and_no_path_breaks_a_corruption(value, field, way):
    after = corrupted(value, Corruption(field=field, cue="x", **way), None)
    assert after is UNTOUCHED or after != value
