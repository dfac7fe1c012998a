"""The guarantee of a loop: what is promised, on what evidence, how it came to be, and what else could be promised."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.control import ALARM, PERSON
from dualcontrol.desk import Desk
from dualcontrol.guarantee.standing import Standing, some
from dualcontrol.replay.whatif import Asked
from dualcontrol.web.api.guarantee import Courses, SegmentName, Told, as_guarantee, courses_of
from dualcontrol.web.charts import course
from dualcontrol.web.charts.plot import spark
from dualcontrol.web.charts.reliability import reliability
from dualcontrol.web.deps import Here, LoopName, Who
from dualcontrol.web.pages.site import pages_of
from dualcontrol.web.show.words import count, percent

router = APIRouter(include_in_schema=False)
ROWS = 24  # of a chart's table
LATEST = 60  # moves on the page; the JSON has all
Typed = Annotated[str, Query(max_length=40)]
STATES = {
    "certified": ("good", "check"), "closed": ("bad", "alert"), "collecting": ("open", "clock"),
    "pilot": ("open", "clock"), "waiting": ("open", "clock"), "off": ("quiet", "dot"),
}  # fmt: skip


@router.get("/loops/{loop}/guarantee")
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
    told = as_guarantee(desk, courses, desk.governing(loop), segment, form.asked)
    return pages_of(request).show(
        request, "guarantee.html", told.plain, told=told, of=told.shown, control=told.control, say=told.words,
        state=STATES.get(told.shown.state, STATES["off"]), charts=charts(told), tabs=tabs(desk, courses, told),
        rows=thinned(told.course.points), moved=list(reversed(told.moves))[:LATEST], typed=typed, form=form,
        figures=figures(told.shown), tried=tried(told), closed=closed(told),
    )  # fmt: skip


class Form(NamedTuple):
    """What was asked of the what-if, and the fields that do not fit, with what is wrong."""

    asked: Asked | None
    wrong: dict[str, str]


def read(typed: dict[str, str]) -> Form:
    """The fields of the form as numbers; nothing is asked where no bound is given."""
    given, wrong = {}, {}
    for name, text in typed.items():
        if not text.strip():
            continue
        number = _number(text)
        if number is None or not (0.0001 <= number <= 0.9999 if name in ("max_error", "confidence") else number >= 0):
            wrong[name] = (
                "a share above 0 and below 1, such as 0.05" if name in ("max_error", "confidence") else "a number"
            )
        else:
            given[name] = number
    prices = {"minute_price", "error_loss"}
    if len(prices & given.keys()) == 1:
        wrong[next(iter(prices - given.keys()))] = "a cost takes both prices"
    return Form(None if wrong or "max_error" not in given else Asked(**given), wrong)


def _number(text: str) -> float | None:
    share = text.strip().endswith("%")
    try:
        found = float(text.strip().rstrip("%").strip().replace(",", ".")) / (100 if share else 1)
    except ValueError:
        return None
    return found if abs(found) <= 1e12 else None  # also refuses what is no number


def closed(told: Told) -> tuple[str, str] | None:
    """Why autopilot is closed, and what opens it again; None while it is not."""
    reason = told.shown.closed
    if reason is None:
        return None
    if told.control.closed_by(told.shown.segment, ALARM):
        return reason, "Enough has to be counted anew; then autopilot opens by itself."
    by_hand = told.control.closed_by(told.shown.segment, PERSON)
    when = "somebody opens it again" if by_hand else "this is mended"
    return reason, f"What was certified still stands; autopilot opens when {when}."


def charts(told: Told) -> dict[str, Any]:
    """Every chart as markup."""
    points = told.course.points
    return {
        "threshold": course.threshold(points), "coverage": course.coverage(points),
        "error": course.error(points, told.shown.max_error), "monitor": course.monitor(points),
        "reliability": reliability(told.course.rates),
    }  # fmt: skip


def tabs(desk: Desk, courses: Courses, told: Told) -> list[dict[str, Any]]:
    """One line a segment, where there are several."""
    if len(told.standings) < 2:
        return []
    made = []
    for of in told.standings:
        shares = [point.coverage for point in courses.of(told.control, of.segment).points]
        said = f"coverage over time, now {percent(of.certified_coverage)}"
        made.append({"of": of, "spark": spark(shares, said), "tag": STATES[of.state], "here": of is told.shown})
    return made


def thinned(points: Any) -> list[Any]:
    """The rows of the charts' table: the latest first, evenly thinned."""
    stride = max(1, -(-len(points) // ROWS))
    return list(reversed(points))[::stride]


def figures(of: Standing) -> list[tuple[str, str, str]]:
    """The figures on top: name, value, and a remark."""
    return [
        ("Autopilot from", "–" if of.threshold is None else f"{of.threshold:.4g}",
         "everything goes to humans" if of.threshold is None else "confidence and above"),
        ("Certified coverage", percent(of.certified_coverage), "of decisions may go to autopilot"),
        ("Error so far, at most", percent(of.error_upper), _estimated(of)),
        ("Answers counted", f"{of.labels_used:,}", _needed(of)),
    ]  # fmt: skip


def _estimated(of: Standing) -> str:
    if of.error_estimate is None:
        return "autopilot has done nothing yet"
    return f"about {percent(of.error_estimate)} by {count(of.audited_cases, 'review')}"


def _needed(of: Standing) -> str:
    if of.labels_needed is None:
        return "more alone would not certify more" if of.labels_used else "none yet"
    return f"{some(of.labels_needed)} more to {'the next step' if of.state == 'certified' else 'open'}"


def tried(told: Told) -> list[dict[str, Any]]:
    """The lines of the what-if, from high thresholds to low, with what is special about each."""
    found = told.tried
    if found is None:
        return []
    special = [(found.certified, "would be certified"), (found.today, "today"), (found.cheapest, "costs least")]
    lines = {one.threshold: one for one in (*found.others, *(one for one, _ in special if one is not None))}
    return [
        {"one": lines[t], "tags": [name for one, name in special if one is not None and one.threshold == t]}
        for t in sorted(lines, reverse=True)
    ]
