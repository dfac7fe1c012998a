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
        return _certified_weighted(held, known, errors, chances, floors, max_error, confidence)
    reason, labels = _why_not_weighted(float(tried[0]), known, errors, chances, floors, max_error, confidence)
    return Offline(None, 0.0, None, None, len(known), 0, 0, labels, alike(known) + reason, "betting")


def _certified_weighted(
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


def _why_not_weighted(
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


# A promise on the error of autopilot, what was found of it on rows whose truth is known, and both in words.


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
        taken = (
            f"{self.accepted:,} accepted as it{start}, {self.wrong:,} of them wrong"
            if self.accepted
            else "none accepted as it"
        )
        return f"Class {self.label!r}: {taken}; of {self.truly:,} accepted that are it, {self.missed:,} were missed."


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
        found = self.found
        if found.threshold is None:
            return f"Nothing is certified, so every row is for a human: {found.reason}."
        return "\n".join([*self._promise(), *map(str, self.classes), *self._warning(), LAPSES])

    def _promise(self) -> list[str]:
        found, (low, high) = self.found, self.found.error_interval or (0.0, 1.0)
        of = f"Of the rows accepted from a score of {found.threshold!r} on, at most {share(self.max_error)} are wrong."
        if self.per_class:
            most = share(self.max_error)
            of = f"Of the rows accepted as any one class, each from its own score, at most {most} are wrong."
        return [
            of,
            f"The probability that calibration draws rows on which this is claimed and false is at most "
            f"{share(1.0 - self.confidence)}{', for all classes together' if self.per_class else ''}.",
            f"It rests on {found.n:,} labels, drawn like the rows to come: {found.accepted:,} accepted "
            f"({share(found.coverage)}), {found.wrong:,} of them wrong.",
            f"Their error lies between {share(low)} and {share(high)}, each with {share(self.confidence)} confidence.",
        ]

    def _warning(self) -> list[str]:
        """Classes that err more often than the promise would make one think."""
        most, said = share(self.max_error), []
        worse = [one.label for one in self.classes if one.wrong > self.max_error * one.accepted]
        if worse and not self.per_class:
            said.append(
                f"This promise is for all classes together: of {_named(worse)} more than {most} of the accepted "
                "rows were wrong. With per_class=True it is made for each."
            )
        lost = [one.label for one in self.classes if one.missed > self.max_error * one.truly]
        if lost:
            said.append(
                f"It is no promise about the rows that are {_named(lost)} in truth: of those accepted more than {most} "
                "were taken for something else."
            )
        return said


def _named(labels: Sequence[Any]) -> str:
    return ("class " if len(labels) == 1 else "classes ") + ", ".join(map(repr, labels))


def check_promise(max_error: float, confidence: float) -> None:
    """Refuse a promise that no data carry, or that says nothing."""
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        if not _is_share(value):
            raise CalibrationError(
                f"{name} is a number between 0 and 1, both excluded, not {value!r:.80}", hint=HINTS[name], field=name
            )
        if (said := beyond(name, value)) is not None:
            raise CalibrationError(f"{name} is {value!r}: {said}", hint=HINTS[name], field=name)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0.0 < value < 1.0


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
