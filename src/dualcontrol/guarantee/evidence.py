"""Evidence: decisions in their order with the labels that people gave, as the feed and the loop's stream hold them.

A label counts behind the first decision whose label is still outstanding, so that errors that are answered later than
the rest do not come too late (a watermark).
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import groupby, repeat
from math import isfinite
from operator import itemgetter
from typing import Any, NamedTuple, Self

from dualcontrol.case import Case, Cluster, microseconds
from dualcontrol.control import CONFIDENCE, RISK, Control, LoopSettings
from dualcontrol.errors import GuaranteeError
from dualcontrol.events import (
    AlarmRaised,
    Answered,
    BatchRouted,
    Entry,
    EpochBegan,
    Event,
    EvidenceCounted,
    Opened,
    Routed,
    ScoreChanged,
    SettingsEvent,
)
from dualcontrol.evolve import fold, governed_by
from dualcontrol.guarantee.alike import Alike, Marks, columns
from dualcontrol.guarantee.bound import RunningBound
from dualcontrol.guarantee.certificate import Certificate, Step, checked
from dualcontrol.guarantee.monitor import Monitor
from dualcontrol.guarantee.orders import Second
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
    proposal.  Where cases count together, `later` are those of its `cluster` that came after it.  `chance` is the
    learned chance of being right by the risk model `chance_by`, where that orders cases beside the score.
    """

    pos: int
    score: float
    model: str | None
    opened_at: int
    case: Case | None
    batch: int = 0
    cluster: Cluster | None = None
    later: list[CertifiedDecision] = field(default_factory=list)
    shown: bool = False
    chance: str | None = None
    chance_by: str | None = None


class ModelRun(NamedTuple):
    """Decisions in a row by one model: its name, the position of the first, and how many."""

    model: str | None
    start: int
    length: int


class Decisions:
    """Decisions that are not counted yet, by segment and in order; `read` is the position that the feed was read to.

    `people` have answered lately; `changed` is the position of the last change of settings, `runs` the models that
    propose now, `scores` those whose scores nobody has looked at yet.
    """

    def __init__(self, after: int, control: Control) -> None:
        self.after, self.read = after, max(0, after - LOOK_BACK)
        self.guarantee = control.settings.guarantee
        self.waiting: defaultdict[str, deque[CertifiedDecision]] = defaultdict(deque)
        self.people: set[str] = set()
        self.runs: dict[str, ModelRun] = {}
        self.changed = 0
        self.scores: defaultdict[str, list[CertifiedDecision]] = defaultdict(list)
        self._open: dict[str, CertifiedDecision] = {}
        self._first: dict[str, CertifiedDecision] = {}  # of each cluster that is not counted yet, by its case

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
            first = waiting.popleft()
            for counted in (first, *first.later):
                if counted.case is not None:
                    self._open.pop(counted.case.id, None)
            if first.cluster is not None:
                self._first.pop(first.cluster.first, None)

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
        cluster = routed.cluster
        decision = CertifiedDecision(
            entry.pos or 0, float(routed.score), routed.model, opened.at, case, cluster=cluster, shown=shown,
            chance=routed.chance, chance_by=routed.chance_by,
        )  # fmt: skip
        run = self.runs.get(segment)
        if run is None or run.model != decision.model:
            run = ModelRun(decision.model, decision.pos, 0)
        self.runs[segment] = ModelRun(run.model, run.start, run.length + 1)
        if not (opened.key or "").startswith(BATCH):
            self.scores[segment].append(decision)
        if cluster is not None and cluster.place > 1:
            first = self._first.get(cluster.first)
            if first is None:  # the cluster was closed and counted, with this case
                return
            first.later.append(decision)
        else:
            self.waiting[segment].append(decision)
            if cluster is not None:
                self._first[cluster.first] = decision
        if case is not None:
            self._open[case.id] = decision


# Counting: labels become evidence in the order of decisions, behind the first one that is still outstanding.


MOST_AT_ONCE = 2_000


