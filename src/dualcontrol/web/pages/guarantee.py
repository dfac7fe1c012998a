"""The guarantee of a loop: what is promised, on what evidence, how it came to be, and what else could be promised."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.control import ALARM, PERSON, Control
from dualcontrol.guarantee.breakdown import Breakdown, mend, scope, warning
from dualcontrol.guarantee.standing import Standing, effort, some, time_of, worth_of
from dualcontrol.people import proof
from dualcontrol.replay.whatif import Asked, WhatIf
from dualcontrol.web.api.guarantee import Courses, SegmentName, Status, as_guarantee, courses_of
from dualcontrol.web.charts import course
from dualcontrol.web.charts.plot import spark, whisker
from dualcontrol.web.deps import Here, LoopName, Who, asks
from dualcontrol.web.pages.site import pages_of
from dualcontrol.web.show.words import count, percent

router = APIRouter(include_in_schema=False)
ROWS = 24  # of a chart's table
PARTS = 20  # in a table of classes or groups; the JSON has all
LATEST = 60  # moves on the page; the JSON has all
Typed = Annotated[str, Query(max_length=40)]
STATES = {
    "certified": ("good", "check"), "closed": ("bad", "alert"), "collecting": ("open", "clock"),
    "pilot": ("open", "clock"), "waiting": ("open", "clock"), "off": ("quiet", "dot"),
}  # fmt: skip


@router.get("/loops/{loop}/guarantee")
@asks("overview")
def guarantee(
    request: Request, loop: LoopName, desk: Here, visitor: Who, segment: SegmentName = None, max_error: Typed = "",
    confidence: Typed = "", minute_price: Typed = "", minutes: Typed = "", error_loss: Typed = "",
) -> Response:  # fmt: skip
    """The whole page; with a bound in the address, what it would have meant for the answers so far."""
    typed = {
        "max_error": max_error, "confidence": confidence, "minute_price": minute_price, "minutes": minutes,
        "error_loss": error_loss,
    }  # fmt: skip
    form = read(typed)
    courses = courses_of(request)
    status = as_guarantee(desk, courses, desk.governing(loop), segment, form.bound)
    of, points, control = status.shown, status.course.points, status.control
    closed = None  # why autopilot is closed, and what opens it again
    if of.closed is not None:
        by_hand = control.stopped is not None or control.closed_by(of.segment, PERSON)
        opens = f"autopilot opens when {'somebody opens it again' if by_hand else 'this is mended'}."
        closed = of.closed, f"What was certified still stands; {opens}"
        if control.stopped is None and control.closed_by(of.segment, ALARM):
            closed = of.closed, "Enough has to be counted anew; then autopilot opens by itself."
    charts = {
        "threshold": course.threshold(points), "coverage": course.coverage(points),
        "error": course.error(points, of.max_error), "monitor": course.monitor(points),
        "reliability": course.reliability(status.course.rates),
    }  # fmt: skip
    return pages_of(request).show(
        request, "guarantee.html", status.reply, course=status.course, of=of, control=control,
        say=status.reply.promise,
        state=STATES.get(of.state, STATES["off"]), charts=charts, tabs=tabs(courses, status),
        parts=[by_part(control, of) for of in status.reply.breakdowns if any(part.labels for part in of.parts)],
        rows=points[::-1][:: max(1, -(-len(points) // ROWS))],  # the latest first, evenly thinned
        moved=status.reply.moves[::-1][:LATEST], typed=typed, form=form, figures=figures(of),
        tried=lines(status.reply.what_if), closed=closed, proof=proof,
        time_of=time_of,
    )  # fmt: skip


class Form(NamedTuple):
    """The bound that the what-if is to try, and the fields that do not fit, with what is wrong."""

    bound: Asked | None
    wrong: dict[str, str]


def read(typed: dict[str, str]) -> Form:
    """The fields of the form as numbers; there is no bound to try where none is typed."""
    numbers: dict[str, float] = {}
    wrong = {}
    for name, text in typed.items():
        if not text.strip():
            continue
        is_share = name in ("max_error", "confidence")
        try:
            number = float(text.strip().rstrip("%").strip().replace(",", "."))
            number /= 100 if text.strip().endswith("%") else 1
        except ValueError:
            number = float("nan")  # which fits no range
        if abs(number) <= 1e12 and (0.0001 <= number <= 0.9999 if is_share else number >= 0):
            numbers[name] = number
        else:
            wrong[name] = "a share above 0 and below 1, such as 0.05" if is_share else "a number"
    prices = {"minute_price", "error_loss"}
    if len(prices & numbers.keys()) == 1:
        wrong[next(iter(prices - numbers.keys()))] = "a cost takes both prices"
    return Form(None if wrong or "max_error" not in numbers else Asked(**numbers), wrong)


def tabs(courses: Courses, status: Status) -> list[dict[str, Any]]:
    """One line a segment, where there are several."""
    segments = status.reply.segments
    return [] if len(segments) < 2 else [
        {
            "of": of, "tag": STATES[of.state], "here": of is status.shown,
            "spark": spark(
                [point.coverage for point in courses.of(status.control, of.segment).points],
                f"coverage over time, now {percent(of.certified_coverage)}",
            ),
        }
        for of in segments
    ]  # fmt: skip


def by_part(control: Control, of: Breakdown) -> dict[str, Any]:
    """How often autopilot is wrong in each class or group, the worst first, each with its interval as a small chart."""
    top = min(1.0, max(2 * of.max_error, *(part.high for part in of.parts if part.labels)))
    rows = []
    for part in of.parts[:PARTS]:
        label = f"not audited yet; {percent(of.max_error)} is promised {scope(of)}"
        if part.estimate is not None:
            label = (
                f"about {percent(part.estimate)}, between {percent(part.low)} and {percent(part.high)}; "
                f"{percent(of.max_error)} is promised {scope(of)}"
            )
        rows.append({"part": part, "chart": whisker(part.low, part.estimate, part.high, of.max_error, top, label)})
    return {
        "of": of, "rows": rows, "top": top, "more": len(of.parts) - len(rows),
        "scope": scope(of), "warning": warning(of),
        "mend": mend(control, of),
    }  # fmt: skip


def figures(of: Standing) -> list[tuple[str, str, str]]:
    """The figures on top: name, value, and a remark."""
    estimated = "autopilot has done nothing yet"
    if of.error_estimate is not None:
        estimated = f"about {percent(of.error_estimate)} by {count(of.audited_cases, 'review')}"
    needed = "more alone would not certify more" if of.labels_used else "none yet"
    if of.labels_needed is not None:
        needed = f"{some(of.labels_needed)} more to {'the next step' if of.state == 'certified' else 'open'}"
    needed = "; ".join(filter(None, (worth_of(of), needed)))
    return [
        ("Autopilot from", "–" if of.threshold is None else f"{of.threshold:.4g}",
         "everything goes to humans" if of.threshold is None else
         f"{'confidence' if of.scorer is None else 'learned chance of being right'} and above"),
        ("Certified coverage", percent(of.certified_coverage), "of decisions may go to autopilot"),
        ("Error so far, at most", percent(of.error_upper), estimated),
        ("Answers counted", f"{of.labels_used:,}", needed),
        ("People’s time", *effort(of)),
    ]  # fmt: skip


def lines(trial: WhatIf | None) -> list[dict[str, Any]]:
    """The lines of the what-if, from high thresholds to low, with what is special about each."""
    if trial is None:
        return []
    special = [(trial.certified, "would be certified"), (trial.today, "today"), (trial.cheapest, "costs least")]
    known = [(one, name) for one, name in special if one is not None]
    by_threshold = {one.threshold: one for one in (*trial.others, *(one for one, _ in known))}
    return [
        {"one": by_threshold[t], "tags": [name for one, name in known if one.threshold == t]}
        for t in sorted(by_threshold, reverse=True)
    ]
