"""A scikit-learn classifier that says for which rows it may act by itself, under a stated bound on its error.

The threshold is certified on rows that the model has not seen, by learn then test (Angelopoulos, Bates, Candès,
Jordan and Lei 2021; see `dualcontrol.guarantee.offline`); selective classification is El-Yaniv and Wiener (2010).  A
promise for each class by itself shares out the chance of being wrong evenly (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, has_fit_parameter

from dualcontrol.case import JSON, scalar
from dualcontrol.desk import Loop
from dualcontrol.errors import CalibrationError, ProposalError
from dualcontrol.guarantee.by_class import Judged, by_class, together
from dualcontrol.guarantee.offline import Floats, OfflineCertificate, check_promise
from dualcontrol.sklearn.rows import missing, readable

Labels = NDArray[Any]


class Predictions(NamedTuple):
    """What became of rows: `values` with None where a human was asked, and the cases opened for these by row."""

    values: Labels
    accepted: NDArray[np.bool_]
    cases: dict[int, str]
    loop: Loop

    def settled(self) -> Labels:
        """The values, with the labels that humans have given by now; None where none is there yet."""
        labels = self.values.copy()
        for row, case in self.cases.items():
            outcome = self.loop.look(case).outcome
            labels[row] = None if outcome is None else outcome.value
        return labels


def _gives(name: str) -> Any:
    """Whether the classifier inside has a method of this name."""
    return lambda self: hasattr(getattr(self, "estimator_", self._inside()), name)


class SelectiveClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that accepts only the rows on which its error is certified to be at most `max_error`.

    With ``cv="prefit"`` a fitted `estimator` is taken as it is, an unfitted one is trained by `fit`; `calibrate` then
    wants rows that it has not seen.  With ``cv=k`` `fit` holds one fold of k out of training and calibrates on it.
    Without an `estimator` it is logistic regression.

    The promise is for all accepted rows together, so that a rare class may be wrong throughout; the certificate says
    how often each is.  With ``per_class=True`` it is made for the rows accepted as each class by themselves, and every
    class has a threshold of its own in `thresholds_`.
    """

    def __init__(
        self, estimator: Any = None, *, max_error: float = 0.02, confidence: float = 0.95, cv: int | str = "prefit",
        per_class: bool = False,
    ) -> None:  # fmt: skip
        self.estimator = estimator
        self.max_error = max_error
        self.confidence = confidence
        self.cv = cv
        self.per_class = per_class

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Train the classifier where it is not trained yet; a certificate of before has lapsed.

        `fit_params`, such as ``sample_weight``, go to the `fit` of the classifier inside; with ``cv=k`` the weights
        of the held-out fold go to `calibrate`.
        """
        check_promise(self.max_error, self.confidence)
        self._lapsed()
        if fit_params.get("sample_weight", 0) is None:
            del fit_params["sample_weight"]
        if self.cv == "prefit":
            return self._adopted(self.estimator) if _is_fitted(self.estimator) else self._trained(X, y, fit_params)
        X, y = indexable(X, y)
        if isinstance(self.cv, bool) or not isinstance(self.cv, int) or self.cv < 2:
            raise CalibrationError(f'cv is "prefit" or a number of folds from 2 on, not {self.cv!r:.80}')
        if y is None:
            raise CalibrationError("SelectiveClassifier requires y to be passed, but the target y is None")
        check_classification_targets(y)
        folds = StratifiedKFold(self.cv, shuffle=True, random_state=0)  # the same rows every time
        train, held_out = next(folds.split(np.zeros(len(y)), y))
        self._trained(_safe_indexing(X, train), _safe_indexing(y, train), _of_rows(fit_params, train, len(y)))
        weights = _of_rows(fit_params, held_out, len(y)).get("sample_weight")
        return self.calibrate(_safe_indexing(X, held_out), _safe_indexing(y, held_out), sample_weight=weights)

    def _lapsed(self) -> None:
        self.certificate_: OfflineCertificate | None = None
        self.threshold_: float | None = None
        self.thresholds_: dict[Any, float | None] = {}
        self.trained_on_: str | None = None
        self.margin_scale_: float = 1.0

    def _trained(self, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Self:
        inside = clone(self._inside())
        # a pipeline says itself which of its steps take weights
        if "sample_weight" in fit_params and not (
            has_fit_parameter(inside, "sample_weight") or hasattr(inside, "steps")
        ):
            raise CalibrationError(
                f"{type(inside).__name__} takes no sample_weight",
                hint="Hand in a classifier that is fitted already, or one that takes weights.",
            )
        self._adopted(inside.fit(X, y, **fit_params))
        self.trained_on_ = joblib.hash(X)
        return self

    def _adopted(self, estimator: Any) -> Self:
        self.estimator_, self.classes_ = estimator, estimator.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))
        return self

    def calibrate(self, X: Any, y: Any, *, sample_weight: Any = None) -> Self:
        """Certify a threshold on rows that the classifier has not seen; too few or too hard, and it accepts none.

        `sample_weight` is one over the chance with which a row came to be calibrated on, up to a factor: what is
        promised then is the error of the rows that they stand for, if none of those would have had a larger weight
        than the largest here.
        """
        check_promise(self.max_error, self.confidence)
        if not self.__sklearn_is_fitted__():
            estimator = self._estimator()  # raises where there is none
            self._lapsed()
            self._adopted(estimator)
        if self.trained_on_ is not None and joblib.hash(X) == self.trained_on_:
            raise CalibrationError("these rows trained the classifier, so its errors on them say little",
                                   hint="Keep rows aside and calibrate on those, or set cv to a number.")  # fmt: skip
        classes = list(self._estimator().classes_)
        truth = _known(column_or_1d(y), classes)
        check_consistent_length(X, truth)
        inclusion = _inclusion(sample_weight, len(truth))
        if inclusion is not None and not bool(np.all(inclusion > 0.0)):  # rows of no weight stand for nothing
            rows = np.flatnonzero(inclusion > 0.0)
            X, truth, inclusion = _safe_indexing(X, rows), truth[rows], inclusion[rows]
        if inclusion is not None and inclusion.min() == inclusion.max():
            inclusion = None
        labels, margins = self.predict(X), self._margins(X)
        if margins is not None:
            # No scale changes the order of the rows, which alone decides what is certified: the truths may choose it.
            self.margin_scale_ = _scale_of(margins, labels == truth, len(classes))
        certify_one = by_class if self.per_class else together
        judged = Judged(self.scores(X), labels, truth, inclusion)
        self.certificate_ = certify_one(judged, classes, self.max_error, self.confidence)
        self.threshold_ = self.certificate_.found.threshold
        self.thresholds_ = {one.label: one.threshold for one in self.certificate_.classes}
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
        """How sure the classifier is of each row, from 0 to 1: its largest probability, else by its margin.

        Margins, however large, keep their order; after `calibrate` the score of one is about its chance to be right.
        """
        margins = self._margins(X)
        if margins is None:
            return np.asarray(np.asarray(self._estimator().predict_proba(X), dtype=float).max(axis=1))
        return _sure(margins, len(self._estimator().classes_), getattr(self, "margin_scale_", 1.0))

    def _margins(self, X: Any) -> Floats | None:
        """How far each row lies from the boundary; None where the classifier gives probabilities.

        Of two classes it is the amount of the decision value, of more the lead of the first over the second.
        """
        estimator = self._estimator()
        if hasattr(estimator, "predict_proba"):
            return None
        if not hasattr(estimator, "decision_function"):
            raise CalibrationError(
                f"{type(estimator).__name__} gives neither predict_proba nor decision_function",
                hint="Wrap it, for example in sklearn.calibration.CalibratedClassifierCV.",
            )
        decisions, classes = np.asarray(estimator.decision_function(X), dtype=float), len(estimator.classes_)
        if decisions.ndim == 2 and decisions.shape[1] == 1:
            decisions = decisions[:, 0]
        if decisions.ndim == 1:
            return np.asarray(np.abs(decisions))
        if decisions.shape[1] != classes:
            raise CalibrationError(
                f"decision_function gives {decisions.shape[1]} columns for {classes} classes",
                hint='For a support vector machine set decision_function_shape="ovr".',
            )
        ranked = np.sort(decisions, axis=1)
        return np.asarray(ranked[:, -1] - ranked[:, -2])

    def accepts(self, X: Any) -> NDArray[np.bool_]:
        """For which rows the classifier may act by itself; for none while nothing is certified."""
        scores = self.scores(X)
        return np.asarray(scores >= self._starts(self.predict(X)))

    def _starts(self, labels: Labels) -> Floats:
        """The score from which each row is accepted, by its predicted label; infinite where it is not."""
        threshold: float | None = getattr(self, "threshold_", None)
        if threshold is None or not self.per_class:
            return np.full(len(labels), np.inf if threshold is None else threshold)
        starts = {label: np.inf if start is None else start for label, start in self.thresholds_.items()}
        return np.array([starts.get(label, np.inf) for label in labels.tolist()])

    def predict_or_ask(
        self, X: Any, loop: Loop, *, inputs: Sequence[JSON] | None = None, key: str | None = None
    ) -> Predictions:
        """Predict what is accepted, and open a case in a loop of mode labels for each other row.

        `inputs` is what reviewers see of each row, in place of its numbers; the same `key` finds the same cases.
        """
        if loop.settings.mode != "labels":
            raise ProposalError(f"loop {loop.name!r} is in {loop.settings.mode} mode; rows are asked in labels mode")
        labels, sure = self.predict(X), self.scores(X)
        starts = self._starts(labels)
        values, accepted = labels.astype(object), np.asarray(sure >= starts)
        rows = np.flatnonzero(~accepted)
        shown = readable(X if inputs is None else inputs)
        if len(shown) != len(values):
            raise ProposalError(f"there are {len(shown)} inputs and {len(values)} rows; each row has one")
        nothing = "nothing is certified" if getattr(self, "threshold_", None) is None else "not for this class"
        sureness = [
            f"the classifier is sure by {score:.4g}" if np.isfinite(score) else "the classifier gives no score"
            for score in sure[rows]
        ]
        acting = [f"it acts by itself from {start:.4g}" if np.isfinite(start) else nothing for start in starts[rows]]
        columns: dict[str, Sequence[Any]] = {
            "input": [shown[row] for row in rows],
            "proposal": [scalar(values[row]) for row in rows],
            "alternatives": [[scalar(c) for c in self._estimator().classes_ if c != values[row]] for row in rows],
            "confidence": [float(sure[row]) if np.isfinite(sure[row]) else None for row in rows],
            "requires_approval": [True] * len(rows),  # whatever its score
            "rationale": [f"{score}, and {start}" for score, start in zip(sureness, acting, strict=True)],
        }
        opened = loop.propose_batch(columns, key=key).cases if len(rows) else {}
        values[rows] = None
        return Predictions(values, accepted, {int(rows[place]): case for place, case in opened.items()}, loop)

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


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        return False
    return True


def _of_rows(fit_params: Mapping[str, Any], rows: NDArray[Any], count: int) -> dict[str, Any]:
    """Parameters of `fit` for some of the rows: what has one value a row is cut, the rest is as it is."""
    parts = dict(fit_params)
    for name, value in fit_params.items():
        if hasattr(value, "__len__") and not isinstance(value, str | Mapping) and len(value) == count:
            parts[name] = _safe_indexing(value, rows)
    return parts


def _inclusion(sample_weight: Any, count: int) -> Floats | None:
    """Weights as chances of coming in, the largest of them 1, and 0 where the weight is; None where none are given."""
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=float)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"sample_weight is a list of numbers: {error}") from error
    weights = np.full(count, float(weights)) if weights.ndim == 0 else weights
    if weights.shape != (count,):
        raise CalibrationError(f"there are {weights.size} weights and {count} truths; each row has one of both")
    if not np.isfinite(weights).all() or (weights < 0.0).any() or not weights.any():
        raise CalibrationError("weights are finite numbers of at least 0, and not all 0",
                               hint="sample_weight is one over the chance with which a row came in.")  # fmt: skip
    least = weights[weights > 0.0].min()
    return np.where(weights > 0.0, least / np.where(weights > 0.0, weights, 1.0), 0.0)


def _known(truth: Labels, classes: Sequence[Any]) -> Labels:
    """The truths, where each is one: a row without a truth is refused, and so are labels of another type."""
    if len(truth) == 0:
        raise CalibrationError("there are no rows, so there is nothing to calibrate on")
    gaps = [row for row, label in enumerate(truth) if missing(label)]
    if gaps:
        raise CalibrationError(f"row {gaps[0]}: there is no truth ({len(gaps)} rows in all)", row=gaps[0])
    known, kinds = {scalar(label) for label in classes}, {_kind(label) for label in classes}
    labels = [scalar(label) for label in truth]
    odd = [row for row, label in enumerate(labels) if label not in known and _kind(label) not in kinds]
    if odd or known.isdisjoint(labels):
        row = odd[0] if odd else 0
        few = ", ".join(map(repr, list(known)[:5]))
        raise CalibrationError(
            f"row {row}: the truth is the {_kind(labels[row])} {labels[row]!r:.80}, and the classifier knows the "
            f"{' or '.join(sorted(kinds))} {few}", row=row,
            hint="Give y as it was when the classifier was trained; as it is, every row would count as wrong.",
        )  # fmt: skip
    return truth


def _kind(label: Any) -> str:
    """What kind of label this is, in a word."""
    own = scalar(label)
    kinds: tuple[tuple[Any, str], ...] = ((str, "text"), (bool, "flag"), ((int, float), "number"))
    return next((word for kind, word in kinds if isinstance(own, kind)), type(own).__name__)


def _sure(margins: Floats, classes: int, scale: float) -> Floats:
    """Margins as scores from an even chance to 1, rising all the way: a million times the scale is not yet 1."""
    with np.errstate(invalid="ignore"):
        way = np.where(np.isinf(margins), 1.0, margins / (margins + scale))
    least = 1.0 / max(classes, 2)
    return np.asarray(least + (1.0 - least) * way)


def _scale_of(margins: Floats, right: NDArray[np.bool_], classes: int) -> float:
    """The scale under which the scores of these rows are likeliest, as chances of being right."""
    usable = np.isfinite(margins) & (margins > 0.0)
    if not usable.any():
        return 1.0
    margins, right = margins[usable], right[usable]

    def likelihood(scale: float) -> float:
        sure = np.clip(_sure(margins, classes, scale), 1e-12, 1.0 - 1e-12)
        return float(np.log(np.where(right, sure, 1.0 - sure)).sum())

    return float(max(np.median(margins) * SCALES, key=likelihood))


SCALES = np.geomspace(0.01, 100.0, 81)
