"""One segment's evidence: certificate, monitor and running bound, fed from the same labels in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import repeat
from typing import Any, Self

from dualcontrol.events import Entry, EpochBegan, EvidenceCounted
from dualcontrol.route.guarantee import Certificate, Step
from dualcontrol.route.monitor import Monitor
from dualcontrol.route.running import RunningBound

DRIFT, SCALE, LABELS = "drift", "scale", "labels"  # what cuts off the evidence of before
Counted = tuple[int, str, int, str, int, int]


class Segment:
    """What the loop's stream says of a segment since its epoch began."""

    def __init__(self, began: EpochBegan, before: Segment | None) -> None:
        self.epoch, self.after, self.model, self.cut = began.epoch, began.after, began.model, began.cut
        self.began_at, self.promise, self.scorer = began.at, began.promise, began.scorer
        given: dict[str, Any] = json.loads(began.promise)
        self.certificate = Certificate(**given)
        floor, miss = self.certificate.floor, self.certificate.miss_rate
        self.monitor = Monitor(self.certificate.max_error, floor=floor, miss_rate=miss)
        same = before is not None and before.bound.floor == floor and before.bound.confidence == given["confidence"]
        anew = RunningBound(given["confidence"], floor=floor)
        self.bound: RunningBound = before.bound if same and before is not None else anew
        self.upto: int = before.upto if before else began.after
        self.since: int = before.since if before is not None and began.cut is None else began.after
        self.missing = 0
        self.first: int | None = None  # the first decision that is evidence: the pilot is none
        self.shared_at = 0  # labels when the audit shares were computed last
        self.boosted = False

    def count(self, label: Counted, *, stale: bool = False, floor: str | None = None) -> bool:
        """Count one label; True when the monitor raises its alarm.

        `floor` is said of labels that are older than the epoch.
        """
        pos, score, wrong, inclusion, autopilot, unseen = label
        self.bound.skip(unseen)
        self.upto, chance = max(self.upto, pos), float(inclusion)
        if autopilot:
            self.bound.observe(wrong=wrong, inclusion=chance)
        if stale:
            return False
        least = None if floor is None else float(floor)
        self.certificate.observe(score=float(score), wrong=wrong, inclusion=chance, seq=pos, floor=least)
        self.certificate.tick(pos)
        if self.first is None and self.certificate.labels:
            self.first, self.missing = pos, 0
        return bool(autopilot) and self.monitor.observe(wrong=wrong, inclusion=chance)

    def note_missing(self, labels: Iterable[Counted], stale: Iterable[int], missing: Iterable[int]) -> None:
        """Note how many of the labels that this certificate counts stand for silence."""
        counted = {label[0] for label in labels if label[0] >= (self.first or 0)} - set(stale)
        self.missing += len(counted.intersection(missing))

    def finish(self, upto: int, unseen: int) -> None:
        """Count what nobody reviewed after the last label."""
        self.bound.skip(unseen)
        self.upto = max(self.upto, upto)

    def fold(self, event: EvidenceCounted) -> None:
        """Count what an event of the stream holds."""
        stale = frozenset(event.stale)
        for label, floor in with_floors(event):
            self.count(label, stale=label[0] in stale, floor=floor)
        self.note_missing(event.labels, event.stale, event.missing)
        self.finish(event.upto, event.unseen)

    def shared(self) -> None:
        """Note that audit shares were computed from what is counted by now."""
        self.shared_at, self.boosted = self.certificate.labels, self.monitor.suspicious

    def copied(self) -> Self:
        """The same, counting on by itself."""
        made = copy(self)
        made.certificate = Certificate.from_dict(self.certificate.to_dict())
        made.monitor = Monitor.from_dict(self.monitor.to_dict())
        made.bound = RunningBound.from_dict(self.bound.to_dict())
        return made

    @property
    def steps(self) -> Sequence[Step]:
        """What was certified so far in this epoch."""
        return self.certificate.steps


def with_floors(event: EvidenceCounted) -> Iterator[tuple[Counted, str | None]]:
    """The labels of an event, each with its floor where one was said."""
    return zip(event.labels, event.floors or repeat(None), strict=False)


def evidence(entries: Iterable[Entry], segment: str) -> list[dict[str, Any]]:
    """The labels that the certificate of a segment's latest epoch has counted, by the entries of the loop's stream."""
    rows: list[dict[str, Any]] = []
    for event in (event for entry in entries for event in entry.events):
        if isinstance(event, EpochBegan) and event.segment == segment:
            rows = []
        elif isinstance(event, EvidenceCounted) and event.segment == segment:
            rows += [_row(label, floor) for label, floor in with_floors(event) if label[0] not in event.stale]
    return rows


def _row(label: Counted, floor: str | None) -> dict[str, Any]:
    pos, score, wrong, inclusion, _, _ = label
    row = {"seq": pos, "score": float(score), "wrong": wrong, "inclusion": float(inclusion)}
    return row if floor is None else row | {"floor": float(floor)}
