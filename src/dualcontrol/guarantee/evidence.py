"""Evidence: decisions in their order with the labels that people gave, as the feed and the loop's stream hold them.

A label counts behind the first decision whose label is still outstanding, so that errors that are answered later than
the rest do not come too late (a watermark).
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple, Self

from dualcontrol.case import Case, microseconds
from dualcontrol.control import Control, LoopSettings
from dualcontrol.events import (
    Answered,
    BatchRouted,
    Entry,
    EpochBegan,
    EvidenceCounted,
    Opened,
    Routed,
    ScoreChanged,
    SettingsEvent,
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


@dataclass(slots=True)
class CertifiedDecision:
    """One decision that a certificate speaks for; `case` is followed until its label is known, None if nobody looks.

    `batch` rows of a batch, where nobody looks, stand together; at one that is `shown` people look, and see the
    proposal.
    """

    pos: int
    score: float
    model: str | None
    opened_at: int
    case: Case | None
    batch: int = 0
    shown: bool = False


class ModelRun(NamedTuple):
    """Decisions in a row by one model: its name, the position of the first, and how many."""

    model: str | None
    start: int
    length: int


class Decisions:
    """Decisions that are not counted yet, by segment and in order; `read` is the position that the feed was read to.

    `people` have answered lately; `changed` is the position of the last change of settings, `runs` the models that
    propose now, `scores` those that nobody has looked at yet, with their models.
    """

    def __init__(self, after: int, control: Control) -> None:
        self.after, self.read = after, max(0, after - LOOK_BACK)
        self.guarantee = control.settings.guarantee
        self.waiting: defaultdict[str, deque[CertifiedDecision]] = defaultdict(deque)
        self.people: set[str] = set()
        self.runs: dict[str, ModelRun] = {}
        self.changed = 0
        self.scores: defaultdict[str, list[tuple[str | None, float]]] = defaultdict(list)
        self._open: dict[str, CertifiedDecision] = {}

    def take(self, entries: Iterable[Entry], control: Control) -> int:
        """Take entries of the feed in; returns how many there were."""
        count = 0
        for entry in entries:
            count, self.read = count + 1, entry.pos or self.read
            for event in entry.events:
                if isinstance(event, Answered):
                    self.people.add(identity(event.actor.person))
            if self.read <= self.after:
                continue
            kind, _, case_id = entry.stream.partition("/")
            if kind == "loop":
                for event in entry.events:
                    if isinstance(event, SettingsEvent | ScoreChanged):
                        self.changed = entry.pos or 0
                    elif isinstance(event, BatchRouted):
                        for segment, rows in event.unseen.items():
                            unseen = CertifiedDecision(entry.pos or 0, 0.0, None, event.at, None, rows)
                            self.waiting[segment].append(unseen)
            elif kind == "case" and entry.seq == 1:
                self._opened(entry, control)
            elif case_id in self._open:
                decision = self._open[case_id]
                decision.case = fold(decision.case, entry.events)
        return count

    def trim(self, segment: str, upto: int) -> None:
        """Stop following what is counted."""
        waiting = self.waiting.get(segment)
        while waiting and waiting[0].pos <= upto:
            counted = waiting.popleft().case
            if counted is not None:
                self._open.pop(counted.id, None)

    def _opened(self, entry: Entry, control: Control) -> None:
        """Note a new case, where a score routed it and a certificate speaks for it."""
        opened = entry.events[0]
        routed = next((event for event in entry.events if isinstance(event, Routed)), None)
        if not isinstance(opened, Opened) or routed is None or routed.score is None:
            return
        segment = control.certificate_for(opened.segment)
        if segment is None or opened.origin != "live" or opened.case_kind != "live":
            return
        shown = routed.to == "human" and routed.evidence is not None and not routed.asked_blind
        seen = (routed.to == "human" and not shown) or routed.audited
        case = fold(None, entry.events) if seen else None
        decision = CertifiedDecision(
            entry.pos or 0, float(routed.score), routed.model, opened.at, case, shown=shown
        )  # fmt: skip
        run = self.runs.get(segment)
        if run is None or run.model != decision.model:
            run = ModelRun(decision.model, decision.pos, 0)
        self.runs[segment] = ModelRun(run.model, run.start, run.length + 1)
        if not (opened.key or "").startswith(BATCH):
            self.scores[segment].append((decision.model, decision.score))
        self.waiting[segment].append(decision)
        if case is not None:
            self._open[case.id] = decision


# Counting: labels become evidence in the order of decisions, behind the first one that is still outstanding.


MOST_AT_ONCE = 2_000


def count(
    name: str, segment: Segment, decisions: Decisions, control: Control, now: int
) -> tuple[EvidenceCounted | None, bool]:  # fmt: skip
    """Count what is due in a segment: what has its label, or has waited for it too long; True with an alarm."""
    labels: list[Counted] = []
    stale: list[int] = []
    missing: list[int] = []
    upto, unseen, shown, alarm, done = 0, 0, 0, False, segment.upto
    alone, blind = len(decisions.people) < 2, True
    for decision in decisions.waiting.get(name, ()):
        if alarm or len(labels) >= MOST_AT_ONCE:
            break
        if decision.pos <= done:  # another process counted it already
            continue
        label = _label(decision, control, now, alone=alone)
        if label == PENDING:
            break
        upto = decision.pos
        if decision.shown:
            shown += 1
            continue
        if label is None:
            unseen += decision.batch or 1
            continue
        if label == MISSING:
            missing.append(upto)
        route = decision.case.route if decision.case is not None else None
        scorer, inclusion = (route.scorer, route.labelled) if route is not None else (None, 0.0)
        autopilot = route is not None and route.to == "autopilot"
        older = upto <= segment.after or decision.model != segment.model or scorer != segment.scorer
        if older and not autopilot:
            continue
        if older:
            stale.append(upto)
        elif decision.case is not None:
            blind = blind and adjudication.blind(decision.case)
        wrong = 1 if label == MISSING else int(label)
        counted = (upto, repr(decision.score), wrong, repr(inclusion), int(autopilot), unseen)
        labels.append(counted)
        unseen = 0
        alarm = segment.count(counted, stale=older)
    if upto == 0:
        return None, False
    segment.finish(upto, unseen, shown)
    segment.note_missing(labels, stale, missing)
    event = EvidenceCounted(
        at=now, segment=name, epoch=segment.epoch, upto=upto, labels=tuple(labels), unseen=unseen,
        stale=tuple(stale), missing=tuple(missing), shown=shown, blind=blind and len(labels) > len(stale),
    )  # fmt: skip
    segment.note_blind(event)
    return event, alarm


def ready(name: str, decisions: Decisions, control: Control, now: int) -> bool:
    """Whether the next decision of a segment can be counted."""
    return _label(decisions.waiting[name][0], control, now, alone=len(decisions.people) < 2) != PENDING


def _label(decision: CertifiedDecision, control: Control, now: int, *, alone: bool) -> int | str | None:
    """The label of a decision, `MISSING` where it is late; None where nobody was to look at it."""
    if decision.case is None:
        return None
    label, guarantee = label_of(decision.case, control, alone=alone), control.settings.guarantee
    patience = microseconds(guarantee.answer_within) if guarantee else None
    late = patience is not None and now - decision.opened_at > patience
    return MISSING if label == PENDING and late else label


# The label of a proposal by what people answered: right, wrong, pending, or missing for good.


PENDING, MISSING = "pending", "missing"
AWAITED = ("open", "claimed")


def label_of(case: Case, control: Control, *, alone: bool = False) -> int | str:
    """0 or 1 where a label stands, `PENDING` while one may come, `MISSING` where none will.

    Where one reviewer is `alone`, nobody can be asked again, and the first word counts.
    """
    if case.route is None or case.concluded is None:
        return PENDING
    if case.route.to == "human" and case.concluded.by != "human":
        return MISSING  # its time ran out, or the program did not want it any more
    if any(r.kind == "audit" and r.state in AWAITED for r in case.reviews):
        return PENDING
    verdict = adjudication.verdict(case, control)
    if verdict.state == "pending":
        return 1 if alone else PENDING
    return MISSING if verdict.wrong is None else verdict.wrong


# One segment's evidence: certificate, monitor and running bound, fed from the same labels in the same order.


DRIFT, SCALE, LABELS = "drift", "scale", "labels"  # what cuts off the evidence of before
Counted = tuple[int, str, int, str, int, int]


class Segment:
    """A segment since its epoch began, folded from the loop's stream."""

    def __init__(self, began: EpochBegan, before: Segment | None) -> None:
        self.epoch, self.after, self.model, self.cut = began.epoch, began.after, began.model, began.cut
        self.promise, self.scorer = began.promise, began.scorer
        promise: dict[str, Any] = json.loads(began.promise)
        self.certificate, confidence = Certificate(**promise), promise["confidence"]
        floor, miss_rate = self.certificate.floor, self.certificate.miss_rate
        self.monitor = Monitor(self.certificate.max_error, floor=floor, miss_rate=miss_rate)
        self.bound = RunningBound(confidence, floor=floor)
        if before is not None and (before.bound.floor, before.bound.confidence) == (floor, confidence):
            self.bound = before.bound
        self.upto: int = before.upto if before else began.after
        self.since: int = before.since if before is not None and began.cut is None else began.after
        self.missing = self.shown = 0
        self.blind = True  # of all that count nobody had seen the proposal
        self.first: int | None = None  # the first decision that is evidence: the pilot is none
        self.shared_at = 0  # labels when the audit shares were computed last
        self.boosted = False

    def count(self, label: Counted, *, stale: bool = False, floor: str | None = None) -> bool:
        """Count one label; True when the monitor raises its alarm.

        `floor` is stated for labels that are older than the epoch.
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
        """Add how many of the labels that this certificate counts are missing answers."""
        counted = {label[0] for label in labels if label[0] >= (self.first or 0)} - set(stale)
        self.missing += len(counted.intersection(missing))

    def note_blind(self, event: EvidenceCounted) -> None:
        """Note whether all labels of an event that count were given without the proposal."""
        self.blind = self.blind and (event.blind or len(event.labels) == len(event.stale))

    def finish(self, upto: int, unseen: int, shown: int = 0) -> None:
        """Count the unreviewed decisions after the last label, and those that people were `shown`."""
        self.shown += shown
        self.bound.skip(unseen)
        self.upto = max(self.upto, upto)

    def fold(self, event: EvidenceCounted) -> None:
        """Count the labels of an event of the stream."""
        stale = frozenset(event.stale)
        for label, floor in with_floors(event):
            self.count(label, stale=label[0] in stale, floor=floor)
        self.note_missing(event.labels, event.stale, event.missing)
        self.note_blind(event)
        self.finish(event.upto, event.unseen, event.shown)

    def shared(self) -> None:
        """Remember that audit shares were computed from the present counts."""
        self.shared_at, self.boosted = self.certificate.labels, self.monitor.suspicious

    def copied(self) -> Self:
        """An independent copy."""
        twin = copy(self)
        twin.certificate, twin.monitor, twin.bound = self.certificate.copied(), copy(self.monitor), copy(self.bound)
        return twin

    @property
    def steps(self) -> Sequence[Step]:
        """The certified steps of this epoch."""
        return self.certificate.steps


Segments = dict[str, Segment]


def with_floors(event: EvidenceCounted) -> Iterator[tuple[Counted, str | None]]:
    """The labels of an event, each with its minimum inclusion probability where one is stated."""
    return zip(event.labels, event.floors or repeat(None), strict=False)


def evidence(entries: Iterable[Entry], segment: str) -> list[dict[str, Any]]:
    """The labels that the certificate of a segment's latest epoch has counted, by the entries of the loop's stream."""
    rows: list[dict[str, Any]] = []
    for event in (event for entry in entries for event in entry.events):
        if isinstance(event, EpochBegan) and event.segment == segment:
            rows = []
        elif isinstance(event, EvidenceCounted) and event.segment == segment:
            for (pos, score, wrong, inclusion, _, _), floor in with_floors(event):
                if pos not in event.stale:
                    row = {"seq": pos, "score": float(score), "wrong": wrong, "inclusion": float(inclusion)}
                    rows.append(row if floor is None else row | {"floor": float(floor)})
    return rows


# Minimum inclusion probabilities: the least that any decision could have had under each version of a loop's control.
#
# A bet may be as large as the minimum allows, and has to be fixed before the decision: so it is taken from the control
# that routed the decision, never from what was drawn.


def floors(entries: Iterable[Entry], control: Control, segment: str) -> dict[int, float]:
    """The minimum inclusion probability in a segment by version of the control, folded from the loop's stream."""
    return {now.version: audit.least(now, segment) for now in _versions(entries, control)}


class Reach(NamedTuple):
    """The least probability with which people saw any case that a score routes, by version of the control.

    `guaranteed` says whether a guarantee ever governed: there what was labelled decided who saw the cases behind it.
    """

    least: Mapping[int, float]
    guaranteed: bool


def reach(entries: Iterable[Entry], control: Control) -> Reach:
    """Who could see a loop's cases, folded from its stream."""
    versions = list(_versions(entries, control))
    guaranteed = any(now.settings.guarantee is not None for now in versions)
    return Reach({now.version: audit.lowest(now) for now in versions}, guaranteed)


def _versions(entries: Iterable[Entry], control: Control) -> Iterator[Control]:
    """Every version of a loop's control, from the one before any event on."""
    now = Control(loop=control.loop, loop_id=control.loop_id, version=0, settings=LoopSettings(name=control.loop))
    yield now
    for event in (event for entry in entries for event in entry.events):
        after = governed_by(now, event)
        if after is not now:
            now = after
            yield now
