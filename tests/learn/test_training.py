"""Training: candidates compared on held-out human decisions, promoted or kept, and served from a verified file."""

from __future__ import annotations

import hashlib
import json
import sys
from types import ModuleType

import numpy as np
import pytest

from dualcontrol import compose
from dualcontrol.control import draw
from dualcontrol.errors import ModelError, ProposalError
from dualcontrol.events import ThresholdMoved
from dualcontrol.learn import serving, trainers, training, trusted
from dualcontrol.learn.sklearn_trainer import SklearnTrainer
from dualcontrol.learn.training import PURPOSE, StartSet, should_train, train, train_all_due, train_if_due
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
    module.TRAINER, module.OWN = Contrary, SklearnTrainer
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
    own = {"retrain_every": 20, "trainer": "contrary_trainer:OWN"}
    desk.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=own)
    report = train(desk, loop.name)
    assert (report.trainer, report.promoted) == ("contrary_trainer:OWN", True)
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


def test_a_start_set_may_come_as_arrays(desk, loop, answer):
    """Arrays and numbers of NumPy are the lists of the same numbers, in the model as in the file."""
    points = np.array([[x / 10, 0.0] for x in range(-10, 11) if x])
    sides = np.where(points[:, 0] > 0, "right", "left")
    report = train(desk, loop.name, start=StartSet("by hand", points, sides))
    plainly = StartSet("by hand", points.tolist(), sides.tolist())
    assert report.start == {"source": "by hand", "rows": 20, "sha256": hashlib.sha256(plainly.to_bytes()).hexdigest()}
    assert serving.current_model(desk, loop.name).score([np.float32(0.9), np.int64(0)]).label == "right"


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


def test_a_new_model_opens_what_a_trainer_that_is_gone_closed(desk, loop, answer, contrary, settings, monkeypatch):
    """Whatever the sentence says of the model: it is closed for its file, and the next model takes its place."""
    answer(40)
    own = {"retrain_every": 20, "trainer": "contrary_trainer:OWN", "holdout": 0.25}
    desk.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=own)
    first = train(desk, loop.name)
    monkeypatch.delitem(sys.modules, "contrary_trainer")
    with compose.open(settings=settings, clock=FakeClock(), new_id=seeded_ids(1)) as again:
        again.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=own)
        assert serving.current_model(again, loop.name) is None
        control = again.control(loop.name)
        assert (control.causes[""].by, control.causes[""].model) == ("model_file", first.version)
        assert "cannot be loaded" in control.closed_for(None)
        ours = {"trainer": "sklearn", "holdout": 0.25}
        again.loop(loop.name, mode="labels", labels=["left", "right"], context=["input"], feedback=ours)
        assert train(again, loop.name).promoted
        assert again.control(loop.name).closed_for(None) is None


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


KINDS = [
    [True, False],
    [7, 8],
    [0.5, 1.5],
    [["a"], ["a", "b"]],
    [["none"], "none"],
    [True, 1],
    ["1", 1],
    [{"k": 1}, "k"],
]


@pytest.mark.parametrize("kinds", KINDS, ids=repr)
@pytest.mark.parametrize("settled", [True, False], ids=["a set", "any label"])
def test_scores_of_a_model_are_proposed_as_they_are_whatever_its_labels(desk, kinds, settled):
    """From answers to a model, and from what it says to a case whose candidates are the labels with their types."""
    given = {"mode": "labels", "context": ["input"], "feedback": {"trainer": "sklearn", "retrain_every": 10}}
    loop = desk.loop("kinds", labels=kinds if settled else None, threshold=0.5, **given)
    for step in range(60):
        loop.propose(input=[np.int64(step % 2), step % 3], candidates=kinds)
        desk.claim("ana", loop).label(kinds[step % 2])
    train(desk, loop.name)
    said = serving.current_model(desk, loop.name).score([np.float32(1), 0])
    case = loop.propose(input=[1, 0], proposal=said.label, scores=said.scores)
    assert json.dumps(case.proposal.value) == json.dumps(kinds[1])
    assert sorted(json.dumps(c.value) for c in case.candidates) == sorted(map(json.dumps, kinds))
    assert case.confidence == said.confidence > 0.5
    assert sum(c.score for c in case.candidates) == pytest.approx(1.0)


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


def kinds(desk, labels, **given):
    """A loop whose answers say in which third a number lies; the last third only while it is a label."""
    feedback = {"trainer": "sklearn", "retrain_every": 10, "holdout": 0.25}
    return desk.loop("kinds", mode="labels", labels=labels, context=["input"], feedback=feedback, **given)


def thirds(desk, loop, count, names):
    """Answer cases that spread over the thirds that have names."""
    for step in range(count):
        place = step % len(names)
        loop.propose(input=[place + (step * 7 % 10) / 20, step % 5])
        claim = desk.claim("ana", loop)
        if claim is not None:
            claim.label(names[place])


def test_a_label_that_was_removed_is_unknown_to_the_next_model(desk):
    """Its decisions train nothing, are compared on nothing, and do not wait for ever."""
    loop = kinds(desk, ["low", "middle", "high"], threshold=0.5)
    thirds(desk, loop, 90, ["low", "middle", "high"])
    train(desk, "kinds")
    assert set(serving.current_model(desk, "kinds").model.classes) == {"low", "middle", "high"}
    loop = kinds(desk, ["middle", "low"], threshold=0.5)
    thirds(desk, loop, 40, ["low", "middle"])
    report = train(desk, "kinds")
    assert report.removed == 30
    assert (report.trained + report.held_out, report.skipped) == (100, 30)
    model = trainers.trainer("sklearn").load(model_file(desk, loop).read_bytes())
    assert set(model.classes) == {"low", "middle"}
    assert desk.store.queries.unfed().get("kinds", 0) == 0
    assert all(not row.used_by.startswith(report.version) for row in loop.examples() if row.value == "high")


