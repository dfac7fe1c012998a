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

from collections.abc import Callable, Sequence
from math import ceil, log, log1p
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualcontrol.errors import CalibrationError
from dualcontrol.guarantee import binomial

Floats = NDArray[np.float64]
START = 0.2  # coverage of the first candidate
STEP = 0.01  # from one candidate to the next, in coverage
FORGIVEN = 2  # errors that the first candidate may hold, where there are rows enough


def certify(
    scores: Any, wrong: Any, max_error: float, confidence: float = 0.95, *, thresholds: Sequence[float] | None = None
) -> Offline:
    """The lowest threshold whose error is at most `max_error`, except with probability 1 - confidence.

    `wrong` says of each row whether the proposal was wrong.  Thresholds that were named before anybody looked at
    the truths are tested in the order given, in place of a grid of the scores.
    """
    check_promise(max_error, confidence)
    values, errors = checked(scores, wrong)
    n = len(values)
    candidates = grid(values, first(n, max_error, confidence)) if thresholds is None else thresholds
    order = np.argsort(-values, kind="stable")
    falling, counts = -values[order], np.concatenate(([0], np.cumsum(errors[order])))
    passed: tuple[float, int, int] | None = None  # the last of the sequence before the first that fails
    region = (1.0, 0, 0)  # a threshold, how many rows reach it, and how many of them were wrong
    for threshold in candidates:
        rows = int(np.searchsorted(falling, -threshold, side="right"))
        region = float(threshold), rows, int(counts[rows])
        if binomial.cdf(region[2], rows, max_error) > 1.0 - confidence:
            break
        passed = region
    if passed is None:
        reason, labels = _why_not(*region, n, max_error, confidence)
        return Offline(None, 0.0, None, None, n, 0, 0, labels, alike(values) + reason)
    start, rows, count = passed
    low, high = binomial.lower(count, rows, confidence), binomial.upper(count, rows, confidence)
    reason = (
        f"{count} of the {rows} rows from {start:g} on were wrong; if the error were above "
        f"{share(max_error)}, so few would be seen with a probability of at most {share(1.0 - confidence)}"
    )
    return Offline(start, rows / n, count / rows, (low, high), n, rows, count, None, reason)


def _why_not(
    threshold: float, rows: int, wrong: int, n: int, max_error: float, confidence: float
) -> tuple[str, int | None]:
    """Why nothing is certified, and how many labels it would take; None where more of them would not help."""
    least = binomial.needed(max_error, confidence)
    if n < least:
        promise = f"an error of at most {share(max_error)} with {share(confidence)} confidence"
        few = "1 label is too few" if n == 1 else f"{n:,} labels are too few"
        return f"{few}: even without a single error, {promise} takes {least:,}", least
    if rows == 0:
        return f"no row has a score of {threshold:g} or more", None
    error = wrong / rows
    seen = f"of the {rows:,} rows from {threshold:g} on, {wrong:,} were wrong ({share(error)})"
    if error >= max_error:
        why = "a better score or a larger max_error is needed, not more labels"
        return f"{seen}, which is not below {share(max_error)}: {why}", None
    labels = ceil(labels_at(error, max_error, confidence) * n / rows)
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

    def least_rows(errors: int) -> int:
        """The fewest rows that pass with so many errors."""
        low, high = errors, binomial.needed(max_error, confidence) * (errors + 1)
        while high - low > 1:
            middle = (low + high) // 2
            passes = binomial.cdf(errors, middle, max_error) <= 1.0 - confidence
            low, high = (low, middle) if passes else (middle, high)
        return high

    forgiving = [least_rows(errors) for errors in range(FORGIVEN + 1)]
    affordable = [rows for rows in forgiving if rows <= n / 2]
    return max(ceil(START * n), affordable[-1] if affordable else forgiving[0])


