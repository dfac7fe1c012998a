"""Time series of a loop's certificates: what was certified when, by how many labels, folded from its stream.

Folding goes on where it stopped, so that a page asks for what is new only; points are thinned by doubling the stride
between them, which depends on the labels alone and not on how they were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

from msgspec.structs import replace

from dualcontrol.case import Actor, Value, decoder
from dualcontrol.control import CONFIDENCE, RISK, Control, LoopSettings
from dualcontrol.events import (
    AlarmRaised,
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    Entry,
    EpochBegan,
    Event,
    EvidenceCounted,
    LookTaken,
    LoopResumed,
    LoopStopped,
    ModelPromoted,
    OverrideDropped,
    PolicyChanged,
    SegmentEvent,
    SettingOverridden,
    ThresholdMoved,
)
from dualcontrol.evolve import governed_by
from dualcontrol.guarantee.curve import wilson
from dualcontrol.guarantee.evidence import Segment, together
from dualcontrol.guarantee.offline import share

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
    """One segment's time series."""

    def __init__(self, began: EpochBegan, before: Trail | None) -> None:
        self.segment: Segment = Segment(began, before.segment if before else None)
        self.order: str = CONFIDENCE  # of two, the one that acts
        self.tally = Tally()
        self.decisions: int = before.decisions if before else 0
        self.seen: int = before.seen if before else 0
        self.stride: int = before.stride if before else 1
        self.points: list[tuple[bool, int, Point]] = before.points if before else []

    def count(self, event: EvidenceCounted, threshold: float | None) -> None:
        """Take the labels of an event, and note a point here and there."""
        segment, stale = self.segment, frozenset(event.stale)
        certificate = segment.certificate
        for first, labels in together(event):
            alarm, before = segment.count_together(first, labels, stale), self.seen
            for (pos, score, wrong, inclusion, _, unseen), _ in labels:
                if pos not in stale and certificate.begun and certificate.labels:
                    self.tally.add(certificate.bin_of(float(score)), float(score), wrong, float(inclusion))
                self.decisions, self.seen = self.decisions + 1 + unseen, self.seen + 1
            if alarm or self.seen // self.stride > before // self.stride:
                self.note(event.at, threshold, mark=alarm, suspicion=1.0 if alarm else None)
        self.decisions += event.unseen + event.shown
        segment.note_missing(event.labels, event.stale, event.missing)
        segment.count_second(event)
        segment.note(event)
        segment.finish(event.upto, event.unseen, event.shown)

    def note(self, at: int, threshold: float | None, *, mark: bool, suspicion: float | None = None) -> None:
        """Keep a point of what stands now; marks are never thinned out."""
        certificate, bound, acts = self.segment.certificate, self.segment.bound, self.segment.of(self.order)
        coverage: float = 0
        if acts.begun and threshold is not None:
            coverage = acts.share_from(acts.bin_of(threshold))
        point = Point(
            at=at, pos=self.segment.upto, epoch=self.segment.epoch, decisions=self.decisions,
            labels=certificate.labels, threshold=threshold, coverage=round(coverage, 6),
            error_upper=round(bound.upper, 6) if bound.cases else None,
            error_estimate=None if bound.estimate is None else round(bound.estimate, 6),
            suspicion=round(self.segment.monitor.share if suspicion is None else suspicion, 4),
        )  # fmt: skip
        self.points.append((mark, self.seen, point))
        if sum(not marked for marked, _, _ in self.points) > 2 * MOST:
            self.stride *= 2
            self.points = [point for point in self.points if point[0] or point[1] % self.stride == 0]


