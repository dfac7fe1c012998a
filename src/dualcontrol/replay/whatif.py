"""What-if: a threshold or another promise, tried on rows whose truth is known; nothing is written.

`threshold_result` is the one mechanism: for the rows of a file (`exact`), for past cases (`weighted`), and for the
answers that a certificate has counted (`what_if`).  The promise is for the whole; a group has its own error and
interval, and no promise of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.case import JSON, Value
from dualcontrol.errors import FileError
from dualcontrol.guarantee import binomial
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.curve import Bounds, CurvePoint, Price, ScoredRow, at, by_wilson, curve, weight, wilson
from dualcontrol.guarantee.offline import Offline, certify, certify_weighted, share
from dualcontrol.guarantee.offline import bounds as betting

FEW = 30  # below this, a group's error is hardly known
MOST_GROUPS = 100
UNIT = "per 1,000 cases"
GROUPS = "the promise is for the whole; each group has its own error and interval, and none of its own"


class Options(NamedTuple):
    """The options of a replay, checked; `miss_rate` of past cases is the guarantee's where it is not given."""

    threshold: float | None = None
    max_error: float | None = None
    confidence: float = 0.95
    price: Price | None = None
    grouped: bool = False
    miss_rate: float | None = None


class Method(NamedTuple):
    """How errors are bounded: the name of the interval, the interval, and the test of a threshold."""

    name: str
    bounds: Bounds
    test: Callable[..., Offline]


class ThresholdResult(NamedTuple):
    """What a threshold would have done; `offline` is the certificate where one was asked for.

    Where several segments have a certificate each, `segments` has them in the place of one for the whole.
    """

    n: int
    method: str
    confidence: float
    at: CurvePoint | None
    offline: Offline | None
    points: list[CurvePoint]
    humans: float | None
    groups: dict[str, ThresholdResult]
    reason: str
    segments: Mapping[str, Offline] = {}

    @property
    def refused(self) -> bool:
        """Whether a certificate was asked for and there is none."""
        if self.segments:
            return all(part.threshold is None for part in self.segments.values())
        return self.offline is not None and self.offline.threshold is None


def exact(rows: Sequence[ScoredRow], options: Options) -> Method:
    """For rows that all have a truth: Clopper and Pearson's test and bounds; Wilson's interval for a look around."""

    def clopper_pearson(rows: Sequence[ScoredRow]) -> tuple[float, float]:
        wrong, confidence = sum(not row.right for row in rows), options.confidence
        return binomial.lower(wrong, len(rows), confidence), binomial.upper(wrong, len(rows), confidence)

    name, bounds = ("wilson", by_wilson) if options.max_error is None else ("clopper-pearson", clopper_pearson)
    return Method(name, bounds, partial(certify, [row.score for row in rows], [not row.right for row in rows]))


def weighted(evidence: Sequence[ScoredRow], options: Options, *, guaranteed: bool) -> Method:
    """For past cases, in the order of decisions: the betting test and bounds; the exact ones where humans saw all.

    Under a guarantee it is the labels themselves that decide whether humans go on seeing all, and which test is made
    must not depend on them: there it is the bets, which may be looked at at any moment.
    """
    if not guaranteed and all(row.floor == 1.0 for row in evidence):
        return exact(evidence, options)

    def by_betting(rows: Sequence[ScoredRow]) -> tuple[float, float]:
        errors, chances = np.array([not row.right for row in rows], float), np.array([row.inclusion for row in rows])
        return betting(errors, chances, options.confidence, np.array([row.floor for row in rows]))

    scores, wrong = [row.score for row in evidence], [not row.right for row in evidence]
    chances, floors = [row.inclusion for row in evidence], [row.floor for row in evidence]
    return Method("betting", by_betting, partial(certify_weighted, scores, wrong, chances, least=floors))


