"""Two orders on the same labels: confidence, and a learned chance of being right; the wider of the two acts.

Each order has a certificate of its own, on half of delta.  Both count the same labels with the same inclusion
probabilities: a label was drawn once, with a probability that was fixed before the draw and may know both scores, so
that its weight is right for the regions of either.  The probability that either ever certifies a region that is false
is at most the sum of the halves (a union bound), so that it does not matter which acts, how that is chosen, or how
often it changes.  Decision 0037 has the proof.

The learned order counts the cases that its own model scored before they were routed.  What the model learned from was
decided before it was there, and has no score of it: no label is both.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from copy import copy
from functools import lru_cache
from importlib.util import find_spec
from itertools import repeat
from typing import Any, NamedTuple, Self

from dualcontrol.control import CONFIDENCE, RISK, Control, Guarantee
from dualcontrol.events import EpochBegan, EvidenceCounted
from dualcontrol.guarantee.certificate import Certificate

LATEST = 1_000  # labels by which it is measured what each order lets through
MARGIN = 0.01  # of cases by which the other order has to be wider before it acts, so that two alike do not take turns
ORDERS = 2  # share delta


@lru_cache(maxsize=1)
def learnable() -> bool:
    """Whether this program can learn a risk model: the extra `learn` is installed."""
    return find_spec("sklearn") is not None


def sharing(guarantee: Guarantee) -> int:
    """How many certificates share 1 - confidence: one for each segment and order."""
    both = guarantee.score == "both" and learnable()
    return max(1, len(guarantee.segments)) * (ORDERS if both else 1)


def shares(promise: str, control: Control) -> bool:
    """Whether an epoch's certificate was promised half of delta, so that a second order may have the other half.

    An epoch of before there were two orders, or of a program that could learn none, has all of it.
    """
    guarantee = control.settings.guarantee
    if guarantee is None or not control.beside:
        return False
    return bool(json.loads(promise)["segments"] == ORDERS * max(1, len(guarantee.segments)))


class Latest(NamedTuple):
    """One of the latest labels, as far as it says which order is wider; `chance` is None without a learned score."""

    score: float
    chance: float | None
    weight: float


class Second:
    """The certificate of the learned order in one epoch of a segment, folded from the labels of the first."""

    def __init__(self, began: EpochBegan, before: Second | None = None) -> None:
        self.scorer, self.promise, self.at = began.scorer, began.promise, began.at
        self.certificate = Certificate(**json.loads(began.promise))
        same = before is not None and before.scorer == began.scorer
        self.latest: deque[Latest] = before.latest if before is not None and same else deque(maxlen=LATEST)
        self.counted: list[EvidenceCounted] = []  # what this certificate has counted, so that it can be counted again

    def recounted(self, miss_rate: float) -> Self:
        """The same order by another allowance for what people miss: all that it has counted is counted again.

        What it has spent, its restarts, its bins and its first region stay as they were promised (decision 0040).
        """
        twin, promise = self.copied(), json.loads(self.promise) | {"miss_rate": miss_rate}
        twin.promise, twin.certificate = json.dumps(promise, sort_keys=True), Certificate(**promise)
        for event in twin.counted:
            twin._certify(event)
        return twin

    def fold(self, event: EvidenceCounted) -> None:
        """Count the labels of an event that have a score of this order's model; cases of one cluster together."""
        stale = frozenset(event.stale)
        for (pos, score, _, inclusion, _, _), chance, _, _ in _columns(event):
            if pos not in stale:
                weight = 1.0 / float(inclusion)
                self.latest.append(Latest(float(score), float(chance) if chance else None, weight))
        self.counted.append(event)
        self._certify(event)

    def _certify(self, event: EvidenceCounted) -> None:
        certificate, stale = self.certificate, frozenset(event.stale)
        for (pos, _, wrong, inclusion, _, _), chance, floor, first in _columns(event):
            if pos not in stale and chance and first > certificate.seq:
                certificate.observe(
                    score=float(chance), wrong=wrong, inclusion=float(inclusion), seq=pos,
                    floor=float(floor) if floor else None, cluster=first if event.clusters else None,
                )  # fmt: skip
        if event.upto > certificate.seq:
            certificate.tick(event.upto)

    def through(self, confidence: float | None, chance: float | None) -> tuple[float, float]:
        """The shares of the latest cases that each order lets through from these thresholds on."""
        whole = sum(label.weight for label in self.latest)
        if not whole:
            return 0.0, 0.0
        first = 0.0 if confidence is None else sum(of.weight for of in self.latest if of.score >= confidence)
        second = sum(
            of.weight for of in self.latest if chance is not None and of.chance is not None and of.chance >= chance
        )  # fmt: skip
        return first / whole, second / whole

    @property
    def spent(self) -> int:
        """How many epochs have spent of this order's half once this one ends."""
        return (self.certificate.spent or 0) + (1 if self.certificate.labels else 0)

    def copied(self) -> Self:
        """An independent copy."""
        twin = copy(self)
        twin.certificate, twin.latest = self.certificate.copied(), self.latest.copy()
        twin.counted = self.counted.copy()
        return twin


def _columns(event: EvidenceCounted) -> Iterator[tuple[Any, str, str, int]]:
    """The labels of an event, each with its learned score, its floor and the first position of its cluster."""
    firsts = event.clusters or [label[0] for label in event.labels]
    return zip(event.labels, event.chances or repeat(""), event.floors or repeat(""), firsts, strict=False)


class Wider(NamedTuple):
    """Which order is to act, and the shares of the latest cases that each lets through."""

    order: str
    confidence: float
    chance: float


def wider(first: Certificate, second: Second, acting: str) -> Wider:
    """The order with the wider certified region; the one that acts stays while the other is not wider by a margin."""
    if acting == CONFIDENCE and second.certificate.threshold is None:
        return Wider(CONFIDENCE, 0.0, 0.0)
    one, other = second.through(first.threshold, second.certificate.threshold)
    if first.threshold is None or second.certificate.threshold is None:
        return Wider(CONFIDENCE if second.certificate.threshold is None else RISK, one, other)
    ahead = other - one if acting == CONFIDENCE else one - other
    changed = RISK if acting == CONFIDENCE else CONFIDENCE
    return Wider(changed if ahead > MARGIN else acting, one, other)
