"""Certifier: reads the feed, counts labels that are due, and moves the control, safely beside other replicas."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dualcontrol.case import Case
from dualcontrol.control import CONFIDENCE, RISK, Control
from dualcontrol.errors import DualcontrolError, GuaranteeError
from dualcontrol.events import (
    AlarmRaised,
    AuditsChanged,
    Entry,
    EpochBegan,
    Event,
    EvidenceCounted,
    ModelKept,
    SettingsEvent,
)
from dualcontrol.evolve import governed_by
from dualcontrol.guarantee import alike, moves, orders, warm_start
from dualcontrol.guarantee.alike import Marks
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.evidence import LABELS, SCALE, TURN, Decisions, Segment, Segments, Versions, count, ready
from dualcontrol.guarantee.monitor import BURSTS, FROM, Scale
from dualcontrol.guarantee.offline import share
from dualcontrol.learn.serving import Served
from dualcontrol.oversight.allowance import KEPT, Allowance, Blind, Lost, SecondAnswers, allowed
from dualcontrol.step import Steps
from dualcontrol.store import Conflict

log = logging.getLogger("dualcontrol.guarantee")
PAGE = 1_000
ROUNDS = 1_000
ANSWERS = 20
PAUSE = 1_000_000
NOT_COUNTED = "not_counted"
LAST = 3  # changes before the last one that the reason of an epoch names too
GROWN = 1.25  # times as many labels, after which it is looked at again whether they are of few questions


class Certifier:
    """Counts the evidence of loops under a guarantee; one for each desk, and any number of desks on one database."""

    def __init__(
        self, steps: Steps, model: Callable[[Control], Served | None] = lambda control: None,
        blind: Callable[[Control], Blind | None] = lambda control: None,
    ) -> None:  # fmt: skip
        self._steps = steps
        self._model, self._blind = model, blind
        self._loops: dict[str, LoopState] = {}
        self._pace: dict[str, tuple[int, int]] = {}
        self._refused: dict[str, str] = {}
        self._lock = threading.Lock()

    def segments(self, control: Control) -> Segments:
        """The segments of a loop as its stream has them now, as copies."""
        with self._lock:
            segments = {name: segment.copied() for name, segment in self._caught_up(control).segments.items()}
        for name, segment in segments.items():
            segment.size = self._size(control, name, segment)
            if not _declared(control):
                segment.size = max(segment.size, segment.alike.worst().effect)
        return segments

    def _size(self, control: Control, name: str, segment: Segment) -> float:
        """How many cases of one cluster people were to see in this epoch, on the average over those cases."""
        cases, squares = self._steps.store.queries.sizes(control.loop_id, name, segment.at)
        return squares / cases if cases else 1.0

    def _marks(self, case: Case) -> Marks:
        """What a case may share with others, by its content as far as that is still there."""
        whole = self._steps.store.queries.case(case.id, recent=True)
        return alike.marks(self._steps.secret, case if whole is None else whole)

    def run(self, loop: str) -> list[Event]:
        """Count what is due in a loop and move its control; the events that were written."""
        with self._lock:
            return self._run(loop)

    def run_all(self, controls: Sequence[Control]) -> None:
        """The same for every loop under a guarantee; one that cannot be counted is logged and stops no other."""
        for control in controls:
            if control.settings.guarantee is not None:
                self._attempt(control.loop)

    def answered(self, case: Case) -> None:
        """After an answer: count every few answers or after a pause; an error here never fails the answer."""
        if case.route is None or case.route.score is None:
            return
        now, (answers, since) = self._steps.now(), self._pace.get(case.loop, (0, 0))
        self._pace[case.loop] = (answers + 1, since)
        if answers + 1 < ANSWERS and abs(now - since) < PAUSE:
            return
        self._pace[case.loop] = (0, now)
        self._attempt(case.loop, wait=False)

    def _attempt(self, loop: str, *, wait: bool = True) -> None:
        """Count, or say in the log why not: answers stand, and what is due is counted the next time."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            self._run(loop)
            self._refused.pop(loop, None)
        except Exception as error:
            log.warning("the evidence of loop %s was not counted", loop, exc_info=True)
            self._raise_alarm(loop, error)
        finally:
            self._lock.release()

    def _raise_alarm(self, loop: str, error: Exception) -> None:
        """Say on the page that nothing is counted, once for each reason; a store that fails just now is only logged."""
        if isinstance(error, DualcontrolError) and not isinstance(error, GuaranteeError):
            return
        why = (
            error.message if isinstance(error, GuaranteeError) else f"an error of the program ({type(error).__name__})"
        )
        if self._refused.get(loop) == why:
            return
        reason = f"answers are not counted since then: {why}; what is certified stays as it is until they are"
        try:
            self._steps.move(loop, lambda control, now: [AlarmRaised(code=NOT_COUNTED, reason=reason, at=now)])
            self._refused[loop] = why
        except Exception:
            log.warning("the alarm of loop %s was not recorded", loop, exc_info=True)

    def _run(self, loop: str) -> list[Event]:
        events: list[Event] = []
        try:
            for _ in range(ROUNDS):
                fresh = self._round(loop)
                if fresh is not None and not fresh:
                    break
                events += fresh or []
        except BaseException:
            self._loops.pop(loop, None)  # the feed may have been read in part: begin again with what is recorded
            raise
        return events

    def _round(self, loop: str) -> list[Event] | None:
        """The events of one transaction; None where another replica was faster, and this one has to read again."""
        store = self._steps.store
        control = next((control for control in store.queries.loops() if control.loop == loop), None)
        if control is None or control.settings.guarantee is None:
            return []
        state = self._caught_up(control)
        if control.seq != state.seq:
            return None
        while store.sequence():
            pass
        decisions = state.decisions
        if decisions is None or decisions.guarantee != control.settings.guarantee:
            current = [s.upto for name, s in state.segments.items() if control.epochs.get(name) == s.epoch]
            counted = min(current or [segment.upto for segment in state.segments.values()], default=0)
            decisions = state.decisions = Decisions(counted, control)
        while decisions.take(store.feed(decisions.read, PAGE, control.loop), control) == PAGE:
            pass
        for name, segment in state.segments.items():  # another process may have counted on
            decisions.trim(name, segment.upto)
        due: dict[str, Beginning | Allowance | None] = {}
        now, lost = self._steps.now(), self._lost(control, state)
        for name, waiting in decisions.waiting.items():
            if waiting and state.second_due(control, name):
                due[name] = None
            beginning = self._beginning(control, name, state, decisions) if waiting else None
            if beginning is not None or (waiting and ready(name, decisions, control, now)):
                due[name] = beginning
        for name, segment in state.segments.items():
            other = None if lost is None else state.allowance(control, name, segment, *lost)
            if other is not None and due.get(name) is None:  # what begins anyway takes over what is in force
                due[name] = other
        alarm = None if lost is None else state.people_miss(control, lost[0], now)
        return self._write(control, state, decisions, due, alarm) if due or alarm is not None else []

    def _lost(self, control: Control, state: LoopState) -> tuple[Lost, Lost] | None:
        """How many errors are lost by people who miss them, by blind probes and by second answers.

        None where nothing is measured, or nothing was answered.
        """
        guarantee = control.settings.guarantee
        if guarantee is None or not guarantee.blind or control.settings.probe_share == 0.0:
            return None
        delta, blind = (1.0 - guarantee.confidence) * KEPT, self._blind(control) or Blind()
        known = blind.lost(delta, confirmed=guarantee.adjudicate)
        second = state.seconds.lost(delta) if guarantee.adjudicate else Lost(0.0, 0.0, 1.0, 0)
        return (known, second) if known.answers or second.answers else None

    def _write(
        self, control: Control, state: LoopState, decisions: Decisions, due: dict[str, Beginning | Allowance | None],
        alarm: AlarmRaised | None,
    ) -> list[Event] | None:  # fmt: skip
        """Count on copies, in the transaction that writes, and only when nobody else has written since."""
        segments = {name: old.copied() if name in due else old for name, old in state.segments.items()}
        events: list[Event] = [] if alarm is None else [alarm]
        due_sizes = [name for name in due if state.may_be_bursts(control, name)]
        one = bool(due_sizes) and control.settings.together is not None  # equal questions are one label already
        sizes = {name: 1.0 if one else self._size(control, name, segments[name]) for name in due_sizes}
        try:
            with self._steps.store.transaction() as tx:
                now = self._steps.control(tx, control.loop)
                if now.seq != state.seq:
                    return None
                for name, beginning in due.items():
                    if beginning is None:
                        fresh = self._count(now, name, segments, decisions, tx.now, state.versions)
                    elif isinstance(beginning, Allowance):
                        fresh = recounted(now, name, segments, beginning, tx.now)
                    else:
                        fresh = self._begin(now, name, segments, beginning, tx.now)
                    for event in fresh:
                        now = governed_by(now, event)
                    if name in sizes:
                        fresh = [*fresh, *moves.bursty(name, segments[name], sizes[name], tx.now)]
                    events += fresh
                seq = self._steps.moved(tx, control, events, expected=control).seq if events else state.seq
        except Conflict:
            return None
        state.seq, state.segments = seq, segments
        for event in events:
            state.note(event)
        for name, segment in segments.items():
            decisions.trim(name, segment.upto)
        return events

    def _count(
        self, control: Control, name: str, segments: Segments, decisions: Decisions, now: int, versions: Versions
    ) -> list[Event]:  # fmt: skip
        """Count what is due in a segment, and what follows: an alarm, a restart, or a new threshold and audits."""
        segment = segments[name]
        if second_due(control, name, segment):  # before any decision that it scored is counted
            second = moves.began_second(control, name, segment, now)
            apply(segments, second)
            acts = moves.moved(governed_by(control, second), name, segment, [], now)
            apply(segments, *acts)
            return [second, *acts]
        fresh: list[Event]
        certificate, steps = segment.certificate, len(segment.steps)
        guarantee = control.settings.guarantee
        marks = self._marks if guarantee is not None and guarantee.independent_by is None else None
        event, alarm, refused = count(name, segment, decisions, control, now, versions, marks)
        if alarm:
            fresh = moves.alarmed(control, name, segment, decisions.read, now, moves.drifted(segment))
        elif (place := moves.elsewhere(certificate)) is not None:
            reason = moves.restart_reason(certificate, place)
            model, after = segment.model, segment.upto
            fresh = [moves.began(control, name, model, segment, after, now, reason, first=place)]
        elif segment.second is not None and (place := moves.elsewhere(segment.second.certificate)) is not None:
            fresh = [moves.began_second(control, name, segment, now, place)]
        else:
            fresh = moves.moved(control, name, segment, segment.steps[steps:], now)
        apply(segments, *fresh)
        return fresh if event is None else [event, *refused, *fresh]

    def _begin(self, control: Control, name: str, segments: Segments, due: Beginning, now: int) -> list[Event]:
        """Begin an epoch; the evidence of a warm start is counted at once."""
        before, start = segments.get(name), due.start
        if due.alarm and before is not None:
            events = moves.alarmed(control, name, before, due.after, now, due.reason, SCALE)
            apply(segments, *events)
            return events
        began = moves.began(control, name, due.model, before, due.after, now, due.reason, start, due.cut)
        apply(segments, began)
        if start is None or not start.evidence:
            return [began]
        segment = segments[name]
        counted = EvidenceCounted(
            at=now, segment=name, epoch=began.epoch, upto=segment.upto, labels=tuple(start.evidence),
            floors=tuple(start.floors), missing=start.missing, blind=not start.shown,
        )  # fmt: skip
        apply(segments, counted)
        fresh = moves.moved(governed_by(control, began), name, segment, segment.steps, now)
        apply(segments, *fresh)
        return [began, counted, *fresh]

    # models

    def _beginning(self, control: Control, name: str, state: LoopState, decisions: Decisions) -> Beginning | None:
        """The epoch that the next decision begins, if any: the first, for another promise or for another model."""
        segment, first, run = state.segments.get(name), decisions.waiting[name][0], decisions.runs.get(name)
        if segment is None:
            return Beginning(control.model or first.model, first.pos - 1, "the first decision")
        if control.epochs.get(name) != segment.epoch:
            models = (decision.model for decision in decisions.waiting[name] if not decision.batch)
            model, after = control.model or next(models, segment.model), max(first.pos - 1, decisions.changed)
            words = "; ".join(state.asked.get(name, ()))
            if name in state.relabelled:
                return Beginning(model, after, words or "the labels of the loop are others now", cut=LABELS)
            if (
                words
                and model == segment.model
                and control.scores_by == segment.scorer
                and segment.promises(moves.promised(control, segment))
            ):
                return Beginning(model, after, words, warm_start.recounted(self._steps, control, name, segment))
            start = self._warm(control, name, segment, model, state.tried.get(name, 0) + 1)
            return Beginning(model, after, words or "a new model or promise is in force", start)
        drift = state.score_drift(name, decisions)
        if drift is not None:
            return Beginning(segment.model, decisions.read, drift, alarm=True)
        if run is None or run.length < TURN or run.model == segment.model:
            return None
        if first.pos < run.start or first.pos <= segment.after:
            return None
        reason = f"model {run.model or 'without a name'} proposes now"
        start = self._warm(control, name, segment, run.model, state.tried.get(name, 0) + 1)
        return Beginning(run.model, first.pos - 1, reason, start)

    def _warm(
        self, control: Control, name: str, before: Segment, model: str | None, tried: int
    ) -> warm_start.Start | None:  # fmt: skip
        """The warm start of the loop's own model, number `tried` of those on this evidence; none for any other."""
        own = self._model(control) if model is not None and model == control.model else None
        return None if own is None else warm_start.start(self._steps, control, name, before, own, tried)

    def objection(self, control: Control, model: Served) -> str | None:
        """Why a model should not take over yet: autopilot would lose what is certified; None where it would not."""
        with self._lock:
            state = self._caught_up(control)
            segments, tried = {name: segment.copied() for name, segment in state.segments.items()}, dict(state.tried)
        for name, segment in segments.items():
            acts = segment.acting(control, name)
            if control.epochs.get(name) != segment.epoch or acts.threshold is None:
                continue
            start = warm_start.start(self._steps, control, name, segment, model, tried.get(name, 0) + 1)
            began = moves.began(control, name, None, segment, segment.upto, self._steps.now(), "", start)
            covered, now = warm_start.coverage(began, start), acts.coverage
            if covered < now:
                return (
                    f"its evidence certifies {share(covered)} of decisions, where {share(now)} are on autopilot today"
                )
        return None

    def _caught_up(self, control: Control) -> LoopState:
        state = self._loops.get(control.loop)
        if state is None:
            state = self._loops[control.loop] = LoopState(control.loop)
        stream = f"loop/{control.loop_id}"
        state.fold(self._steps.store.queries.entries(stream, after=state.seq, values=False))
        return state


