"""The classifier that accepts only what is certified: a scikit-learn estimator, rarely wrong, and never by accident."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import dualcontrol as dc
from dualcontrol.errors import CalibrationError, ProposalError
from dualcontrol.sklearn import SelectiveClassifier

WRAPPED = [
    SelectiveClassifier(),
    SelectiveClassifier(LogisticRegression(C=0.1)),
    SelectiveClassifier(LinearSVC()),
    SelectiveClassifier(cv=2),
]


@pytest.mark.filterwarnings("ignore")  # checks that need a package which is not there are skipped with a warning
@parametrize_with_checks(WRAPPED)
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def data(seed: int, n: int = 3000, classes: int = 3):
    """Classes that overlap: three clouds, of which a linear model takes about a fifth for another."""
    noise = np.random.default_rng(seed)
    y = noise.integers(0, classes, n)
    X = noise.normal(size=(n, 4))
    X[np.arange(n), y] += 1.9
    return X, y


@pytest.fixture(scope="module")
def model():
    """A fitted classifier."""
    return LogisticRegression(max_iter=500).fit(*data(0, 1000))


@pytest.mark.parametrize("inside", [LogisticRegression(max_iter=500), GaussianNB(), LinearSVC()])
def test_what_it_accepts_is_rarely_wrong(inside):
    X, y = data(0)
    chosen = SelectiveClassifier(inside, max_error=0.05).fit(X[:1000], y[:1000])
    assert not chosen.accepts(X).any(), "nothing is certified yet"
    chosen.calibrate(X[1000:], y[1000:])
    fresh, truth = data(1, 20_000)
    taken = chosen.accepts(fresh)
    assert taken.mean() > 0.2
    assert (chosen.predict(fresh)[taken] != truth[taken]).mean() <= 0.06  # one draw in twenty may be above 0.05
    assert (chosen.predict(fresh)[~taken] != truth[~taken]).mean() > 0.05


def test_the_promise_holds_over_calibrations(model):
    """Of many draws of calibration rows, at most a share of 1 - confidence gives a threshold that is too low."""
    X, y = data(99, 60_000)
    scores, wrong = SelectiveClassifier(model).scores(X), model.predict(X) != y
    rng, runs, delta, false, some = np.random.default_rng(5), 300, 0.1, 0, 0
    for _ in range(runs):
        rows = rng.choice(len(X), 500)
        chosen = SelectiveClassifier(model, max_error=0.1, confidence=1 - delta).calibrate(X[rows], y[rows])
        if chosen.threshold_ is not None:
            some += 1
            false += wrong[scores >= chosen.threshold_].mean() > 0.1
    assert some > runs / 2
    assert false <= runs * delta + 1.65 * math.sqrt(runs * delta * (1 - delta))


def test_the_certificate_prints_what_is_promised(model):
    chosen = SelectiveClassifier(model, max_error=0.05).calibrate(*data(1))
    text = str(chosen.certificate_)
    assert f"from a score of {chosen.threshold_!r} on, at most 5 % are wrong" in text
    assert "3,000 labels" in text
    assert "lapses when the model is fitted again" in text
    assert pickle.loads(pickle.dumps(chosen)).threshold_ == chosen.threshold_


def test_too_few_labels_accept_nothing(model):
    X, y = data(1, 50)
    chosen = SelectiveClassifier(model, max_error=0.01).calibrate(X, y)
    assert (chosen.threshold_, chosen.accepts(X).any()) == (None, False)
    assert chosen.certificate_.found.labels_needed == 299
    assert "Nothing is certified" in str(chosen.certificate_)


def test_a_certificate_lapses_with_its_model():
    X, y = data(2)
    chosen = SelectiveClassifier(max_error=0.05).fit(X[:1000], y[:1000]).calibrate(X[1000:], y[1000:])
    assert chosen.accepts(X).any()
    chosen.fit(X[:1000], y[:1000])
    assert (chosen.certificate_, chosen.accepts(X).any()) == (None, False)
    chosen.calibrate(X[1000:], y[1000:])
    chosen.calibrate(X[1000:1020], y[1000:1020])
    assert not chosen.accepts(X).any(), "the last calibration counts"


def test_one_fold_is_kept_for_calibration():
    X, y = data(2, 4000)
    chosen = SelectiveClassifier(LogisticRegression(max_iter=500), max_error=0.05, cv=4).fit(X, y)
    assert chosen.certificate_.found.n == 1000
    fresh, truth = data(3, 20_000)
    taken = chosen.accepts(fresh)
    assert taken.any()
    assert (chosen.predict(fresh)[taken] != truth[taken]).mean() <= 0.06


def test_a_fitted_classifier_is_taken_as_it_is(model):
    X, y = data(2)
    chosen = SelectiveClassifier(model, max_error=0.05)
    assert (chosen.predict(X) == model.predict(X)).all()
    assert not chosen.accepts(X).any()
    chosen.fit(X, y)
    assert chosen.estimator_ is model
    assert chosen.certificate_ is None, "fit does not calibrate: these may be the rows that trained the model"


def test_scores_are_from_0_to_1_whatever_is_inside():
    X, y = data(2, 600)
    for inside in (LogisticRegression(max_iter=500), LinearSVC()):
        for classes in (y, y > 0):
            scores = SelectiveClassifier(inside).fit(X, classes).scores(X)
            assert scores.shape == (600,)
            assert scores.min() >= 1 / 3
            assert scores.max() <= 1


def test_a_pipeline_over_text_can_be_inside():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = np.array([f"{'good' if i % 2 else 'bad'} thing {i % 7}" for i in range(400)], dtype=object)
    truth = np.array(["yes" if i % 2 else "no" for i in range(400)])
    chosen = SelectiveClassifier(make_pipeline(TfidfVectorizer(), LogisticRegression()), max_error=0.05)
    chosen.fit(texts[:200], truth[:200]).calibrate(texts[200:], truth[200:])
    assert chosen.accepts(texts).all()
    assert chosen.predict(texts[:2]).tolist() == ["no", "yes"]


@pytest.fixture
def loop(tmp_path):
    """A loop that asks for one of three labels, and would let anything run from 0.5 on."""
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        yield desk.loop("kinds", mode="labels", labels=[0, 1, 2], threshold=0.5, context="standard")


def test_humans_are_asked_about_the_rest(model, loop):
    X, y = data(4, 400)
    chosen = SelectiveClassifier(model, max_error=0.05).calibrate(*data(1))
    asked = chosen.predict_or_ask(X, loop, key="monday")
    assert (asked.accepted == chosen.accepts(X)).all()
    assert 0 < asked.accepted.sum() < 400
    assert [value is None for value in asked.values] == (~asked.accepted).tolist()
    assert (asked.values[asked.accepted] == chosen.predict(X)[asked.accepted]).all()
    assert sorted(asked.cases) == np.flatnonzero(~asked.accepted).tolist()
    case = loop.desk.case(asked.cases[min(asked.cases)])
    row = min(asked.cases)
    assert (case.route.to, case.route.by) == ("human", "requires_approval"), "whatever the loop's own threshold"
    assert case.input == X[row].tolist()
    assert case.proposal.value == chosen.predict(X)[row]
    assert {c.value for c in case.candidates} == {0, 1, 2}
    assert "acts by itself from" in case.rationale
    assert asked.settled()[row] is None
    loop.desk.claim("ana", case=case).label(int(y[row]))
    assert asked.settled()[row] == y[row]
    assert chosen.predict_or_ask(X, loop, key="monday").cases == asked.cases


def test_before_calibration_humans_are_asked_about_all(model, loop):
    X, _ = data(4, 5)
    asked = SelectiveClassifier(model).predict_or_ask(X, loop, inputs=[f"scan {i}" for i in range(5)])
    assert (len(asked.cases), asked.accepted.any()) == (5, False)
    assert loop.desk.case(asked.cases[3]).input == "scan 3"
    assert "nothing is certified" in loop.desk.case(asked.cases[3]).rationale


def test_with_all_accepted_nobody_is_asked(loop):
    X = np.repeat([[0.0], [1.0]], 200, axis=0)
    y = np.repeat([0, 1], 200)
    chosen = SelectiveClassifier(max_error=0.05).fit(X[::2], y[::2])
    chosen.calibrate(X[1::2] + 1e-9, y[1::2])
    asked = chosen.predict_or_ask(X, loop)
    assert (asked.cases, asked.settled().tolist()) == ({}, y.tolist())


def test_a_loop_that_cannot_take_labels_is_refused(model, loop, tmp_path):
    X, _ = data(4, 5)
    other = loop.desk.loop("refunds", mode="approval")
    with pytest.raises(ProposalError, match="approval mode"):
        SelectiveClassifier(model).predict_or_ask(X, other)
    with pytest.raises(ProposalError, match="2 inputs and 5 rows"):
        SelectiveClassifier(model).predict_or_ask(X, loop, inputs=["a", "b"])
    narrow = loop.desk.loop("narrow", mode="labels", labels=["a"], context="minimal")
    with pytest.raises(ProposalError, match="is not a label of loop"):
        SelectiveClassifier(model).predict_or_ask(X, narrow)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_error": 0}, "max_error is a number between 0 and 1"),
        ({"max_error": 1.0}, "max_error"),
        ({"confidence": 1}, "confidence is a number between 0 and 1"),
        ({"cv": 1}, "number of folds from 2 on"),
        ({"cv": "five"}, "number of folds from 2 on"),
        ({"cv": True}, "number of folds from 2 on"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(CalibrationError, match=says):
        SelectiveClassifier(**options).fit(*data(0, 100))


def test_rows_that_cannot_calibrate_are_refused(model):
    X, y = data(1, 200)
    trained = SelectiveClassifier().fit(X, y)
    with pytest.raises(CalibrationError, match="these rows trained the classifier"):
        trained.calibrate(X, y)
    chosen = SelectiveClassifier(model)
    with pytest.raises(CalibrationError, match="no rows"):
        chosen.calibrate(X[:0], y[:0])
    bare = np.where(np.arange(200) % 50 == 7, np.nan, y)
    with pytest.raises(CalibrationError, match=r"row 7: there is no truth \(4 rows in all\)"):
        chosen.calibrate(X, bare)
    with pytest.raises(ValueError, match="200"):
        chosen.calibrate(X, y[:100])
    with pytest.raises(ValueError, match="NaN"):
        chosen.calibrate(np.where(X > 2, np.nan, X), y)
    with pytest.raises(CalibrationError, match="neither predict_proba nor decision_function"):
        SelectiveClassifier(_Silent()).fit(X, y).calibrate(X[::-1], y[::-1])


class _Silent(NearestCentroid):
    """A classifier that never says how sure it is."""

    predict_proba = property()
    decision_function = property()


def test_what_is_not_fitted_says_so():
    X, y = data(0, 50)
    for verb in ("predict", "accepts", "scores"):
        with pytest.raises(NotFittedError):
            getattr(SelectiveClassifier(), verb)(X)
    with pytest.raises(NotFittedError):
        SelectiveClassifier(StandardScaler()).calibrate(X, y)
