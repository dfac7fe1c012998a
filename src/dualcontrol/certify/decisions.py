"""Decisions as the feed tells of them: in their order, each with its label once people have given it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from dualcontrol.case import Case
from dualcontrol.control import Control
from dualcontrol.events import Answered, Entry, Opened, Routed, fold


class Decision:
    """One decision that a certificate speaks for; `case` is followed until its label is known, None if nobody looks."""

    __slots__ = ("case", "model", "opened_at", "pos", "score")

    def __init__(self, pos: int, score: float, model: str | None, opened_at: int, case: Case | None) -> None:
        self.pos, self.score, self.model, self.opened_at, self.case = pos, score, model, opened_at, case

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


class Decisions:
    """Decisions that are not counted yet, by segment and in order; `read` is the position that the feed was read to.

    `people` have answered since then.
    """

    def __init__(self, after: int) -> None:
        self.read = after
        self.waiting: dict[str, deque[Decision]] = {}
        self.people: set[str] = set()
        self._open: dict[str, Decision] = {}

    def take(self, entries: Iterable[Entry], control: Control) -> int:
        """Note what entries of the feed say; returns how many there were."""
        count = 0
        for entry in entries:
            count, self.read = count + 1, entry.pos or self.read
            kind, _, case_id = entry.stream.partition("/")
            if kind != "case":
                continue
            if entry.seq == 1:
                self._decided(entry, control)
            elif case_id in self._open:
                self._follow(case_id, entry)
        return count

    def done(self, decision: Decision) -> None:
        """Stop following a decision that is counted."""
        if decision.case is not None:
            self._open.pop(decision.case.id, None)

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
        self.waiting.setdefault(segment, deque()).append(found)
        if case is not None:
            self._open[case.id] = found

    def _follow(self, case_id: str, entry: Entry) -> None:
        found = self._open[case_id]
        found.case = fold(found.case, entry.events)
        self.people.update(event.actor.person for event in entry.events if isinstance(event, Answered))
