"""What a loop's guarantee stands at: in words, in figures, over time, and what another promise would have meant."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.control import RISK, Control
from dualcontrol.desk import Desk
from dualcontrol.errors import NotFoundError
from dualcontrol.guarantee.breakdown import Breakdowns
from dualcontrol.guarantee.evidence import evidence
from dualcontrol.guarantee.history import History, Move, Point, Rate, gathered
from dualcontrol.guarantee.standing import UNNAMED, Standing, standing, words
from dualcontrol.replay.whatif import Asked, what_if
from dualcontrol.web.deps import Here, LoopName, asks
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import GuaranteeReply, replies

router = APIRouter(prefix="/loops", tags=["loops"])
SegmentName = Annotated[str | None, Query(max_length=200, description="A segment of the guarantee; else the first.")]
Share = Annotated[float | None, Query(ge=0.0001, le=0.9999)]
Amount = Annotated[float | None, Query(ge=0, le=1e12)]


@router.get("/{loop}/guarantee", responses=replies(GuaranteeReply, 404))
@asks("overview")
def guarantee(
    loop: LoopName, desk: Here, request: Request, segment: SegmentName = None,
    max_error: Annotated[Share, Query(description="Try another bound on the counted answers.")] = None,
    confidence: Annotated[Share, Query(description="How sure that bound is to hold; 0.95 if not given.")] = None,
    minute_price: Annotated[Amount, Query(description="What a minute of a reviewer costs.")] = None,
    minutes: Annotated[Amount, Query(description="How many minutes a review takes; 1 if not given.")] = None,
    error_loss: Annotated[Amount, Query(description="What an error on autopilot costs.")] = None,
) -> Response:  # fmt: skip
    """What is promised of autopilot, on what evidence, since when and until when; `what_if` where a bound is given."""
    bound = None
    if max_error is not None:
        bound = Asked(
            max_error=max_error, confidence=confidence or 0.95, minute_price=minute_price,
            minutes=1.0 if minutes is None else minutes, error_loss=error_loss,
        )  # fmt: skip
    return reply(as_guarantee(desk, courses_of(request), desk.governing(loop), segment, bound).reply)


class Status(NamedTuple):
    """The reply about a loop's guarantee, with the segment that it shows in full and that segment's time series."""

    control: Control
    shown: Standing
    course: Course
    reply: GuaranteeReply


def as_guarantee(desk: Desk, courses: Courses, control: Control, segment: str | None, bound: Asked | None) -> Status:
    """The status of a loop's guarantee, with one of its segments in full; `bound` is what to try on its answers."""
    standings = standing(control, desk.certifier.segments(control))
    shown = standings[0] if segment is None else next((of for of in standings if of.segment == segment), None)
    if shown is None:
        known = ", ".join(of.segment for of in standings if of.segment) or "the loop has none"
        raise NotFoundError(f"there is no segment {str(segment)[:80]!r}; known are: {known}", hint=UNNAMED)
    course = courses.of(control, shown.segment)
    trial = None
    if bound is not None:
        entries = desk.store.queries.entries(f"loop/{control.loop_id}", values=False)
        today = None if control.beside and control.acting(shown.segment) == RISK else shown.threshold
        trial = what_if(evidence(entries, shown.segment), bound, today=today, promise=course.promise)
    body = GuaranteeReply(
        loop=control.loop, segment=shown.segment, promise=words(control, shown), segments=standings,
        points=course.points, reliability=course.rates,
        breakdowns=courses.breakdowns.of(control), moves=gathered(course.moves), what_if=trial,
    )  # fmt: skip
    return Status(control, shown, course, body)


def courses_of(request: Request) -> Courses:
    """The time series that this server keeps."""
    courses: Courses = request.app.state.courses
    return courses


class Course(NamedTuple):
    """One segment's time series; `seq` is the last entry of the loop's stream that is in it."""

    seq: int
    points: list[Point]
    moves: list[Move]
    rates: list[Rate]
    promise: dict[str, Any]


class Courses:
    """Time series of all loops, kept between requests: each asks the ledger for new entries only; thread-safe."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._histories: dict[int, History] = {}
        self.breakdowns = Breakdowns(desk.store)

    def of(self, control: Control, segment: str) -> Course:
        """A segment's course up to now."""
        with self._lock:
            history = self._histories.setdefault(control.loop_id, History(control.loop))
            entries = self._desk.store.queries.entries(f"loop/{control.loop_id}", after=history.seq, values=False)
            history.fold(entries)
            trail = history.trails.get(segment)
            rates = trail.tally.rates() if trail else []
            promise = json.loads(trail.segment.promise) if trail else {}
            return Course(history.seq, list(history.points(segment)), history.moved(segment), rates, promise)
