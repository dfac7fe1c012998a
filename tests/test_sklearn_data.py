"""The selective classifier on data as people have it: margins, gaps, times, truths, weights and rare classes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC

import dualcontrol as dc
from dualcontrol.errors import CalibrationError
from dualcontrol.sklearn import SelectiveClassifier


def data(seed: int, n: int = 3000, classes: int = 3, size: float = 1.0):
    """Classes that overlap, in numbers of this size: a linear model takes about a fifth for another."""
    noise = np.random.default_rng(seed)
    y = noise.integers(0, classes, n)
    X = noise.normal(size=(n, 4))
    X[np.arange(n), y] += 1.9
    return X * size, y


@pytest.fixture(scope="module")
def model():
    """A fitted classifier of three classes."""
    return LogisticRegression(max_iter=500).fit(*data(0, 1000))


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        yield desk


@pytest.fixture
def loop(desk):
    """A loop that asks for one of three labels."""
    return desk.loop("kinds", mode="labels", labels=[0, 1, 2], threshold=0.5, context="standard")


# margins

MARGINS = {
    "a support vector machine": lambda: LinearSVC(dual=False),
    "a kernel": SVC,
    "ridge": RidgeClassifier,
    "descent": lambda: SGDClassifier(random_state=0),
    "a perceptron": lambda: SGDClassifier(loss="perceptron", random_state=0),
}


def margins(model: SelectiveClassifier, X: Any) -> Any:
    """How far each row is from the boundary, as the classifier inside says it."""
    said = model.decision_function(X)
    if said.ndim == 1:
        return np.abs(said)
    ranked = np.sort(said, axis=1)
    return ranked[:, -1] - ranked[:, -2]


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", MARGINS)
def test_margins_that_differ_are_scores_that_differ(kind, classes, size):
    """In the same order, from an even chance to 1, before calibration and after."""
    X, y = data(0, 1200, classes, size)
    chosen = SelectiveClassifier(MARGINS[kind](), max_error=0.1).fit(X[:600], y[:600])
    for _ in range(2):
        scores, lead = chosen.scores(X), margins(chosen, X)
        assert len(set(scores.tolist())) >= 0.99 * len(set(lead.tolist()))
        assert (np.diff(scores[np.argsort(lead)]) >= 0.0).all()
        assert 1 / classes <= scores.min() <= scores.max() <= 1.0
        chosen.calibrate(X[600:], y[600:])


@pytest.mark.parametrize("size", [1.0, 1e5])
@pytest.mark.parametrize("classes", [2, 3])
def test_after_calibration_the_score_of_a_margin_is_about_a_chance(classes, size):
    X, y = data(0, 3000, classes, size)
    chosen = SelectiveClassifier(LinearSVC(dual=False), max_error=0.1).fit(X[:1000], y[:1000])
    chosen.calibrate(X[1000:], y[1000:])
    fresh, truth = data(1, 8000, classes, size)
    scores, right = chosen.scores(fresh), chosen.predict(fresh) == truth
    assert abs(scores.mean() - right.mean()) < 0.04
    middle = np.median(scores)
    assert abs(scores[scores > middle].mean() - right[scores > middle].mean()) < 0.08
    taken = chosen.accepts(fresh)
    assert taken.mean() > 0.3
    assert (~right[taken]).mean() <= 0.11  # one draw in twenty may be above 0.1


def test_endless_margins_are_the_surest_and_no_margin_is_asked(loop):
    class Endless(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.zeros(len(X), int)

        def decision_function(self, X):
            return np.asarray(X)[:, 0]

    chosen = SelectiveClassifier(Endless()).fit([[0.0]] * 2, [0, 1])
    scores = chosen.scores([[np.inf], [-np.inf], [2.0], [0.0], [np.nan]])
    assert scores[:4].tolist() == pytest.approx([1.0, 1.0, 5 / 6, 0.5])
    assert np.isnan(scores[4])
    assert len(chosen.predict_or_ask([[np.nan], [1.0]], loop).cases) == 2


def test_a_machine_that_votes_in_pairs_is_refused_with_what_to_set():
    X, y = data(0, 400, 4)
    chosen = SelectiveClassifier(SVC(decision_function_shape="ovo")).fit(X[:200], y[:200])
    with pytest.raises(CalibrationError, match="gives 6 columns for 4 classes") as caught:
        chosen.calibrate(X[200:], y[200:])
    assert 'decision_function_shape="ovr"' in caught.value.hint


# rows as reviewers see them


def inputs_of(asked: Any) -> list[Any]:
    return [asked.loop.desk.case(case).input for _, case in sorted(asked.cases.items())]


def test_gaps_and_the_endless_in_rows_are_asked_about(loop):
    """What JSON has no number for is null, or said in a word."""
    X, y = data(0, 600)
    X[::7, 1] = np.nan
    chosen = SelectiveClassifier(HistGradientBoostingClassifier(max_iter=20)).fit(X, y)
    rows = np.array([[np.nan, 1.5, 0.0, -1.0], [np.nan] * 4, [np.inf, -np.inf, 2.0, 0.5]])
    assert inputs_of(chosen.predict_or_ask(rows, loop)) == [
        [None, 1.5, 0.0, -1.0], [None] * 4, ["infinity", "-infinity", 2.0, 0.5],
    ]  # fmt: skip


MOMENT = datetime(2024, 1, 1, 12, 30, tzinfo=UTC)


def first(X: Any) -> Any:
    """The numbers of a table that holds other things as well."""
    if hasattr(X, "column"):
        return np.asarray(X.column("x"))[:, None]
    rows = X["x"] if getattr(X, "columns", None) is not None or X.dtype.names else X[:, 0]
    return np.asarray(rows, dtype=float)[:, None]


@pytest.fixture(scope="module")
def mixed():
    """A classifier of tables in which the first column counts, and the others are for people."""
    X, y = data(0, 300)
    inside = make_pipeline(FunctionTransformer(first), LogisticRegression())
    return SelectiveClassifier(inside).fit(X, y)


def test_times_and_other_values_of_an_array_of_objects_are_readable(mixed, loop):
    rows = np.array(
        [
            [1.0, MOMENT, date(2024, 2, 29), Decimal("1.50"), np.int64(7), np.datetime64("2024-01-01T12:30"), True],
            [2.0, None, timedelta(minutes=5), b"bytes", np.float32("nan"), np.datetime64("NaT"), ["a", {"b"}]],
        ],
        dtype=object,
    )
    assert inputs_of(mixed.predict_or_ask(rows, loop)) == [
        [1.0, "2024-01-01T12:30:00+00:00", "2024-02-29", "1.50", 7, "2024-01-01T12:30", True],
        [2.0, None, "0:05:00", "bytes", None, None, ["a", ["b"]]],
    ]


def test_times_of_numpy_and_arrow_are_times_and_no_numbers(mixed, loop):
    fields = [("x", float), ("seen", "datetime64[ns]")]
    rows = np.array([(1.0, "2024-01-01T12:30"), (2.0, "NaT")], dtype=fields)
    seen = inputs_of(mixed.predict_or_ask(rows, loop))
    assert [row["x"] for row in seen] == [1.0, 2.0]
    assert (seen[0]["seen"][:16], seen[1]["seen"]) == ("2024-01-01T12:30", None)
    table = pytest.importorskip("pyarrow").table({"x": [1.0, 2.0], "seen": [MOMENT, None]})
    assert inputs_of(mixed.predict_or_ask(np.array([[1.0], [2.0]]), loop, inputs=table)) == [
        {"x": 1.0, "seen": "2024-01-01T12:30:00+00:00"}, {"x": 2.0, "seen": None},
    ]  # fmt: skip


def test_times_and_gaps_of_a_data_frame_are_readable(mixed, loop):
    """Also what pandas has types of its own for, and where two columns have one name."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "x": [1.0, 2.0], "seen": pd.to_datetime(["2024-01-01 12:30", None]), "count": pd.array([3, None], "Int64"),
            "kind": pd.Categorical(["a", None]), "took": pd.to_timedelta(["5min", None]),
            "month": pd.PeriodIndex(["2024-01", "2024-02"], freq="M"), "when": [pd.Timestamp(MOMENT), pd.NaT],
        },
    )  # fmt: skip
    assert inputs_of(mixed.predict_or_ask(frame, loop)) == [
        {"x": 1.0, "seen": "2024-01-01T12:30:00", "count": 3, "kind": "a", "took": "0 days 00:05:00",
         "month": "2024-01", "when": "2024-01-01T12:30:00+00:00"},
        {"x": 2.0, "seen": None, "count": None, "kind": None, "took": None, "month": "2024-02", "when": None},
    ]  # fmt: skip
    twice = pd.DataFrame([[1.0, "a", "b"]], columns=["x", "y", "y"])
    assert inputs_of(mixed.predict_or_ask(twice, loop)) == [{"x": 1.0, "y": "a", "y (2)": "b"}]


