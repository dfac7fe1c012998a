"""What a certifier holds of a loop: its segments as the stream says, what waits to be counted, an epoch that is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dualcontrol.certify import moving, warm
from dualcontrol.certify.decisions import Decisions
from dualcontrol.certify.segment import Segment
from dualcontrol.control import Control
from dualcontrol.events import AuditsChanged, Entry, EpochBegan, Event, EvidenceCounted, PolicyChanged
from dualcontrol.route.scale import Scale


class LoopState:
    """A loop's evidence as its stream says, up to entry `seq`, and the decisions that wait to be counted."""

    def __init__(self) -> None:
        self.seq = 0
        self.segments: dict[str, Segment] = {}
        self.decisions: Decisions | None = None
        self.scales: dict[tuple[str, int], Scale] = {}
        self.alarms: dict[tuple[str, int], str] = {}
        self.relabelled: set[str] = set()

    def rescaled(self, name: str, decisions: Decisions) -> str | None:
        """What has become of the scores in a segment where something is certified; None while they are as they were."""
        segment, scores = self.segments.get(name), decisions.scores.pop(name, [])
        if segment is None or segment.certificate.threshold is None:
            return None
        made, key = segment.certificate, (name, segment.epoch)
        scale = self.scales.setdefault(key, Scale(made.weights, made.labels))
        for place in [made.bin_of(score) for model, score in scores if model == segment.model]:
            group = scale.observe(place)
            if group is not None:
                self.alarms[key] = moving.rescaled(segment, scale, group)
        return self.alarms.get(key)

    def fold(self, entries: Sequence[Entry]) -> None:
        """Read on in the loop's stream."""
        for entry in entries:
            self.seq = entry.seq
            for event in entry.events:
                apply(self.segments, event)
                self.note(event)

    def note(self, event: Event) -> None:
        """Keep in mind in which segments the labels have changed since their epoch began."""
        if isinstance(event, PolicyChanged) and event.relabelled:
            self.relabelled |= set(self.segments)
        elif isinstance(event, EpochBegan):
            self.relabelled.discard(event.segment)

    def counted(self, control: Control) -> int:
        """The position up to which every segment of the promise in force is counted."""
        now = [s.upto for name, s in self.segments.items() if control.epochs.get(name) == s.epoch]
        return min(now or [segment.upto for segment in self.segments.values()], default=0)


class Beginning(NamedTuple):
    """An epoch that is due: for which model, with the evidence that comes after a position, and why.

    `cut` says why what was decided before is no evidence for it.
    """

    model: str | None
    after: int
    reason: str
    start: warm.Start | None = None
    alarm: bool = False
    cut: str | None = None


def apply(segments: dict[str, Segment], event: Event) -> None:
    """What an event of the loop's stream says of its segments."""
    if isinstance(event, EpochBegan):
        segments[event.segment] = Segment(event, segments.get(event.segment))
    elif isinstance(event, EvidenceCounted) and event.segment in segments:
        segments[event.segment].fold(event)
    elif isinstance(event, AuditsChanged) and event.segment in segments:
        segments[event.segment].shared()
