"""The inbox: the queue in order, the way to the next review, and what was just decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from msgspec.structs import replace
from starlette.responses import Response

from dualcontrol.case import Case, Review
from dualcontrol.control import Control
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError
from dualcontrol.names import same
from dualcontrol.review.view import as_seen, seen_by, without_claim
from dualcontrol.store import CaseRow, InboxRow
from dualcontrol.web.api.inbox import queue
from dualcontrol.web.deps import Form, Here, Who, asks, readable, visible
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.pages.waiting import of_loop
from dualcontrol.web.show import titles, words

router = APIRouter(include_in_schema=False)
A_PAGE = 40
LoopFilter = Annotated[str | None, Query(max_length=200)]
CaseFilter = Annotated[str | None, Query()]


@router.get("/inbox")
@asks("read")
def inbox(
    request: Request, desk: Here, visitor: Who, loop: LoopFilter = None, cursor: Annotated[str | None, Query()] = None,
    done: CaseFilter = None,
) -> Response:  # fmt: skip
    """Open reviews that this person may take, and those they hold."""
    loop = loop or None
    controls = readable(desk, visitor, loop)
    page = queue(desk, controls, person=visitor.person, limit=A_PAGE, cursor=cursor)
    names = [control.loop for control in visible(desk, visitor)]
    rows = [replace(row, review=without_claim(row.review, visitor.person)) for row in page.rows]
    return pages_of(request).show(
        request, "inbox.html", {"rows": rows, "next": page.next, "loop": loop},
        items=[item(desk, row, loop) for row in of_loop(page.rows, loop)], loops=names, probed=probed(controls),
        flash=flash(desk, done, visitor.person), notices=desk.prober.notices(visitor.person, controls),
    )  # fmt: skip


def probed(controls: Sequence[Control]) -> list[str]:
    """The loops of which some cases are known ones, which the people who review there are told."""
    return [control.loop for control in controls if control.settings.probe_share > 0.0]


def item(desk: Desk, row: InboxRow, loop: str | None) -> dict[str, Any]:
    """What one line of the inbox shows; the filter goes along in its address, so that the next review is of it too."""
    line = unread(row)
    claim_id = None
    if not row.read_only:
        whole, start = desk.glance(row.review.case_id)
        line = summary(as_seen(whole, row.review)[0], start)
        claim_id = row.review.claim_id
    place = f"/claims/{claim_id}" if claim_id else f"/cases/{row.review.case_id}"
    return {"row": row, **line, "address": place + query(loop=loop)}


def summary(case: Case, start: str) -> dict[str, str]:
    """A case in a list: title, a few words, and a small picture where it holds one."""
    return {
        "title": titles.title(case, start), "brief": titles.subject(case), "picture": titles.picture(case.input),
    }  # fmt: skip


def unread(row: InboxRow | CaseRow) -> dict[str, str]:
    """A case in a list that cannot be read, named by what its row says."""
    return {"title": row.action or words.MODES.get(row.mode, "A case"), "brief": "", "picture": ""}


def query(**fields: str | None) -> str:
    """The fields that hold something, as the end of an address."""
    stated = {name: value for name, value in fields.items() if value}
    return f"?{urlencode(stated)}" if stated else ""


def filtered(form: Form) -> str:
    """The filter that a form brought along, as the end of an address."""
    return query(loop=str(form.get("loop", "")))


@router.post("/inbox/next")
@asks("claim")
def following(desk: Here, visitor: Who, form: Form) -> Response:
    """Take the next review and open it: one that is held already, else the first in the queue."""
    return go(next_address(desk, visitor.person, str(form.get("loop", "")) or None))


def next_address(desk: Desk, person: str, loop: str | None, done: str = "") -> str:
    """Where the next review is answered, or the inbox when there is none."""
    now = desk.steps.now()
    controls = desk.loops() if loop is None else [desk.governing(loop)]
    rows = of_loop(queue(desk, controls, person=person, limit=200).rows, loop)
    claims = (row.review.claim_id for row in rows if row.read_only is None and holds(row.review, person, now))
    claim_id = next(claims, None)
    if claim_id is None and (claim := desk.claim(person, loop)) is not None:
        claim_id = claim.id
    return (f"/claims/{claim_id}" if claim_id else "/inbox") + query(done=done, loop=loop)


def holds(review: Review, person: str, now: int) -> bool:
    """Whether a person holds a review, and the time for it is not over."""
    return review.state == "claimed" and same(review.person, person) and (review.lease_until or 0) > now


def missed(case: Case) -> bool:
    """Whether a probe was answered otherwise than its key says: let pass, or turned down for nothing."""
    return case.scored is not None and case.scored.rejected is not None and case.scored.rejected != case.scored.wrong


def flash(desk: Desk, case_id: str | None, person: str) -> dict[str, Any] | None:
    """What this person last did to a case, with the way back while there is one; read from the case itself."""
    if not case_id:
        return None
    try:
        case = desk.case(case_id)
        control = desk.governing(case.loop)
        title = titles.title(seen_by(case, person, control).case)
    except DualcontrolError:
        return None
    answer = next((a for a in reversed(case.answers) if same(a.actor.person, person)), None)
    until = None
    if answer is None:
        passed = any(same(review.person, person) and review.state == "passed" for review in case.reviews)
        deed = "Passed on" if passed else "Given back"
    else:
        deed = words.VERDICTS[answer.verdict]
        if answer.verdict == "label":
            deed = f"{deed} {words.brief(answer.value, 40)}"
        # It may be taken back while it settles nothing yet, for its own time; not where it counts.
        if case.settled is None:
            until = answer.at + control.settings.undo_for(answer.actor.via)
        elif answer.review_id in case.settled.answers:
            until = case.settled.effective_at
    undoable = case.concluded is None and case.scored is None and until and until > desk.steps.now()
    return {
        "case": case.id, "loop": case.loop, "title": title, "said": deed,
        "undo_until": until if undoable else None, "debriefing": case.debriefing, "missed": missed(case),
    }  # fmt: skip
