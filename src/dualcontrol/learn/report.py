"""The report of a training: candidate and incumbent measured on the same held-out human decisions, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from dualcontrol.case import JSON, Value
from dualcontrol.learn import calibrate
from dualcontrol.learn.baseline import Learned
from dualcontrol.learn.examples import TrainingRow
from dualcontrol.learn.trainers import Floats, Model, positions, probabilities

MIN_HELD_OUT = 10
WEIGHT_CAP = 4.0  # one mistaken audit at a weight of 20 would outvote twenty reviews


class Measures(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A model's measures on held-out human decisions, weighted."""

    log_loss: float
    accuracy: float
    calibration_error: float


class Report(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The result of a training; `gain` is the paired fall in log loss and `gain_error` its standard error.

    They are against the incumbent, and where there is none against how common each label is.
    `left_out` decisions have lost their content; `skipped` ones have no input, no one label to learn, or one of the
    `removed`: a label that the loop no longer has.
    """

    loop: str
    version: str
    trainer: str
    promoted: bool
    reason: str
    trained: int
    held_out: int
    left_out: int
    incumbent: str | None
    candidate: Measures | None = None
    before: Measures | None = None
    gain: float | None = None
    gain_error: float | None = None
    start: dict[str, JSON] | None = None
    skipped: int = 0
    removed: int = 0


def compared(report: Report, candidate: Model, incumbent: Model, held_out: Sequence[TrainingRow]) -> Report:
    """The report with both models' measures and whether the candidate is better.

    Better is a lower log loss, and an accuracy that is not lower by more than its standard error.
    """
    if not held_out:
        return replace(report, reason="no held-out decisions to compare on")
    new, new_losses, new_hits, weights = _measured(candidate, held_out)
    old, old_losses, old_hits, _ = _measured(incumbent, held_out)
    gain, gain_error = calibrate.difference(old_losses, new_losses, weights)
    more, more_error = calibrate.difference(new_hits, old_hits, weights)
    promoted, count = False, len(held_out)
    if count < MIN_HELD_OUT:
        reason = f"{count} held-out decisions are too few to compare on; {MIN_HELD_OUT} are needed"
    elif gain <= 0:
        reason = f"its log loss on held-out decisions is {-gain:.4f} higher"
    elif more < -more_error:
        reason = f"its accuracy on held-out decisions is {-more:.4f} lower"
    else:
        promoted, reason = True, f"its log loss on held-out decisions is {gain:.4f} lower"
    return replace(
        report, candidate=new, before=old, gain=gain, gain_error=gain_error, promoted=promoted, reason=reason
    )


def unrivalled(report: Report, candidate: Model, why: str, learned: Learned, held_out: Sequence[TrainingRow]) -> Report:
    """The report of a model that takes over from nobody, if it has learned anything at all."""
    if learned.over:
        report = replace(report, gain=learned.gain, gain_error=learned.error)
    if held_out:
        report = replace(report, candidate=_measured(candidate, held_out)[0])
    reason = why if learned.something else f"it has learned nothing: {learned}"
    return replace(report, promoted=learned.something, reason=reason)


def _measured(model: Model, rows: Sequence[TrainingRow]) -> tuple[Measures, Floats, Floats, Floats]:
    """A model's measures on rows; its log loss, its hit and the capped weight of each row."""
    chances = probabilities(model, [row.input for row in rows])
    index = positions(model.classes, [row.value for row in rows])
    weights = np.minimum([row.weight for row in rows], WEIGHT_CAP)
    losses, hits = calibrate.losses(chances, index), calibrate.hits(chances, index)
    measures = Measures(
        log_loss=float(np.average(losses, weights=weights)), accuracy=float(np.average(hits, weights=weights)),
        calibration_error=calibrate.calibration_error(chances, index, weights),
    )  # fmt: skip
    return measures, losses, hits, weights