def grid(scores: Floats, least: float, weights: Floats | None = None) -> list[float]:
    """Scores at equal steps of coverage, falling; `least` rows (or so much weight) reach the first.  Ties are whole."""
    order = np.argsort(-scores, kind="stable")
    reached = np.cumsum(np.ones(len(scores)) if weights is None else weights[order])
    shares = np.arange(round(START / STEP), round(1 / STEP) + 1) * STEP * reached[-1]
    steps = np.unique(np.maximum(shares, min(least, reached[-1])))
    places = np.searchsorted(reached, steps * (1.0 - 1e-12))
    return list(dict.fromkeys(scores[order[np.minimum(places, len(scores) - 1)]].tolist()))


def checked(scores: Any, wrong: Any) -> tuple[Floats, Floats]:
    """Scores and errors as arrays; `CalibrationError` names the first row that is none."""
    arrays = []
    for name, column in (("scores", scores), ("wrong", wrong)):
        try:
            array = np.asarray(column, dtype=float)
        except (TypeError, ValueError) as error:
            raise CalibrationError(f"{name} is a list of numbers: {error}") from error
        if array.ndim != 1:
            raise CalibrationError(f"{name} is a list of numbers, not an array of {array.ndim} dimensions")
        arrays.append(array)
    values, errors = arrays
    if len(values) != len(errors):
        raise CalibrationError(f"there are {len(values)} scores and {len(errors)} truths; each row has one of both")
    if len(values) == 0:
        raise CalibrationError("there are no rows, so there is nothing to calibrate on")
    truths = (errors == 0.0) | (errors == 1.0)
    for name, array, wild in (("score", values, ~np.isfinite(values)), ("truth", errors, ~truths)):
        if wild.any():
            row, count = int(wild.argmax()), int(wild.sum())
            more = f" ({count} rows in all)" if count > 1 else ""
            raise CalibrationError(f"row {row}: the {name} is {array[row]}, which means nothing{more}", row=row)
    return values, errors


def alike(scores: Floats) -> str:
    """The beginning of a reason where every row has the same score."""
    return "" if scores.min() < scores.max() else f"every score is {scores[0]:g}, so it is all rows or none; "


# The same from cases that humans saw with unequal probabilities: bets on each case in its place, weighted.
#
# Autopilot cases are seen by audit only, so each row counts one over its inclusion probability (Horvitz and Thompson
# 1952), and the exact binomial test does not apply.  In its place stands a betting martingale (Waudby-Smith and Ramdas
# 2024): against "the error is above a", a stake that grows by ``1 + bet (a - wrong) / inclusion`` with each row in the
# order of decisions cannot reach ``1 / (1 - confidence)`` more often than once in as many tries (Ville 1939).


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
    values, errors = checked(scores, wrong)
    chances = np.asarray(inclusion, dtype=float)
    if chances.shape != values.shape or not bool(((chances > 0.0) & (chances <= 1.0)).all()):
        raise CalibrationError("each row has an inclusion probability above 0 and at most 1")
    floors, weights, target = _floors(least, chances), 1 / chances, log(1.0 / (1.0 - confidence))
    candidates = thresholds if thresholds is not None else grid(values, START * float(weights.sum()), weights)
    start: float | None = None
    for threshold in candidates:
        reached = values >= threshold
        if peak((max_error - errors[reached]) / chances[reached], floors[reached]) < target:
            break
        start = float(threshold)
    tested = float(candidates[0]) if start is None else start
    reached = values >= tested
    rows, wrongs, own = int(reached.sum()), errors[reached], weights[reached]
    count, error = int(wrongs.sum()), float((own * wrongs).sum() / own.sum()) if rows else 0.0
    if start is not None:
        low, high = bounds(wrongs, chances[reached], confidence, floors[reached])
        reason = (
            f"{count:,} of the {rows:,} judged cases from {start:g} on were wrong; if the error were "
            f"above {share(max_error)}, bets on them would win so much with a probability of at most "
            f"{share(1.0 - confidence)}"
        )
        return Offline(
            start, float(own.sum() / weights.sum()), error, (low, min(high, max_error)), len(values), rows, count,
            None, reason, "betting",
        )  # fmt: skip
    labels = None
    gains = np.log1p(_bets(floors[reached]) * ((max_error - wrongs) * own)[:, None])
    gain = gains.mean(axis=0).max() if rows else 0.0
    seen = f"of the {rows:,} judged cases from {tested:g} on, {count:,} were wrong ({share(error)}, weighted)"
    if rows == 0:
        reason = f"no judged case has a score of {tested:g} or more"
    elif error >= max_error or gain <= 0.0:
        reason = f"{seen}, which is not clearly below {share(max_error)}: more cases alone will not help"
    else:
        needed = ceil((target + log(len(BETS))) / gain * len(values) / rows)
        labels = max(needed, binomial.needed(max_error, confidence))
        reason = f"{seen}, too few for {share(max_error)}; at that rate it takes about {labels:,} judged cases"
    return Offline(None, 0.0, None, None, len(values), 0, 0, labels, alike(values) + reason, "betting")


