"""A threshold from rows whose truth is known, chosen once: learn then test.

Learn then test is Angelopoulos, Bates, Candès, Jordan and Lei (2021).  Each candidate threshold is tested by the exact
binomial tail of Clopper and Pearson (1934), from high scores to low, and the first that fails ends it: a wrong one is
let through only if the first wrong one of the sequence is, so that nothing is divided over the candidates.

Candidates and the place to begin come from the scores alone, never from the truths.  They are scores of the rows
themselves: each test is exact given its threshold, and the sequence where error does not fall as more is let through.
Where it falls, the random place of the candidates shifts the promise by what one step of the grid holds, which the
tests measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log, log1p
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualcontrol.errors import CalibrationError
from dualcontrol.route import binomial
from dualcontrol.route.promise import Offline, check_promise, share

Floats = NDArray[np.float64]
START = 0.2  # coverage of the first candidate
STEP = 0.01  # from one candidate to the next, in coverage
FORGIVEN = 2  # errors that the first candidate may hold, where there are rows enough


class Region(NamedTuple):
    """The rows that reach a threshold, and how many of them were wrong."""

    threshold: float
    rows: int
    wrong: int


def certify(
    scores: Any, wrong: Any, max_error: float, confidence: float = 0.95, *, thresholds: Sequence[float] | None = None
) -> Offline:
    """The lowest threshold whose error is at most `max_error`, except with probability 1 - confidence.

    `wrong` says of each row whether the proposal was wrong.  Thresholds that were named before anybody looked at
    the truths are tested in the order given, in place of a grid of the scores.
    """
    check_promise(max_error, confidence)
    known, errors = checked(scores, wrong)
    tried = grid(known, first(len(known), max_error, confidence)) if thresholds is None else list(thresholds)
    held, failed = _walked(known, errors, tried, max_error, confidence)
    if held is not None:
        return _certified(held, len(known), max_error, confidence)
    reason, labels = _why_not(failed or Region(1.0, 0, 0), len(known), max_error, confidence)
    return Offline(None, 0.0, None, None, len(known), 0, 0, labels, alike(known) + reason)


def _walked(
    scores: Floats, wrong: Floats, thresholds: Sequence[float], max_error: float, confidence: float
) -> tuple[Region | None, Region | None]:
    """The last region of the sequence before the first that fails, and that one."""
    order = np.argsort(-scores, kind="stable")
    falling, errors = -scores[order], np.concatenate(([0], np.cumsum(wrong[order])))
    held: Region | None = None
    for threshold in thresholds:
        rows = int(np.searchsorted(falling, -threshold, side="right"))
        region = Region(float(threshold), rows, int(errors[rows]))
        if binomial.cdf(region.wrong, rows, max_error) > 1.0 - confidence:
            return held, region
        held = region
    return held, None


def _certified(held: Region, n: int, max_error: float, confidence: float) -> Offline:
    bounds = binomial.lower(held.wrong, held.rows, confidence), binomial.upper(held.wrong, held.rows, confidence)
    reason = (
        f"{held.wrong} of the {held.rows} rows from {held.threshold:g} on were wrong; if the error were above "
        f"{share(max_error)}, so few would be seen with a probability of at most {share(1.0 - confidence)}"
    )
    error = held.wrong / held.rows
    return Offline(held.threshold, held.rows / n, error, bounds, n, held.rows, held.wrong, None, reason)


def _why_not(failed: Region, n: int, max_error: float, confidence: float) -> tuple[str, int | None]:
    """Why nothing is certified, and how many labels it would take; None where more of them would not help."""
    least = binomial.needed(max_error, confidence)
    if n < least:
        promise = f"an error of at most {share(max_error)} with {share(confidence)} confidence"
        few = "1 label is too few" if n == 1 else f"{n:,} labels are too few"
        return f"{few}: even without a single error, {promise} takes {least:,}", least
    if failed.rows == 0:
        return f"no row has a score of {failed.threshold:g} or more", None
    error = failed.wrong / failed.rows
    seen = f"of the {failed.rows:,} rows from {failed.threshold:g} on, {failed.wrong:,} were wrong ({share(error)})"
    if error >= max_error:
        why = (
            f", which is not below {share(max_error)}: a better score or a larger max_error is needed, not more labels"
        )
        return seen + why, None
    labels = ceil(labels_at(error, max_error, confidence) * n / failed.rows)
    return f"{seen}, too close to {share(max_error)} for so few; at that rate it takes about {labels:,} labels", labels


def labels_at(error: float, max_error: float, confidence: float) -> int:
    """How many rows certify `max_error` when this share of them is wrong, by Chernoff's bound on the binomial tail."""
    gap = (1.0 - error) * (log1p(-error) - log1p(-max_error))
    gap += error * log(error / max_error) if error > 0.0 else 0.0
    return ceil(log(1.0 / (1.0 - confidence)) / gap)


