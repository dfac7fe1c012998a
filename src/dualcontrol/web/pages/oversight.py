"""The page of what is measured of a loop's people: the certificate, figures with their intervals, flags, and why."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import DualcontrolError, EligibilityError, Pending, RequestError
from dualcontrol.oversight.rates import RANKED
from dualcontrol.people import may
from dualcontrol.vigilance.draw import ENOUGH
from dualcontrol.vigilance.standing import Certified, Oversight
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.oversight import MOVES, as_reply, measured
from dualcontrol.web.deps import Form, Here, LoopName, Who, asks
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.show.words import count, percent

router = APIRouter(include_in_schema=False)
Reviewer = Annotated[str, Query(max_length=200)]
CaseFilter = Annotated[str | None, Query(max_length=80)]
Act = Literal["suspend", "readmit"]
STEPS = {1: "told", 2: "training", 3: "commits first", 4: "second review", 5: "suspended"}
ALARMS = {
    "more gets through": (
        "More that is wrong gets through than the test cases say.",
        "Blind audits find it in decisions that people made, beyond all limits of both. Either test cases are easier "
        "to see than real errors, or people miss more where more is wrong. Believe the direct figure.",
    ),
    "less gets through": (
        "Less that is wrong gets through than the test cases say.",
        "Blind audits of decisions find fewer errors, beyond all limits of both: test cases may be harder to see than "
        "real errors.",
    ),
}  # fmt: skip


@router.get("/loops/{loop}/oversight")
@asks("read")
def oversight(request: Request, loop: LoopName, desk: Here, visitor: Who, case: CaseFilter = None) -> Response:
    """The whole page, or of it what a person may see who may see no others; `case` was just opened for a change."""
    control = desk.governing(loop)
    view = measured(desk, control, visitor)
    return pages_of(request).show(
        request, "oversight.html", as_reply(view), control=control, of=view, groups=groups(view),
        parts=parts(view.certificate), alarm=ALARMS.get(str(view.certificate and view.certificate.disagreement)),
        flagged=view.last_flags(), steps=STEPS, ranked=RANKED, enough=ENOUGH, open_to_all=control.people is None,
        leads=may(visitor.principal, "resume", control) is None, person=visitor.person,
        waiting=None if case is None else desk.case(case).id,
    )  # fmt: skip


@router.get("/loops/{loop}/suspend")
@asks("resume")
def ask_to_suspend(request: Request, loop: LoopName, desk: Here, reviewer: Reviewer = "") -> Response:
    """Ask why somebody is to take no more cases of a loop."""
    return _ask(request, desk, loop, "suspend", reviewer)


@router.get("/loops/{loop}/readmit")
@asks("resume")
def ask_to_readmit(request: Request, loop: LoopName, desk: Here, reviewer: Reviewer = "") -> Response:
    """Ask why somebody is to take cases of a loop again."""
    return _ask(request, desk, loop, "readmit", reviewer)


@router.post("/loops/{loop}/suspend")
@asks("resume")
def suspend(request: Request, loop: LoopName, desk: Here, visitor: Who, form: Form) -> Response:
    """Let somebody take no more cases of a loop; sent twice, they are suspended once."""
    return _move(request, desk, loop, "suspend", visitor, form)


@router.post("/loops/{loop}/readmit")
@asks("resume")
def readmit(request: Request, loop: LoopName, desk: Here, visitor: Who, form: Form) -> Response:
    """Let somebody take cases of a loop again who was suspended."""
    return _move(request, desk, loop, "readmit", visitor, form)


def _ask(
    request: Request, desk: Desk, loop: str, act: Act, reviewer: str, because: str = "",
    wrong: DualcontrolError | None = None,
) -> Response:  # fmt: skip
    control = desk.governing(loop)
    data = {"act": act, "loop": control.loop, "reviewer": reviewer}
    return pages_of(request).show(
        request, "suspension.html", data, status=200 if wrong is None else wrong.status, because=because, wrong=wrong,
        by_two=control.settings.changes == "two",
    )  # fmt: skip


def _move(request: Request, desk: Desk, loop: str, act: Act, visitor: Visitor, form: Form) -> Response:
    reviewer, because = str(form.get("reviewer", "")).strip(), " ".join(str(form.get("because", "")).split())
    opened, address = Loop(desk, desk.governing(loop)), f"/loops/{quote(loop, safe='')}/oversight"
    try:
        MOVES[act](opened, reviewer, by=visitor.person, because=because)
    except Pending as waits:
        return go(f"{address}?{urlencode({'case': waits.case_id})}")
    except (RequestError, EligibilityError) as error:  # what does not fit is asked for again, beside what was typed
        return _ask(request, desk, loop, act, reviewer, because, error)
    return go(address)


def groups(view: Oversight) -> list[dict[str, Any]]:
    """The tables: team and people, and context levels where there are several things to see."""
    named = [({"": "The team"}.get(each.name, each.name), each) for each in (*filter(None, (view.team,)), *view.people)]
    tables = [{"title": "Who" if view.whole else "You", "id": "people", "rows": named}]
    if view.levels:
        tables.append({"title": "Context", "id": "levels", "rows": [(each.name, each) for each in view.levels]})
    return [table for table in tables if table["rows"]]


def parts(of: Certified | None) -> list[tuple[str, str]]:
    """What the certificate says beside its sentence: what is wrong after review, twice, and on what it rests."""
    if of is None or not of.probes:
        return []
    by_probes = "not known yet: it takes blind labels of what reaches people, which a guarantee collects"
    if of.wrong is not None:
        by_probes = (
            f"at most {percent(of.residual_at_most)} of decisions, about {percent(of.residual)}: at most "
            f"{percent(of.wrong_at_most)} of the proposals that reach people is wrong, and people catch the rest of it"
        )
    directly = "not known yet: it takes blind audits of what people decided"
    if of.direct is not None:
        directly = f"at most {percent(of.direct_at_most)} of decisions, about {percent(of.direct)}"
    return [
        ("Wrong after review, by test cases", by_probes),
        ("Wrong after review, directly", directly),
        ("What it rests on", f"{count(of.probes, 'wrong proposal')} in view whose right answer was known. They count "
         "by the work of who answered them, so that the figure is of the work as it is done."),
        ("What it assumes", "that a test case is as hard to see as a real error, and that people do not miss more when "
         "more is wrong. The direct figure assumes neither."),
    ]  # fmt: skip