def allowing(method: Method, missed: float) -> Method:
    """The same where people let this share of errors pass: what they find is held against so much less."""
    if not missed:
        return method

    def bounds(rows: Sequence[ScoredRow]) -> tuple[float, float]:
        low, high = method.bounds(rows)
        return low, min(1.0, high / (1.0 - missed))

    def test(max_error: float, confidence: float, **more: Any) -> Offline:
        offline = method.test(max_error * (1.0 - missed), confidence, **more)
        allowed = (
            f"people are taken to miss {share(missed)} of errors, so {share(max_error * (1.0 - missed))} are tested"
        )
        return offline._replace(reason=f"{offline.reason}; {allowed}")

    return Method(method.name, bounds, test)


def threshold_result(rows: Sequence[ScoredRow], options: Options, method: Method) -> ThresholdResult:
    """Choose or look at a threshold, for the whole and for each group; `FileError` for too many groups."""
    offline, threshold, reason = None, options.threshold, ""
    if options.max_error is not None:
        named = None if threshold is None else [threshold]
        offline = method.test(options.max_error, options.confidence, thresholds=named)
        threshold, reason = offline.threshold, offline.reason
    elif threshold is None:
        reason = "no threshold was asked for; --max-error chooses one, --threshold looks at one"

    def outcome(rows: Sequence[ScoredRow]) -> ThresholdResult:
        return ThresholdResult(
            n=len(rows), method=method.name, confidence=options.confidence,
            at=None if threshold is None else at(rows, threshold, method.bounds, options.price), offline=None,
            points=curve(rows, bounds=method.bounds, price=options.price),
            humans=options.price.of(1.0, 0.0) if options.price else None, groups={}, reason="",
        )  # fmt: skip

    members: dict[str, list[ScoredRow]] = {}
    for row in rows if options.grouped else ():
        members.setdefault(row.group, []).append(row)
    if len(members) > MOST_GROUPS:
        raise FileError(f"--group names a field with {len(members)} values; at most {MOST_GROUPS} can be told apart")
    least = FEW if options.max_error is None else binomial.needed(options.max_error, options.confidence)
    groups = {name: outcome(members[name]) for name in sorted(members)}
    for name, group in groups.items():
        if group.at is not None and group.at.autopilot < least:
            few = f"too few rows to say much: {group.at.autopilot} on autopilot, and {least} are the least"
            groups[name] = group._replace(reason=few)
    return outcome(rows)._replace(offline=offline, reason=reason, groups=groups)


def cheapest(result: ThresholdResult, *more: CurvePoint | None) -> CurvePoint | None:
    """The point that costs least; None where prices are not given or humans for all cost less."""
    points = [(point.cost, point) for point in (*result.points, *more) if point is not None and point.cost is not None]
    if not points or result.humans is None:
        return None
    cost, point = min(points, key=lambda pair: pair[0])
    return point if cost < result.humans else None


def plain(result: ThresholdResult) -> Mapping[str, JSON]:
    """The answer as plain JSON values; nothing chosen means that everything goes to humans."""
    point, best = result.at, cheapest(result)
    least = (best.threshold, best.load, best.cost) if best else (None, 1.0, result.humans)
    return {
        "threshold": point.threshold if point else None,
        "load": point.load if point else 1.0,
        "error": point.error if point else None,
        "error_interval": list(point.interval) if point and point.error is not None else None,
        "coverage": point.coverage if point else 0.0,
        "cost": point.cost if point else result.humans,
        "n": result.n,
        "reason": result.reason,
        "labels_needed": result.offline.labels_needed if result.offline else None,
        "interval": result.method,
        "confidence": result.confidence,
        "cost_unit": UNIT if result.humans is not None else None,
        "cheapest": dict(zip(("threshold", "load", "cost"), least, strict=True)) if result.humans is not None else None,
        "curve": [{**p._asdict(), "interval": list(p.interval)} for p in result.points],
        **({"segments": {name: segment(part) for name, part in result.segments.items()}} if result.segments else {}),
        **(
            {"groups": {n: plain(group) for n, group in result.groups.items()}, "note": GROUPS} if result.groups else {}
        ),
    }


def segment(of: Offline) -> dict[str, JSON]:
    """One segment's certificate as plain JSON values."""
    return {
        "threshold": of.threshold, "coverage": of.coverage, "n": of.n, "labels_needed": of.labels_needed,
        "reason": of.reason,
    }  # fmt: skip