def first(n: int, max_error: float, confidence: float) -> int:
    """How many rows the first candidate holds: a fifth, and enough to forgive two errors where half of all carry that.

    A first test that a single error fails would end most sequences before they began.  Only n and the promise count.
    """
    forgiving = [_least_rows(errors, max_error, confidence) for errors in range(FORGIVEN + 1)]
    affordable = [rows for rows in forgiving if rows <= n / 2]
    return max(ceil(START * n), affordable[-1] if affordable else forgiving[0])


def _least_rows(errors: int, max_error: float, confidence: float) -> int:
    """The fewest rows that pass with so many errors."""
    low, high = errors, binomial.needed(max_error, confidence) * (errors + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial.cdf(errors, middle, max_error) <= 1.0 - confidence else (middle, high)
    return high


def grid(scores: Floats, least: float, weights: Floats | None = None) -> list[float]:
    """Scores at equal steps of coverage, falling; `least` rows (or so much weight) reach the first.  Ties are whole."""
    order = np.argsort(-scores, kind="stable")
    reached = np.cumsum(np.ones(len(scores)) if weights is None else weights[order])
    shares = np.arange(round(START / STEP), round(1 / STEP) + 1) * STEP * reached[-1]
    wanted = np.unique(np.maximum(shares, min(least, reached[-1])))
    places = np.searchsorted(reached, wanted * (1.0 - 1e-12))
    return list(dict.fromkeys(scores[order[np.minimum(places, len(scores) - 1)]].tolist()))


def checked(scores: Any, wrong: Any) -> tuple[Floats, Floats]:
    """Scores and errors as arrays; `CalibrationError` names the first row that is none."""
    known, errors = _numbers(scores, "scores"), _numbers(wrong, "wrong")
    if len(known) != len(errors):
        raise CalibrationError(f"there are {len(known)} scores and {len(errors)} truths; each row has one of both")
    if len(known) == 0:
        raise CalibrationError("there are no rows, so there is nothing to calibrate on")
    for name, wild in (("score", ~np.isfinite(known)), ("truth", ~((errors == 0.0) | (errors == 1.0)))):
        if wild.any():
            row, count = int(wild.argmax()), int(wild.sum())
            given = (known if name == "score" else errors)[row]
            more = f" ({count} rows in all)" if count > 1 else ""
            raise CalibrationError(f"row {row}: the {name} is {given}, which means nothing{more}", row=row)
    return known, errors


def _numbers(values: Any, name: str) -> Floats:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{name} is a list of numbers: {error}") from error
    if array.ndim != 1:
        raise CalibrationError(f"{name} is a list of numbers, not an array of {array.ndim} dimensions")
    return array


def alike(scores: Floats) -> str:
    """What to say first where every row has the same score."""
    return "" if scores.min() < scores.max() else f"every score is {scores[0]:g}, so it is all rows or none; "
