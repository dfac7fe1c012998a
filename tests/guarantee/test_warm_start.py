"""A new model's certificate begins with labels that never trained it, drawn whatever they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from certify_cases import problems
from trained_cases import Sides

from dualcontrol.events import (
    AuditsChanged,
    AutopilotClosed,
    EpochBegan,
    EvidenceCounted,
    ModelKept,
    ThresholdMoved,
)
from dualcontrol.guarantee import warm_start
from dualcontrol.learn import serving, training

pytest.importorskip("sklearn")


@pytest.fixture
def sides(tmp_path: Path):
    made = Sides(tmp_path)
    yield made
    made.desk.close()


def case_at(sides: Sides, pos: int) -> str:
    return sides.desk.store.feed(pos - 1, 1, "sides")[0].stream.removeprefix("case/")


def trained_on(sides: Sides) -> set[str]:
    """The cases whose labels a model was fitted to or chosen by."""
    marks = {row.case_id: row.used_by for row in sides.loop.examples() if row.used_by}
    return {case for case, mark in marks.items() if not mark.endswith(("/evidence", "/skipped"))}


def test_no_example_both_trains_and_certifies(sides):
    sides.go(150)
    report = training.train(sides.desk, "sides")
    assert report.promoted
    sides.go(60)
    began, counted = sides.events(EpochBegan)[-1], sides.events(EvidenceCounted)
    warm = next(e for e in counted if e.epoch == began.epoch)
    assert (began.model, len(warm.labels) > 20) == (report.version, True)
    assert not {case_at(sides, label[0]) for label in warm.labels} & trained_on(sides)
    assert sides.loop.control.thresholds
    assert [row["seq"] for row in sides.loop.evidence()][: len(warm.labels)] == [label[0] for label in warm.labels]
    assert problems(sides.desk, sides.folder / "models") == []


def test_a_larger_share_of_evidence_takes_no_case_that_has_trained_a_model(sides):
    sides.guarantee["evidence"] = 0.1
    sides.settle()
    sides.go(150)
    assert training.train(sides.desk, "sides").promoted
    sides.go(5)
    sides.guarantee["evidence"] = 0.8
    sides.settle()
    sides.go(30)
    began = sides.events(EpochBegan)[-1]
    warm = [label for e in sides.events(EvidenceCounted) if e.epoch == began.epoch for label in e.labels]
    assert warm
    assert not {case_at(sides, label[0]) for label in warm if label[0] <= began.after} & trained_on(sides)


def test_what_nobody_answered_counts_as_an_error_of_the_new_model_too(sides):
    sides.go(60)
    for _ in range(40):
        sides.propose()
    sides.clock.tick(8 * 86_400)
    sides.desk.sweep()
    sides.go(60)
    missing = {case_at(sides, pos) for e in sides.events(EvidenceCounted) for pos in e.missing}
    assert len(missing) == 40
    assert training.train(sides.desk, "sides").promoted
    sides.go(5)
    began = sides.events(EpochBegan)[-1]
    warm = next(e for e in sides.events(EvidenceCounted) if e.epoch == began.epoch)
    drawn = {c for c in missing if training.for_evidence(sides.desk.steps.secret, sides.loop.control, c)}
    assert {case_at(sides, label[0]): label[2] for label in warm.labels}.items() >= {(c, 1) for c in drawn}
    assert drawn


def test_what_is_known_of_the_loops_model_says_nothing_of_another(sides):
    sides.go(150)
    assert training.train(sides.desk, "sides").promoted
    sides.go(60)
    assert sides.loop.control.thresholds
    for _ in range(30):
        case = sides.loop.propose(input={"x": 0.5}, proposal="left", confidence=0.999, source={"version": "other"})
        assert case.route.to == "human"
        sides.desk.claim("ana", case=case).label("right")
    sides.desk.sweep()
    assert sides.loop.control.models == {"": "other"}
    assert sides.loop.control.thresholds == {}
    assert {row["wrong"] for row in sides.loop.evidence()} <= {1}


@pytest.mark.timeout(30)
def test_an_epoch_whose_model_is_gone_closes_autopilot_and_holds_nothing_up(sides):
    sides.go(150)
    report = training.train(sides.desk, "sides")
    assert report.promoted
    for file in (sides.folder / "models").iterdir():
        file.unlink()
    serving._loaded.clear()
    case = sides.loop.propose(input={"x": 0.5}, proposal="right", confidence=0.9)
    sides.desk.claim("ana", case=case).label("right")
    sides.desk.sweep()
    assert "is missing" in sides.events(AutopilotClosed)[-1].reason
    assert json.loads(sides.events(EpochBegan)[-1].promise)
    assert sides.loop.control.closed
    assert sides.loop.propose(input={"x": 0.5}, proposal="right", confidence=0.999).route.to == "human"
    assert all("its file" in found for found in problems(sides.desk, sides.folder / "models"))


def test_a_restart_folds_the_warm_start_as_it_was(sides):
    sides.go(150)
    assert training.train(sides.desk, "sides").promoted
    sides.go(40)
    sides.loop.certify()
    before = sides.desk.certifier.segments(sides.loop.control)[""]
    sides.desk.close()
    sides.start()
    after = sides.desk.certifier.segments(sides.loop.control)[""]
    assert after.certificate.to_dict() == before.certificate.to_dict()
    assert after.bound.to_dict() == before.bound.to_dict()
    assert after.monitor.to_dict() == before.monitor.to_dict()


@pytest.mark.slow
def test_each_older_label_says_how_seldom_any_decision_could_have_been_reviewed_then(sides):
    """The bets of a warm start are capped by what was in force at each decision, never by what was drawn."""
    sides.go(150)
    assert training.train(sides.desk, "sides").promoted
    sides.go(200)
    assert sides.loop.control.thresholds
    sides.guarantee["max_error"] = 0.35  # another promise: a new epoch, with what is known of the model in force
    sides.settle()
    sides.go(5)
    began = sides.events(EpochBegan)[-1]
    warm = next(e for e in sides.events(EvidenceCounted) if e.epoch == began.epoch)
    assert len(warm.floors) == len(warm.labels)
    floors = {label[0]: float(floor) for label, floor in zip(warm.labels, warm.floors, strict=True)}
    routes = {pos: sides.desk.case(case_at(sides, pos)).route for pos in floors}
    opened = next(e for e in sides.events(AuditsChanged) if e.floor)
    assert {floors[pos] for pos, route in routes.items() if route.control < opened.version} == {1.0}
    tables = {e.version: min(map(float, e.shares)) for e in sides.events(AuditsChanged)}
    later = {pos: route for pos, route in routes.items() if route.control in tables}
    assert {floors[pos] - tables[route.control] for pos, route in later.items()} == {0.0}
    assert any(floors[pos] < route.inclusion for pos, route in later.items()), "the floor is not what was drawn with"
    assert all(0.0 < floors[pos] <= route.inclusion for pos, route in routes.items())
    assert json.loads(began.promise)["launch"] == 0
    rows = sides.loop.evidence()[: len(warm.labels)]
    assert [row["floor"] for row in rows] == list(floors.values())
    assert problems(sides.desk, sides.folder / "models") == []


def test_each_model_that_was_tried_on_the_same_answers_pays_for_the_look(sides):
    """A model that was kept back has looked as well: the next one has a sixth of what is for recorded answers."""
    sides.go(150)
    kept = ModelKept(at=1, model="sides-0", examples=90, metric="log loss", score="0.5")
    sides.desk.steps.move("sides", lambda control, now: [kept])
    assert training.train(sides.desk, "sides").promoted
    sides.go(25)
    promises = [json.loads(began.promise) for began in sides.events(EpochBegan)]
    assert [(promise.get("warm_share"), promise["spent"]) for promise in promises] == [(None, 0), (1 / 6, 1)]
    warm = next(e for e in sides.events(EvidenceCounted) if e.epoch == sides.events(EpochBegan)[-1].epoch)
    assert promises[-1]["warm"] == len(warm.labels) > 20


def test_what_people_answered_with_the_proposal_shown_is_no_evidence_for_a_new_model(sides):
    sides.guarantee |= {"blind": True, "blind_share": 0.3}
    sides.settle()
    sides.go(150)
    assert training.train(sides.desk, "sides").promoted

    sides.go(60)
    sides.desk.steps.move("sides", lambda now, at: [  # so that people go on with what the model is not sure of
        ThresholdMoved(version=now.version + 1, at=at, segment="", threshold="0.5", reason="for this test")
    ])  # fmt: skip
    control, cases = sides.loop.control, []
    source = {"model": "sides", "version": control.model}
    for _ in range(40):
        cases.append(sides.loop.propose(input={"x": -0.5}, proposal="left", confidence=0.0, source=source))
        sides.desk.claim("ana", case=cases[-1]).label("left")
    sides.loop.certify()
    shown = {case.id for case in cases if not case.route.asked_blind}
    blind = {case.id for case in cases} - shown
    segment, model = sides.desk.certifier.segments(control)[""], serving.current_model(sides.desk, "sides")
    start = warm_start.start(sides.desk.steps, control, "", segment, model)
    taken = {case_at(sides, label[0]): label[3] for label in (*start.evidence, *start.pilot)}
    assert not taken.keys() & shown
    assert {taken[case_id] for case_id in taken.keys() & blind} == {"0.3"}
    assert all(float(floor) <= float(label[3]) for label, floor in zip(start.evidence, start.floors, strict=True))
