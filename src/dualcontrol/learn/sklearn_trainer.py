"""The scikit-learn trainer: extra trees for numbers and fields, logistic regression for text, both calibrated.

Extremely randomised trees are Geurts, Ernst and Wehenkel (2006).  Their temperature is fitted on out-of-bag
scores (Breiman 1996), which no tree has seen; for text, on scores of five-fold cross-validation.

Weights (one over the inclusion probability) enter the calibration, truncated (Ionides 2008), and the evaluation,
whole.  The fit itself goes without: what a case is chosen for depends on its input alone, so that the label given
the input is the same with or without, and weights would only cost variance.

Text is read as words and as runs of one to three signs: the runs are all there is where a script has no spaces, and
they help where it has some (Cavnar and Trenkle 1994; figures in decision 0024).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import joblib
import numpy as np
from scipy.sparse import hstack
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler

from dualcontrol.case import JSON
from dualcontrol.errors import ModelError
from dualcontrol.learn.calibrate import Floats, Temperature, fit_temperature, folds
from dualcontrol.learn.features import Parts, is_vector, number, parts, written_at
from dualcontrol.learn.trainers import Model, class_key

TREES = 300
FOLDS = 5
WEIGHT_CAP = 2.0
DENSE = 2_000
RUNS = 50_000  # runs of signs that count, the most frequent ones
LONG, LONG_RUNS = 20_000, 5_000  # signs of a text that are read for words, and for runs
TINY = 1.0 / (2 * TREES)


class SklearnModel:
    """Features, an estimator and its temperature; what the model file holds."""

    def __init__(self, features: Features, estimator: Any, heat: Temperature, classes: tuple[JSON, ...]) -> None:
        self.features, self.estimator, self.heat, self.classes = features, estimator, heat, classes

    def predict_proba(self, inputs: Sequence[JSON]) -> Floats:
        """One row an input, one column a class; rows sum to 1."""
        if not inputs:
            return np.zeros((0, len(self.classes)))
        return self.heat.apply(_logs(self.estimator, self.features.transform(inputs)))


class Features:
    """The feature extraction of a model, fitted to its training inputs."""

    # What files of before know nothing of.
    written: frozenset[str] = frozenset()
    runs: Any = None

    def __init__(self) -> None:
        self.width = 0
        self.fields: Any = None
        self.words: Any = None
        self.scale: Any = None

    @property
    def has_text(self) -> bool:
        """Whether prose is among the features."""
        return not self.width and not (self.words is None and self.runs is None)

    def fit_transform(self, inputs: Sequence[JSON]) -> Any:
        """Fit the vectorizers that these inputs need; the feature matrix, one row an input."""
        self.width = len(inputs[0]) if is_vector(inputs) else 0
        if self.width:
            return self._vectors(inputs)
        self.written = written_at(inputs)
        rows = self._parted(inputs)
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        runs = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(1, 3), max_features=RUNS)
        self.fields, fields = _fitted(DictVectorizer(), [row.fields for row in rows], bool)
        self.words, of_words = _fitted(words, _texts(rows, LONG), words.build_analyzer())
        self.runs, of_runs = _fitted(runs, _texts(rows, LONG_RUNS), runs.build_analyzer())
        blocks = [block for block in (fields, of_words, of_runs) if block is not None]
        if not blocks:
            raise ModelError("the inputs hold neither numbers nor words", hint="Give numbers, fields or text as input.")
        stacked = hstack(blocks, format="csr")
        self.scale = MaxAbsScaler().fit(stacked) if self.has_text else None
        return self._scaled(stacked)

    def transform(self, inputs: Sequence[JSON]) -> Any:
        """The feature matrix of these inputs; fields that the fit never saw are left out."""
        if self.width:
            return self._vectors(inputs)
        rows = self._parted(inputs)
        blocks = [] if self.fields is None else [self.fields.transform([row.fields for row in rows])]
        blocks += [] if self.words is None else [self.words.transform(_texts(rows, LONG))]
        blocks += [] if self.runs is None else [self.runs.transform(_texts(rows, LONG_RUNS))]
        return self._scaled(hstack(blocks, format="csr"))

    def _scaled(self, stacked: Any) -> Any:
        if self.scale is not None:
            return self.scale.transform(stacked)
        return stacked.toarray() if stacked.shape[1] <= DENSE else stacked

    def _vectors(self, inputs: Sequence[JSON]) -> Floats:
        if not is_vector(inputs) or len(inputs[0]) != self.width:
            raise ModelError(f"the model takes lists of {self.width} numbers", hint="Give the input it was trained on.")
        return np.array([[number(value) for value in row] for row in inputs])

    def _parted(self, inputs: Sequence[JSON]) -> list[Parts]:
        return [parts(value, self.written) for value in inputs]


def _texts(rows: Sequence[Parts], longest: int) -> list[str]:
    return [row.prose[:longest] for row in rows]


def _fitted(vectorizer: Any, rows: Sequence[Any], take: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The fitted vectorizer and its matrix; None for both where no row holds anything that it takes."""
    if not any(take(row) for row in rows):
        return None, None
    matrix = vectorizer.fit_transform(rows)
    return vectorizer, matrix