def bounds(wrong: Floats, inclusion: Floats, confidence: float, least: Any) -> tuple[float, float]:
    """Lower and upper bound on the error; each holds with this confidence by itself, at every moment."""
    target, floors = log(1.0 / (1.0 - confidence)), _floors(least, inclusion)

    def least_error(above: Callable[[float], bool]) -> float:
        """Where a condition that fails for small errors begins to hold; 1: it never does, 0: it always did."""
        low, high = 0.0, 1.0
        if above(low):
            return low
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if above(middle) else (middle, high)
        return high

    possible = least_error(lambda error: peak((wrong - error) / inclusion, floors) < target)
    return possible, least_error(lambda error: peak((error - wrong) / inclusion, floors) >= target)


def peak(gains: Floats, least: Any) -> float:
    """The maximum over time of the log wealth, spread evenly over eight bets, each as large as it may be."""
    if len(gains) == 0:
        return 0.0
    stakes = np.cumsum(np.log1p(_bets(np.broadcast_to(least, len(gains))) * gains[:, None]), axis=0)
    top = stakes.max(axis=1)
    return float((top + np.log(np.exp(stakes - top[:, None]).mean(axis=1))).max())


def _bets(least: Floats) -> Floats:
    """Bets on each row that cannot lose more than nine tenths of a stake, whatever it says."""
    return np.minimum(BETS[None, :], CAP * least[:, None])


def _floors(least: Any, inclusion: Floats) -> Floats:
    """The minimum inclusion probability of each row; one for all is capped at the smallest inclusion."""
    if np.ndim(least) == 0:
        return np.full(len(inclusion), min(float(least), float(inclusion.min(initial=1.0))))
    floors = np.asarray(least, dtype=float)
    if floors.shape != inclusion.shape or not bool(((floors > 0.0) & (floors <= inclusion)).all()):
        raise CalibrationError("each row has a floor above 0 and at most its inclusion probability")
    return floors


# A certificate on the error of autopilot from rows whose truth is known, and its words.


LEAST = 1e-9
LAPSES = "It lapses when the model is fitted again, when calibration is tried again on the same rows, or when what \
comes in is no longer drawn like the calibration rows."


class Offline(NamedTuple):
    """A threshold and what is known of the rows that reach it; None where nothing can be certified, with the reason.

    Each end of `error_interval` holds with the confidence that was asked for, so that the upper end of a certified
    threshold is at most the error that was asked for.  `method` names the test.
    """

    threshold: float | None
    coverage: float
    error: float | None
    error_interval: tuple[float, float] | None
    n: int
    accepted: int
    wrong: int
    labels_needed: int | None
    reason: str
    method: str = "clopper-pearson"


