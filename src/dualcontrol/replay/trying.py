"""What another promise, or another threshold, would have meant for the answers that a certificate has counted.

It promises nothing: the certificate is what holds, and who tries many bounds on the same answers finds a lucky one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from dualcontrol.case import Value
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.curve import Bounds, Price, Scored, at, curve, weight, wilson
from dualcontrol.guarantee.curve import Point as Looked

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
    scored = [Scored(row["score"], not row["wrong"], "", row["inclusion"]) for row in rows[-NEWEST:]]
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

    def bounds(rows: Sequence[Scored]) -> tuple[float, float]:
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
