"""Load-error curve: what thresholds do to scores whose truth is known, with intervals and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

CONFIDENCE = 0.95
PER = 1_000  # costs are those of so many cases


class ScoredRow(NamedTuple):
    """One proposal: the confidence given with it, and whether it was right.

    `inclusion` is the probability with which a human saw it, `floor` the least that any could have had then, `group`
    what it is counted under beside the whole.
    """

    score: float
    right: bool
    group: str = ""
    inclusion: float = 1.0
    floor: float = 1.0


class CurvePoint(NamedTuple):
    """One threshold: how much goes to humans, how often autopilot is wrong, and what both cost per 1,000 cases.

    `rows`, `autopilot` and `wrong` count rows; the shares are weighted by one over the inclusion probability.
    """

    threshold: float
    rows: int
    autopilot: int
    load: float
    wrong: int
    error: float | None
    low: float
    high: float
    coverage: float
    cost: float | None

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the error."""
        return self.low, self.high


class Price(NamedTuple):
    """What a review costs (minutes times the price of one) and what an error on autopilot costs."""

    review: float
    error: float

    def of(self, load: float, wrong: float) -> float:
        """The cost of 1,000 cases of which these shares go to humans and go wrong on autopilot."""
        return PER * (load * self.review + wrong * self.error)


Bounds = Callable[[Sequence[ScoredRow]], tuple[float, float]]


def wilson(wrong: float, of: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927); all of 0 to 1 where nothing was seen."""
    if of == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, square = wrong / of, z * z / of
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / of + square / (4 * of))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if wrong == 0 else low), (1.0 if wrong == of else high)


def by_wilson(rows: Sequence[ScoredRow]) -> tuple[float, float]:
    """Wilson's interval for the share of rows that are wrong."""
    return wilson(sum(not row.right for row in rows), len(rows))


def at(
    rows: Sequence[ScoredRow], threshold: float, bounds: Bounds = by_wilson, price: Price | None = None
) -> CurvePoint:
    """The point of one threshold; a score that reaches it runs on autopilot."""
    chosen = [row for row in rows if row.score >= threshold]
    whole, reached = weight(rows), weight(chosen)
    wrong = weight([row for row in chosen if not row.right])
    low, high = bounds(chosen)
    load = 1 - reached / whole
    return CurvePoint(
        threshold=threshold, rows=len(rows), autopilot=len(chosen), load=load, wrong=sum(not r.right for r in chosen),
        error=wrong / reached if chosen else None, low=low, high=high, coverage=reached / whole,
        cost=price.of(load, wrong / whole) if price else None,
    )  # fmt: skip


def weight(rows: Sequence[ScoredRow]) -> float:
    """The number of cases that these rows stand for (Horvitz and Thompson 1952)."""
    return sum(1.0 / row.inclusion for row in rows)


def curve(
    rows: Sequence[ScoredRow], points: int = 11, bounds: Bounds = by_wilson, price: Price | None = None
) -> list[CurvePoint]:
    """Points from everything on autopilot to almost nothing, at equal steps of load, each threshold once."""
    scores = sorted(row.score for row in rows)
    places = (round(i * (len(scores) - 1) / max(points - 1, 1)) for i in range(points))
    return [at(rows, threshold, bounds, price) for threshold in dict.fromkeys(scores[place] for place in places)]