def count(
    name: str, segment: Segment, decisions: Decisions, control: Control, now: int, versions: Versions,
    marks: Callable[[Case], Marks] | None = None,
) -> tuple[EvidenceCounted | None, bool, list[AlarmRaised]]:  # fmt: skip
    """Count what is due in a segment: what has its label, or has waited for it too long; True with the monitor's alarm.

    An audit that was drawn under a lower share than the certificate's own keeps the floor of the control that drew it.
    What no certificate can take as it is counts as wrong, and as much as any label may: an alarm says so.  `marks` are
    what a case may share with others, where that is to be looked at.
    """
    shared: list[Marks] = []
    took = 0
    unconfirmed: list[int] = []
    labels: list[Counted] = []
    floors: list[str] = []
    clusters: list[int] = []
    chances: list[str] = []
    refused: list[AlarmRaised] = []
    stale: list[int] = []
    missing: list[int] = []
    upto, unseen, shown, alarm, done = 0, 0, 0, False, segment.upto
    alone, blind = len(decisions.people) < 2, True
    for first in decisions.waiting.get(name, ()):
        if alarm or len(labels) >= MOST_AT_ONCE:
            break
        if first.pos <= done:  # another process counted it already
            continue
        known = _labels(first, control, now, alone=alone)
        if known is None:
            break
        upto, cluster = first.pos, len(labels)
        for decision, label in known:
            if decision.shown:
                shown += 1
                continue
            if label is None:
                unseen += decision.batch or 1
                continue
            if label == MISSING:
                missing.append(decision.pos)
            route = decision.case.route if decision.case is not None else None
            scorer, inclusion = (route.scorer, route.labelled) if route is not None else (None, 0.0)
            autopilot = route is not None and route.to == "autopilot"
            version = route.control if route is not None else 0
            older = upto <= segment.after or decision.model != segment.model or scorer != segment.scorer
            older = older or version < versions.policy
            if older and not autopilot:
                continue
            if older:
                stale.append(decision.pos)
            elif decision.case is not None:
                blind = blind and adjudication.blind(decision.case)
                took += held(decision.case)
                if adjudication.confirmed(decision.case) is False:
                    unconfirmed.append(decision.pos)
            answered = marks is not None and label != MISSING and not older and decision.case is not None
            own = marks(decision.case) if answered and marks is not None and decision.case is not None else {}
            wrong = 1 if label == MISSING else int(label)
            counted = (decision.pos, repr(decision.score), wrong, repr(inclusion), int(autopilot), unseen)
            least, floor = min(versions.least(version, name), inclusion), UNSTATED
            if least < segment.certificate.floor or (segment.second is not None and least < 1.0):
                floor = repr(
                    least
                )  # what a second certificate knows of it: which audits are rare, the one that acts says
            reason = refusal(counted, floor)
            if reason is not None:
                floor = repr(segment.certificate.floor)
                counted = (decision.pos, _placeable(decision.score), 1, floor, int(autopilot), unseen)
                refused.append(AlarmRaised(code=REFUSED, reason=reason, at=now))
            labels.append(counted)
            chances.append(segment.chance_of(decision) if not older else "")
            floors.append(floor)
            shared.append(own)
            clusters.append(upto)
            unseen = 0
        if len(labels) > cluster:
            stated = [floor or None for floor in floors[cluster:]]
            alarm = segment.count_together(upto, list(zip(labels[cluster:], stated, strict=True)), frozenset(stale))
    if upto == 0:
        return None, False, []
    segment.finish(upto, unseen, shown)
    segment.note_missing(labels, stale, missing)
    event = EvidenceCounted(
        at=now, segment=name, epoch=segment.epoch, upto=upto, labels=tuple(labels), unseen=unseen,
        stale=tuple(stale), missing=tuple(missing), floors=tuple(floors) if any(floors) else (),
        clusters=tuple(clusters) if segment.certificate.largest > 1 else (),
        shown=shown, blind=blind and len(labels) > len(stale), chances=tuple(chances) if any(chances) else (),
        took=took, alike=columns(shared) if any(shared) else {},
        unconfirmed=tuple(unconfirmed),
    )  # fmt: skip
    segment.count_second(event)
    segment.note(event)
    return event, alarm, refused


def held(case: Case) -> int:
    """For how many microseconds people held the reviews that they answered; what joined another case cost nobody."""
    if case.leader is not None:
        return 0
    seconds = 0.0
    for answer in case.answered:
        seconds += answer.seconds or 0.0
    return round(1_000_000 * seconds)


