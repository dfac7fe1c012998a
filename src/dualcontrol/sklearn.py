"""A scikit-learn classifier that says for which rows it may act by itself, under a stated bound on its error.

The threshold is certified on rows that the model has not seen, by learn then test (Angelopoulos, Bates, Candès,
Jordan and Lei 2021; see `dualcontrol.route.offline`); selective classification is El-Yaniv and Wiener (2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from dualcontrol.case import JSON
from dualcontrol.desk import Loop
from dualcontrol.errors import CalibrationError, ProposalError
from dualcontrol.route.offline import Floats, certify
from dualcontrol.route.promise import Certificate, check_promise

Labels = NDArray[Any]


class Asked(NamedTuple):
    """What became of rows: `values` with None where a human was asked, and the cases opened for these by row."""

    values: Labels
    accepted: NDArray[np.bool_]
    cases: dict[int, str]
    loop: Loop

    def settled(self) -> Labels:
        """The values, with the labels that humans have given by now; None where none is there yet."""
        found = self.values.copy()
        for row, case in self.cases.items():
            outcome = self.loop.look(case).outcome
            found[row] = None if outcome is None else outcome.value
        return found


def _gives(name: str) -> Any:
    """Whether the classifier inside has a method of this name."""
    return lambda self: hasattr(getattr(self, "estimator_", self._inside()), name)


class SelectiveClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that accepts only the rows on which its error is certified to be at most `max_error`.

    With ``cv="prefit"`` a fitted `estimator` is taken as it is, an unfitted one is trained by `fit`; `calibrate` then
    wants rows that it has not seen.  With ``cv=k`` `fit` keeps one fold of k from training and calibrates on it.
    Without an `estimator` it is logistic regression.
    """

    def __init__(
        self, estimator: Any = None, *, max_error: float = 0.02, confidence: float = 0.95, cv: int | str = "prefit"
    ) -> None:
        self.estimator = estimator
        self.max_error = max_error
        self.confidence = confidence
        self.cv = cv

    def fit(self, X: Any, y: Any) -> Self:
        """Train the classifier where it is not trained yet; a certificate of before has lapsed."""
        check_promise(self.max_error, self.confidence)
        self._lapsed()
        if self.cv == "prefit":
            return self._adopted() if _is_fitted(self.estimator) else self._trained(X, y)
        X, y = indexable(X, y)
        train, kept = _parted(y, self.cv)
        self._trained(_safe_indexing(X, train), _safe_indexing(y, train))
        return self.calibrate(_safe_indexing(X, kept), _safe_indexing(y, kept))

    def _lapsed(self) -> None:
        self.certificate_: Certificate | None = None
        self.threshold_: float | None = None
        self.trained_on_: str | None = None

    def _trained(self, X: Any, y: Any) -> Self:
        self.estimator_ = clone(self._inside()).fit(X, y)
        self.trained_on_ = joblib.hash(X)
        return self._described()

    def _adopted(self) -> Self:
        self.estimator_ = self.estimator
        return self._described()

    def _described(self) -> Self:
        self.classes_ = self.estimator_.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def calibrate(self, X: Any, y: Any) -> Self:
        """Certify a threshold on rows that the classifier has not seen; too few or too hard, and it accepts none."""
        check_promise(self.max_error, self.confidence)
        if not self.__sklearn_is_fitted__():
            self._estimator()  # raises where there is none
            self._lapsed()
            self._adopted()
        if self.trained_on_ is not None and joblib.hash(X) == self.trained_on_:
            raise CalibrationError("these rows trained the classifier, so its errors on them say little",
                                   hint="Keep rows aside and calibrate on those, or set cv to a number.")  # fmt: skip
        truth = _known(column_or_1d(y))
        check_consistent_length(X, truth)
        wrong = self.predict(X) != truth
        found = certify(self.scores(X), wrong, self.max_error, self.confidence)
        self.certificate_, self.threshold_ = Certificate(found, self.max_error, self.confidence), found.threshold
        return self

    def predict(self, X: Any) -> Labels:
        """The label of every row, accepted or not."""
        return np.asarray(self._estimator().predict(X))

    @available_if(_gives("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Floats:
        """The probabilities of the classifier inside."""
        return np.asarray(self._estimator().predict_proba(X))

    @available_if(_gives("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Floats:
        """The decision values of the classifier inside."""
        return np.asarray(self._estimator().decision_function(X))

    def scores(self, X: Any) -> Floats:
        """How sure the classifier is of each row, from 0 to 1: its largest probability, else its margin."""
        estimator = self._estimator()
        if hasattr(estimator, "predict_proba"):
            return np.asarray(np.asarray(estimator.predict_proba(X), dtype=float).max(axis=1))
        if hasattr(estimator, "decision_function"):
            return _squeezed(np.asarray(estimator.decision_function(X), dtype=float))
        raise CalibrationError(f"{type(estimator).__name__} gives neither predict_proba nor decision_function",
                               hint="Wrap it, for example in sklearn.calibration.CalibratedClassifierCV.")  # fmt: skip

    def accepts(self, X: Any) -> NDArray[np.bool_]:
        """For which rows the classifier may act by itself; for none while nothing is certified."""
        scores = self.scores(X)
        threshold: float | None = getattr(self, "threshold_", None)
        return np.zeros(len(scores), np.bool_) if threshold is None else np.asarray(scores >= threshold)

    def predict_or_ask(
        self, X: Any, loop: Loop, *, inputs: Sequence[JSON] | None = None, key: str | None = None
    ) -> Asked:
        """Predict what is accepted, and open a case in a loop of mode labels for each other row.

        `inputs` is what reviewers see of each row, in place of its numbers; the same `key` finds the same cases.
        """
        if loop.settings.mode != "labels":
            raise ProposalError(f"loop {loop.name!r} is in {loop.settings.mode} mode; rows are asked in labels mode")
        values, accepted = self.predict(X).astype(object), self.accepts(X)
        rows = np.flatnonzero(~accepted)
        shown = _inputs(X) if inputs is None else list(inputs)
        if len(shown) != len(values):
            raise ProposalError(f"there are {len(shown)} inputs and {len(values)} rows; each row has one")
        opened = loop.propose_batch(self._columns(X, values, shown, rows), key=key).cases if len(rows) else {}
        values[rows] = None
        return Asked(values, accepted, {int(rows[at]): case for at, case in opened.items()}, loop)

    def _columns(self, X: Any, values: Labels, shown: Sequence[JSON], rows: NDArray[Any]) -> dict[str, Sequence[Any]]:
        """What is proposed for the rows that humans are asked about; each requires approval, whatever its score."""
        sure, threshold = self.scores(X), getattr(self, "threshold_", None)
        start = "nothing is certified" if threshold is None else f"it acts by itself from {threshold:.4g}"
        classes = self._estimator().classes_
        return {
            "input": [shown[row] for row in rows],
            "proposal": [_plain(values[row]) for row in rows],
            "alternatives": [[_plain(label) for label in classes if label != values[row]] for row in rows],
            "confidence": [float(sure[row]) if np.isfinite(sure[row]) else None for row in rows],
            "requires_approval": [True] * len(rows),
            "rationale": [f"{_sureness(sure[row])}, and {start}" for row in rows],
        }

    def _inside(self) -> Any:
        return LogisticRegression() if self.estimator is None else self.estimator

    def _estimator(self) -> Any:
        """The classifier to use: the trained one, or a fitted one that was handed in."""
        if self.__sklearn_is_fitted__():
            return self.estimator_
        if self.cv == "prefit" and _is_fitted(self.estimator):
            return self.estimator
        raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit, or hand in a fitted classifier")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        tags, inside = super().__sklearn_tags__(), get_tags(self._inside())
        tags.input_tags, tags.classifier_tags = inside.input_tags, inside.classifier_tags
        return tags


def _parted(y: Any, folds: int | str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows to train on, and one fold that is kept from training; the same rows every time."""
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise CalibrationError(f'cv is "prefit" or a number of folds from 2 on, not {folds!r:.80}')
    if y is None:
        raise CalibrationError("SelectiveClassifier requires y to be passed, but the target y is None")
    check_classification_targets(y)
    train, kept = next(StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(y)), y))
    return train, kept


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        return False
    return True


def _known(truth: Labels) -> Labels:
    """The truths, where each is one: a row without a truth is refused."""
    if len(truth) == 0:
        raise CalibrationError("there are no rows, so there is nothing to calibrate on")
    missing = [row for row, label in enumerate(truth) if label is None or label != label]
    if missing:
        raise CalibrationError(f"row {missing[0]}: there is no truth ({len(missing)} rows in all)", row=missing[0])
    return truth


def _squeezed(margins: Floats) -> Floats:
    """Decision values as scores from 0 to 1: the logistic of the margin, or the largest share of a softmax."""
    if margins.ndim == 1:
        return np.asarray(1.0 / (1.0 + np.exp(-np.abs(margins))))
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers.max(axis=1) / powers.sum(axis=1))


def _sureness(score: float) -> str:
    return f"the classifier is sure by {score:.4g}" if np.isfinite(score) else "the classifier gives no score"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _inputs(X: Any) -> list[JSON]:
    """The rows as JSON: by column where columns have names, else as lists of numbers."""
    if hasattr(X, "to_dict") and hasattr(X, "columns"):
        return [{str(name): _plain(cell) for name, cell in row.items()} for row in X.to_dict("records")]
    dense = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    return list(dense.tolist())