def test_a_row_that_holds_nothing_is_named_by_its_number(model, loop):
    X, _ = data(4, 3)
    seen = inputs_of(SelectiveClassifier(model).predict_or_ask(X, loop, inputs=["", None, "a text"]))
    assert seen == [{"row": 0, "value": ""}, {"row": 1, "value": None}, "a text"]


# truths of another type

SAME: dict[str, Any] = {
    "whole numbers": lambda y: y.astype("int8"),
    "floats": lambda y: y.astype(float),
    "objects": lambda y: y.astype(object),
    "a list": lambda y: y.tolist(),
    "a column": lambda y: y[:, None],
}


@pytest.mark.parametrize("form", SAME)
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_truths_that_are_the_same_numbers_are_the_same(model, form):
    X, y = data(1, 1000)
    plain, other = (SelectiveClassifier(model, max_error=0.1).calibrate(X, t) for t in (y, SAME[form](y)))
    assert plain.threshold_ is not None
    assert other.certificate_ == plain.certificate_


OTHER: dict[str, tuple[Any, Any, str]] = {
    "texts for numbers": (lambda y: y, lambda y: y.astype(str), "the text '[012]', and the classifier knows the num"),
    "numbers for texts": (lambda y: y.astype(str), lambda y: y, "the number [012], and the classifier knows the text"),
    "texts of floats": (lambda y: y, lambda y: y.astype(float).astype(str), r"the text '[012]\.0'"),
    "texts for flags": (lambda y: y > 0, lambda y: np.where(y > 0, "True", "False"), "the text .* knows the flag"),
    "spelled otherwise": (lambda y: np.array(["a", "b", "c"])[y], lambda y: np.array(["A", "B", "C"])[y], "the text"),
    "other numbers": (lambda y: y, lambda y: y + 10, "the number 1[012]"),
    "one odd row": (lambda y: y, lambda y: np.array([*y[:-1], "1"], dtype=object), "row 199: the truth is the text"),
}