UNSTATED = ""  # the floor of a label for which the certificate's own holds
REFUSED = "label_refused"


def refusal(label: Counted, floor: str) -> str | None:
    """Why no certificate can take a label as it is; None where it can."""
    pos, score, wrong, inclusion, _, _ = label
    try:
        checked(pos, float(score), wrong, float(inclusion), float(floor) if floor else None)
    except GuaranteeError as error:
        return f"{error.message}; it counts as wrong, and as much as any other may, and counting goes on"
    return None


def _placeable(score: float) -> str:
    """A score that has a bin; one that is no number gets the highest, which is part of every region."""
    return repr(score if isfinite(score) else 1.0)


def ready(name: str, decisions: Decisions, control: Control, now: int) -> bool:
    """Whether the next decision of a segment can be counted."""
    return _labels(decisions.waiting[name][0], control, now, alone=len(decisions.people) < 2) is not None


SLACK = 60_000_000  # microseconds after which nobody is still writing a case that was opened before


def _labels(
    first: CertifiedDecision, control: Control, now: int, *, alone: bool
) -> list[tuple[CertifiedDecision, int | str | None]] | None:  # fmt: skip
    """The labels of a decision and of those that count with it; None while one is outstanding, or one more may come.

    What was settled with another case of the cluster is as right or wrong as that one, second opinion included.
    """
    cluster, guarantee = first.cluster, control.settings.guarantee
    if cluster is None and not first.later:
        label = _label(first, control, now, alone=alone)
        return None if label == PENDING else [(first, label)]
    if cluster is not None and guarantee is not None:
        full = 1 + len(first.later) >= guarantee.largest
        if not full and now - cluster.at <= (microseconds(guarantee.within) or 0) + SLACK:
            return None
    labels = [(decision, _label(decision, control, now, alone=alone)) for decision in (first, *first.later)]
    if any(label == PENDING for _, label in labels):
        return None
    own = {decision.case.id: label for decision, label in labels if decision.case is not None}
    return [
        (decision, label if decision.case is None else own.get(decision.case.leader or "", label))
        for decision, label in labels
    ]


def _label(decision: CertifiedDecision, control: Control, now: int, *, alone: bool) -> int | str | None:
    """The label of a decision, `MISSING` where it is late; None where nobody was to look at it."""
    if decision.case is None:
        return None
    label = label_of(decision.case, control, alone=alone)
    return MISSING if label == PENDING and overdue(decision.opened_at, control, now) else label


def overdue(opened_at: int, control: Control, now: int) -> bool:
    """Whether an answer to a case that opened then is awaited no longer."""
    guarantee = control.settings.guarantee
    patience = microseconds(guarantee.answer_within) if guarantee else None
    return patience is not None and now - opened_at > patience


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
    if not case.route.shown and any(r.kind == "audit" and r.state in AWAITED for r in case.reviews):
        return PENDING
    verdict = adjudication.verdict(case, control)
    if verdict.state == "pending":
        compared = any(review.against for review in case.reviews)  # nothing was said of the proposal yet
        return 1 if alone and not compared else PENDING
    return MISSING if verdict.wrong is None else verdict.wrong


# One segment's evidence: certificate, monitor and running bound, fed from the same labels in the same order.


DRIFT, SCALE, LABELS = "drift", "scale", "labels"  # what cuts off the evidence of before
Counted = tuple[int, str, int, str, int, int]
CARRIED = (
    "at",
    "upto",
    "since",
    "missing",
    "shown",
    "blind",
    "took",
    "opened",
    "first",
)  # of a segment whose evidence is counted again


