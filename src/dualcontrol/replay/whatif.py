"""What is asked of a replay, and the answer: the chosen threshold, the curve, each group, and what it costs.

The certificate is for the whole; a group has its own error and interval, and no promise of its own.
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
from dualcontrol.guarantee.curve import CurvePoint as Looked
from dualcontrol.guarantee.offline import Offline, certify, certify_weighted
from dualcontrol.guarantee.offline import bounds as betting

FEW = 30  # below this, a group's error is hardly known
MOST_GROUPS = 100
UNIT = "per 1,000 cases"
GROUPS = "the promise is for the whole; each group has its own error and interval, and none of its own"


class Options(NamedTuple):
    """The options of a replay, checked."""

    threshold: float | None = None
    max_error: float | None = None
    confidence: float = 0.95
    price: Price | None = None
    grouped: bool = False


class Method(NamedTuple):
    """How errors are bounded: the name of the interval, the interval, and the test of a threshold."""

    name: str
    bounds: Bounds
    test: Callable[..., Offline]


class ThresholdResult(NamedTuple):
    """What a threshold would have done; `offline` is the certificate where one was asked for."""

    n: int
    method: str
    confidence: float
    at: CurvePoint | None
    offline: Offline | None
    points: list[CurvePoint]
    humans: float | None
    groups: dict[str, ThresholdResult]
    reason: str

    @property
    def refused(self) -> bool:
        """Whether a certificate was asked for and there is none."""
        return self.offline is not None and self.offline.threshold is None


def exact(rows: Sequence[ScoredRow], asked: Options) -> Method:
    """For rows that all have a truth: Clopper and Pearson's test and bounds; Wilson's interval for a look around."""
    test = partial(certify, [row.score for row in rows], [not row.right for row in rows])
    if asked.max_error is None:
        return Method("wilson", by_wilson, test)
    return Method("clopper-pearson", partial(_clopper, confidence=asked.confidence), test)


def _clopper(rows: Sequence[ScoredRow], confidence: float) -> tuple[float, float]:
    wrong = sum(not row.right for row in rows)
    return binomial.lower(wrong, len(rows), confidence), binomial.upper(wrong, len(rows), confidence)


def weighted(evidence: Sequence[ScoredRow], asked: Options, *, guaranteed: bool) -> Method:
    """For past cases, in the order of decisions: the betting test and bounds; the exact ones where humans saw all.

    Under a guarantee it is the labels themselves that decide whether humans go on seeing all, and which test is made
    must not depend on them: there it is the bets, which may be looked at at any moment.
    """
    if not guaranteed and all(row.floor == 1.0 for row in evidence):
        return exact(evidence, asked)
    scores, wrong = [row.score for row in evidence], [not row.right for row in evidence]
    chances, floors = [row.inclusion for row in evidence], [row.floor for row in evidence]
    test = partial(certify_weighted, scores, wrong, chances, least=floors)
    return Method("betting", partial(_betting, confidence=asked.confidence), test)


def _betting(rows: Sequence[ScoredRow], confidence: float) -> tuple[float, float]:
    errors, chances = np.array([not row.right for row in rows], float), np.array([row.inclusion for row in rows])
    return betting(errors, chances, confidence, np.array([row.floor for row in rows]))


def found(rows: Sequence[ScoredRow], asked: Options, method: Method) -> ThresholdResult:
    """Choose or look at a threshold, for the whole and for each group."""
    offline = None
    threshold, reason = asked.threshold, ""
    if asked.max_error is not None:
        named = None if asked.threshold is None else [asked.threshold]
        offline = method.test(asked.max_error, asked.confidence, thresholds=named)
        threshold, reason = offline.threshold, offline.reason
    elif threshold is None:
        reason = "no threshold was asked for; --max-error chooses one, --threshold looks at one"
    whole = _looked(rows, threshold, asked, method)
    return whole._replace(offline=offline, reason=reason, groups=_groups(rows, threshold, asked, method))


def _looked(rows: Sequence[ScoredRow], threshold: float | None, asked: Options, method: Method) -> ThresholdResult:
    look = partial(at, rows, bounds=method.bounds, price=asked.price)
    return ThresholdResult(
        n=len(rows), method=method.name, confidence=asked.confidence,
        at=None if threshold is None else look(threshold), offline=None,
        points=curve(rows, bounds=method.bounds, price=asked.price),
        humans=asked.price.of(1.0, 0.0) if asked.price else None, groups={}, reason="",
    )  # fmt: skip


def _groups(
    rows: Sequence[ScoredRow], threshold: float | None, asked: Options, method: Method
) -> dict[str, ThresholdResult]:
    if not asked.grouped:
        return {}
    members: dict[str, list[ScoredRow]] = {}
    for row in rows:
        members.setdefault(row.group, []).append(row)
    if len(members) > MOST_GROUPS:
        raise FileError(f"--group names a field with {len(members)} values; at most {MOST_GROUPS} can be told apart")
    looked = {name: _looked(members[name], threshold, asked, method) for name in sorted(members)}
    return {name: group._replace(reason=_few(group, asked)) for name, group in looked.items()}


def _few(group: ThresholdResult, asked: Options) -> str:
    """Why a group's error is hardly known, where it has too few rows on autopilot."""
    if group.at is None:
        return ""
    least = FEW if asked.max_error is None else binomial.needed(asked.max_error, asked.confidence)
    if group.at.autopilot >= least:
        return ""
    return f"too few rows to say much: {group.at.autopilot} on autopilot, and {least} are the least"


