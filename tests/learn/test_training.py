"""Training: candidates compared on held-out human decisions, promoted or kept, and served from a verified file."""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType

import pytest

from dualcontrol import compose
from dualcontrol.control import draw
from dualcontrol.errors import ModelError
from dualcontrol.events import ThresholdMoved
from dualcontrol.learn import serving, trainers, training, trusted
from dualcontrol.learn.sklearn_trainer import SklearnTrainer
from dualcontrol.learn.start import StartSet
from dualcontrol.learn.training import PURPOSE, should_train, train, train_all_due, train_if_due
from dualcontrol.testing import FakeClock, seeded_ids


def loop_events(desk, loop) -> list[str]:
    entries = desk.store.queries.entries(f"loop/{loop.control.loop_id}")
    return [type(event).__name__ for entry in entries for event in entry.events]


def model_file(desk, loop):
    return trusted.model_folder(desk) / desk.store.queries.models(loop.control.loop_id)[0].path


def test_the_first_model_takes_over_and_the_answers_are_used(desk, loop, answer):
    answer(60)
    before = loop.control
    report = train(desk, loop.name)
    assert report.promoted
    assert report.reason == "the first model of the loop"
    assert (loop.control.model, loop.control.epoch) == (report.version, before.epoch + 1)
    assert loop_events(desk, loop)[-1] == "ModelPromoted"
    assert desk.store.queries.unfed().get(loop.name, 0) == 0
    assert serving.current_model(desk, loop.name).score({"x": 0.9, "y": 0.0}).label == "right"


def test_a_better_model_is_promoted_on_held_out_decisions(desk, loop, answer):
    answer(30)
    first = train(desk, loop.name)
    answer(300)
    second = train(desk, loop.name)
    assert second.promoted
    assert second.incumbent == first.version
    assert second.gain > 0
    assert second.candidate.log_loss < second.before.log_loss
    assert loop_events(desk, loop).count("ModelPromoted") == 2


class Contrary(SklearnTrainer):
    """A trainer of models that say the opposite."""

    name = "contrary"

    def fit(self, inputs, labels, weights, *, seed):
        other = {"left": "right", "right": "left"}
        return super().fit(inputs, [other[label] for label in labels], weights, seed=seed)


@pytest.fixture
def contrary(monkeypatch):
    """The seam: any module with a TRAINER may be named in the settings."""
    module = ModuleType("contrary_trainer")
    module.TRAINER = Contrary
    monkeypatch.setitem(sys.modules, "contrary_trainer", module)
    monkeypatch.setitem(trainers.TRAINERS, "contrary", ("contrary_trainer", "learn"))
    return {"retrain_every": 20, "trainer": "contrary", "holdout": 0.25}


def test_a_worse_model_is_kept_and_the_incumbent_stays(desk, loop, answer, contrary):
    answer(60)
    first = train(desk, loop.name)
    answer(60)
    desk.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=contrary)
    second = train(desk, loop.name)
    assert (second.promoted, second.trainer) == (False, "contrary")
    assert "higher" in second.reason
    assert second.candidate.accuracy < second.before.accuracy
    assert loop.control.model == first.version
    assert loop_events(desk, loop)[-1] == "ModelKept"
    assert [m.state for m in desk.store.queries.models(loop.control.loop_id)] == ["kept", "promoted"]


def test_a_trainer_of_ones_own_is_loaded_by_module_and_attribute(desk, loop, answer, contrary):
    answer(60)
    own = {"retrain_every": 20, "trainer": "contrary_trainer:TRAINER"}
    desk.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=own)
    report = train(desk, loop.name)
    assert (report.trainer, report.promoted) == ("contrary_trainer:TRAINER", True)
    assert serving.current_model(desk, loop.name).version == report.version
    gone = {"trainer": "contrary_trainer:Gone"}
    desk.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=gone)
    with pytest.raises(ModelError, match="cannot be loaded"):
        train(desk, loop.name)