@pytest.mark.parametrize("way", OTHER)
def test_truths_of_another_type_than_the_classes_are_refused(way):
    """As they are, every row would count as wrong, and the reason would look like a bad model."""
    trained, given, says = OTHER[way]
    X, y = data(0, 600)
    chosen = SelectiveClassifier().fit(X[:400], trained(y[:400]))
    with pytest.raises(CalibrationError, match=says) as caught:
        chosen.calibrate(X[400:], given(y[400:]))
    assert "Give y as it was when the classifier was trained" in caught.value.hint
    assert chosen.certificate_ is None


def test_a_truth_that_the_classifier_has_never_seen_is_wrong_and_no_fault(model):
    """A new class among the rows to come is what a certificate has to count."""
    X, y = data(1, 1000)
    chosen = SelectiveClassifier(model, max_error=0.1).calibrate(X, np.where(np.arange(1000) % 100 == 0, 7, y))
    assert chosen.certificate_.found.n == 1000
    assert chosen.certificate_.found.wrong >= 1


# weights


class Weighed(LogisticRegression):
    """Keeps the weights it was fitted with."""

    def fit(self, X, y, sample_weight=None):
        self.weights_ = sample_weight
        return super().fit(X, y, sample_weight)


def test_weights_reach_the_classifier_inside():
    X, y = data(0, 400)
    weights = np.arange(400) + 1.0
    chosen = SelectiveClassifier(Weighed()).fit(X, y, sample_weight=weights)
    assert (chosen.estimator_.weights_ == weights).all()
    assert SelectiveClassifier(Weighed()).fit(X, y, sample_weight=None).estimator_.weights_ is None
    piped = SelectiveClassifier(make_pipeline(Weighed())).fit(X, y, weighed__sample_weight=weights)
    assert (piped.estimator_[-1].weights_ == weights).all()
    with pytest.raises(CalibrationError, match="KNeighborsClassifier takes no sample_weight"):
        SelectiveClassifier(KNeighborsClassifier()).fit(X, y, sample_weight=weights)


