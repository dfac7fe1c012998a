"""Decisions as the feed tells of them: in their order, each with its label once people have given it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import repeat
from typing import Any, NamedTuple, Self

from dualcontrol.case import Case, microseconds
from dualcontrol.control import Control, LoopSettings
from dualcontrol.events import (
    Answered,
    BatchRouted,
    Entry,
    EpochBegan,
    Event,
    EvidenceCounted,
    Opened,
    PolicyChanged,
    Routed,
    ScoreChanged,
)
from dualcontrol.evolve import fold, governed_by
from dualcontrol.guarantee.bound import RunningBound
from dualcontrol.guarantee.certificate import Certificate, Step
from dualcontrol.guarantee.monitor import Monitor
from dualcontrol.names import identity
from dualcontrol.review import adjudication
from dualcontrol.route import audit

LOOK_BACK = 5_000  # positions before the first decision: who answered there may be asked again
BATCH = "batch/"  # keys of cases that stand for rows: those without a case are missing among their scores
TURN = 20  # decisions in a row by one model, after which the certificate is for that model


class CertifiedDecision:
    """One decision that a certificate speaks for; `case` is followed until its label is known, None if nobody looks.

    `batch` rows of a batch, where nobody looks, stand together.
    """

    __slots__ = ("batch", "case", "model", "opened_at", "pos", "score")

    def __init__(
        self, pos: int, score: float, model: str | None, opened_at: int, case: Case | None, batch: int = 0
    ) -> None:  # fmt: skip
        self.pos, self.score, self.model, self.opened_at, self.case = pos, score, model, opened_at, case
        self.batch = batch

    @property
    def inclusion(self) -> float:
        """With what probability a human was to see it."""
        return self.case.route.inclusion if self.case is not None and self.case.route is not None else 0.0

    @property
    def scorer(self) -> str | None:
        """The risk model that gave its score, where it is followed."""
        return self.case.route.scorer if self.case is not None and self.case.route is not None else None

    @property
    def autopilot(self) -> bool:
        """Whether it went to autopilot."""
        return self.case is None or (self.case.route is not None and self.case.route.to == "autopilot")


class ModelRun(NamedTuple):
    """Decisions in a row by one model: its name, the position of the first, and how many."""

    model: str | None
    start: int
    length: int = 1

    def on(self, model: str | None, pos: int) -> ModelRun:
        """The run after one more decision."""
        return ModelRun(model, self.start, self.length + 1) if model == self.model else ModelRun(model, pos)


class Decisions:
    """Decisions that are not counted yet, by segment and in order; `read` is the position that the feed was read to.

    `people` have answered lately; `changed` is the position of the last change of settings, `runs` the models that
    propose now, `scores` those that nobody has looked at yet, with their models.
    """

    def __init__(self, after: int, control: Control) -> None:
        self.after, self.read = after, max(0, after - LOOK_BACK)
        self.guarantee = control.settings.guarantee
        self.waiting: dict[str, deque[CertifiedDecision]] = {}
        self.people: set[str] = set()
        self.runs: dict[str, ModelRun] = {}
        self.changed = 0
        self.scores: dict[str, list[tuple[str | None, float]]] = {}
        self._open: dict[str, CertifiedDecision] = {}

    def take(self, entries: Iterable[Entry], control: Control) -> int:
        """Note what entries of the feed say; returns how many there were."""
        count = 0
        for entry in entries:
            count, self.read = count + 1, entry.pos or self.read
            self.people.update(identity(event.actor.person) for event in entry.events if isinstance(event, Answered))
            if self.read > self.after:
                self._note(entry, control)
        return count

    def trim(self, segment: str, upto: int) -> None:
        """Stop following what is counted."""
        waiting = self.waiting.get(segment)
        while waiting and waiting[0].pos <= upto:
            counted = waiting.popleft().case
            if counted is not None:
                self._open.pop(counted.id, None)

    def _note(self, entry: Entry, control: Control) -> None:
        kind, _, case_id = entry.stream.partition("/")
        if kind == "loop":
            for event in entry.events:
                self._governed(event, entry.pos or 0)
        elif kind == "case" and entry.seq == 1:
            self._decided(entry, control)
        elif case_id in self._open:
            found = self._open[case_id]
            found.case = fold(found.case, entry.events)

    def _governed(self, event: Event, pos: int) -> None:
        if isinstance(event, PolicyChanged | ScoreChanged):
            self.changed = pos
        elif isinstance(event, BatchRouted):
            for segment, rows in event.unseen.items():
                self._wait(segment, CertifiedDecision(pos, 0.0, None, event.at, None, rows))

    def _decided(self, entry: Entry, control: Control) -> None:
        opened = entry.events[0]
        routed = next((event for event in entry.events if isinstance(event, Routed)), None)
        if not isinstance(opened, Opened) or routed is None or routed.score is None:
            return
        segment = control.certificate_for(opened.segment)
        if segment is None or opened.origin != "live" or opened.case_kind != "live":
            return
        seen = routed.to == "human" or routed.audited
        case = fold(None, entry.events) if seen else None
        found = CertifiedDecision(entry.pos or 0, float(routed.score), routed.model, opened.at, case)
        run = self.runs.get(segment, ModelRun(found.model, found.pos, 0))
        self.runs[segment] = run.on(found.model, found.pos)
        if not (opened.key or "").startswith(BATCH):
            self.scores.setdefault(segment, []).append((found.model, found.score))
        self._wait(segment, found)
        if case is not None:
            self._open[case.id] = found

    def _wait(self, segment: str, found: CertifiedDecision) -> None:
        self.waiting.setdefault(segment, deque()).append(found)


# Counting: labels become evidence in the order of decisions, behind the first one that is still outstanding.


MOST_AT_ONCE = 2_000


class Taken(NamedTuple):
    """What was counted, and whether the alarm went off."""

    event: EvidenceCounted | None
    alarm: bool


class _Batch:
    """Labels on their way into one event."""

    def __init__(self) -> None:
        self.labels: list[Counted] = []
        self.stale: list[int] = []
        self.missing: list[int] = []
        self.unseen = self.upto = 0


def count(name: str, segment: Segment, decisions: Decisions, control: Control, now: int) -> Taken:
    """Count what is due in a segment: what has its label, or has waited for it too long."""
    batch, alarm, done = _Batch(), False, segment.upto
    for first in decisions.waiting.get(name, ()):
        if alarm or len(batch.labels) >= MOST_AT_ONCE:
            break
        if first.pos <= done:  # another process counted it already
            continue
        said = _label(first, control, now, alone=len(decisions.people) < 2)
        if said == PENDING:
            break
        alarm = _counted(segment, batch, first, said)
    if batch.upto == 0:
        return Taken(None, False)
    segment.finish(batch.upto, batch.unseen)
    segment.note_missing(batch.labels, batch.stale, batch.missing)
    return Taken(_event(name, segment, batch, now), alarm)


def ready(name: str, decisions: Decisions, control: Control, now: int) -> bool:
    """Whether the next decision of a segment can be counted."""
    first = decisions.waiting[name][0]
    return _label(first, control, now, alone=len(decisions.people) < 2) != PENDING


def _label(first: CertifiedDecision, control: Control, now: int, *, alone: bool) -> int | str | None:
    """The label of a decision; None where nobody was to look at it."""
    if first.case is None:
        return None
    said = found(first.case, control, alone=alone)
    guarantee = control.settings.guarantee
    patience = microseconds(guarantee.answer_within) if guarantee else None
    late = patience is not None and now - first.opened_at > patience
    return MISSING if said == PENDING and late else said


def _counted(segment: Segment, batch: _Batch, first: CertifiedDecision, said: int | str | None) -> bool:
    batch.upto = first.pos
    if said is None:
        batch.unseen += first.batch or 1
        return False
    if said == MISSING:
        batch.missing.append(first.pos)
    stale = first.pos <= segment.after or first.model != segment.model or first.scorer != segment.scorer
    if stale and not first.autopilot:
        return False
    if stale:
        batch.stale.append(first.pos)
    wrong = 1 if said == MISSING else int(said)
    label = (first.pos, repr(first.score), wrong, repr(first.inclusion), int(first.autopilot), batch.unseen)
    batch.labels.append(label)
    batch.unseen = 0
    return segment.count(label, stale=stale)


def _event(name: str, segment: Segment, batch: _Batch, now: int) -> EvidenceCounted:
    return EvidenceCounted(
        at=now, segment=name, epoch=segment.epoch, upto=batch.upto, labels=tuple(batch.labels), unseen=batch.unseen,
        stale=tuple(batch.stale), missing=tuple(batch.missing),
    )  # fmt: skip


# What people found a proposal to be: right, wrong, not said yet, or never to be said.


PENDING, MISSING = "pending", "missing"
AWAITED = ("open", "claimed")


def found(case: Case, control: Control, *, alone: bool = False) -> int | str:
    """0 or 1 where a label stands, `PENDING` while one may come, `MISSING` where none will.

    Where one reviewer is `alone`, nobody can be asked again, and the first word counts.
    """
    if case.route is None or case.concluded is None:
        return PENDING
    if case.route.to == "human" and case.concluded.by != "human":
        return MISSING  # its time ran out, or the program did not want it any more
    if any(r.kind == "audit" and r.state in AWAITED for r in case.reviews):
        return PENDING
    said = adjudication.verdict(case, control)
    if said.state == "pending":
        return 1 if alone else PENDING
    return MISSING if said.wrong is None else said.wrong


# One segment's evidence: certificate, monitor and running bound, fed from the same labels in the same order.


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


# Floors: the least inclusion probability that any decision could have had under each version of a loop's control.
#
# A bet may be as large as the floor allows, and has to be fixed before the decision: so it is taken from the control
# that routed the decision, never from what was drawn.


class Floors:
    """The floors of one segment, folded from the loop's stream."""

    def __init__(self, entries: Iterable[Entry], control: Control, segment: str) -> None:
        self._least = {now.version: audit.least(now, segment) for now in _versions(entries, control)}

    def at(self, version: int) -> float:
        """The floor under a version; 1 where it is unknown, as before the first event."""
        return self._least.get(version, 1.0)


class Reach(NamedTuple):
    """With what least probability people saw any case that a score sends somewhere, by version of the control.

    `guaranteed` says whether a guarantee ever governed: there what was labelled decided who saw the cases behind it.
    """

    least: Mapping[int, float]
    guaranteed: bool


def reach(entries: Iterable[Entry], control: Control) -> Reach:
    """What the loop's stream says of who could see its cases."""
    versions = list(_versions(entries, control))
    guaranteed = any(now.settings.guarantee is not None for now in versions)
    return Reach({now.version: audit.lowest(now) for now in versions}, guaranteed)


def _versions(entries: Iterable[Entry], control: Control) -> Iterator[Control]:
    """Every control that the loop's stream tells of, the first one before any event."""
    now = Control(loop=control.loop, loop_id=control.loop_id, version=0, settings=LoopSettings(name=control.loop))
    yield now
    for event in (event for entry in entries for event in entry.events):
        after = governed_by(now, event)
        if after is not now:
            now = after
            yield now