class Segment:
    """A segment since its epoch began, folded from the loop's stream."""

    def __init__(self, began: EpochBegan, before: Segment | None) -> None:
        self.second: Second | None = None  # the certificate of the learned order, once there is one
        self.second_spent: int = 0 if before is None else before.learned_spent
        self.epoch, self.after, self.model, self.cut = began.epoch, began.after, began.model, began.cut
        self.promise, self.scorer = began.promise, began.scorer
        promise: dict[str, Any] = json.loads(began.promise)
        self.certificate, confidence = Certificate(**promise), promise["confidence"]
        floor, miss_rate = self.certificate.floor, self.certificate.miss_rate
        largest, kept = self.certificate.largest, self.certificate.kept
        self.measured = began.measured  # known-wrong cases that the miss rate was measured on; None where it was not
        self.by_second = began.by_second  # or second answers
        self.monitor = Monitor(self.certificate.max_error, floor=floor, miss_rate=miss_rate, largest=largest)
        self.bound = RunningBound(confidence, floor=floor, miss_rate=miss_rate, largest=largest, kept=kept)
        old = None if before is None else before.bound
        if old is not None and (old.confidence, old.largest) == (confidence, largest) and old.floor <= floor:
            self.bound = copy(old)  # audits of before may still come, drawn at a lower share
            self.bound.miss_rate, self.bound.kept = miss_rate, kept
        self.at = began.at
        self.size = 1.0  # of the mean cluster among the cases that people were to see, as the certifier measures it
        self.upto: int = before.upto if before else began.after
        self.since: int = before.since if before is not None and began.cut is None else began.after
        self.missing = self.shown = 0
        self.blind = True  # of all that count nobody had seen the proposal
        self.took = 0  # microseconds of people until something was certified, or so far
        self.opened = False
        self.alike = Alike()
        self.first: int | None = None  # the first decision that is evidence: the pilot is none
        self.shared_at = 0  # labels when the audit shares were computed last
        self.boosted = False
        self.counted: list[EvidenceCounted] = []  # what this certificate has counted, so that it can be counted again
        if began.carried and before is not None:
            self._carried(before)

    def _carried(self, before: Segment) -> None:
        """Count again, by this certificate, what the one before has counted; the monitor and the rest go on.

        So does the learned order, by what it has counted itself, and with the same allowance.
        """
        self.counted = before.counted.copy()
        for event in self.counted:
            stale = frozenset(event.stale)
            for first, labels in together(event):
                self._certified(first, labels, stale)
        if before.second is not None:
            self.second = before.second.recounted(self.certificate.miss_rate)
        self.second_spent = before.second_spent
        self.monitor, rate = copy(before.monitor), self.monitor.miss_rate
        self.monitor.miss_rate = rate
        self.alike = Alike(before.alike.labels)
        for name in CARRIED:
            setattr(self, name, getattr(before, name))

    def count(self, label: Counted, *, stale: bool = False, floor: str | None = None) -> bool:
        """Count one label that stands by itself; True when the monitor raises its alarm.

        `floor` is stated for labels that are older than the epoch, or whose audits were drawn more seldom.
        """
        return self.count_together(label[0], [(label, floor)], frozenset((label[0],)) if stale else frozenset())

    def count_together(
        self, first: int, labels: Sequence[tuple[Counted, str | None]], stale: Collection[int]
    ) -> bool:  # fmt: skip
        """The same with the labels of one cluster, which is that of the decision at position `first`, and floors."""
        self.upto = max(self.upto, first)
        audited: list[tuple[int, float]] = []
        watched: list[tuple[int, float]] = []
        floors: list[float] = []
        for (pos, _, wrong, inclusion, autopilot, unseen), floor in labels:
            self.bound.skip(unseen)
            chance, least = float(inclusion), None if floor is None else float(floor)
            if autopilot:
                audited.append((wrong, chance))
                floors.append(chance if least is None else least)
            if autopilot and pos not in stale:
                watched.append((wrong, chance))
        if audited:
            self._bounded(audited, min(floors))
        if not self._certified(first, labels, stale):
            return False
        if self.first is None and self.certificate.labels:
            self.first, self.missing = first, 0
        stated = [float(floor) for _, floor in labels if floor is not None]
        return bool(watched) and self.monitor.observe_together(
            watched, floor=min(*stated, self.monitor.floor) if stated else None
        )

    def _certified(
        self, first: int, labels: Sequence[tuple[Counted, str | None]], stale: Collection[int]
    ) -> bool:  # fmt: skip
        """Give the labels of one cluster to the certificate; whether it counts any of them."""
        cluster, fresh = first if self.certificate.largest > 1 else None, False
        for (pos, score, wrong, inclusion, _, _), floor in labels:
            if pos in stale:
                continue
            fresh = True
            self.certificate.observe(
                score=float(score), wrong=wrong, inclusion=float(inclusion), seq=pos,
                floor=None if floor is None else float(floor), cluster=cluster,
            )  # fmt: skip
        if fresh:
            self.certificate.tick(first)
        return fresh

    def _bounded(self, audited: Sequence[tuple[int, float]], floor: float) -> None:
        """Count audits of one cluster; the bound begins anew where they were drawn more seldom than it counted on."""
        bound = self.bound
        if min(chance for _, chance in audited) < bound.floor:
            self.bound = RunningBound(
                bound.confidence, floor=floor, miss_rate=bound.miss_rate, largest=bound.largest, kept=bound.kept
            )  # fmt: skip
        self.bound.observe_together(audited)

    def note_missing(self, labels: Iterable[Counted], stale: Iterable[int], missing: Iterable[int]) -> None:
        """Add how many of the labels that this certificate counts are missing answers."""
        counted = {label[0] for label in labels if label[0] >= (self.first or 0)} - set(stale)
        self.missing += len(counted.intersection(missing))

    def note(self, event: EvidenceCounted) -> None:
        """Keep what every order has counted: if all that counts was given blind, what it took, and what is alike."""
        self.counted.append(event)
        self.blind = self.blind and (event.blind or len(event.labels) == len(event.stale))
        self.took += 0 if self.opened else event.took
        self.opened = self.opened or any(self.of(order).steps for order in (CONFIDENCE, RISK))
        self.alike.take(event.labels, event.alike)

    def finish(self, upto: int, unseen: int, shown: int = 0) -> None:
        """Count the unreviewed decisions after the last label, and those that people were `shown`."""
        self.shown += shown
        self.bound.skip(unseen)
        self.upto = max(self.upto, upto)

    def fold(self, event: EvidenceCounted) -> None:
        """Count the labels of an event of the stream."""
        stale = frozenset(event.stale)
        for first, labels in together(event):
            self.count_together(first, labels, stale)
        self.note_missing(event.labels, event.stale, event.missing)
        self.count_second(event)
        self.note(event)
        self.finish(event.upto, event.unseen, event.shown)

    def count_second(self, event: EvidenceCounted) -> None:
        """Count the labels of an event by the learned order too, where it runs beside."""
        if self.second is not None:
            self.second.fold(event)

    def begin_order(self, began: EpochBegan) -> Segment:
        """One of two orders begins again within the epoch; the other goes on, with the labels that it has."""
        if began.order != RISK:
            again = Segment(began, self)
            again.second, again.second_spent = self.second, self.second_spent
            return again
        self.second_spent = self.learned_spent
        self.second = Second(began, self.second)
        return self

    def chance_of(self, decision: CertifiedDecision) -> str:
        """The learned score with which a decision counts for the second order; "" where it does not."""
        own = self.second is not None and decision.chance_by == self.second.scorer
        return decision.chance or "" if own else ""

    def of(self, order: str) -> Certificate:
        """The certificate of an order."""
        return self.second.certificate if order == RISK and self.second is not None else self.certificate

    def acting(self, control: Control, name: str) -> Certificate:
        """The certificate by which cases of this segment go to autopilot."""
        return self.of(control.acting(name))

    @property
    def learned_spent(self) -> int:
        """How many epochs will have spent of the learned order's half when it begins again."""
        return self.second_spent if self.second is None else max(self.second_spent, self.second.spent)

    def shared(self) -> None:
        """Remember that audit shares were computed from the present counts."""
        self.shared_at, self.boosted = self.certificate.labels, self.monitor.suspicious

    def copied(self) -> Self:
        """An independent copy."""
        twin = copy(self)
        twin.certificate, twin.monitor, twin.bound = self.certificate.copied(), copy(self.monitor), copy(self.bound)
        twin.second = None if self.second is None else self.second.copied()
        twin.counted = self.counted.copy()
        twin.alike = Alike(self.alike.labels)
        return twin

    def promises(self, promise: Mapping[str, Any]) -> bool:
        """Whether this epoch's promise is the same: of the same bound, with the same chance, by the same people."""
        own: dict[str, Any] = json.loads(self.promise)
        names = ("max_error", "confidence", "segments", "miss_rate")
        return all(own.get(name) == promise.get(name) for name in names)

    @property
    def spent(self) -> int:
        """How many epochs have spent of delta once this one ends; one that counted nothing could certify nothing."""
        return (self.certificate.spent or 0) + (1 if self.certificate.labels else 0)

    @property
    def steps(self) -> Sequence[Step]:
        """The certified steps of this epoch."""
        return self.certificate.steps