# What another promise, or another threshold, would have meant for the answers that a certificate has counted.
#
# It promises nothing: the certificate is what holds, and who tries many bounds on the same answers finds a lucky one.


NEWEST = 20_000  # answers in the figures of single thresholds; the work grows with each
NONE = "no answer is counted in this epoch yet, so nothing is known of its error"


class Asked(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Another promise, and where given the prices of a reviewer's minute and of an error on autopilot."""

    max_error: float
    confidence: float = 0.95
    minute_price: float | None = None
    minutes: float = 1.0
    error_loss: float | None = None

    @property
    def price(self) -> Price | None:
        """Both prices; None where one lacks."""
        minute, loss = self.minute_price, self.error_loss
        return None if minute is None or loss is None else Price(self.minutes * minute, loss)


class Tried(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A threshold: the share of cases for humans, the error on autopilot with its interval, cost per 1,000 cases."""

    threshold: float
    load: float
    error: float | None
    low: float
    high: float
    cost: float | None
    autopilot: int


class WhatIf(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The answer: what one test of these answers would certify, today's threshold, a few others, and the cheapest."""

    asked: Asked
    answers: int
    certified: Tried | None
    today: Tried | None
    others: tuple[Tried, ...]
    cheapest: Tried | None
    humans: float | None
    labels_needed: int | None
    reason: str


def what_if(
    rows: Sequence[Mapping[str, Any]], asked: Asked, *, today: float | None, promise: Mapping[str, Any]
) -> WhatIf:  # fmt: skip
    """Try a promise on labels as `evidence` gives them, in place of the one that the epoch began with."""
    scored = [ScoredRow(row["score"], not row["wrong"], "", row["inclusion"]) for row in rows[-NEWEST:]]
    if not scored:
        humans = asked.price.of(1.0, 0.0) if asked.price else None
        return WhatIf(asked=asked, answers=0, certified=None, today=None, others=(), cheapest=None, humans=humans,
                      labels_needed=None, reason=NONE)  # fmt: skip

    def certificate(max_error: float, confidence: float, thresholds: Sequence[float] | None) -> Offline:
        """What these labels would have certified, in their order and with the same bins."""
        trial = Certificate(**{**promise, "max_error": max_error, "confidence": confidence})
        for row in rows:
            trial.observe(**row)
        trial.tick()
        needed, reason = trial.labels_needed(), f"{trial.labels:,} answers are evidence"
        more = (
            "more answers like these would not change that" if needed is None else f"about {needed:,} more are needed"
        )
        if trial.threshold is None:
            reason += f", and {more}"
        elif needed is not None:
            reason += f"; for the next step {more}"
        return Offline(trial.threshold, trial.coverage, None, None, len(rows), 0, trial.errors, needed, reason)

    def bounds(rows: Sequence[ScoredRow]) -> tuple[float, float]:
        """Wilson's interval at the number of plain labels that the weighted ones are worth (Kish 1965)."""
        whole, square = weight(rows), sqrt(sum(1.0 / row.inclusion**2 for row in rows))
        worth = (whole / square) ** 2 if rows else 0.0
        wrong = weight([row for row in rows if not row.right]) / whole * worth if rows else 0.0
        return wilson(wrong, worth, asked.confidence)

    options = Options(max_error=asked.max_error, confidence=asked.confidence, price=asked.price)
    result = threshold_result(scored, options, Method("wilson", bounds, certificate))
    now = None if today is None else at(scored, today, bounds, asked.price)
    return WhatIf(
        asked=asked, answers=len(rows), certified=_tried(result.at), today=_tried(now),
        others=tuple(filter(None, map(_tried, result.points))), cheapest=_tried(cheapest(result, result.at, now)),
        humans=result.humans, labels_needed=result.offline.labels_needed if result.offline else None,
        reason=result.reason,
    )  # fmt: skip


def _tried(point: CurvePoint | None) -> Tried | None:
    if point is None:
        return None
    error = None if point.error is None else round(point.error, 6)
    return Tried(
        threshold=point.threshold, load=round(point.load, 6), error=error, low=round(point.low, 6),
        high=round(point.high, 6), cost=point.cost, autopilot=point.autopilot,
    )  # fmt: skip
