"""A certificate for each class or value of a field: the segment is made of the proposal, and shares are declared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from certify_cases import EASY, Stream, problems

from dualcontrol.errors import SettingsError, SignalError
from dualcontrol.events import BatchRouted, EpochBegan, PolicyChanged

PER: dict[str, Any] = {**EASY, "per": "class"}
LABELS = ["a", "b", "c"]


def go(stream: Stream, count: int, errors: dict[str, float], **given: Any) -> None:
    """Decisions that propose each class in turn, each as often wrong as it is said to be."""
    for n in range(count):
        label = LABELS[n % len(LABELS)]
        wrong = stream.noise.random() < errors.get(label, 0.0)
        case = stream.propose(0.9, proposal=label, **given)  # one score: all of a class, or nothing
        stream.truth[case.id] = LABELS[(n + 1) % len(LABELS)] if wrong else label
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)
    stream.loop.certify()


def test_each_class_has_its_own_certificate_and_the_bad_one_stays_with_people(make, database_url: str):
    """On the whole 10 % are wrong, which a bound of 20 % lets through; of class c it is 30 %."""
    s = make(database_url, guarantee=PER, labels=LABELS)
    go(s, 240, {"c": 0.3})
    opened = s.loop.control.thresholds
    assert set(opened) == {"a", "b"}
    assert {of.segment: of.state for of in s.loop.guarantee()} == {
        "a": "certified", "b": "certified", "c": "collecting",
    }  # fmt: skip
    began = {e.segment: json.loads(e.promise)["segments"] for e in s.events(EpochBegan)}
    assert began == dict.fromkeys(LABELS, 3), "each has a third of the chance of being wrong"
    assert s.propose(0.999, proposal="a").route.to == "autopilot"
    assert s.propose(0.999, proposal="c").route.to == "human"
    for label in LABELS:
        s.check(label)
    assert problems(s.desk) == []

    together = make(guarantee=EASY, labels=LABELS)
    go(together, 240, {"c": 0.3})
    assert together.propose(0.999, proposal="c").route.to == "autopilot"


def test_a_class_that_segments_do_not_name_stays_with_people(make):
    """Nothing is pooled: who is promised each class would not expect a rare one to hide behind others."""
    s = make(guarantee={**PER, "segments": ["a", "b"]}, labels=LABELS)
    case = s.propose(0.999, proposal="c")
    assert (case.segment, case.route.to, case.route.score) == (None, "human", None)
    assert case.route.reason.startswith("its class is none that the guarantee is for (a, b)")


def test_a_label_that_is_no_text_goes_by_its_json(make):
    s = make(guarantee=PER, labels=["a", 1, True])
    assert [s.propose(0.5, proposal=label).segment for label in ("a", 1, True, 1.0)] == ["a", "1", "true", "1"]


def test_a_field_of_meta_makes_the_segment(make):
    s = make(guarantee={**EASY, "per": "meta.shop.country", "segments": ["de", "2"]})

    def of(meta: Any) -> str | None:
        return s.propose(0.5, meta=meta).segment

    found = [of({"shop": {"country": c}}) for c in ("de", 2, "fr", None)]
    assert found == ["de", "2", None, None]
    assert of({"shop": "de"}) is None
    case = s.propose(0.5)
    assert case.route.reason.startswith("its meta.shop.country is none that the guarantee is for (de, 2)")


def test_an_action_is_a_class(make):
    promise = {**EASY, "per": "class", "segments": ["refund", "reply"], "blind": False}
    s = make(mode="approval", guarantee=promise, risk_ceiling="high")
    cases = [
        s.loop.propose(action=name, args={}, input="x", confidence=0.5, risk="low")
        for name in ("refund", "reply", "drop")
    ]
    assert [case.segment for case in cases] == ["refund", "reply", None]


def test_rows_of_a_batch_go_where_single_proposals_go(make):
    s = make(guarantee=PER, labels=LABELS)
    go(s, 240, {"c": 0.3})
    table = {"proposal": LABELS * 20, "input": list(range(60)), "confidence": [0.999] * 60}
    batch = s.loop.propose_batch(table)
    assert batch.to.tolist() == [2, 2, 1] * 20
    single = [s.propose(0.999, proposal=label).route.to for label in LABELS]
    assert single == ["autopilot", "autopilot", "human"]
    assert {name for event in s.events(BatchRouted) for name in event.unseen} == {"a", "b"}
    assert {s.desk.case(case).segment for case in batch.cases.values()} >= {"c"}


def test_scores_by_class_propose_the_likeliest(make):
    s = make(guarantee=PER, labels=LABELS)
    case = s.loop.propose(input="x", scores={"a": 0.1, "b": 0.7, "c": 0.2})
    assert case.segment == "b"


def test_a_segment_that_the_program_names_itself_is_refused(make):
    s = make(guarantee=PER, labels=LABELS)
    with pytest.raises(SignalError, match=r"the segment is 'b', where guarantee\.per = 'class'") as refused:
        s.propose(0.5, proposal="a", segment="b")
    assert "Leave the segment away" in refused.value.hint
    assert s.propose(0.5, proposal="a", segment="a").segment == "a"
    with pytest.raises(SignalError, match="row 0: the segment is 'c'"):
        s.loop.propose_batch({"proposal": ["a"], "input": [1], "confidence": [0.5], "segment": ["c"]})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"labels": None}, "name the classes, such as actions, that get a certificate of their own in segments"),
        ({"labels": ["1", 1]}, "two labels go by the name '1'"),
        ({"guarantee": {**PER, "segments": ["aa"]}}, "names 'aa', which is no label of the loop"),
        ({"guarantee": {**PER, "per": "meta.x"}}, "name the values of meta.x that get a certificate of their own"),
        ({"guarantee": {**PER, "per": "meta"}}, "name the field, such as meta.country"),
        ({"guarantee": {**PER, "per": "klass"}}, "did you mean 'class'?"),
        ({"guarantee": {**PER, "per": "input.x"}}, 'must be "class", or a field such as "meta.country"'),
        ({"guarantee": {**PER, "breakdown": ["country"]}}, 'must be fields of meta, such as ["meta.country"]'),
        ({"guarantee": {**PER, "breakdown": ["meta.a", "meta.a"]}}, "names 'meta.a' twice"),
        ({"mode": "preference", "labels": None, "guarantee": {**PER, "segments": ["a"]}}, "no class is proposed"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, settings: dict[str, Any], says: str):
    with pytest.raises(SettingsError) as refused:
        make(**{"guarantee": PER, "labels": LABELS, **settings})
    assert says in refused.value.message


def test_each_class_alone_is_another_question_and_what_is_shown_is_none(make):
    s = make(labels=LABELS).opened()
    live = s.loop.control
    s.settings["guarantee"] = {**EASY, "breakdown": ["meta.country"]}
    s.loop = s.desk.loop("mail", **s.settings)
    assert (s.loop.control.thresholds, s.loop.control.epoch) == (live.thresholds, live.epoch)
    assert s.events(PolicyChanged)[-1].asks is None
    s.settings["guarantee"] = PER
    s.loop = s.desk.loop("mail", **s.settings)
    assert s.loop.control.thresholds == {}
    assert "per is class, not None" in s.events(PolicyChanged)[-1].asks