def test_held_out_cases_are_fixed_by_their_draw_and_never_train(desk, loop, answer):
    answer(100)
    report = train(desk, loop.name)
    rows = loop.examples()
    held_out = {row.case_id for row in rows if draw(desk.steps.secret, PURPOSE, row.case_id) < 0.25}
    assert {row.case_id for row in rows if row.used_by == f"{report.version}/held-out"} == held_out
    assert report.held_out == len(held_out)
    assert report.trained == 100 - len(held_out)


def test_imported_labels_only_train(desk, loop, answer):
    answer(40, origin="import")
    assert (train(desk, loop.name).held_out, loop.examples()[0].origin) == (0, "import")


def test_a_start_set_trains_every_model_and_is_named_in_its_row(desk, loop, answer):
    first = train(desk, loop.name, start=by_hand())
    assert (first.promoted, first.trained, first.start["rows"]) == (True, 20, 20)
    answer(8)
    second = train(desk, loop.name)
    assert second.trained + second.held_out == 28
    said = {model.metrics["start"]["sha256"] for model in desk.store.queries.models(loop.control.loop_id)}
    assert said == {hashlib.sha256(by_hand().to_bytes()).hexdigest()}


def by_hand() -> StartSet:
    points = [{"x": x / 10, "y": 0.0} for x in range(-10, 11) if x]
    return StartSet("by hand", points, ["right" if p["x"] > 0 else "left" for p in points])


@pytest.mark.parametrize(("harm", "why"), [("missing", "are missing"), ("altered", "digest differs")])
def test_start_labels_that_changed_or_went_stop_the_training(desk, loop, answer, harm, why):
    train(desk, loop.name, start=by_hand())
    [file] = trusted.model_folder(desk).glob("start-*.json")
    file.unlink() if harm == "missing" else file.write_bytes(file.read_bytes().replace(b"left", b"lift"))
    answer(20)
    with pytest.raises(ModelError, match=why):
        train(desk, loop.name)


def test_too_few_held_out_decisions_promote_nothing(desk, loop, answer):
    answer(20, origin="import")
    train(desk, loop.name)
    answer(12)
    report = train(desk, loop.name)
    assert not report.promoted
    assert "too few" in report.reason


@pytest.mark.parametrize("count", [0, 5])
def test_too_few_answers_train_nothing(desk, loop, answer, count):
    answer(count)
    with pytest.raises(ModelError, match="to train on"):
        train(desk, loop.name)


def test_a_loop_without_a_trainer_says_so(desk):
    desk.loop("plain", mode="labels", labels=["a"], feedback="export")
    with pytest.raises(ModelError, match="has no trainer"):
        train(desk, "plain")
    assert not should_train(desk, "plain")


def test_training_is_due_after_so_many_answers_or_so_much_time(desk, loop, answer, clock):
    assert not should_train(desk, loop.name)
    answer(19)
    assert not should_train(desk, loop.name)
    assert should_train(desk, loop.name, now=clock() + 8 * 86_400_000_000)
    answer(1)
    assert should_train(desk, loop.name)
    assert train_if_due(desk, loop.name).promoted
    assert train_if_due(desk, loop.name) is None
    clock.tick(8 * 86_400)
    assert not should_train(desk, loop.name)


def test_a_promotion_takes_back_what_was_certified_for_the_model_before(desk, loop, answer):
    answer(40)
    given = {"mode": "labels", "labels": ["left", "right"], "feedback": {"trainer": "sklearn"}}
    desk.loop(loop.name, guarantee={"max_error": 0.05}, **given)
    desk.steps.move(loop.name, lambda now, at: (moved(now, at), {"thresholds": {"": 0.8}}))
    assert loop.control.threshold_for(None) == 0.8
    train(desk, loop.name)
    assert loop.control.threshold_for(None) is None


def moved(now, at) -> ThresholdMoved:
    return ThresholdMoved(version=now.version + 1, at=at, segment="", threshold="0.8", reason="test")


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_a_bad_model_file_closes_autopilot_at_a_restart(desk, loop, answer, settings, harm):
    answer(40)
    train(desk, loop.name)
    file = model_file(desk, loop)
    file.unlink() if harm == "missing" else file.write_bytes(file.read_bytes()[:-1] + b"?")
    with compose.open(settings=settings, clock=FakeClock(), new_id=seeded_ids(1)) as again:
        assert list(serving.check(again)) == [loop.name]
        assert serving.current_model(again, loop.name) is None
        control = again.control(loop.name)
        assert "the model file of" in control.closed_for(None)
        assert loop_events(again, loop).count("AutopilotClosed") == 1
        case = again.loop(loop.name).propose(input={"x": 1.0}, scores={"right": 0.99, "left": 0.01})
        assert (case.route.to, case.route.by) == ("human", "closed")