def cheapest(of: ThresholdResult) -> CurvePoint | None:
    """The point of the curve that costs least; None where prices are not given or humans for all cost less."""
    priced = [(point.cost, point) for point in of.points if point.cost is not None]
    if not priced or of.humans is None:
        return None
    cost, point = min(priced, key=lambda pair: pair[0])
    return point if cost < of.humans else None


def plain(of: ThresholdResult) -> Mapping[str, JSON]:
    """The answer as plain JSON values; nothing chosen means that everything goes to humans."""
    point, best = of.at, cheapest(of)
    return {
        "threshold": point.threshold if point else None,
        "load": point.load if point else 1.0,
        "error": point.error if point else None,
        "error_interval": list(point.interval) if point and point.error is not None else None,
        "coverage": point.coverage if point else 0.0,
        "cost": point.cost if point else of.humans,
        "n": of.n,
        "reason": of.reason,
        "labels_needed": of.offline.labels_needed if of.offline else None,
        "interval": of.method,
        "confidence": of.confidence,
        "cost_unit": UNIT if of.humans is not None else None,
        "cheapest": _cheapest_json(of, best) if of.humans is not None else None,
        "curve": [{**p._asdict(), "interval": list(p.interval)} for p in of.points],
        **({"groups": {name: plain(of) for name, of in of.groups.items()}, "note": GROUPS} if of.groups else {}),
    }


def _cheapest_json(of: ThresholdResult, best: CurvePoint | None) -> JSON:
    if best is None:
        return {"threshold": None, "load": 1.0, "cost": of.humans}
    return {"threshold": best.threshold, "load": best.load, "cost": best.cost}


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
        if self.minute_price is None or self.error_loss is None:
            return None
        return Price(self.minutes * self.minute_price, self.error_loss)


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
    humans = asked.price.of(1.0, 0.0) if asked.price else None
    if not scored:
        return WhatIf(asked=asked, answers=0, certified=None, today=None, others=(), cheapest=None, humans=humans,
                      labels_needed=None, reason=NONE)  # fmt: skip
    found, bounds = _certified(rows, asked, promise), _bounds(asked.confidence)
    others = [_tried(point) for point in curve(scored, 11, bounds, asked.price)]
    certified = None if found.threshold is None else _tried(at(scored, found.threshold, bounds, asked.price))
    now = None if today is None else _tried(at(scored, today, bounds, asked.price))
    return WhatIf(
        asked=asked, answers=len(rows), certified=certified, today=now, others=tuple(others),
        cheapest=_cheapest([*others, *(one for one in (certified, now) if one)], humans), humans=humans,
        labels_needed=found.labels_needed(), reason=_reason(found),
    )  # fmt: skip


def _certified(rows: Sequence[Mapping[str, Any]], asked: Asked, promise: Mapping[str, Any]) -> Certificate:
    """The certificate that these labels would have made, in their order and with the same bins."""
    made = Certificate(**{**promise, "max_error": asked.max_error, "confidence": asked.confidence})
    for row in rows:
        made.observe(**row)
    made.tick()
    return made


def _reason(found: Certificate) -> str:
    needed = found.labels_needed()
    more = "more answers like these would not change that" if needed is None else f"about {needed:,} more are needed"
    if found.threshold is None:
        return f"{found.labels:,} answers are evidence, and {more}"
    return f"{found.labels:,} answers are evidence" + ("" if needed is None else f"; for the next step {more}")


def _bounds(confidence: float) -> Bounds:
    """Wilson's interval at the number of plain labels that the weighted ones are worth (Kish 1965)."""

    def bounds(rows: Sequence[ScoredRow]) -> tuple[float, float]:
        whole, square = weight(rows), sqrt(sum(1.0 / row.inclusion**2 for row in rows))
        worth = (whole / square) ** 2 if rows else 0.0
        return wilson(
            weight([row for row in rows if not row.right]) / whole * worth if rows else 0.0, worth, confidence
        )

    return bounds


def _tried(point: Looked) -> Tried:
    error = None if point.error is None else round(point.error, 6)
    return Tried(
        threshold=point.threshold, load=round(point.load, 6), error=error, low=round(point.low, 6),
        high=round(point.high, 6), cost=point.cost, autopilot=point.autopilot,
    )  # fmt: skip


def _cheapest(tried: Sequence[Tried], humans: float | None) -> Tried | None:
    """What costs least; None where humans for all cost less, or where nothing has a price."""
    priced = [(one.cost, one) for one in tried if one.cost is not None]
    if not priced or humans is None:
        return None
    cost, best = min(priced, key=lambda pair: pair[0])
    return best if cost < humans else None