Segments = dict[str, Segment]


def together(event: EvidenceCounted) -> Iterator[tuple[int, list[tuple[Counted, str | None]]]]:
    """The labels of an event by cluster: its first position, and its labels, with minimum inclusion where stated."""
    stated = (floor or None for floor in event.floors)
    labels = zip(event.labels, stated if event.floors else repeat(None), strict=False)
    firsts = event.clusters or [label[0] for label in event.labels]
    for first, several in groupby(zip(firsts, labels, strict=True), key=itemgetter(0)):
        yield first, [label for _, label in several]


def evidence(entries: Iterable[Entry], segment: str, order: str = CONFIDENCE) -> list[dict[str, Any]]:
    """The labels that the certificate of a segment's latest epoch has counted, by the entries of the loop's stream.

    Where two orders count, those of the one that is named.
    """
    rows: list[dict[str, Any]] = []
    for event in (event for entry in entries for event in entry.events):
        if isinstance(event, EpochBegan) and event.segment == segment and event.order in ("", order):
            rows = rows if event.carried else []
        elif isinstance(event, EvidenceCounted) and event.segment == segment:
            chances = dict(zip((label[0] for label in event.labels), event.chances, strict=False))
            for first, labels in together(event):
                for (pos, score, wrong, inclusion, _, _), floor in labels:
                    by = chances.get(pos, "") if order == RISK else score
                    if pos not in event.stale and by:
                        row = {"seq": pos, "score": float(by), "wrong": wrong, "inclusion": float(inclusion)}
                        row |= {} if floor is None else {"floor": float(floor)}
                        rows.append(row | {"cluster": first} if event.clusters else row)
    return rows


