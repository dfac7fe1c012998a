"""Decisions as the feed tells of them: in their order, each with its label once people have given it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from dualcontrol.case import Case
from dualcontrol.control import Control
from dualcontrol.events import Answered, BatchRouted, Entry, Event, Opened, PolicyChanged, Routed, ScoreChanged, fold
from dualcontrol.names import identity

LOOK_BACK = 5_000  # positions before the first decision: who answered there may be asked again
BATCH = "batch/"  # keys of cases that stand for rows: those without a case are missing among their scores
TURN = 20  # decisions in a row by one model, after which the certificate is for that model


class Decision:
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


class Run(NamedTuple):
    """Decisions in a row by one model: its name, the position of the first, and how many."""

    model: str | None
    start: int
    length: int = 1

    def on(self, model: str | None, pos: int) -> Run:
        """The run after one more decision."""
        return Run(model, self.start, self.length + 1) if model == self.model else Run(model, pos)


class Decisions:
    """Decisions that are not counted yet, by segment and in order; `read` is the position that the feed was read to.

    `people` have answered lately; `changed` is the position of the last change of settings, `runs` the models that
    propose now, `scores` those that nobody has looked at yet, with their models.
    """

    def __init__(self, after: int, control: Control) -> None:
        self.after, self.read = after, max(0, after - LOOK_BACK)
        self.guarantee = control.settings.guarantee
        self.waiting: dict[str, deque[Decision]] = {}
        self.people: set[str] = set()
        self.runs: dict[str, Run] = {}
        self.changed = 0
        self.scores: dict[str, list[tuple[str | None, float]]] = {}
        self._open: dict[str, Decision] = {}

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
                self._wait(segment, Decision(pos, 0.0, None, event.at, None, rows))

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
        found = Decision(entry.pos or 0, float(routed.score), routed.model, opened.at, case)
        run = self.runs.get(segment, Run(found.model, found.pos, 0))
        self.runs[segment] = run.on(found.model, found.pos)
        if not (opened.key or "").startswith(BATCH):
            self.scores.setdefault(segment, []).append((found.model, found.score))
        self._wait(segment, found)
        if case is not None:
            self._open[case.id] = found

    def _wait(self, segment: str, found: Decision) -> None:
        self.waiting.setdefault(segment, deque()).append(found)
