"""A first model against the base rate, which says of every input how common each label is.

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
        places = list(map(int, rows))
        return Labelled(*([values[place] for place in places] for values in self))


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


def learned(teacher: Trainer, model: Model, trained: Labelled, held_out: Labelled, seed: int) -> Learned:
    """What a model has learned, by decisions that were kept from its training.

    Without any, what the trainer learns from these labels, by models that have not seen those they are measured on.
    """
    parts = [_losses(model, trained, held_out)] if held_out.labels else []
    if not parts:
        keys = np.array([class_key(label) for label in trained.labels])
        fold = calibrate.folds(keys, FOLDS, seed)
        for place in range(FOLDS if len(keys) < MANY else 1):
            rest, unseen = trained.at(np.flatnonzero(fold != place)), trained.at(np.flatnonzero(fold == place))
            try:
                other = teacher.fit(*rest, seed=seed)
            except ModelError:  # the rest holds one class alone
                continue
            parts.append(_losses(other, rest, unseen))
    of_base, of_model, weights = np.concatenate([np.zeros((3, 0)), *parts], axis=1)
    if not len(weights):
        return Learned(0, 0.0, 0.0, 0.0)
    gain, error = calibrate.difference(of_base, of_model, weights)
    return Learned(len(weights), gain, error, float(np.average(of_base, weights=weights)))


def _losses(model: Model, trained: Labelled, unseen: Labelled) -> Floats:
    """Log losses of the base rate and of the model, and capped weights, on unseen labels that both know: (3, n)."""
    classes = list({class_key(label): label for label in trained.labels}.values())
    heavy = np.minimum(np.asarray(trained.weights, dtype=float), WEIGHT_CAP)
    counts = np.bincount(positions(classes, trained.labels), heavy, len(classes)) + 0.5
    inputs, labels, weights = unseen.at(np.flatnonzero(positions(classes, unseen.labels) >= 0))
    base_rate = np.tile(counts / counts.sum(), (len(inputs), 1))
    of_base = calibrate.losses(base_rate, positions(classes, labels))
    of_model = calibrate.losses(probabilities(model, inputs), positions(model.classes, labels))
    return np.stack([of_base, of_model, np.minimum(np.asarray(weights, dtype=float), WEIGHT_CAP)])
