"""The certifier of a desk: reads the feed, counts what is due, and moves the control, safely beside other replicas."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dualcontrol.case import Case
from dualcontrol.control import Control
from dualcontrol.events import AuditsChanged, Entry, EpochBegan, Event, EvidenceCounted, PolicyChanged
from dualcontrol.evolve import governed_by
from dualcontrol.guarantee import moves, warm_start
from dualcontrol.guarantee.evidence import LABELS, SCALE, TURN, Decisions, Segment, count, ready
from dualcontrol.guarantee.monitor import Scale
from dualcontrol.guarantee.offline import share
from dualcontrol.guarantee.warm_start import Labeller
from dualcontrol.step import Steps
from dualcontrol.store import Conflict

log = logging.getLogger("dualcontrol.guarantee")
PAGE = 1_000
ROUNDS = 1_000
ANSWERS = 20
PAUSE = 1_000_000


class Certifier:
    """Counts the evidence of loops under a guarantee; one for each desk, and any number of desks on one database."""

    def __init__(self, steps: Steps, model: Callable[[Control], Labeller | None] = lambda control: None) -> None:
        self._steps = steps
        self._model = model
        self._loops: dict[str, LoopState] = {}
        self._pace: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def segments(self, control: Control) -> dict[str, Segment]:
        """What stands in the loop's stream now, by segment."""
        with self._lock:
            return {name: segment.copied() for name, segment in self._caught_up(control).segments.items()}

    def run(self, loop: str) -> list[Event]:
        """Count what is due in a loop and move its control; the events that were written."""
        with self._lock:
            return self._run(loop)

    def run_all(self, controls: Sequence[Control]) -> None:
        """The same for every loop under a guarantee; one that cannot be counted is logged and stops no other."""
        for control in controls:
            if control.settings.guarantee is not None:
                self._tried(control.loop)

    def answered(self, case: Case) -> None:
        """After an answer: count when enough answers have come, or when it is a while since; never in their way."""
        if case.route is None or case.route.score is None:
            return
        now, (answers, since) = self._steps.now(), self._pace.get(case.loop, (0, 0))
        self._pace[case.loop] = (answers + 1, since)
        if answers + 1 < ANSWERS and abs(now - since) < PAUSE:
            return
        self._pace[case.loop] = (0, now)
        self._tried(case.loop, wait=False)

    def _tried(self, loop: str, *, wait: bool = True) -> None:
        """Count, or say in the log why not: answers stand, and what is due is counted the next time."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            self._run(loop)
        except Exception:
            log.warning("the evidence of loop %s was not counted", loop, exc_info=True)
        finally:
            self._lock.release()

    def _run(self, loop: str) -> list[Event]:
        made: list[Event] = []
        try:
            for _ in range(ROUNDS):
                fresh = self._round(loop)
                if fresh is not None and not fresh:
                    break
                made += fresh or []
        except BaseException:
            self._loops.pop(loop, None)  # the feed may have been read in part: begin again with what is recorded
            raise
        return made

    def _round(self, loop: str) -> list[Event] | None:
        """The events of one transaction; None where another replica was faster, and this one has to read again."""
        control = self._control(loop)
        if control is None or control.settings.guarantee is None:
            return []
        state = self._caught_up(control)
        if control.seq != state.seq:
            return None
        decisions = self._read(state, control)
        names = [name for name, waiting in decisions.waiting.items() if waiting]
        found = {name: self._beginning(control, name, state, decisions) for name in names}
        now = self._steps.now()
        due = {name: one for name, one in found.items() if one or ready(name, decisions, control, now)}
        return self._written(control, state, decisions, due) if due else []

    def _written(
        self, control: Control, state: LoopState, decisions: Decisions, due: dict[str, Beginning | None]
    ) -> list[Event] | None:  # fmt: skip
        """Count on copies, in the transaction that writes, and only when nobody else has written since."""
        segments = {name: one.copied() if name in due else one for name, one in state.segments.items()}
        made: list[Event] = []
        try:
            with self._steps.store.transaction() as tx:
                now = self._steps.control(tx, control.loop)
                if now.seq != state.seq:
                    return None
                for name, beginning in due.items():
                    fresh = self._segment(now, name, segments, decisions, beginning, tx.now)
                    for event in fresh:
                        now = governed_by(now, event)
                    made += fresh
                seq = self._steps.moved(tx, control, made, expected=control).seq if made else state.seq
        except Conflict:
            return None
        state.seq, state.segments = seq, segments
        for event in made:
            state.note(event)
        for name, segment in segments.items():
            decisions.trim(name, segment.upto)
        return made

    def _segment(
        self, control: Control, name: str, segments: dict[str, Segment], decisions: Decisions,
        beginning: Beginning | None, now: int,
    ) -> list[Event]:  # fmt: skip
        if beginning is not None:
            return self._begin(control, name, segments, beginning, now)
        segment = segments[name]
        steps = len(segment.steps)
        taken = count(name, segment, decisions, control, now)
        made: list[Event] = [] if taken.event is None else [taken.event]
        if taken.alarm:
            fresh = moves.alarmed(control, name, segment, decisions.read, now, moves.drifted(segment))
            return [*made, *_applied(segments, fresh)]
        place = moves.elsewhere(segment.certificate)
        if place is not None:
            return [*made, *_applied(segments, [moves.begun_again(control, name, segment, place, now)])]
        return [*made, *_applied(segments, moves.moved(control, name, segment, segment.steps[steps:], now))]

    def _begin(
        self, control: Control, name: str, segments: dict[str, Segment], due: Beginning, now: int
    ) -> list[Event]:  # fmt: skip
        before, start = segments.get(name), due.start
        if due.alarm and before is not None:
            return _applied(segments, moves.alarmed(control, name, before, due.after, now, due.reason, SCALE))
        began = moves.began(control, name, due.model, before, due.after, now, due.reason, start, due.cut)
        made = _applied(segments, [began])
        if start is not None and start.evidence:
            event = EvidenceCounted(
                at=now, segment=name, epoch=began.epoch, upto=segments[name].upto, labels=tuple(start.evidence),
                floors=tuple(start.floors),
            )  # fmt: skip
            made += _applied(segments, [event])
            fresh = moves.moved(governed_by(control, began), name, segments[name], segments[name].steps, now)
            made += _applied(segments, fresh)
        return made

    # models

    def _beginning(self, control: Control, name: str, state: LoopState, decisions: Decisions) -> Beginning | None:
        """The epoch that the next decision begins: the first, by another promise, or by a model that has its turn."""
        segment, first, run = state.segments.get(name), decisions.waiting[name][0], decisions.runs.get(name)
        if segment is None:
            return Beginning(control.model or first.model, first.pos - 1, "the first decision")
        if control.epochs.get(name) != segment.epoch:
            named = (one.model for one in decisions.waiting[name] if not one.batch)
            model, after = control.model or next(named, segment.model), max(first.pos - 1, decisions.changed)
            if name in state.relabelled:
                return Beginning(model, after, "the labels of the loop are others now", cut=LABELS)
            start = self._warm(control, name, segment, model)
            return Beginning(model, after, "a new model or promise is in force", start)
        found = state.rescaled(name, decisions)
        if found is not None:
            return Beginning(segment.model, decisions.read, found, alarm=True)
        if run is None or run.length < TURN or run.model == segment.model:
            return None
        if first.pos < run.start or first.pos <= segment.after:
            return None
        reason = f"model {run.model or 'without a name'} proposes now"
        return Beginning(run.model, first.pos - 1, reason, self._warm(control, name, segment, run.model))

    def _warm(self, control: Control, name: str, before: Segment, model: str | None) -> warm_start.Start | None:
        """What is known of the loop's own model before its first case; nothing is of any other."""
        if model is None or model != control.model:
            return None
        served = self._model(control)
        return None if served is None else warm_start.start(self._steps, control, name, before, served)

    def objection(self, control: Control, model: Labeller) -> str | None:
        """Why a model should not take over yet: autopilot would lose what is certified; None where it would not."""
        for name, segment in self.segments(control).items():
            if control.epochs.get(name) != segment.epoch or segment.certificate.threshold is None:
                continue
            start = warm_start.start(self._steps, control, name, segment, model)
            anew = moves.began(control, name, None, segment, segment.upto, self._steps.now(), "", start)
            covered = warm_start.coverage(anew, start)
            now = segment.certificate.coverage
            if covered < now:
                said = f"its evidence certifies {share(covered)} of decisions"
                return f"{said}, where {share(now)} are on autopilot today"
        return None

    # reading

    def _control(self, loop: str) -> Control | None:
        return next((c for c in self._steps.store.queries.loops() if c.loop == loop), None)

    def _caught_up(self, control: Control) -> LoopState:
        state = self._loops.setdefault(control.loop, LoopState())
        stream = f"loop/{control.loop_id}"
        state.fold(self._steps.store.queries.entries(stream, after=state.seq, values=False))
        return state

    def _read(self, state: LoopState, control: Control) -> Decisions:
        store = self._steps.store
        while store.sequence():
            pass
        if state.decisions is None or state.decisions.guarantee != control.settings.guarantee:
            state.decisions = Decisions(state.counted(control), control)
        while state.decisions.take(store.feed(state.decisions.read, PAGE, control.loop), control) == PAGE:
            pass
        for name, segment in state.segments.items():  # another process may have counted on
            state.decisions.trim(name, segment.upto)
        return state.decisions


def _applied(segments: dict[str, Segment], made: list[Event]) -> list[Event]:
    for event in made:
        apply(segments, event)
    return made


# What a certifier holds of a loop: its segments as the stream says, what waits to be counted, an epoch that is due.


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
                self.alarms[key] = moves.rescaled(segment, scale, group)
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
    start: warm_start.Start | None = None
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
