"""Whether a first model has learned anything: it is measured against saying of every input how common each label is.

Where there is no incumbent there is nothing else to be better than, and a model that learned nothing has scores that
mean nothing.  Both are measured on held-out human decisions; where those are too few, on the training labels, each by
a model that has not seen it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dualcontrol.case import JSON
from dualcontrol.errors import ModelError
from dualcontrol.learn import calibrate
from dualcontrol.learn.trainers import Floats, Model, Trainer, class_key, positions, probabilities

FOLDS = 5
MANY = 2_000  # labels from which on one fold is enough
SURE = 1.645  # standard errors that the fall in log loss must exceed: chance alone does that once in twenty times
WEIGHT_CAP = 4.0


class Labelled(NamedTuple):
    """Inputs with their labels and weights."""

    inputs: Sequence[JSON]
    labels: Sequence[JSON]
    weights: Sequence[float]

    def at(self, rows: Iterable[int]) -> Labelled:
        """Those rows."""
        kept = list(map(int, rows))
        return Labelled(*([values[row] for row in kept] for values in self))


class BaseRate:
    """Says of every input how common each label is among those that a model was trained on."""

    def __init__(self, labels: Sequence[JSON], weights: Sequence[float]) -> None:
        known = {class_key(label): label for label in labels}
        self.classes: tuple[JSON, ...] = tuple(known.values())
        heavy = np.minimum(np.asarray(weights, dtype=float), WEIGHT_CAP)
        counts = np.bincount(positions(self.classes, labels), heavy, len(known)) + 0.5
        self._shares = counts / counts.sum()

    def predict_proba(self, inputs: Sequence[JSON]) -> Floats:
        """The same row for each input."""
        return np.tile(self._shares, (len(inputs), 1))


class Learned(NamedTuple):
    """The fall in log loss against the base rate, with its standard error, over so many decisions."""

    over: int
    gain: float
    error: float
    base: float

    @property
    def something(self) -> bool:
        """Whether the model knows more than the base rate, beyond what chance would give it."""
        return self.over > 0 and self.gain > SURE * self.error

    def __str__(self) -> str:
        if not self.over:
            return "there are too few labels of each kind to see whether it has learned anything"
        better = f"{self.base - self.gain:.4f}, where always saying how common each label is gives {self.base:.4f}"
        return f"its log loss on {self.over:,} decisions that it had not seen is {better}"


def by_held_out(model: Model, trained: Labelled, held_out: Labelled) -> Learned:
    """What a model has learned, by decisions that were kept from its training."""
    return _over([_losses(model, trained, held_out)])


def by_folds(teacher: Trainer, trained: Labelled, seed: int) -> Learned:
    """What a trainer learns from these labels, by models that have not seen the ones they are measured on."""
    keys = np.array([class_key(label) for label in trained.labels])
    fold = calibrate.folds(keys, FOLDS, seed)
    parts = []
    for place in range(FOLDS if len(keys) < MANY else 1):
        rest, unseen = trained.at(np.flatnonzero(fold != place)), trained.at(np.flatnonzero(fold == place))
        try:
            model = teacher.fit(*rest, seed=seed)
        except ModelError:  # the rest holds one class alone
            continue
        parts.append(_losses(model, rest, unseen))
    return _over(parts)


def _losses(model: Model, trained: Labelled, unseen: Labelled) -> tuple[Floats, Floats, Floats]:
    """Log losses of the base rate and of the model, with weights, on labels that both know."""
    base = BaseRate(trained.labels, trained.weights)
    known = [row for row, place in enumerate(positions(base.classes, unseen.labels)) if place >= 0]
    inputs, labels, weights = unseen.at(known)
    of_base = calibrate.losses(base.predict_proba(inputs), positions(base.classes, labels))
    of_model = calibrate.losses(probabilities(model, inputs), positions(model.classes, labels))
    return of_base, of_model, np.minimum(np.asarray(weights, dtype=float), WEIGHT_CAP)


def _over(parts: Sequence[tuple[Floats, Floats, Floats]]) -> Learned:
    before, after, weights = (np.concatenate([*(part[n] for part in parts), np.zeros(0)]) for n in range(3))
    if not len(weights):
        return Learned(0, 0.0, 0.0, 0.0)
    gain, error = calibrate.difference(before, after, weights)
    return Learned(len(weights), gain, error, float(np.average(before, weights=weights)))