def test_of_one_fold_the_weights_calibrate_and_of_the_others_they_train():
    X, y = data(0, 400)
    weights = np.where(np.arange(400) < 200, 1.0, 3.0)
    chosen = SelectiveClassifier(Weighed(), max_error=0.3, cv=4).fit(X, y, sample_weight=weights.tolist())
    assert len(chosen.estimator_.weights_) == 300
    assert (chosen.certificate_.found.n, chosen.certificate_.found.method) == (100, "betting")
    assert SelectiveClassifier(max_error=0.3, cv=4).fit(X, y).certificate_.found.method == "clopper-pearson"


def test_weights_that_are_alike_say_nothing_and_rows_without_weight_are_not_there(model):
    X, y = data(1, 1000)
    chosen = SelectiveClassifier(model, max_error=0.1)
    plain = chosen.calibrate(X, y).certificate_
    for alike in (np.full(1000, 5.0), [2] * 1000, 3):
        assert chosen.calibrate(X, y, sample_weight=alike).certificate_ == plain
    half = np.arange(1000) % 2
    assert (
        chosen.calibrate(X, y, sample_weight=half).certificate_
        == SelectiveClassifier(model, max_error=0.1).calibrate(X[half == 1], y[half == 1]).certificate_
    )


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1.0] * 199, "199 weights and 200 truths"),
        (np.ones((200, 1)), "200 weights|each row has one"),
        ([-1.0] + [1.0] * 199, "finite numbers of at least 0"),
        ([math.nan] + [1.0] * 199, "finite numbers"),
        ([math.inf] + [1.0] * 199, "finite numbers"),
        (["much"] * 200, "a list of numbers"),
        ([0.0] * 200, "not all 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(model, weights, says):
    X, y = data(1, 200)
    with pytest.raises(CalibrationError, match=says):
        SelectiveClassifier(model).calibrate(X, y, sample_weight=weights)


def test_with_weights_the_promise_is_about_the_rows_they_stand_for(model):
    """Three rows in ten err more, whatever their score, and were looked at one time in five: unweighted, they hide."""
    X, y = data(99, 20_000)
    hidden = X[:, 3] > 0.5
    chance = np.where(hidden, 0.2, 1.0)
    y = np.where(hidden & (np.random.default_rng(1).random(len(y)) < 0.25), (y + 1) % 3, y)
    scores, wrong = SelectiveClassifier(model).scores(X), model.predict(X) != y
    rng, runs, delta = np.random.default_rng(5), 120, 0.1
    certified, false = {True: 0, False: 0}, {True: 0, False: 0}
    for _ in range(runs):
        rows = rng.choice(len(X), 4000)
        rows = rows[rng.random(len(rows)) < chance[rows]]
        chosen = SelectiveClassifier(model, max_error=0.13, confidence=1 - delta)
        for weighted in (True, False):
            weights = 3 / chance[rows] if weighted else None
            start = chosen.calibrate(X[rows], y[rows], sample_weight=weights).threshold_
            certified[weighted] += start is not None
            false[weighted] += start is not None and wrong[scores >= start].mean() > 0.13
    assert certified[True] > runs / 4
    assert false[True] <= runs * delta + 1.65 * math.sqrt(runs * delta * (1 - delta))
    assert false[False] > runs / 2, "what it comes to without weights"


# rare classes


def rare(seed: int, n: int = 9600, apart: float = 0.0):
    """One row in 400 is of class 1, which nothing tells apart unless it is moved."""
    noise = np.random.default_rng(seed)
    y = (np.arange(n) % 400 == 0).astype(int)
    return noise.normal(size=(n, 3)) + apart * y[:, None], y


def test_the_error_of_each_class_is_shown():
    """With 1 in 400 all 24 positives are accepted and none is right, at an error of 0.25 % in all."""
    X, y = rare(0, 19_200)
    chosen = SelectiveClassifier(max_error=0.01).fit(X[:9600], y[:9600]).calibrate(X[9600:], y[9600:])
    assert chosen.accepts(X).all()
    common, few = chosen.certificate_.classes
    assert (common.label, common.accepted, common.wrong, common.truly, common.missed) == (0, 9600, 24, 9576, 0)
    assert (few.label, few.accepted, few.truly, few.missed) == (1, 0, 24, 24)
    text = str(chosen.certificate_)
    assert "Class 0: 9,600 accepted as it, 24 of them wrong; of 9,576 accepted that are it, 0 were missed." in text
    assert "Class 1: none accepted as it; of 24 accepted that are it, 24 were missed." in text
    assert "It is no promise about the rows that are class 1 in truth: of those accepted more than 1 % were" in text


def test_a_class_that_is_taken_wrongly_is_named():
    """Every other row that is taken for the rare class is none, and the promise for all together holds."""
    X, y = rare(0, 20_000, apart=9.0)
    mixed = np.where((y == 1) & (np.arange(20_000) % 800 == 0), 0, y)
    chosen = SelectiveClassifier(max_error=0.01).fit(X[::2], y[::2]).calibrate(X[1::2], y[1::2])
    assert "With per_class=True" not in str(chosen.certificate_)
    chosen = SelectiveClassifier(chosen.estimator_, max_error=0.01).calibrate(X, mixed)
    text = str(chosen.certificate_)
    assert "of class 1 more than 1 % of the accepted rows were wrong. With per_class=True it is made for each." in text
    each = SelectiveClassifier(chosen.estimator_, max_error=0.01, per_class=True).calibrate(X, mixed)
    assert each.thresholds_[0] is not None
    assert each.thresholds_[1] is None
    assert not (each.accepts(X) & (each.predict(X) == 1)).any()
    assert "Class 1: none is accepted, since " in str(each.certificate_)


def test_a_promise_for_each_class_holds_for_all_of_them_over_calibrations(model):
    """One class is hard: together the others would carry it."""
    X, y = data(99, 20_000)
    hard = (y == 2) & (np.random.default_rng(3).random(len(y)) < 0.3)
    X[hard] = X[hard][:, [0, 2, 1, 3]]
    whole = SelectiveClassifier(model)
    scores, given = whole.scores(X), whole.predict(X)
    rng, runs, delta, false, some, together = np.random.default_rng(5), 120, 0.1, 0, 0, 0
    for _ in range(runs):
        rows = rng.choice(len(X), 1200)
        each = SelectiveClassifier(model, max_error=0.15, confidence=1 - delta, per_class=True)
        starts = each.calibrate(X[rows], y[rows]).thresholds_
        errors = [
            (y[taken] != label).mean()
            for label, start in starts.items()
            if start is not None and (taken := (given == label) & (scores >= start)).any()
        ]
        some, false = some + bool(errors), false + any(error > 0.15 for error in errors)
        one = SelectiveClassifier(model, max_error=0.15, confidence=1 - delta).calibrate(X[rows], y[rows]).threshold_
        if one is not None:
            taken = scores >= one
            together += max((y[taken & (given == k)] != k).mean() for k in range(3)) > 0.15
    assert some > runs / 2
    assert false <= runs * delta + 1.65 * math.sqrt(runs * delta * (1 - delta))
    assert together > runs / 2, "what one promise for all does not give"


def test_the_certificate_of_each_class_says_what_all_of_them_come_to(model, loop):
    X, y = data(1)
    chosen = SelectiveClassifier(model, max_error=0.1, per_class=True).calibrate(X, y)
    found, taken = chosen.certificate_.found, chosen.accepts(X)
    assert (found.accepted, found.wrong) == (taken.sum(), (chosen.predict(X) != y)[taken].sum())
    assert found.error_interval[0] < found.error < found.error_interval[1] <= 0.1
    assert sum(one.accepted for one in chosen.certificate_.classes) == found.accepted
    text = str(chosen.certificate_)
    assert "accepted as any one class, each from its own score, at most 10 % are wrong" in text
    assert "for all classes together" in text
    asked = chosen.predict_or_ask(X[:200], loop)
    row, case = min(asked.cases.items())
    assert (
        f"acts by itself from {chosen.thresholds_[chosen.predict(X[:200])[row]]:.4g}" in loop.desk.case(case).rationale
    )


def test_too_few_of_each_class_say_how_many_it_takes(model):
    chosen = SelectiveClassifier(model, max_error=0.01, per_class=True).calibrate(*data(1, 60))
    assert (chosen.threshold_, set(chosen.thresholds_.values())) == (None, {None})
    assert "for no class is there enough" in str(chosen.certificate_)
    assert chosen.certificate_.found.labels_needed > 299  # each with a third of the chance of being wrong
