"""What a training came to: candidate and incumbent measured on the same held-out human decisions, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.case import JSON, Value
from dualcontrol.learn import calibrate
from dualcontrol.learn.baseline import Learned
from dualcontrol.learn.examples import TrainingRow
from dualcontrol.learn.trainers import Floats, Model, positions, probabilities

MIN_HELD_OUT = 10
WEIGHT_CAP = 4.0  # one mistaken audit at a weight of 20 would outvote twenty reviews


class Measures(Value, frozen=True, kw_only=True, omit_defaults=False):
    """How a model does on held-out human decisions."""

    log_loss: float
    accuracy: float
    calibration_error: float


class Report(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What a training came to; `gain` is the paired fall in log loss and `gain_error` its standard error.

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
    """The report with both models' measures and whether the candidate is better."""
    if not held_out:
        return Report.from_dict(report.to_dict() | {"reason": "no held-out decisions to compare on"})
    return Report.from_dict(report.to_dict() | _both(candidate, incumbent, held_out))


def unrivalled(report: Report, candidate: Model, why: str, learned: Learned, held_out: Sequence[TrainingRow]) -> Report:
    """The report of a model that takes over from nobody, if it has learned anything at all."""
    said: dict[str, Any] = {"gain": learned.gain, "gain_error": learned.error} if learned.over else {}
    if held_out:
        weights = np.minimum([row.weight for row in held_out], WEIGHT_CAP)
        said |= {"candidate": _measures(_judged(candidate, held_out), weights).to_dict()}
    reason = why if learned.something else f"it has learned nothing: {learned}"
    return Report.from_dict(report.to_dict() | said | {"promoted": learned.something, "reason": reason})


def _both(candidate: Model, incumbent: Model, held_out: Sequence[TrainingRow]) -> dict[str, Any]:
    weights = np.minimum([row.weight for row in held_out], WEIGHT_CAP)
    new, old = _judged(candidate, held_out), _judged(incumbent, held_out)
    said: dict[str, Any] = {"candidate": _measures(new, weights).to_dict()}
    gain, error = calibrate.difference(old.losses, new.losses, weights)
    more, more_error = calibrate.difference(new.hits, old.hits, weights)
    promoted, reason = _verdict(len(held_out), gain, more, more_error)
    said |= {"before": _measures(old, weights).to_dict(), "gain": gain, "gain_error": error}
    return said | {"promoted": promoted, "reason": reason}


class _Judged(NamedTuple):
    probabilities: Floats
    index: Any
    losses: Floats
    hits: Floats


def _judged(model: Model, rows: Sequence[TrainingRow]) -> _Judged:
    chances = probabilities(model, [row.input for row in rows])
    index = positions(model.classes, [row.value for row in rows])
    return _Judged(chances, index, calibrate.losses(chances, index), calibrate.hits(chances, index))


def _measures(judged: _Judged, weights: Floats) -> Measures:
    return Measures(
        log_loss=float(np.average(judged.losses, weights=weights)),
        accuracy=float(np.average(judged.hits, weights=weights)),
        calibration_error=calibrate.calibration_error(judged.probabilities, judged.index, weights),
    )


def _verdict(count: int, gain: float, more: float, more_error: float) -> tuple[bool, str]:
    """Better: a lower log loss, and an accuracy that is not lower by more than its standard error."""
    if count < MIN_HELD_OUT:
        return False, f"{count} held-out decisions are too few to compare on; {MIN_HELD_OUT} are needed"
    if gain <= 0:
        return False, f"its log loss on held-out decisions is {-gain:.4f} higher"
    if more < -more_error:
        return False, f"its accuracy on held-out decisions is {-more:.4f} lower"
    return True, f"its log loss on held-out decisions is {gain:.4f} lower"
