"""One look at so many labels: the exact test of these, recorded, and never taken twice at the same ones."""

from __future__ import annotations

from typing import Any

import pytest
from certify_cases import EASY, Stream, problems

from dualcontrol.errors import CalibrationError, GuaranteeError
from dualcontrol.events import LookTaken
from dualcontrol.guarantee.history import moves
from dualcontrol.guarantee.offline import certify

WATCHED: dict[str, Any] = {**EASY, "launch": 100_000}  # everything is reviewed


@pytest.fixture
def stream(make) -> Stream:
    return make(guarantee=WATCHED, audit=1.0)


def test_it_is_the_exact_test_of_the_first_labels(make, database_url: str):
    s = make(database_url, guarantee=WATCHED, audit=1.0)
    s.go(260)
    rows = s.desk.store.queries.cases(loop="mail", limit=200).rows
    look = s.loop.look_once(200)
    cases = [s.desk.case(row.id) for row in rows]
    assert len(cases) == 200
    counted = s.loop.evidence()[:200]
    expected = certify([r["score"] for r in counted], [r["wrong"] for r in counted], 0.2, 0.95)
    assert (look.threshold, look.wrong) == (expected.threshold, sum(r["wrong"] for r in counted))
    assert (look.look, look.labels, look.again, look.max_error) == (1, 200, False, 0.2)
    (recorded,) = s.events(LookTaken)
    assert recorded.threshold == (None if expected.threshold is None else repr(expected.threshold))
    assert recorded.upto == counted[-1]["seq"]
    assert [m.what for m in moves(s.desk.store.queries.entries(s.loop.stream))].count("one look") == 1
    assert problems(s.desk) == []


def test_the_whole_chance_certifies_more_than_the_live_certificate(make):
    wider = 0
    for seed in range(3):
        s = make(guarantee=WATCHED, audit=1.0, seed=seed)
        s.go(200)
        s.loop.certify()
        live, look = s.loop.control.thresholds.get("", 1.0), s.loop.look_once(200).threshold
        wider += (1.0 if look is None else look) < live
    assert wider == 3


def test_the_same_question_gets_the_answer_that_was_given(stream):
    stream.go(150)
    first = stream.loop.look_once(100)
    stream.go(30)
    again = stream.loop.look_once(100)
    assert again.again
    assert (again.threshold, again.wrong, again.at) == (first.threshold, first.wrong, first.at)
    assert len(stream.events(LookTaken)) == 1


@pytest.mark.parametrize(
    "other", [{"labels": 120}, {"labels": 100, "max_error": 0.3}, {"labels": 90, "confidence": 0.9}]
)
def test_a_second_look_at_the_same_labels_is_refused(stream, other: dict[str, Any]):
    stream.go(150)
    stream.loop.look_once(100)
    labels = other.pop("labels")
    with pytest.raises(GuaranteeError, match="a look was taken at the labels of 'mail' already, and 50 have come"):
        stream.loop.look_once(labels, **other)
    assert len(stream.events(LookTaken)) == 1


def test_new_labels_may_be_looked_at(stream):
    stream.go(230)
    first = stream.loop.look_once(100)
    second = stream.loop.look_once(100, max_error=0.3)
    assert (first.look, second.look) == (1, 2)
    one, two = stream.events(LookTaken)
    assert two.after == one.upto
    rows = [row for row in stream.loop.evidence() if row["seq"] > one.upto][:100]
    assert second.wrong == sum(row["wrong"] for row in rows)


def test_too_few_labels_are_no_reason_to_look_at_fewer(stream):
    stream.go(60)
    with pytest.raises(GuaranteeError, match="there are 60 labels of 'mail', and the look is to be at 100") as refused:
        stream.loop.look_once(100)
    assert "Wait for 40 more: when to look must not hang on what the labels say" in refused.value.hint
    assert not stream.events(LookTaken)


def test_labels_that_people_saw_by_chance_take_another_test(make):
    s = make(audit=0.3).opened()
    s.go(200)
    with pytest.raises(GuaranteeError, match="was one that people saw with a probability of 0"):
        s.loop.look_once(len(s.loop.evidence()))
    assert not s.events(LookTaken)


def test_what_people_may_miss_is_allowed_for(make):
    s = make(guarantee={**WATCHED, "miss_rate": 0.25}, audit=1.0)
    s.go(160)
    look = s.loop.look_once(150)
    rows = s.loop.evidence()[:150]
    expected = certify([r["score"] for r in rows], [r["wrong"] for r in rows], 0.15, 0.95)
    assert look.threshold == expected.threshold
    assert "people are taken to miss 25 % of errors" in look.reason


def test_a_new_epoch_has_new_labels(stream):
    stream.go(120)
    stream.loop.look_once(100)
    stream.settings["human_actions"] = ["another question"]
    stream.loop = stream.desk.loop("mail", **stream.settings)
    stream.go(30)
    with pytest.raises(GuaranteeError, match="there are 30 labels"):
        stream.loop.look_once(100)  # those of before the epoch may have been looked at


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"labels": 0}, GuaranteeError, "labels is 0; it must be a whole number from 1 on"),
        ({"labels": "many"}, GuaranteeError, "labels is 'many'"),
        ({"labels": 10, "max_error": 0.0}, CalibrationError, "max_error is a number between 0 and 1"),
        ({"labels": 10, "confidence": 1.0}, CalibrationError, "confidence is a number between 0 and 1"),
        ({"labels": 10, "segment": "eu"}, GuaranteeError, "segment 'eu': there is none"),
    ],
)
def test_what_cannot_be_meant_is_refused(stream, given: dict[str, Any], error: type[Exception], says: str):
    stream.go(30)
    with pytest.raises(error) as refused:
        stream.loop.look_once(given.pop("labels"), **given)
    assert says in str(refused.value)


def test_a_loop_without_a_guarantee_or_with_clusters_of_several_has_none(make):
    with pytest.raises(GuaranteeError, match="has no guarantee"):
        make(guarantee=None, threshold=0.5).loop.look_once(10)
    talks = {**WATCHED, "independent_by": "meta.talk", "largest": 3}
    with pytest.raises(GuaranteeError, match="takes labels to be independent"):
        make(guarantee=talks).loop.look_once(10)
