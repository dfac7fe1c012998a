"""P(proposal is wrong), learned from earlier epochs' decisions: the score where raw confidence is poor.

Gradient boosting (Friedman 2001, histograms as in LightGBM) finds what confidence hides, such as a cluster of
confident mistakes; isotonic regression (Zadrozny and Elkan 2002) makes its scores probabilities.  It is fitted on what
five boostings say of labels that they have not seen, so that what boosting learned by heart does not count; one more,
of all labels, then scores what is new.  Isotonic steps are tied: a thousandth of the score is boosting's own, which
orders them.

Labels of earlier epochs may be used freely: any score that was fixed before a decision keeps the guarantee.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import ThreadpoolController

from dualcontrol.errors import ModelError
from dualcontrol.learn.calibrate import Floats
from dualcontrol.learn.features import parts

FOLDS = 5
FEWEST = 2 * FOLDS
ROUNDS, RATE, LEAVES = 60, 0.1, 8
LEAST_LEAF = 50
RARE, SHARE = 5, 200  # a word counts from so many rows on, and from one in so many
WEIGHT_CAP = 10.0
OWN = 1e-3  # the part of the score that is not calibrated

Rows = Sequence[Mapping[str, Any]] | np.ndarray[Any, np.dtype[Any]]


class RiskModel:
    """A calibrated classifier of wrong proposals: boosted trees, then isotonic regression."""

    def __init__(self, words: DictVectorizer | None, width: int, boosting: Any, isotonic: Any) -> None:
        self._words, self._width, self._boosting, self._isotonic = words, width, boosting, isotonic

    @classmethod
    def fit(cls, features: Rows, wrong: ArrayLike, weights: ArrayLike | None = None, *, seed: int = 0) -> Self:
        """The model of these decisions; `weights` are one over the inclusion probability, truncated (Ionides 2008).

        `features` are dicts (confidence, action, segment, numbers of the arguments) or a matrix, a row a decision.
        """
        labels = np.asarray(wrong).astype(int)
        errors = int(labels.sum())
        if min(errors, len(labels) - errors) < FEWEST:  # so that each fold has some of both kinds
            raise ModelError(
                f"{errors} errors among {len(labels)} decisions are too few to learn from",
                hint=f"A risk model needs at least {FEWEST} decisions that were wrong, and as many that were right.",
            )
        words = None if isinstance(features, np.ndarray) else _words(features)
        matrix = _matrix(features, words)
        weight = np.ones(len(labels)) if weights is None else np.minimum(np.asarray(weights, float), WEIGHT_CAP)
        boosting = HistGradientBoostingClassifier(
            max_iter=ROUNDS, learning_rate=RATE, max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_LEAF,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        with _one_thread():
            logits = cross_val_predict(
                boosting, matrix, labels, cv=folds, method="decision_function", params={"sample_weight": weight}
            )
            isotonic.fit(logits, labels, sample_weight=weight)
            return cls(words, matrix.shape[1], boosting.fit(matrix, labels, sample_weight=weight), isotonic)

    def p_wrong(self, features: Rows) -> Floats:
        """The probability that each proposal is wrong."""
        if not len(features):
            return np.zeros(0)
        matrix = _matrix(features, self._words)
        if matrix.shape[1] != self._width:
            raise ModelError(
                f"the risk model takes rows of {self._width} numbers", hint="Give the features it was fitted on."
            )
        with _one_thread():
            logit = np.asarray(self._boosting.decision_function(matrix))
        own = 0.5 + 0.5 * np.tanh(0.5 * logit)  # the logistic function, without overflow
        return np.asarray((1.0 - OWN) * self._isotonic.predict(logit) + OWN * own)

    def to_bytes(self) -> bytes:
        """The model as a joblib file's content."""
        file = io.BytesIO()
        joblib.dump((self._words, self._width, self._boosting, self._isotonic), file, compress=3)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The model that `to_bytes` wrote; unpickling runs code, so the digest must have been checked."""
        content = joblib.load(io.BytesIO(data))
        if not isinstance(content, tuple) or len(content) != 4 or not hasattr(content[2], "decision_function"):
            raise ModelError("the file holds no risk model")
        return cls(*content)


_threads = lru_cache(maxsize=1)(ThreadpoolController)  # looking for thread pools takes as long as scoring a proposal


def _one_thread() -> Any:
    """Threads that wait for each other in a loop cost a busy machine more than they save."""
    return _threads().limit(limits=1, user_api="openmp")


def _words(rows: Sequence[Mapping[str, Any]]) -> DictVectorizer:
    """Numbers and frequent words of the rows as columns; rare words, such as order numbers, are left out."""
    fields = [parts(dict(row)).fields for row in rows]
    seen = Counter((path, leaf) for row in fields for path, leaf in row.items() if isinstance(leaf, str))
    least = max(RARE, len(fields) / SHARE)
    frequent = [
        {path: leaf for path, leaf in row.items() if not isinstance(leaf, str) or seen[path, leaf] >= least}
        for row in fields
    ]
    if not any(frequent):
        raise ModelError("the features hold neither numbers nor words that come back", hint="Give the confidence.")
    return DictVectorizer(sparse=False).fit(frequent)


def _matrix(features: Rows, words: DictVectorizer | None) -> Floats:
    if words is not None:
        return np.asarray(words.transform([parts(dict(row)).fields for row in features]), dtype=float)
    matrix = np.asarray(features, dtype=float)
    return matrix[:, None] if matrix.ndim == 1 else matrix
