"""Trainers: numbers, fields and text go in, calibrated probabilities come out, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler

from dualcontrol.errors import MissingExtraError, ModelError
from dualcontrol.learn import calibrate, trainers
from dualcontrol.learn.features import number, parts
from dualcontrol.learn.trainers import positions, trainer


def vectors(count: int):
    noise = np.random.default_rng(0)
    rows = noise.normal(size=(count, 3))
    return [[float(v) for v in row] for row in rows], ["yes" if row[0] + row[1] > 0 else "no" for row in rows]


def fields(count: int):
    rows, labels = vectors(count)
    return [{"a": r[0], "more": {"b": r[1]}, "sort": "x", "scan": {"$image": "data:…"}} for r in rows], labels


def texts(count: int):
    noise = np.random.default_rng(0)
    good, bad = ["fine", "great", "lovely", "good"], ["awful", "poor", "sad", "broken"]
    labels = [int(noise.integers(2)) for _ in range(count)]
    return [
        f"the thing was {noise.choice(good if y else bad)} and {noise.choice(good if y else bad)}" for y in labels
    ], labels


@pytest.mark.parametrize("made", [vectors, fields, texts])
def test_a_model_learns_and_its_probabilities_are_calibrated(made):
    inputs, labels = made(240)
    model = trainer("sklearn").fit(inputs[:160], labels[:160], [1.0] * 160, seed=0)
    found = model.predict_proba(inputs[160:])
    index = positions(model.classes, labels[160:])
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert calibrate.hits(found, index).mean() > 0.85
    assert calibrate.calibration_error(found, index, np.ones(80)) < 0.15


def test_one_seed_gives_one_model_and_its_file_gives_it_back():
    inputs, labels = fields(60)
    teacher = trainer("sklearn")
    one, two = (teacher.fit(inputs, labels, [1.0] * 60, seed=3) for _ in range(2))
    again = teacher.load(teacher.dump(one))
    assert (one.predict_proba(inputs) == two.predict_proba(inputs)).all()
    assert (one.predict_proba(inputs) == again.predict_proba(inputs)).all()


def test_labels_come_back_as_they_were_given():
    inputs, _ = vectors(40)
    labels = [1, "1", {"a": 1}, None] * 10
    model = trainer("sklearn").fit(inputs, labels, [1.0] * 40, seed=0)
    assert {repr(label) for label in model.classes} == {"1", "'1'", "{'a': 1}", "None"}


def test_one_class_is_nothing_to_learn():
    with pytest.raises(ModelError, match="1 class among 12 labels"):
        trainer("sklearn").fit([[1.0]] * 12, ["yes"] * 12, [1.0] * 12, seed=0)


def test_inputs_without_numbers_or_words_are_refused():
    with pytest.raises(ModelError, match="neither numbers nor words"):
        trainer("sklearn").fit([{"scan": {"$image": "x"}}] * 12, [1, 2] * 6, [1.0] * 12, seed=0)


def test_a_vector_of_another_length_is_refused():
    inputs, labels = vectors(40)
    model = trainer("sklearn").fit(inputs, labels, [1.0] * 40, seed=0)
    with pytest.raises(ModelError, match="lists of 3 numbers"):
        model.predict_proba([[1.0]])


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(trainers.TRAINERS, "gone", ("no_such_package.trainer", "learn"))
    with pytest.raises(MissingExtraError, match="no_such_package") as caught:
        trainer("gone")
    assert 'pip install "dualcontrol[learn]"' in caught.value.hint


def test_an_unknown_trainer_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match="known are sklearn"):
        trainer("sklaern")


def test_a_model_file_of_before_runs_of_signs_is_read_as_it_was():
    """Its features know of words and fields alone, and it says of every input what it said."""
    inputs, labels = texts(60)
    teacher = trainer("sklearn")
    model = teacher.fit(inputs, labels, [1.0] * 60, seed=0)
    words, count = model.features, len(model.features.words.vocabulary_)
    model.estimator = LogisticRegression(max_iter=500).fit(words.words.transform(inputs), labels)
    words.scale = MaxAbsScaler().fit(words.words.transform(inputs))
    for later in ("runs", "written"):
        del words.__dict__[later]
    again = teacher.load(teacher.dump(model))
    assert again.features.transform(inputs).shape == (60, count)
    assert again.predict_proba(["the thing was great and fine"]).argmax() == again.classes.index(1)


def test_words_that_come_back_stay_words_and_what_people_write_without_spaces_is_read():
    """Names of cities in any script are fields, so that a table is learned by trees."""
    cities = [{"city": city, "size": n} for n, city in enumerate(["北京", "上海", "กรุงเทพ"] * 20)]
    model = trainer("sklearn").fit(cities, [n % 3 for n in range(60)], [1.0] * 60, seed=0)
    assert not model.features.has_text
    written = [row | {"said": f"第{n}次{'很好' if n % 2 else '不行'}"} for n, row in enumerate(cities)]
    model = trainer("sklearn").fit(written, [n % 2 for n in range(60)], [1.0] * 60, seed=0)
    assert (model.features.has_text, model.features.written) == (True, frozenset({"said"}))
    assert model.predict_proba([{"said": "这次很好", "city": "北京", "size": 5}]).argmax() == model.classes.index(1)


def test_numbers_beyond_those_of_learners_are_the_largest_of_them():
    values = [10**400, 1e300, -(10**400), -1e300, 3, 0.5]
    assert [number(value) for value in values] == [1e30, 1e30, -1e30, -1e30, 3.0, 0.5]
    assert parts({"x": 10**400}).fields == {"x": 1e30}