class ByClass(NamedTuple):
    """One class among the calibration rows: those accepted as it, and those that are it in truth.

    Of `accepted` rows that are taken for it `wrong` are something else; of the `truly` accepted rows that are it
    `missed` are taken for something else.  `threshold` is the score from which it is accepted, None where never; with
    a promise for each class `reason` says why.
    """

    label: Any
    threshold: float | None
    accepted: int
    wrong: int
    truly: int
    missed: int
    reason: str = ""

    def __str__(self) -> str:
        if self.threshold is None:
            return f"Class {self.label!r}: none is accepted" + (f", since {self.reason}." if self.reason else ".")
        start = f" from {self.threshold!r} on" if self.reason else ""
        accepted = "none accepted as it"
        if self.accepted:
            accepted = f"{self.accepted:,} accepted as it{start}, {self.wrong:,} of them wrong"
        return f"Class {self.label!r}: {accepted}; of {self.truly:,} accepted that are it, {self.missed:,} were missed."


class OfflineCertificate(NamedTuple):
    """What is promised, on what evidence, and when it lapses; as text it says so in words.

    `classes` holds the error of each class; with `per_class` the promise is made for every class by itself.
    """

    found: Offline
    max_error: float
    confidence: float
    classes: tuple[ByClass, ...] = ()
    per_class: bool = False

    def __str__(self) -> str:
        whole, most = self.found, share(self.max_error)
        if whole.threshold is None:
            return f"Nothing is certified, so every row is for a human: {whole.reason}."
        low, high = whole.error_interval or (0.0, 1.0)
        promise = f"Of the rows accepted from a score of {whole.threshold!r} on, at most {most} are wrong."
        if self.per_class:
            promise = f"Of the rows accepted as any one class, each from its own score, at most {most} are wrong."
        lines = [
            promise,
            f"The probability that calibration draws rows on which this is claimed and false is at most "
            f"{share(1.0 - self.confidence)}{', for all classes together' if self.per_class else ''}.",
            f"It rests on {whole.n:,} labels, drawn like the rows to come: {whole.accepted:,} accepted "
            f"({share(whole.coverage)}), {whole.wrong:,} of them wrong.",
            f"Their error lies between {share(low)} and {share(high)}, each with {share(self.confidence)} confidence.",
            *map(str, self.classes),
        ]
        # classes that err more often than the promise would make one think
        worse = [part.label for part in self.classes if part.wrong > self.max_error * part.accepted]
        if worse and not self.per_class:
            lines.append(
                f"This promise is for all classes together: of {_named(worse)} more than {most} of the accepted "
                "rows were wrong. With per_class=True it is made for each."
            )
        lost = [part.label for part in self.classes if part.missed > self.max_error * part.truly]
        if lost:
            lines.append(
                f"It is no promise about the rows that are {_named(lost)} in truth: of those accepted more than {most} "
                "were taken for something else."
            )
        return "\n".join([*lines, LAPSES])


def _named(labels: Sequence[Any]) -> str:
    return ("class " if len(labels) == 1 else "classes ") + ", ".join(map(repr, labels))


def check_promise(max_error: float, confidence: float) -> None:
    """Refuse a bound or a confidence that no data can support, or that promises nothing."""
    promise: dict[str, Any] = {"max_error": max_error, "confidence": confidence}
    for name, value in promise.items():
        if not (isinstance(value, int | float) and 0.0 < value < 1.0):
            raise CalibrationError(
                f"{name} is a number between 0 and 1, both excluded, not {value!r:.80}", hint=HINTS[name], field=name
            )
        if (reason := beyond(name, value)) is not None:
            raise CalibrationError(f"{name} is {value!r}: {reason}", hint=HINTS[name], field=name)


def beyond(name: str, value: float) -> str | None:
    """Why a promise this small is out of reach, or says nothing; None where it is not that small."""
    if value >= LEAST:
        return None
    if name != "max_error":
        return "that is as good as no confidence at all"
    labels = log(20.0) / -log1p(-value)
    count = f"{ceil(labels):,}" if labels < 1e15 else "more than a thousand million million"
    return f"even without a single error that takes {count} labels at 95 % confidence"


HINTS = {
    "max_error": "An error of 0 cannot be certified by any number of labels, and 1 promises nothing; try 0.02.",
    "confidence": "Certainty cannot be had from data, and 0 promises nothing; try 0.95.",
}


def share(value: float) -> str:
    """A share as per cent, with as many digits as it has, three at most."""
    return f"{100 * value:.3g} %"
