"""Regions of scores: bins of equal mass, and which region a certificate tests first."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualcontrol.route.guarantee import Label

START = 0.2


def edges_of(scores: Sequence[float], bins: int) -> list[float]:
    """The lower scores of up to `bins` bins of equal mass; tied scores stay in one bin."""
    ordered = sorted(scores)
    places = (i * len(ordered) // bins for i in range(1, bins))
    return sorted({ordered[place] for place in places if ordered[place] > ordered[0]})


def first_of(edges: Sequence[float], piloted: Iterable[Label], max_error: float, start: float | None) -> int:
    """The first region: the widest that holds at most the share `start`, or (None) the most promising of a pilot."""
    masses, wrongs = [0.0] * (len(edges) + 1), [0.0] * (len(edges) + 1)
    for label in piloted:
        masses[bisect_right(edges, label.score)] += 1.0 / label.inclusion
        wrongs[bisect_right(edges, label.score)] += label.wrong / label.inclusion
    chosen = promising(masses, wrongs, max_error) if start is None else None
    return widest(masses, start or START) if chosen is None else chosen


def promising(masses: Sequence[float], wrongs: Sequence[float], max_error: float) -> int | None:
    """The region whose error lies below the bound by the most standard errors; None where none does."""
    best, chosen, mass, wrong = 0.0, None, 0.0, 0.0
    for place in range(len(masses) - 1, -1, -1):
        mass, wrong = mass + masses[place], wrong + wrongs[place]
        risk = (wrong + 0.5) / (mass + 1.0)
        score = mass * max(max_error - risk, 0.0) ** 2 / (risk * (1.0 - risk))
        if score > best and mass <= 0.95 * sum(masses):
            best, chosen = score, place
    return chosen


def widest(masses: Sequence[float], share: float) -> int:
    """The first bin of the widest region that holds at most this share, or the highest bin."""
    whole, held = sum(masses), 0.0
    for place in range(len(masses) - 1, -1, -1):
        held += masses[place]
        if held > share * whole:
            return min(place + 1, len(masses) - 1)
    return 0