def test_a_new_model_opens_what_a_bad_file_closed(desk, loop, answer, settings):
    answer(40)
    train(desk, loop.name)
    model_file(desk, loop).unlink()
    with compose.open(settings=settings, clock=FakeClock(), new_id=seeded_ids(1)) as again:
        assert serving.current_model(again, loop.name) is None
        report = train(again, loop.name)
        assert (report.promoted, report.reason) == (True, "the file of the one before cannot be used")
        assert again.control(loop.name).closed_for(None) is None
        assert serving.check(again) == {}


def test_a_training_that_another_overtook_changes_nothing(desk, loop, answer, monkeypatch):
    answer(40)
    real = training.write_file

    def meanwhile(*given):
        monkeypatch.setattr(training, "write_file", real)
        train(desk, loop.name)
        return real(*given)

    monkeypatch.setattr(training, "write_file", meanwhile)
    report = train(desk, loop.name)
    assert (report.promoted, report.reason) == (False, "another model took over meanwhile")
    assert loop_events(desk, loop)[-2:] == ["ModelPromoted", "ModelKept"]


def test_scores_may_stand_as_a_signal(desk, loop, answer):
    answer(80)
    train(desk, loop.name)
    scored = serving.current_model(desk, loop.name).score({"x": 0.95, "y": 0.0})
    case = loop.propose(input={"x": 0.95, "y": 0.0}, proposal=scored.label, scores=scored.scores)
    assert case.confidence == pytest.approx(scored.confidence)
    assert sum(scored.scores.values()) == pytest.approx(1.0)


def test_every_due_loop_is_trained_and_one_that_cannot_be_stops_no_other(desk, loop, answer):
    desk.loop(
        "aside", mode="labels", labels=["a"], context=["input"], feedback={"trainer": "sklearn", "retrain_every": 1}
    )
    desk.loop("aside").propose(input={"x": 1})
    desk.claim("ana", "aside").label("a")
    answer(40)
    assert [report.loop for report in train_all_due(desk)] == [loop.name]
    assert train_all_due(desk) == []


def test_numbers_stay_numbers_also_where_the_labels_are_not_fixed(desk):
    given = {"mode": "labels", "context": ["input"], "feedback": {"trainer": "sklearn", "retrain_every": 10}}
    digits = desk.loop("open", threshold=0.8, **given)
    for step in range(80):
        digits.propose(input=[step % 2, step % 3], candidates=[7, 8])
        desk.claim("ana", digits).label(7 + step % 2)
    train(desk, digits.name)
    scored = serving.current_model(desk, digits.name).score([1, 0])
    case = digits.propose(input=[1, 0], proposal=scored.label, scores=scored.scores)
    assert (case.proposal.value, case.confidence, len(case.candidates)) == (8, scored.confidence, 2)


def test_what_cannot_be_learned_is_skipped_counted_and_waits_no_longer(desk, loop, answer):
    answer(60)
    feedback = {"retrain_every": 20, "trainer": "sklearn", "holdout": 0.25}
    bare = desk.loop(
        loop.name, mode="labels", labels=["left", "right"], context=["proposal"], feedback=feedback,
        quorum={"answers": 2, "settle": "collect"},
    )  # fmt: skip
    for given, said in (({"x": 0.5, "y": 0.5}, ("left", "right")), (None, ("left", "left"))):
        bare.propose(proposal="left", input=given)
        for person, side in zip(("bo", "cy"), said, strict=True):
            desk.claim(person, bare).label(side)
    report = train(desk, loop.name)
    assert (report.trained + report.held_out, report.skipped, report.left_out) == (60, 2, 0)
    assert desk.store.queries.unfed().get(loop.name, 0) == 0
    assert [row.used_by for row in loop.examples()[-2:]] == [f"{report.version}/skipped"] * 2
