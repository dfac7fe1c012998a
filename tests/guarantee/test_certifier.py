"""The live threshold is the pure certificate's, bit for bit, whatever happens to desks, promises and models."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from certify_cases import EASY, problems

from dualcontrol.events import AuditsChanged, EpochBegan, EvidenceCounted, ThresholdMoved

ONE, TWO = {"model": "m", "version": "1"}, {"model": "m", "version": "2"}


def test_the_threshold_is_what_the_evidence_certifies(make, database_url: str):
    s = make(database_url)
    alone = s.opened().go(200)
    made = s.check()
    assert len(made.steps) >= 3
    assert alone > 0
    assert problems(s.desk) == []


def test_restarts_in_the_middle_change_nothing(make, tmp_path):
    whole, parts = make(f"sqlite:///{tmp_path}/a.db"), make(f"sqlite:///{tmp_path}/b.db")
    whole.go(300)
    for _ in range(20):
        parts.go(15)
        parts.restart()
    for s in (whole, parts):
        s.loop.certify()
    assert parts.check().steps == whole.check().steps
    assert parts.loop.evidence() == whole.loop.evidence()


@pytest.mark.postgres
def test_two_desks_take_turns(make, postgres_url: str):
    s = make(postgres_url)
    with s.open() as other:
        for i in range(300):
            desk = other if i % 2 else s.desk
            case = s.propose(desk=desk)
            if case.route.to == "human" or case.route.audited:
                s.answer(desk=other if i % 3 else s.desk)
        other.sweep()
        s.desk.sweep()
        assert s.check().steps
        assert other.certifier.segments(s.loop.control)[""].steps == s.desk.certifier.segments(s.loop.control)[""].steps


@pytest.mark.postgres
def test_desks_in_threads_count_each_label_once(make, postgres_url: str):
    s = make(postgres_url)
    desks = [s.open() for _ in range(3)]
    cases = [s.propose() for _ in range(150)]

    def work(desk, person: str) -> None:
        while s.answer(person, desk=desk):
            desk.loop("mail").certify()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, desks, ["ana", "ben", "cleo"]))
    s.loop.certify()
    assert [row["wrong"] for row in s.loop.evidence()] == [int(s.truth[case.id] == "b") for case in cases]
    s.check()
    assert problems(s.desk) == []
    for desk in desks:
        desk.close()


def test_answers_out_of_order_give_the_same_threshold(make):
    order, late = make(), make()
    order.go(200)
    held, noise = [], random.Random(7)
    for _ in range(200):
        case = late.propose()
        if case.route.to == "human" or case.route.audited:
            held.append(case)
        if len(held) > 30:
            late.answer(case=held.pop(noise.randrange(len(held))))
    for case in held:
        late.answer(case=case)
    for s in (order, late):
        s.desk.sweep()
        s.check()
    assert [r["seq"] for r in late.loop.evidence()] == sorted(r["seq"] for r in late.loop.evidence())
    assert len(late.loop.evidence()) == len(order.loop.evidence()) == 200


def test_another_promise_begins_anew_with_what_comes_after_it(stream):
    stream.opened()
    waiting = stream.propose(0.01)
    stream.settings["guarantee"] = EASY | {"max_error": 0.3}
    stream.loop = stream.desk.loop("mail", **stream.settings)
    assert stream.loop.control.thresholds == {}
    changed = stream.propose(0.99)
    assert changed.route.to == "human"
    stream.answer(case=waiting)
    stream.answer(case=changed)
    stream.loop.certify()
    began = stream.events(EpochBegan)[-1]
    assert (json.loads(began.promise)["max_error"], began.reason) == (
        0.3,
        "the promise changed: max_error is 0.3, not 0.2",
    )
    assert len(stream.loop.evidence()) == 1
    stream.opened()
    stream.check()


def test_other_segments_leave_no_certificate_behind_that_nobody_asked_for(stream):
    stream.go(30)
    stream.propose()
    stream.settings["guarantee"] = EASY | {"segments": ["x", "y"]}
    stream.loop = stream.desk.loop("mail", **stream.settings)
    stream.go(10, segment="x")
    stream.go(3, segment="y")
    stream.go(2, segment="z")
    stream.go(2)
    stream.desk.sweep()
    assert [e.segment for e in stream.events(EpochBegan)] == ["", "x", "y"]


def test_segments_have_their_own_certificates_and_share_the_chance(make):
    s = make(guarantee=EASY | {"segments": ["x", "y"]})
    for _ in range(350):
        s.go(1, segment="x")
        s.go(1, segment="y")
    for name in ("x", "y"):
        assert s.check(name).delta == pytest.approx(0.05 / 2 / 2)
    assert set(s.loop.control.thresholds) == {"x", "y"}
    for segment in ("z", None):
        route = s.propose(0.999, segment=segment).route
        assert (route.to, route.score) == ("human", None)
        assert "none that the guarantee is for" in route.reason


def test_a_new_model_gets_its_epoch_when_it_has_its_turn(stream):
    stream.opened(source=ONE)
    first = stream.loop.control.epoch
    assert stream.propose(0.999, source=TWO).route.by == "model"
    stream.go(10, source=ONE)
    assert stream.loop.control.thresholds  # one stray proposal does not cost the certificate
    stream.go(25, source=TWO)
    assert stream.loop.control.thresholds == {}
    assert (stream.loop.control.models, stream.loop.control.epoch) == ({"": "m/2"}, first + 1)
    stream.opened(source=TWO)
    stream.check()
    assert stream.propose(0.999, source=ONE).route.to == "human"


def test_an_old_model_that_comes_back_is_certified_again(stream):
    stream.opened(source=ONE).go(30, source=TWO)
    stream.opened(source=TWO).go(30, source=ONE)
    assert stream.loop.control.models == {"": "m/1"}
    stream.opened(source=ONE)
    stream.check()


def test_two_models_in_turns_leave_the_certificate_to_the_one_that_has_it(stream):
    stream.opened(source=ONE)
    for _ in range(60):
        stream.go(1, source=TWO)
        stream.go(1, source=ONE)
    assert stream.loop.control.models == {"": "m/1"}
    assert stream.check().threshold is not None


@pytest.mark.parametrize("source", [{"model": "n", "version": "1"}, {"model": "m"}, {"version": 0}, None])
def test_proposals_of_another_model_or_of_none_go_to_a_human(stream, source):
    stream.opened(source=ONE)
    route = stream.propose(0.999, source=source).route
    assert (route.to, route.by) == ("human", "model")
    assert "m/1" in route.reason


def test_audit_shares_are_not_written_again_after_a_restart(make, tmp_path):
    s = make(f"sqlite:///{tmp_path}/d.db")
    s.go(600)
    s.loop.certify()
    before = len(s.events(AuditsChanged))
    for _ in range(3):
        s.restart()
        s.propose(0.001)
        s.answer()
        s.loop.certify()
    assert len(s.events(AuditsChanged)) == before


def test_a_desk_that_fails_goes_on_where_it_stood(stream, monkeypatch):
    stream.go(50)
    stream.propose()
    monkeypatch.setattr(stream.desk.steps, "moved", lambda *args, **kwargs: 1 / 0)
    assert stream.answer().outcome is not None  # the answer stands
    stream.desk.sweep()
    with pytest.raises(ZeroDivisionError):
        stream.loop.certify()
    monkeypatch.undo()
    stream.loop.certify()
    assert len(stream.loop.evidence()) == 51
    stream.check()


def test_every_move_cites_a_label_that_was_counted(stream):
    stream.opened()
    counted = {label[0] for e in stream.events(EvidenceCounted) for label in e.labels}
    assert {e.pos for e in stream.events(ThresholdMoved)} <= counted
