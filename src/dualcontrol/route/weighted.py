"""The same from cases that humans saw with unequal probabilities: bets on each case in its place, weighted.

Autopilot cases are seen by audit only, so each row counts one over its inclusion probability (Horvitz and Thompson
1952), and the exact binomial test does not apply.  In its place stands a betting martingale (Waudby-Smith and Ramdas
2024): against "the error is above a", a stake that grows by ``1 + bet (a - wrong) / inclusion`` with each row in the
order of decisions cannot reach ``1 / (1 - confidence)`` more often than once in as many tries (Ville 1939).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, log
from typing import Any

import numpy as np

from dualcontrol.errors import CalibrationError
from dualcontrol.route import binomial
from dualcontrol.route.offline import START, Floats, alike, checked, grid
from dualcontrol.route.promise import Offline, check_promise, share

BETS = np.geomspace(0.01, 0.9, 8)
CAP = 0.9
HALVINGS = 30


def certify_weighted(
    scores: Any, wrong: Any, inclusion: Any, max_error: float, confidence: float = 0.95, *,
    least: Any = 1.0, thresholds: Sequence[float] | None = None,
) -> Offline:  # fmt: skip
    """The lowest threshold whose error is at most `max_error`, except with probability 1 - confidence.

    Rows are the cases that a human judged, in the order of their decisions.  `least` is the smallest inclusion that
    any decision could have had then, for all rows or for each: known before the decision, it bounds the bet on it.
    """
    check_promise(max_error, confidence)
    known, errors = checked(scores, wrong)
    chances = included(inclusion, len(known))
    floors = _floors(least, chances)
    tried = thresholds if thresholds is not None else grid(known, START * float((1 / chances).sum()), 1 / chances)
    held: float | None = None
    for threshold in tried:
        reached = known >= threshold
        if peak((max_error - errors[reached]) / chances[reached], floors[reached]) < log(1.0 / (1.0 - confidence)):
            break
        held = float(threshold)
    if held is not None:
        return _certified(held, known, errors, chances, floors, max_error, confidence)
    reason, labels = _why_not(float(tried[0]), known, errors, chances, floors, max_error, confidence)
    return Offline(None, 0.0, None, None, len(known), 0, 0, labels, alike(known) + reason, "betting")


def _certified(
    held: float, scores: Floats, wrong: Floats, chances: Floats, floors: Floats, max_error: float, confidence: float
) -> Offline:
    reached = scores >= held
    errors, weights = wrong[reached], 1 / chances[reached]
    low, high = bounds(errors, chances[reached], confidence, floors[reached])
    reason = (
        f"{int(errors.sum()):,} of the {len(errors):,} judged cases from {held:g} on were wrong; if the error were "
        f"above {share(max_error)}, bets on them would win so much with a probability of at most "
        f"{share(1.0 - confidence)}"
    )
    return Offline(
        held, float(weights.sum() / (1 / chances).sum()), float((weights * errors).sum() / weights.sum()),
        (low, min(high, max_error)), len(scores), len(errors), int(errors.sum()), None, reason, "betting",
    )  # fmt: skip


def _why_not(
    tried: float, scores: Floats, wrong: Floats, chances: Floats, floors: Floats, max_error: float, confidence: float
) -> tuple[str, int | None]:
    """Why nothing is certified, and about how many judged cases it would take; None where more would not help."""
    reached = scores >= tried
    rows, errors, weights = int(reached.sum()), wrong[reached], 1 / chances[reached]
    if rows == 0:
        return f"no judged case has a score of {tried:g} or more", None
    error = float((weights * errors).sum() / weights.sum())
    seen = (
        f"of the {rows:,} judged cases from {tried:g} on, {int(errors.sum()):,} were wrong ({share(error)}, weighted)"
    )
    gains = np.log1p(_bets(floors[reached]) * ((max_error - errors) * weights)[:, None]).mean(axis=0)
    if error >= max_error or gains.max() <= 0.0:
        return f"{seen}, which is not clearly below {share(max_error)}: more cases alone will not help", None
    needed = ceil((log(1.0 / (1.0 - confidence)) + log(len(BETS))) / gains.max() * len(scores) / rows)
    labels = max(needed, binomial.needed(max_error, confidence))
    return f"{seen}, too few for {share(max_error)}; at that rate it takes about {labels:,} judged cases", labels


def bounds(wrong: Floats, inclusion: Floats, confidence: float, least: Any) -> tuple[float, float]:
    """Lower and upper bound on the error; each holds with this confidence by itself, at every moment."""
    target, floors = log(1.0 / (1.0 - confidence)), _floors(least, inclusion)

    def too_high(error: float) -> bool:
        return peak((error - wrong) / inclusion, floors) >= target

    def possible(error: float) -> bool:
        return peak((wrong - error) / inclusion, floors) < target

    return _between(possible), _between(too_high)


def _between(above: Callable[[float], bool]) -> float:
    """Where a condition that does not hold for small errors begins to; 1 where it never does, 0 where it always did."""
    low, high = 0.0, 1.0
    if above(low):
        return low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if above(middle) else (middle, high)
    return high


def peak(gains: Floats, least: Any) -> float:
    """The largest logarithm that a stake has come to, spread evenly over eight bets, each as large as it may be."""
    if len(gains) == 0:
        return 0.0
    stakes = np.cumsum(np.log1p(_bets(np.broadcast_to(least, len(gains))) * gains[:, None]), axis=0)
    top = stakes.max(axis=1)
    return float((top + np.log(np.exp(stakes - top[:, None]).mean(axis=1))).max())


def _bets(least: Floats) -> Floats:
    """Bets on each row that cannot lose more than nine tenths of a stake, whatever it says."""
    return np.minimum(BETS[None, :], CAP * least[:, None])


def _floors(least: Any, inclusion: Floats) -> Floats:
    """The floor of each row; one floor for all is never above any inclusion there is."""
    if np.ndim(least) == 0:
        return np.full(len(inclusion), min(float(least), float(inclusion.min(initial=1.0))))
    floors = np.asarray(least, dtype=float)
    if floors.shape != inclusion.shape or not bool(((floors > 0.0) & (floors <= inclusion)).all()):
        raise CalibrationError("each row has a floor above 0 and at most its inclusion probability")
    return floors


def included(inclusion: Any, rows: int) -> Floats:
    """Inclusion probabilities as an array, one a row and each above 0."""
    chances = np.asarray(inclusion, dtype=float)
    if chances.shape != (rows,) or not bool(((chances > 0.0) & (chances <= 1.0)).all()):
        raise CalibrationError("each row has an inclusion probability above 0 and at most 1")
    return chances
