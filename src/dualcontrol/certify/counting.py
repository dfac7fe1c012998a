"""Counting: labels become evidence in the order of decisions, behind the first one that is still outstanding."""

from __future__ import annotations

from typing import NamedTuple

from dualcontrol.case import microseconds
from dualcontrol.certify.decisions import Decision, Decisions
from dualcontrol.certify.segment import Counted, Segment
from dualcontrol.certify.verdicts import MISSING, PENDING, found
from dualcontrol.control import Control
from dualcontrol.events import EvidenceCounted

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


def _label(first: Decision, control: Control, now: int, *, alone: bool) -> int | str | None:
    """The label of a decision; None where nobody was to look at it."""
    if first.case is None:
        return None
    said = found(first.case, control, alone=alone)
    guarantee = control.settings.guarantee
    patience = microseconds(guarantee.answer_within) if guarantee else None
    late = patience is not None and now - first.opened_at > patience
    return MISSING if said == PENDING and late else said


def _counted(segment: Segment, batch: _Batch, first: Decision, said: int | str | None) -> bool:
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
