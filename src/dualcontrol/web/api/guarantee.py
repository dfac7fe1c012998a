"""What a loop's guarantee stands at: in words, in figures, its course, and what another promise would have meant."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.case import JSON
from dualcontrol.control import Control
from dualcontrol.desk import Desk
from dualcontrol.errors import NotFoundError
from dualcontrol.guarantee.evidence import evidence
from dualcontrol.guarantee.history import History, Move, Point, Rate, gathered
from dualcontrol.guarantee.standing import UNNAMED, Standing, standing, words
from dualcontrol.replay.whatif import Asked, WhatIf, what_if
from dualcontrol.web.deps import Here, LoopName
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import GuaranteeReply, replies

router = APIRouter(prefix="/loops", tags=["loops"])
SegmentName = Annotated[str | None, Query(max_length=200, description="A segment of the guarantee; else the first.")]
Share = Annotated[float | None, Query(ge=0.0001, le=0.9999)]
Amount = Annotated[float | None, Query(ge=0, le=1e12)]


@router.get("/{loop}/guarantee", response_class=Response, responses=replies(GuaranteeReply, 404))
def guarantee(
    loop: LoopName, desk: Here, request: Request, segment: SegmentName = None,
    max_error: Annotated[Share, Query(description="Try another bound on the counted answers.")] = None,
    confidence: Annotated[Share, Query(description="How sure that bound is to hold; 0.95 if not given.")] = None,
    minute_price: Annotated[Amount, Query(description="What a minute of a reviewer costs.")] = None,
    minutes: Annotated[Amount, Query(description="How many minutes a review takes; 1 if not given.")] = None,
    error_loss: Annotated[Amount, Query(description="What an error on autopilot costs.")] = None,
) -> Response:  # fmt: skip
    """What is promised of autopilot, on what evidence, since when and until when; `what_if` where a bound is given."""
    asked = None
    if max_error is not None:
        asked = Asked(
            max_error=max_error, confidence=confidence or 0.95, minute_price=minute_price,
            minutes=1.0 if minutes is None else minutes, error_loss=error_loss,
        )  # fmt: skip
    return reply(as_guarantee(desk, courses_of(request), desk.governing(loop), segment, asked).plain)


class Told:
    """A segment's standing with everything that belongs to it, as values and as plain JSON."""

    def __init__(
        self, control: Control, standings: list[Standing], shown: Standing, course: Course, tried: WhatIf | None
    ) -> None:
        self.control, self.standings, self.shown, self.course, self.tried = control, standings, shown, course, tried
        self.words = words(control, shown)
        self.moves = gathered(course.moves)

    @property
    def plain(self) -> dict[str, JSON]:
        """The reply."""
        return {
            "loop": self.control.loop, "segment": self.shown.segment, "promise": self.words.to_dict(),
            "segments": [of.to_dict() for of in self.standings],
            "points": [point.to_dict() for point in self.course.points],
            "reliability": [rate.to_dict() for rate in self.course.rates],
            "moves": [move.to_dict() for move in self.moves],
            "what_if": None if self.tried is None else self.tried.to_dict(),
        }  # fmt: skip


def as_guarantee(desk: Desk, courses: Courses, control: Control, segment: str | None, asked: Asked | None) -> Told:
    """What there is to say of a loop, with one of its segments in full."""
    standings = standing(control, desk.certifier.segments(control))
    shown = standings[0] if segment is None else next((of for of in standings if of.segment == segment), None)
    if shown is None:
        known = ", ".join(of.segment for of in standings if of.segment) or "the loop has none"
        raise NotFoundError(f"there is no segment {str(segment)[:80]!r}; known are: {known}", hint=UNNAMED)
    course = courses.of(control, shown.segment)
    tried = None
    if asked is not None:
        entries = desk.store.queries.entries(f"loop/{control.loop_id}", values=False)
        tried = what_if(evidence(entries, shown.segment), asked, today=shown.threshold, promise=course.promise)
    return Told(control, standings, shown, course, tried)


def courses_of(request: Request) -> Courses:
    """The courses that this server keeps."""
    courses: Courses = request.app.state.courses
    return courses


# The courses of all loops, kept between requests: each asks the ledger for what is new only.


class Course(NamedTuple):
    """What one segment went through; `seq` is the last entry of the loop's stream that is in it."""

    seq: int
    points: Sequence[Point]
    moves: list[Move]
    rates: list[Rate]
    promise: dict[str, Any]


class Courses:
    """Folds the streams of loops; safe for many threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._histories: dict[int, History] = {}

    def of(self, control: Control, segment: str) -> Course:
        """A segment's course up to now."""
        with self._lock:
            history = self._histories.setdefault(control.loop_id, History(control.loop))
            entries = self._desk.store.queries.entries(f"loop/{control.loop_id}", after=history.seq, values=False)
            return _course(history.fold(entries), segment)


def _course(history: History, segment: str) -> Course:
    trail = history.trails.get(segment)
    rates = trail.tally.rates() if trail else []
    promise = json.loads(trail.segment.promise) if trail else {}
    return Course(history.seq, list(history.points(segment)), history.moved(segment), rates, promise)
