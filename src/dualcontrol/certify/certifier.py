"""The certifier of a desk: reads the feed, counts what is due, and moves the control, safely beside other replicas."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from dualcontrol.case import Case
from dualcontrol.certify import moving, warm
from dualcontrol.certify.counting import count
from dualcontrol.certify.decisions import Decisions
from dualcontrol.certify.segment import Segment
from dualcontrol.certify.warm import Scorer
from dualcontrol.control import Control
from dualcontrol.errors import DualcontrolError
from dualcontrol.events import AuditsChanged, Entry, EpochBegan, Event, EvidenceCounted, governed_by
from dualcontrol.step import Steps
from dualcontrol.store import Conflict

log = logging.getLogger("dualcontrol.certify")
PAGE = 1_000
ROUNDS = 1_000
ANSWERS = 20
PAUSE = 1_000_000


class _Loop:
    """A loop's evidence as its stream says, up to entry `seq`, and the decisions that wait to be counted."""

    def __init__(self) -> None:
        self.seq = 0
        self.segments: dict[str, Segment] = {}
        self.decisions: Decisions | None = None

    def fold(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.seq = entry.seq
            for event in entry.events:
                self.apply(event)

    def apply(self, event: Event) -> None:
        if isinstance(event, EpochBegan):
            self.segments[event.segment] = Segment(event, self.segments.get(event.segment))
        elif isinstance(event, EvidenceCounted) and event.segment in self.segments:
            self.segments[event.segment].fold(event)

    @property
    def counted(self) -> int:
        """The position up to which every segment is counted."""
        return min((segment.upto for segment in self.segments.values()), default=0)


class Certifier:
    """Counts the evidence of loops under a guarantee; one for each desk, and any number of desks on one database."""

    def __init__(self, steps: Steps, model: Callable[[Control], Scorer | None] = lambda control: None) -> None:
        self._steps = steps
        self._model = model
        self._loops: dict[str, _Loop] = {}
        self._pace: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def segments(self, control: Control) -> dict[str, Segment]:
        """What stands in the loop's stream now, by segment."""
        with self._lock:
            return dict(self._caught_up(control).segments)

    def run(self, loop: str) -> list[Event]:
        """Count what is due in a loop and move its control; the events that were written."""
        with self._lock:
            try:
                return self._run(loop)
            except BaseException:
                self._loops.pop(loop, None)  # what it holds may be ahead of the stream
                raise

    def run_all(self, controls: Sequence[Control]) -> None:
        """The same for every loop under a guarantee."""
        for control in controls:
            if control.settings.guarantee is not None:
                self.run(control.loop)

    def answered(self, case: Case) -> None:
        """After an answer: count when enough answers have come, or when it is a while since; never in their way."""
        if case.route is None or case.route.score is None:
            return
        now, (answers, since) = self._steps.now(), self._pace.get(case.loop, (0, 0))
        self._pace[case.loop] = (answers + 1, since)
        if answers + 1 < ANSWERS and now - since < PAUSE:
            return
        self._pace[case.loop] = (0, now)
        try:
            self.run(case.loop)
        except DualcontrolError as error:  # the answer stands; what is due is counted with the next one
            log.warning("the evidence of loop %s was not counted: %s", case.loop, error)

    def _run(self, loop: str) -> list[Event]:
        made: list[Event] = []
        for _ in range(ROUNDS):
            fresh = self._round(loop)
            if fresh is not None and not fresh:
                break
            made += fresh or []
        return made

    def _round(self, loop: str) -> list[Event] | None:
        """The events of one transaction; None where another replica was faster, and this one has to read again."""
        control = self._control(loop)
        if control is None or control.settings.guarantee is None:
            return []
        state = self._caught_up(control)
        decisions = self._read(state, control)
        if not any(decisions.waiting.values()):
            return []
        try:
            return self._written(loop, state, decisions)
        except Conflict:
            self._loops.pop(loop, None)
            return None

    def _written(self, loop: str, state: _Loop, decisions: Decisions) -> list[Event] | None:
        """Count inside the transaction that writes, and only when nobody else has written since."""
        with self._steps.store.transaction() as tx:
            control = self._steps.control(tx, loop)
            if control.seq != state.seq:
                return None
            made = self._events(control, state, decisions, tx.now)
            if made:
                state.seq = self._steps.moved(tx, control, made, expected=control).seq
            return made

    def _events(self, control: Control, state: _Loop, decisions: Decisions, now: int) -> list[Event]:
        made: list[Event] = []
        for name in list(decisions.waiting):
            if decisions.waiting[name]:
                fresh = self._segment(control, name, state, decisions, now)
                for event in fresh:
                    control = governed_by(control, event)
                made += fresh
        return made

    def _segment(self, control: Control, name: str, state: _Loop, decisions: Decisions, now: int) -> list[Event]:
        segment = state.segments.get(name)
        if segment is None or control.epochs.get(name) != segment.epoch:
            first = decisions.waiting[name][0]
            return self._begin(control, name, state, control.model or first.model, first.pos - 1, now)
        steps = len(segment.steps)
        taken = count(name, segment, decisions, control, now)
        made: list[Event] = [] if taken.event is None else [taken.event]
        if taken.alarm:
            fresh = moving.alarmed(control, name, segment, decisions.read, now)
            return [*made, *self._applied(state, fresh)]
        fresh = moving.moved(control, name, segment, segment.steps[steps:], now)
        if any(isinstance(event, AuditsChanged) for event in fresh):
            segment.shared_at, segment.boosted = segment.certificate.labels, segment.monitor.suspicious
        if not made and taken.model is not None:
            reason = f"model {taken.model.model or 'without a name'} proposes now"
            return self._begin(control, name, state, taken.model.model, taken.model.pos - 1, now, reason)
        return [*made, *fresh]

    def _begin(
        self, control: Control, name: str, state: _Loop, model: str | None, after: int, now: int, reason: str = ""
    ) -> list[Event]:
        before = state.segments.get(name)
        why = reason or ("the first decision" if before is None else "a new model or promise is in force")
        start = self._warm(control, name, before) if before is not None and model is not None else None
        began = moving.began(control, name, model, before, after, now, why, start)
        made = self._applied(state, [began])
        if start is not None and start.evidence:
            upto, labels = state.segments[name].upto, tuple(start.evidence)
            event = EvidenceCounted(at=now, segment=name, epoch=began.epoch, upto=upto, labels=labels)
            made += self._applied(state, [event])
            after_it = governed_by(control, began)
            made += moving.moved(after_it, name, state.segments[name], state.segments[name].steps, now)
        return made

    def _applied(self, state: _Loop, made: list[Event]) -> list[Event]:
        for event in made:
            state.apply(event)
        return made

    # models

    def _warm(self, control: Control, name: str, before: Segment) -> warm.Start | None:
        """What is known of a new model before its first case."""
        model = self._model(control)
        return None if model is None else warm.start(self._steps, control, name, before, model)

    def objection(self, control: Control, model: Scorer) -> str | None:
        """Why a model should not take over yet: autopilot would lose what is certified; None where it would not."""
        with self._lock:
            segments = self._caught_up(control).segments
        for name, segment in segments.items():
            if control.epochs.get(name) != segment.epoch or segment.certificate.threshold is None:
                continue
            start = warm.start(self._steps, control, name, segment, model)
            anew = moving.began(control, name, None, segment, segment.upto, self._steps.now(), "", start)
            covered = warm.coverage(anew, start.evidence)
            now = segment.certificate.coverage
            if covered < now:
                return f"its evidence certifies {covered:.0%} of decisions, where {now:.0%} are on autopilot today"
        return None

    # reading

    def _control(self, loop: str) -> Control | None:
        return next((c for c in self._steps.store.queries.loops() if c.loop == loop), None)

    def _caught_up(self, control: Control) -> _Loop:
        state = self._loops.setdefault(control.loop, _Loop())
        stream = f"loop/{control.loop_id}"
        state.fold(self._steps.store.queries.entries(stream, after=state.seq, values=False))
        return state

    def _read(self, state: _Loop, control: Control) -> Decisions:
        store = self._steps.store
        while store.sequence():
            pass
        if state.decisions is None:
            state.decisions = Decisions(state.counted)
        while state.decisions.take(store.feed(state.decisions.read, PAGE, control.loop), control) == PAGE:
            pass
        return state.decisions
