"""Calibrated probabilities: temperature scaling on scores of rows that a model has not seen, and its measures.

Temperature scaling is Guo et al., *On Calibration of Modern Neural Networks* (2017): one number, fitted by
likelihood, that leaves the order of the classes alone.  Few labels determine it badly, so it is taken from the
cautious end of its profile likelihood interval (Venzon and Moolgavkar 1988), and what is left of doubt is shared
between the classes: reviewers err, and a model that saw sixty labels has not seen everything.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GRID = np.geomspace(0.05, 10.0, 120)
LEVEL = 2.7055  # half the 98 % point of chi-square(1): a one-sided bound at 99 %
LAPSE = 0.02  # share of labels taken to say something else than the truth, while the temperature is fitted
PRIOR = 6.0  # imagined labels that no score explains
DOUBT = 0.01  # what is left of doubt however many labels there are
BINS = 10


class Temperature(NamedTuple):
    """How scores become probabilities: log scores by `heat`, then the share `doubt` spread evenly."""

    heat: float
    doubt: float

    def apply(self, logs: Floats) -> Floats:
        """Probabilities from log scores, one row a case."""
        sharp = softmax(logs / self.heat)
        return np.asarray((1.0 - self.doubt) * sharp + self.doubt / sharp.shape[1])


def softmax(logs: Floats) -> Floats:
    """Rows of logs as probabilities."""
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(logs: Floats, index: NDArray[Any], weights: Floats) -> Temperature:
    """The most cautious temperature that labels of unseen rows do not contradict (99 %, one-sided)."""
    count = len(index)
    if count == 0 or weights.sum() <= 0:
        return Temperature(1.0, 1.0)
    losses = np.array([log_loss(Temperature(heat, LAPSE).apply(logs), index, weights) for heat in GRID])
    best = int(losses.argmin())
    effective = weights.sum() ** 2 / (weights**2).sum()
    within = effective * (losses[best:] - losses[best]) <= LEVEL
    last = best + (int(np.argmin(within)) - 1 if not within.all() else len(within) - 1)
    return Temperature(float(GRID[last]), (PRIOR + DOUBT * count) / (PRIOR + count))


def losses(probabilities: Floats, index: NDArray[Any]) -> Floats:
    """The log loss of each row; a class that the model does not know (index -1) counts as the least likely."""
    rows = np.arange(len(index))
    of_label = np.where(index >= 0, probabilities[rows, np.maximum(index, 0)], probabilities.min(axis=1))
    return np.asarray(-np.log(np.clip(of_label, 1e-6, 1.0)))


def log_loss(probabilities: Floats, index: NDArray[Any], weights: Floats) -> float:
    """Mean log loss, weighted."""
    return float(np.average(losses(probabilities, index), weights=weights))


def hits(probabilities: Floats, index: NDArray[Any]) -> Floats:
    """1 for each row whose likeliest class is the label."""
    return np.asarray(probabilities.argmax(axis=1) == index, dtype=float)


def calibration_error(probabilities: Floats, index: NDArray[Any], weights: Floats) -> float:
    """Expected calibration error of the likeliest class over ten equal bins (Naeini et al. 2015)."""
    return confidence_error(probabilities.max(axis=1), hits(probabilities, index), weights)


def confidence_error(confidence: Floats, hit: Floats, weights: Floats) -> float:
    """The same of confidences alone, with 1 for each that was right."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights * (confidence - hit), BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def difference(before: Floats, after: Floats, weights: Floats) -> tuple[float, float]:
    """The weighted mean of paired differences ``before - after``, and its standard error."""
    share = weights / weights.sum()
    gap = before - after
    mean = float((share * gap).sum())
    return mean, float(np.sqrt((share**2 * (gap - mean) ** 2).sum()))


def folds(keys: NDArray[Any], count: int, seed: int) -> NDArray[np.int64]:
    """A fold for each row, from 0 to `count` - 1, the classes spread evenly."""
    order = np.random.default_rng(seed).permutation(len(keys))
    fold = np.zeros(len(keys), dtype=np.int64)
    for key in np.unique(keys):
        rows = order[keys[order] == key]
        fold[rows] = np.arange(len(rows)) % count
    return fold