class History:
    """The time series of every segment of a loop, and its change log; `seq` is the last entry that was folded."""

    def __init__(self, loop: str) -> None:
        self.seq = 0
        self.moves: list[Move] = []
        self.trails: dict[str, Trail] = {}
        self._spent = Spent()
        self._control = Control(loop=loop, loop_id=0, version=0, settings=LoopSettings(name=loop))

    def fold(self, entries: Iterable[Entry]) -> History:
        """Take further entries of the loop's stream."""
        for entry in entries:
            self.seq = entry.seq
            for event in entry.events:
                if (move := self._spent.on(event, move_of(entry, event))) is not None:
                    self.moves.append(move)
                self._control = governed_by(self._control, event)
                if isinstance(event, SegmentEvent) and event.segment in self.trails:
                    self.trails[event.segment].order = self._control.orders.get(event.segment, CONFIDENCE)
                if isinstance(event, EpochBegan) and event.order and event.segment in self.trails:
                    trail = self.trails[event.segment]
                    trail.segment = trail.segment.begin_order(event)
                elif isinstance(event, EpochBegan):
                    self.trails[event.segment] = Trail(event, self.trails.get(event.segment))
                elif isinstance(event, EvidenceCounted) and event.segment in self.trails:
                    self.trails[event.segment].count(event, self._in_force(event.segment))
                if move is None or move.what == "audits changed":
                    continue
                # a point right after a change; one of the whole loop is noted in every segment
                for name in self.trails if move.segment == "" else {move.segment} & self.trails.keys():
                    self.trails[name].note(entry.at, self._in_force(name), mark=True)
        return self

    def points(self, segment: str) -> Sequence[Point]:
        """A segment's time series, a few hundred points at most."""
        trail = self.trails.get(segment)
        return [] if trail is None else [point for _, _, point in trail.points]

    def moved(self, segment: str) -> list[Move]:
        """What moved in a segment, or in the whole loop."""
        return [move for move in self.moves if move.segment in ("", segment)]

    def _in_force(self, segment: str) -> float | None:
        """From which score on autopilot may act just now."""
        if self._control.closed_for(segment) is not None or self._control.settings.guarantee is None:
            return None
        return self._control.threshold_for(segment)


# The change log of a loop: what moved, when, by whom and why, from the entries of its stream.


_SETTINGS = decoder(LoopSettings)
PLAIN = {
    AuditsChanged: "audits changed", AutopilotClosed: "autopilot closed", AutopilotOpened: "autopilot opened",
    LoopStopped: "loop stopped", LoopResumed: "loop opened again",
}  # fmt: skip
BEGAN = {"": "epoch began", RISK: "learned order began", CONFIDENCE: "confidence began again"}
ALARMS = {"drift": "the monitor's alarm", "scale": "the alarm, since the scores are not what they were"}