# Per-loop state of the certifier: segments as the stream says, decisions to be counted, an epoch that is due.


class LoopState:
    """Per-loop state: the segments as the stream has them up to entry `seq`, and the decisions to be counted."""

    def __init__(self, loop: str) -> None:
        self.seq = 0
        self.versions = Versions(loop)
        self.segments: Segments = {}
        self.decisions: Decisions | None = None
        self.scales: dict[tuple[str, int, str], Scale] = {}
        self.alarms: dict[tuple[str, int, str], str] = {}
        self.relabelled: set[str] = set()
        self.asked: dict[str, list[str]] = {}
        self.tried: dict[str, int] = {}
        self.bursts: set[str] = set()  # segments of which it was said in this epoch that questions come again
        self.looked: dict[str, tuple[int, int]] = {}  # the epoch and its labels when that was looked at last
        self.seconds = SecondAnswers()
        self.read: dict[str, int] = {}  # up to which decision of a segment they are counted: a warm start counts again
        self.missing_more = False  # whether it was said that people miss more than this promise takes them to

    def allowance(
        self, control: Control, name: str, segment: Segment, known: Lost, second: Lost
    ) -> Allowance | None:  # fmt: skip
        """The allowance that a segment's evidence is to be counted by again; None where the one in force stays."""
        if control.epochs.get(name) != segment.epoch or not moves.measures(control):
            return None
        now = Allowance(segment.certificate.miss_rate, segment.measured, segment.by_second)
        other = allowed(known, second, now, moves.assumed(control))
        keeps = segment.certificate.kept > 0.0  # one that began before kept nothing of delta for a measured rate
        return other if other != now and (keeps or other.rate > now.rate) else None

    def people_miss(self, control: Control, lost: Lost, now: int) -> AlarmRaised | None:
        """The alarm that people miss more than is declared or assumed, once for each promise."""
        guarantee = control.settings.guarantee
        return None if guarantee is None or self.missing_more else moves.missing_more(guarantee, lost, now)

    def may_be_bursts(self, control: Control, name: str) -> bool:
        """Whether to look if labels are alike: where nobody said what belongs together, and labels have grown."""
        segment = self.segments.get(name)
        if segment is None or _declared(control) or name in self.bursts:
            return False
        epoch, labels = self.looked.get(name, (0, 0))
        count = segment.certificate.labels
        due = count >= FROM and (epoch != segment.epoch or count >= GROWN * labels)
        if due:
            self.looked[name] = segment.epoch, count
        return due

    def score_drift(self, name: str, decisions: Decisions) -> str | None:
        """How the scores of a segment where something is certified have drifted; None while they are as they were."""
        segment, latest = self.segments.get(name), decisions.scores.pop(name, [])
        if segment is None:
            return None
        own = [decision for decision in latest if decision.model == segment.model]
        drift = self._drift(name, segment, segment.certificate, CONFIDENCE, [decision.score for decision in own])
        if drift is None and segment.second is not None:
            chances = [float(chance) for chance in map(segment.chance_of, own) if chance]
            drift = self._drift(name, segment, segment.second.certificate, f"{RISK} {segment.second.at}", chances)
        return drift

    def _drift(
        self, name: str, segment: Segment, certificate: Certificate, order: str, scores: Sequence[float]
    ) -> str | None:  # fmt: skip
        """The same of one order, whose scores these are."""
        if certificate.threshold is None:
            return None
        key = (name, segment.epoch, order)
        scale = self.scales.get(key)
        if scale is None:
            scale = self.scales[key] = Scale(certificate.weights, certificate.labels)
        for place in map(certificate.bin_of, scores):
            group = scale.observe(place)
            if group is not None:
                self.alarms[key] = moves.rescaled(certificate, scale, group)
        return self.alarms.get(key)

    def second_due(self, control: Control, name: str) -> bool:
        """Whether the learned order is to begin in a segment, or to begin again for another risk model."""
        segment = self.segments.get(name)
        return segment is not None and second_due(control, name, segment)

    def fold(self, entries: Sequence[Entry]) -> None:
        """Read on in the loop's stream."""
        for entry in entries:
            self.seq = entry.seq
            for event in entry.events:
                apply(self.segments, event)
                self.note(event)

    def note(self, event: Event) -> None:
        """Track what has changed in each segment since its epoch began: labels, policy, and models that were tried."""
        self.versions.take(event)
        if isinstance(event, EvidenceCounted):
            self._seconds(event)
        if isinstance(event, SettingsEvent):
            self.missing_more = self.missing_more and event.asks is None
            if event.relabelled:
                self.relabelled |= set(self.segments)
            for name in self.segments if event.asks is not None else ():
                self.asked[name] = [*self.asked.get(name, ())[-LAST:], event.asks or ""]
        elif isinstance(event, ModelKept):
            for name in self.segments:
                self.tried[name] = self.tried.get(name, 0) + 1
        elif isinstance(event, EpochBegan) and not event.order and not event.carried:
            self.relabelled.discard(event.segment)
            self.asked.pop(event.segment, None)
            self.tried.pop(event.segment, None)
            self.bursts.discard(event.segment)
        elif isinstance(event, AlarmRaised) and event.code == moves.MISSES:
            self.missing_more = True
        elif isinstance(event, AlarmRaised) and event.code == BURSTS:
            self.bursts |= {name for name in self.segments if moves.named(name, event.reason)}

    def _seconds(self, event: EvidenceCounted) -> None:
        """Count second answers, of each decision once."""
        after = self.read.get(event.segment, 0)
        self.read[event.segment] = max(after, event.upto)
        apart = {*event.stale, *event.missing}
        for pos, score, wrong, *_ in event.labels:
            if pos > after and pos not in apart:
                self.seconds.observe(float(score), None if not wrong and pos not in event.unconfirmed else bool(wrong))