# Minimum inclusion probabilities: the least that any decision could have had under each version of a loop's control.
#
# A bet may be as large as the minimum allows, and has to be fixed before the decision: so it is taken from the control
# that routed the decision, never from what was drawn.


def floors(entries: Iterable[Entry], control: Control, segment: str) -> dict[int, float]:
    """The minimum inclusion probability in a segment by version of the control, folded from the loop's stream.

    Cases that a rule or a list let run are in it: another policy may send them to the threshold.
    """
    return {now.version: audit.sparsest(now, segment) for now in versions(entries, control)}


class Reach(NamedTuple):
    """The least probability with which people saw any case that a score routes, by version of the control.

    `guaranteed` says whether a guarantee ever governed: there what was labelled decided who saw the cases behind it.
    """

    least: Mapping[int, float]
    guaranteed: bool


def reach(entries: Iterable[Entry], control: Control) -> Reach:
    """Who could see a loop's cases, folded from its stream."""
    controls = list(versions(entries, control))
    guaranteed = any(now.settings.guarantee is not None for now in controls)
    return Reach({now.version: audit.lowest(now) for now in controls}, guaranteed)


def versions(entries: Iterable[Entry], control: Control) -> Iterator[Control]:
    """Every version of a loop's control, from the one before any event on."""
    now = _before_any(control.loop)
    yield now
    for event in (event for entry in entries for event in entry.events):
        after = governed_by(now, event)
        if after is not now:
            now = after
            yield now


def _before_any(loop: str) -> Control:
    return Control(loop=loop, loop_id=0, version=0, settings=LoopSettings(name=loop))


class Versions:
    """What the versions of a loop's control say of the decisions that were routed under them.

    `policy` is the version since which the same cases reach the threshold.
    """

    def __init__(self, loop: str) -> None:
        self.policy = 0
        self._now = _before_any(loop)
        self._least: dict[int, dict[str, float]] = {}  # where not every decision is looked at

    def take(self, event: Event) -> None:
        """Fold the next event of the loop's stream."""
        self._now = governed_by(self._now, event)
        if isinstance(event, SettingsEvent) and event.asks is not None:
            self.policy = event.version
        if self._now.audits:
            self._least[self._now.version] = {name: audit.least(self._now, name) for name in self._now.audits}

    def least(self, version: int, segment: str) -> float:
        """The least probability with which a decision of a segment was seen under a version."""
        return self._least.get(version, {}).get(segment, 1.0)