class SklearnTrainer:
    """Trains with scikit-learn; the same labels and seed give the same model."""

    name = "sklearn"

    def fit(self, inputs: Sequence[JSON], labels: Sequence[JSON], weights: Sequence[float], *, seed: int) -> Model:
        """A calibrated model of these labels."""
        keys = np.array([class_key(label) for label in labels])
        known = {class_key(label): label for label in labels}
        if len(known) < 2:
            raise ModelError(f"{len(known)} class among {len(keys)} labels: nothing to tell apart",
                             hint="Collect answers of at least two classes.")  # fmt: skip
        features = Features()
        matrix = features.fit_transform(inputs)
        if features.has_text:  # log scores of each fold by the model of the others
            regression = LogisticRegression(C=10.0, max_iter=2_000, random_state=seed)
            estimator = clone(regression).fit(matrix, keys)
            unseen = np.full((len(keys), len(estimator.classes_)), np.log(TINY))
            fold = folds(keys, FOLDS, seed)
            for part in range(FOLDS):
                train, test = fold != part, fold == part
                if test.any() and len(np.unique(keys[train])) > 1:
                    one = clone(regression).fit(matrix[train], keys[train])
                    columns = np.searchsorted(estimator.classes_, one.classes_)
                    unseen[np.ix_(test, columns)] = _logs(one, matrix[test])
        else:  # log scores that trees give to rows they have not seen
            estimator = ExtraTreesClassifier(TREES, bootstrap=True, oob_score=True, random_state=seed, n_jobs=1)
            estimator.fit(matrix, keys)
            unseen = np.log(np.nan_to_num(estimator.oob_decision_function_) + TINY)
        index = np.searchsorted(estimator.classes_, keys)
        heat = fit_temperature(unseen, index, np.minimum(np.asarray(weights, dtype=float), WEIGHT_CAP))
        return SklearnModel(features, estimator, heat, tuple(known[key] for key in estimator.classes_))

    def dump(self, model: Model) -> bytes:
        """The model as a joblib file's content."""
        file = io.BytesIO()
        joblib.dump(model, file, compress=3)
        return file.getvalue()

    def load(self, data: bytes) -> Model:
        """The model in a joblib file; unpickling runs code, so the digest must have been checked."""
        model = joblib.load(io.BytesIO(data))
        if not isinstance(model, SklearnModel):
            raise ModelError(f"the file holds a {type(model).__name__}, not a model of this trainer")
        return model


TRAINER = SklearnTrainer


def _logs(estimator: Any, matrix: Any) -> Floats:
    return np.asarray(np.log(estimator.predict_proba(matrix) + TINY))