class Move(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One change and its reason; `segment` is "" where it concerns the whole loop.

    `proof` is how who made it was known, where a person did it at a page, over HTTP or on the command line.  The first
    threshold of an epoch has the `seconds` of people behind it.
    """

    at: int
    by: str
    what: str
    reason: str
    segment: str = ""
    epoch: int | None = None
    threshold: float | None = None
    coverage: float | None = None
    pos: int | None = None
    steps: int = 1
    proof: Actor | None = None
    seconds: float | None = None


def gathered(moves: Iterable[Move]) -> list[Move]:
    """The same with the steps of a threshold that were taken at one moment as one move: the last, and how many."""
    result: list[Move] = []
    for move in moves:
        before = result[-1] if result and move.threshold is not None else None
        place = (move.at, move.what, move.segment)
        if before is not None and (before.at, before.what, before.segment) == place:
            result[-1] = replace(move, steps=before.steps + move.steps, seconds=before.seconds)
        else:
            result.append(move)
    return result


def moves(entries: Iterable[Entry]) -> list[Move]:
    """Every change in order."""
    spent = Spent()
    changes = (spent.on(event, move_of(entry, event)) for entry in entries for event in entry.events)
    return [move for move in changes if move is not None]


class Spent:
    """People's time by segment since its epoch began, until that certifies something."""

    def __init__(self) -> None:
        self._took: dict[str, int] = {}

    def on(self, event: Event, move: Move | None) -> Move | None:
        """The move of an event; the first threshold of an epoch with the time that people took for it."""
        if isinstance(event, EpochBegan) and event.order != RISK and not event.carried:
            self._took[event.segment] = 0
        elif isinstance(event, EvidenceCounted) and event.segment in self._took:
            self._took[event.segment] += event.took
        elif isinstance(event, ThresholdMoved) and move is not None and move.threshold is not None:
            took = self._took.pop(event.segment, None)
            return move if took is None else replace(move, seconds=round(took / 1e6, 3))
        return move


def move_of(entry: Entry, event: Event) -> Move | None:
    """The change that an event is, or None where it changes nothing that governs."""
    move = partial(Move, at=entry.at, by=entry.actor, proof=entry.proof)
    match event:
        case PolicyChanged():
            guarantee = _SETTINGS.decode(event.settings).guarantee
            if guarantee is None:
                return move(what="settings changed", reason="without a guarantee")
            parts = f", in segments {', '.join(guarantee.segments)}" if guarantee.segments else ""
            most = f"a guarantee of at most {share(guarantee.max_error)} wrong"
            asks = f"; {event.asks}" if event.asks else ""
            return move(what="settings changed", reason=f"{most} at {share(guarantee.confidence)}{parts}{asks}")
        case SettingOverridden():
            approved = f", approved by {event.approved_by}" if event.approved_by else ""
            return move(what="setting overridden", reason=f"{event.key} is {event.value}, not {event.before}{approved}")
        case OverrideDropped():
            why = f": {event.reason}" if event.reason else ""
            return move(what="override dropped", reason=f"{event.key} is as the settings say{why}")
        case EpochBegan():
            why = event.reason if event.cut is None else ALARMS.get(event.cut, event.reason)
            return move(what=BEGAN[event.order], reason=why, segment=event.segment, epoch=event.epoch)
        case ThresholdMoved():
            return move(
                what="threshold moved", reason=event.reason, segment=event.segment, epoch=event.epoch,
                threshold=None if event.threshold is None else float(event.threshold),
                coverage=None if event.coverage is None else float(event.coverage), pos=event.pos,
            )  # fmt: skip
        case AuditsChanged() | AutopilotClosed() | AutopilotOpened():
            return move(what=PLAIN[type(event)], reason=event.reason, segment=event.segment)
        case LoopStopped() | LoopResumed():
            return move(what=PLAIN[type(event)], reason=event.because)
        case LookTaken():
            said = "nothing" if event.threshold is None else f"from {float(event.threshold):.4g} on"
            many = f"{event.labels:,} labels at {share(float(event.max_error))} and {share(float(event.confidence))}"
            return move(
                what="one look", reason=f"at {many}: {said} is certified", segment=event.segment, epoch=event.epoch
            )
        case AlarmRaised():
            return move(what="alarm", reason=event.reason)
        case ModelPromoted():
            return move(what="model promoted", reason=f"{event.model}, trained on {event.examples:,} decisions")
    return None


# Reliability: how often proposals were right at the confidence they came with, weighed by one over inclusion.


GROUPS = 10


class Rate(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Cases of similar confidence: how sure they were on average, and how many were right, between which bounds."""

    confidence: float
    right: float
    low: float
    high: float
    labels: int
    share: float


class Sums:
    """Weighted sums over the labels of a score bin, or of several together."""

    def __init__(self) -> None:
        self.labels = 0
        self.weight = self.square = self.wrong = self.score = 0.0

    def add(self, labels: int, weight: float, square: float, wrong: float, score: float) -> None:
        """Count so many labels with these sums."""
        self.labels += labels
        self.weight, self.square = self.weight + weight, self.square + square
        self.wrong, self.score = self.wrong + wrong, self.score + score


class Tally:
    """Sums by score bin; a few bins of about equally many labels on request."""

    def __init__(self) -> None:
        self._bins: defaultdict[int, Sums] = defaultdict(Sums)

    def add(self, place: int, score: float, wrong: int, inclusion: float) -> None:
        """Count a label."""
        weight = 1.0 / inclusion
        self._bins[place].add(1, weight, weight * weight, wrong * weight, score * weight)

    def rates(self, confidence: float = 0.95) -> list[Rate]:
        """From the lowest confidence to the highest; bins are joined until each holds a tenth of the labels.

        The interval is Wilson's at the number of plain labels that the weighted ones are worth (Kish 1965).
        """
        whole = sum(sums.weight for sums in self._bins.values())
        least = sum(sums.labels for sums in self._bins.values()) / GROUPS
        joined: list[Sums] = []
        for place in sorted(self._bins):
            if not joined or joined[-1].labels >= least:
                joined.append(Sums())
            part = self._bins[place]
            joined[-1].add(part.labels, part.weight, part.square, part.wrong, part.score)
        rates = []
        for sums in joined:
            wrong, worth = sums.wrong / sums.weight, sums.weight**2 / sums.square
            low, high = wilson(wrong * worth, worth, confidence)
            rate = Rate(
                confidence=round(sums.score / sums.weight, 6), right=round(1.0 - wrong, 6), low=round(1.0 - high, 6),
                high=round(1.0 - low, 6), labels=sums.labels, share=round(sums.weight / whole, 6),
            )  # fmt: skip
            rates.append(rate)
        return rates
