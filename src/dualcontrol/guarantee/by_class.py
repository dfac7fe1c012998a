"""A certificate for a classifier: one threshold for all rows, or one for the rows that are taken for each class.

The chance of being wrong is shared out evenly among the classes (Bonferroni), so that all promises hold together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualcontrol.case import scalar
from dualcontrol.guarantee import binomial
from dualcontrol.guarantee.offline import (
    ByClass,
    Floats,
    Offline,
    OfflineCertificate,
    bounds,
    certify,
    certify_weighted,
    share,
)

Labels = NDArray[Any]


class Judged(NamedTuple):
    """What the classifier said of calibration rows, what is true, and with what chance each came in; None for alike."""

    scores: Floats
    predicted: Labels
    truth: Labels
    inclusion: Floats | None

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return np.asarray(self.predicted != self.truth)

    def certified(self, rows: NDArray[np.bool_], max_error: float, confidence: float) -> Offline:
        """What these rows certify."""
        scores, wrong = self.scores[rows], self.wrong[rows]
        if self.inclusion is None:
            return certify(scores, wrong, max_error, confidence)
        return certify_weighted(scores, wrong, self.inclusion[rows], max_error, confidence)

    def of(self, label: Any, threshold: float | None, accepted: NDArray[np.bool_], reason: str = "") -> ByClass:
        """One class among the rows that were accepted."""
        positive, true = accepted & (self.predicted == label), accepted & (self.truth == label)
        return ByClass(
            scalar(label), threshold, int(positive.sum()), int((positive & self.wrong).sum()), int(true.sum()),
            int((true & self.wrong).sum()), reason,
        )  # fmt: skip


def together(rows: Judged, classes: Sequence[Any], max_error: float, confidence: float) -> OfflineCertificate:
    """One threshold for all rows, with the error of each class."""
    whole = rows.certified(np.ones(len(rows.truth), np.bool_), max_error, confidence)
    accepted = np.zeros(len(rows.truth), np.bool_) if whole.threshold is None else rows.scores >= whole.threshold
    by_class = tuple(rows.of(label, whole.threshold, accepted) for label in classes)
    return OfflineCertificate(whole, max_error, confidence, by_class)


def by_class(rows: Judged, classes: Sequence[Any], max_error: float, confidence: float) -> OfflineCertificate:
    """A threshold for the rows taken for each class, certified with its share of the chance of being wrong.

    The threshold of the whole is the lowest of theirs.
    """
    alone, total = 1.0 - (1.0 - confidence) / len(classes), len(rows.truth)
    accepted, parts = np.zeros(total, np.bool_), []
    for label in classes:
        positive = np.asarray(rows.predicted == label)
        part = rows.certified(positive, max_error, alone) if positive.any() else NO_ROW
        parts.append(part)
        if part.threshold is not None:
            accepted |= positive & (rows.scores >= part.threshold)
    by_class = tuple(rows.of(label, p.threshold, accepted, p.reason) for label, p in zip(classes, parts, strict=True))
    starts = [part.threshold for part in parts if part.threshold is not None]
    if not starts:
        least = min((part.labels_needed for part in parts if part.labels_needed is not None), default=None)
        why = next((part.reason for part in parts if part.labels_needed == least), parts[0].reason)
        reason = f"for no class is there enough, such as: {why}"
        whole = Offline(None, 0.0, None, None, total, 0, 0, least, reason)
        return OfflineCertificate(whole, max_error, confidence, by_class, True)
    count, wrong = int(accepted.sum()), rows.wrong[accepted]
    if rows.inclusion is None:
        error, covered = float(wrong.mean()), count / total
        low = binomial.lower(int(wrong.sum()), count, confidence)
    else:
        weights, chances = 1.0 / rows.inclusion, rows.inclusion[accepted]
        error, covered = float(np.average(wrong, weights=1.0 / chances)), float(weights[accepted].sum() / weights.sum())
        low, _ = bounds(wrong.astype(float), chances, confidence, float(rows.inclusion.min()))
    # all classes together err no more than the worst of them, and what bounds each holds for all at once
    high = max(part.error_interval[1] for part in parts if part.error_interval is not None)
    reason = f"of {len(parts)} classes {len(starts)} are accepted, each with {share(alone)} confidence"
    method = next(part.method for part in parts if part.threshold is not None)
    whole = Offline(min(starts), covered, error, (low, high), total, count, int(wrong.sum()), None, reason, method)
    return OfflineCertificate(whole, max_error, confidence, by_class, True)


NO_ROW = Offline(None, 0.0, None, None, 0, 0, 0, None, "no row was taken for it")
