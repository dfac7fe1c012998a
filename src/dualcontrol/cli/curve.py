"""What a threshold would do to scores whose truth is known: load, error on autopilot, and how sure we are."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

CONFIDENCE = 0.95


class Scored(NamedTuple):
    """One proposal: the confidence given with it, and whether it was right."""

    score: float
    right: bool


class Point(NamedTuple):
    """One threshold: how much goes to humans, and how often autopilot is wrong."""

    threshold: float
    rows: int
    autopilot: int
    load: float
    wrong: int
    error: float | None
    low: float
    high: float


def wilson(wrong: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927); all of 0 to 1 where nothing was seen."""
    if of == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, square = wrong / of, z * z / of
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / of + square / (4 * of))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if wrong == 0 else low), (1.0 if wrong == of else high)


def at(rows: Sequence[Scored], threshold: float) -> Point:
    """The point of one threshold; a score that reaches it runs on autopilot."""
    chosen = [row for row in rows if row.score >= threshold]
    wrong = sum(not row.right for row in chosen)
    low, high = wilson(wrong, len(chosen))
    return Point(
        threshold=threshold, rows=len(rows), autopilot=len(chosen), load=1 - len(chosen) / len(rows), wrong=wrong,
        error=wrong / len(chosen) if chosen else None, low=low, high=high,
    )  # fmt: skip


def curve(rows: Sequence[Scored], points: int = 11) -> list[Point]:
    """Points from everything on autopilot to almost nothing, at equal steps of load, each threshold once."""
    scores = sorted(row.score for row in rows)
    places = (round(i * (len(scores) - 1) / max(points - 1, 1)) for i in range(points))
    return [at(rows, threshold) for threshold in dict.fromkeys(scores[place] for place in places)]
