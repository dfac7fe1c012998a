"""The course of a loop's certificates: what was certified when, by how many labels, folded from its stream.

Folding goes on where it stopped, so that a page asks for what is new only; points are thinned by doubling the stride
between them, which depends on the labels alone and not on how they were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dualcontrol.case import Value
from dualcontrol.certify.moves import Move, told
from dualcontrol.certify.reliability import Tally
from dualcontrol.certify.segment import Counted, Segment, with_floors
from dualcontrol.control import Control, LoopSettings
from dualcontrol.events import Entry, EpochBegan, Event, EvidenceCounted, governed_by

MOST = 240  # points between marks; twice as many and every other one goes


class Point(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What stood after some label or move; `decisions` counts those that a label or its absence is known of."""

    at: int
    pos: int
    epoch: int
    decisions: int
    labels: int
    threshold: float | None
    coverage: float
    error_upper: float | None
    error_estimate: float | None
    suspicion: float


class Trail:
    """One segment's course."""

    def __init__(self, began: EpochBegan, before: Trail | None) -> None:
        self.segment: Segment = Segment(began, before.segment if before else None)
        self.tally = Tally()
        self.decisions: int = before.decisions if before else 0
        self.seen: int = before.seen if before else 0
        self.stride: int = before.stride if before else 1
        self.points: list[tuple[bool, int, Point]] = before.points if before else []

    def count(self, event: EvidenceCounted, threshold: float | None) -> None:
        """Take the labels of an event, and note a point here and there."""
        stale = frozenset(event.stale)
        for label, floor in with_floors(event):
            alarm = self._label(label, stale=label[0] in stale, floor=floor)
            self.decisions, self.seen = self.decisions + 1 + label[5], self.seen + 1
            if alarm or self.seen % self.stride == 0:
                self.note(event.at, threshold, mark=alarm, suspicion=1.0 if alarm else None)
        self.decisions += event.unseen
        self.segment.note_missing(event.labels, event.stale, event.missing)
        self.segment.finish(event.upto, event.unseen)

    def _label(self, label: Counted, *, stale: bool, floor: str | None) -> bool:
        alarm = self.segment.count(label, stale=stale, floor=floor)
        if not stale and self.segment.certificate.begun and self.segment.certificate.labels:
            place = self.segment.certificate.bin_of(float(label[1]))
            self.tally.add(place, score=float(label[1]), wrong=label[2], inclusion=float(label[3]))
        return alarm

    def note(self, at: int, threshold: float | None, *, mark: bool, suspicion: float | None = None) -> None:
        """Keep a point of what stands now; marks are never thinned out."""
        self.points.append((mark, self.seen, self._point(at, threshold, suspicion)))
        if sum(not marked for marked, _, _ in self.points) > 2 * MOST:
            self.stride *= 2
            self.points = [point for point in self.points if point[0] or point[1] % self.stride == 0]

    def _point(self, at: int, threshold: float | None, suspicion: float | None) -> Point:
        certificate, bound = self.segment.certificate, self.segment.bound
        share = (
            certificate.share_from(certificate.bin_of(threshold)) if certificate.begun and threshold is not None else 0
        )
        return Point(
            at=at, pos=self.segment.upto, epoch=self.segment.epoch, decisions=self.decisions,
            labels=certificate.labels, threshold=threshold, coverage=round(share, 6),
            error_upper=round(bound.upper, 6) if bound.cases else None,
            error_estimate=None if bound.estimate is None else round(bound.estimate, 6),
            suspicion=round(self.segment.monitor.share if suspicion is None else suspicion, 4),
        )  # fmt: skip


class History:
    """The course of every segment of a loop, and its change log; `seq` is the last entry that was folded."""

    def __init__(self, loop: str) -> None:
        self.seq = 0
        self.moves: list[Move] = []
        self.trails: dict[str, Trail] = {}
        self._control = Control(loop=loop, loop_id=0, version=0, settings=LoopSettings(name=loop))

    def fold(self, entries: Iterable[Entry]) -> History:
        """Take further entries of the loop's stream."""
        for entry in entries:
            self.seq = entry.seq
            for event in entry.events:
                self._apply(entry, event)
        return self

    def points(self, segment: str) -> Sequence[Point]:
        """A segment's course, a few hundred points at most."""
        trail = self.trails.get(segment)
        return [] if trail is None else [point for _, _, point in trail.points]

    def moved(self, segment: str) -> list[Move]:
        """What moved in a segment, or in the whole loop."""
        return [move for move in self.moves if move.segment in ("", segment)]

    def _apply(self, entry: Entry, event: Event) -> None:
        if (move := told(entry, event)) is not None:
            self.moves.append(move)
        self._control = governed_by(self._control, event)
        if isinstance(event, EpochBegan):
            self.trails[event.segment] = Trail(event, self.trails.get(event.segment))
        elif isinstance(event, EvidenceCounted) and event.segment in self.trails:
            self.trails[event.segment].count(event, self._in_force(event.segment))
        if move is not None and move.what != "audits changed":
            self._mark(entry.at, move.segment)

    def _mark(self, at: int, segment: str) -> None:
        """A point right after a change; one of the whole loop is noted in every segment."""
        for name in self.trails if segment == "" else {segment} & self.trails.keys():
            self.trails[name].note(at, self._in_force(name), mark=True)

    def _in_force(self, segment: str) -> float | None:
        """From which score on autopilot may act just now."""
        if self._control.closed_for(segment) is not None or self._control.settings.guarantee is None:
            return None
        return self._control.threshold_for(segment)
