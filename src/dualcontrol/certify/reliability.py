"""Reliability: how often proposals were right at the confidence they came with, weighed by one over inclusion."""

from __future__ import annotations

from dualcontrol.case import Value
from dualcontrol.route.curve import wilson

GROUPS = 10


class Rate(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Cases of similar confidence: how sure they were on average, and how many were right, between which bounds."""

    confidence: float
    right: float
    low: float
    high: float
    labels: int
    share: float


class _Sums:
    """Weighted sums over the labels of a score bin, or of several together."""

    def __init__(self) -> None:
        self.labels = 0
        self.weight = self.square = self.wrong = self.score = 0.0

    def add(self, other: _Sums) -> None:
        self.labels += other.labels
        self.weight, self.square = self.weight + other.weight, self.square + other.square
        self.wrong, self.score = self.wrong + other.wrong, self.score + other.score


class Tally:
    """Sums by score bin; a few bins of about equally many labels on request."""

    def __init__(self) -> None:
        self._bins: dict[int, _Sums] = {}

    def add(self, place: int, *, score: float, wrong: int, inclusion: float) -> None:
        """Count a label."""
        sums, weight = self._bins.setdefault(place, _Sums()), 1.0 / inclusion
        sums.labels, sums.weight, sums.square = sums.labels + 1, sums.weight + weight, sums.square + weight * weight
        sums.wrong, sums.score = sums.wrong + wrong * weight, sums.score + score * weight

    def rates(self, confidence: float = 0.95) -> list[Rate]:
        """From the lowest confidence to the highest; bins are joined until each holds a tenth of the labels."""
        whole = sum(sums.weight for sums in self._bins.values())
        return [_rate(sums, whole, confidence) for sums in self._joined()]

    def _joined(self) -> list[_Sums]:
        least = sum(sums.labels for sums in self._bins.values()) / GROUPS
        made: list[_Sums] = []
        for place in sorted(self._bins):
            if not made or made[-1].labels >= least:
                made.append(_Sums())
            made[-1].add(self._bins[place])
        return made


def _rate(sums: _Sums, whole: float, confidence: float) -> Rate:
    """Wilson's interval at the number of plain labels that the weighted ones are worth (Kish 1965)."""
    wrong, worth = sums.wrong / sums.weight, sums.weight**2 / sums.square
    low, high = wilson(wrong * worth, worth, confidence)
    return Rate(
        confidence=round(sums.score / sums.weight, 6), right=round(1.0 - wrong, 6), low=round(1.0 - high, 6),
        high=round(1.0 - low, 6), labels=sums.labels, share=round(sums.weight / whole, 6),
    )  # fmt: skip