def test_a_model_says_nothing_of_a_label_that_was_removed_and_is_no_surer_of_the_others(desk):
    """Between the removal and the next training: proposals are taken, and what it was sure of is doubt."""
    loop = kinds(desk, ["low", "middle", "high"], threshold=0.5)
    thirds(desk, loop, 90, ["low", "middle", "high"])
    train(desk, "kinds")
    held = serving.current_model(desk, "kinds")
    inputs = [[0.2, 1], [1.2, 1], [2.2, 1]]
    before = held.score_all(inputs)
    assert [one.label for one in before] == ["low", "middle", "high"]
    newer = kinds(desk, ["low", "middle"], threshold=0.5)
    for model in (held, serving.current_model(desk, "kinds")):
        after = model.score_all(inputs)
        assert set(model.classes) == {"low", "middle"}
        for was, now in zip(before, after, strict=True):
            assert dict(now.scores) == {label: was.scores[label] for label in ("low", "middle")}
        for opened in (loop, newer):
            pairs = zip(inputs, after, strict=True)
            routes = [opened.propose(input=i, proposal=s.label, scores=s.scores).route for i, s in pairs]
            assert [route.to for route in routes] == ["autopilot", "autopilot", "human"]
    kept = newer.propose(input=inputs[2], scores=before[2].scores)
    assert ({c.value for c in kept.candidates}, kept.route.to) == ({"low", "middle"}, "human")


def test_a_label_that_is_none_by_now_is_refused_also_by_a_program_that_does_not_know(desk):
    loop = kinds(desk, ["low", "middle", "high"], threshold=0.5)
    kinds(desk, ["low", "middle"], threshold=0.5)
    with pytest.raises(ProposalError, match="'high' is not a label of loop 'kinds': 'low', 'middle'"):
        loop.propose(input=[2.0, 1], proposal="high", confidence=0.99)
    assert loop.propose(input=[1.0, 1], proposal="low", confidence=0.99).route.to == "autopilot"


def test_a_model_that_knows_none_of_the_labels_says_nothing_and_gives_way(desk):
    """Every label has another name: no model speaks until the next one, which needs to be better than nobody."""
    loop = kinds(desk, ["low", "middle", "high"], threshold=0.5)
    thirds(desk, loop, 60, ["low", "middle", "high"])
    first = train(desk, "kinds")
    held = serving.current_model(desk, "kinds")
    loop = kinds(desk, ["l", "m", "h"], threshold=0.5)
    assert serving.current_model(desk, "kinds") is None
    with pytest.raises(ModelError, match="none of the labels"):
        held.score([0.2, 1])
    thirds(desk, loop, 60, ["l", "m", "h"])
    second = train(desk, "kinds")
    assert (second.incumbent, second.promoted) == (first.version, True)
    assert second.reason == "the one before knows none of the labels that the loop has now"
    assert serving.current_model(desk, "kinds").score([0.2, 1]).label == "l"


def test_labels_that_are_added_or_come_in_another_order_are_learned(desk):
    loop = kinds(desk, ["low", "middle"], threshold=0.5)
    thirds(desk, loop, 60, ["low", "middle"])
    train(desk, "kinds")
    loop = kinds(desk, ["high", "middle", "low"], threshold=0.5)
    said = serving.current_model(desk, "kinds").score([0.2, 1])
    case = loop.propose(input=[0.2, 1], proposal=said.label, scores=said.scores)
    assert (case.proposal.value, case.route.to) == ("low", "autopilot")
    thirds(desk, loop, 90, ["low", "middle", "high"])
    report = train(desk, "kinds")
    assert (report.promoted, report.removed) == (True, 0)
    assert serving.current_model(desk, "kinds").score([2.2, 1]).label == "high"


def test_a_label_that_comes_back_brings_its_decisions(desk):
    """Those that were skipped are marked anew with the model that learned from them."""
    loop = kinds(desk, ["low", "middle", "high"], threshold=0.5)
    thirds(desk, loop, 60, ["low", "middle", "high"])
    loop = kinds(desk, ["low", "middle"], threshold=0.5)
    assert train(desk, "kinds").removed == 20
    loop = kinds(desk, ["low", "middle", "high"], threshold=0.5)
    again = train(desk, "kinds")
    assert (again.removed, again.trained + again.held_out) == (0, 60)
    learned = [row.used_by for row in loop.examples() if row.value == "high"]
    assert set(learned) == {again.version, f"{again.version}/held-out"}


def test_start_labels_of_a_label_that_was_removed_train_nothing(desk):
    loop = kinds(desk, ["low", "high"], threshold=0.5)
    start = StartSet("by hand", [[n / 10, 0.0] for n in range(30)], ["low"] * 12 + ["high"] * 12 + ["odd"] * 6)
    first = train(desk, "kinds", start=start)
    assert (first.trained, first.start["rows"]) == (24, 30)
    assert set(serving.current_model(desk, "kinds").classes) == {"low", "high"}
    kinds(desk, ["low", "high", "odd"], threshold=0.5)
    assert train(desk, "kinds").trained == 30
    assert loop.control.model is not None
