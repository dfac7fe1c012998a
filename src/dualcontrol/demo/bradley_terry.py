"""A scorer from preferences: Bradley and Terry (1952), with strengths that are linear in features of a text.

The chance that one thing is preferred to another is the logistic function of the difference of their strengths;
the weights maximise the likelihood of the choices under a Gaussian prior, by Newton's method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PRIOR = 1.0
STEPS = 50
TINY = 1e-9


def chances(differences: Floats, strengths: Floats) -> Floats:
    """The probability of each choice, given chosen minus rejected features."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(differences @ strengths, -40, 40))))


def fit(differences: Floats, weights: Floats | None = None, prior: float = PRIOR) -> Floats:
    """The weights of the features from rows of chosen minus rejected."""
    rows, width = differences.shape
    weight = np.ones(rows) if weights is None else weights
    strengths = np.zeros(width)
    for _ in range(STEPS):
        chance = chances(differences, strengths)
        slope = differences.T @ (weight * (1.0 - chance)) - prior * strengths
        bend = (differences.T * (weight * chance * (1.0 - chance))) @ differences + prior * np.eye(width)
        step = np.linalg.solve(bend, slope)
        strengths = strengths + step
        if np.abs(step).max() < TINY:
            break
    return np.asarray(strengths)


def accuracy(differences: Floats, strengths: Floats) -> float:
    """The share of choices that the strengths foresee; an even chance counts as half."""
    margin = differences @ strengths
    return float(((margin > 0) + 0.5 * (margin == 0)).mean()) if len(margin) else 0.0


def held_out_accuracy(differences: Floats, folds: int = 5) -> float | None:
    """Accuracy on choices that the fit has not seen, each once, over folds; None below two choices a fold."""
    count = len(differences)
    if count < 2 * folds:
        return None
    fold = np.arange(count) % folds
    right = [
        accuracy(differences[fold == part], fit(differences[fold != part])) * int((fold == part).sum())
        for part in range(folds)
    ]
    return sum(right) / count