def second_due(control: Control, name: str, segment: Segment) -> bool:
    """Whether a risk model is there that orders no cases of this epoch yet, and half of delta is kept for it."""
    if control.scorer is None or control.epochs.get(name) != segment.epoch:
        return False
    known = segment.second is not None and segment.second.scorer == control.scorer
    return not known and orders.shares(segment.promise, control)


def _declared(control: Control) -> bool:
    """Whether the settings name what makes cases one piece of evidence."""
    return control.settings.guarantee is not None and control.settings.guarantee.independent_by is not None


class Beginning(NamedTuple):
    """An epoch that is due: its model, the position after which evidence counts, and why.

    `cut` says why what was decided before is no evidence for it.
    """

    model: str | None
    after: int
    reason: str
    start: warm_start.Start | None = None
    alarm: bool = False
    cut: str | None = None


def recounted(control: Control, name: str, segments: Segments, allowed: Allowance, now: int) -> list[Event]:
    """Count a segment's evidence again by another allowance, and certify what it carries by that."""
    began = moves.recounted(control, name, segments[name], allowed, now)
    apply(segments, began)
    segment = segments[name]
    fresh = moves.moved(governed_by(control, began), name, segment, segment.steps, now)
    apply(segments, *fresh)
    return [began, *fresh]


def apply(segments: Segments, *events: Event) -> None:
    """Fold events of the loop's stream into its segments."""
    for event in events:
        if isinstance(event, EpochBegan) and event.order and event.segment in segments:
            segments[event.segment] = segments[event.segment].begin_order(event)
        elif isinstance(event, EpochBegan):
            segments[event.segment] = Segment(event, segments.get(event.segment))
        elif isinstance(event, EvidenceCounted) and event.segment in segments:
            segments[event.segment].fold(event)
        elif isinstance(event, AuditsChanged) and event.segment in segments:
            segments[event.segment].shared()
