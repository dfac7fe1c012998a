"""The inbox: the queue in order, and the way to the next review."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.desk import Desk
from dualcontrol.names import same
from dualcontrol.review.view import as_seen
from dualcontrol.store import InboxRow
from dualcontrol.web.api.inbox import queue, rows
from dualcontrol.web.deps import Form, Here, Who
from dualcontrol.web.pages.flash import flash
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.pages.waiting import of_loop
from dualcontrol.web.show import titles, words

router = APIRouter(include_in_schema=False)
A_PAGE = 40
LoopFilter = Annotated[str | None, Query(max_length=200)]


@router.get("/inbox")
def inbox(
    request: Request, desk: Here, visitor: Who, loop: LoopFilter = None, cursor: Annotated[str | None, Query()] = None,
    done: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """Open reviews that this person may take, and those they hold."""
    loop = loop or None
    page = queue(desk, person=visitor.person, loop=loop, limit=A_PAGE, cursor=cursor)
    names = [control.loop for control in desk.loops()]
    return pages_of(request).show(
        request, "inbox.html", {"rows": rows(page), "next": page.next, "loop": loop},
        items=[item(desk, row, loop) for row in of_loop(page.rows, loop)], loops=names, first=cursor is None,
        flash=flash(desk, done, visitor.person),
    )  # fmt: skip


def item(desk: Desk, row: InboxRow, loop: str | None) -> dict[str, Any]:
    """What one line of the inbox shows."""
    if row.read_only:
        return {"row": row, "title": row.action or words.MODES.get(row.mode, "A case"), "brief": "", "picture": "",
                "address": address(row, loop)}  # fmt: skip
    whole, start = desk.glance(row.review.case_id)
    case, _ = as_seen(whole, row.review)
    return {
        "row": row, "title": titles.title(case, start), "brief": titles.subject(case),
        "picture": titles.picture(case.input),
        "address": address(row, loop),
    }  # fmt: skip


def address(row: InboxRow, loop: str | None) -> str:
    """Where a line leads; the filter goes along, so that the next review is of it as well."""
    held = row.review.claim_id if row.read_only is None else None
    place = f"/claims/{held}" if held else f"/cases/{row.review.case_id}"
    return f"{place}?{urlencode({'loop': loop})}" if loop else place


def filtered(form: Form) -> str:
    """The filter that a form brought along, as the end of an address."""
    loop = str(form.get("loop", ""))
    return f"?{urlencode({'loop': loop})}" if loop else ""


@router.post("/inbox/next")
def following(desk: Here, visitor: Who, form: Form) -> Response:
    """Take the next review and open it: one that is held already, else the first in the queue."""
    return go(next_address(desk, visitor.person, str(form.get("loop", "")) or None))


def next_address(desk: Desk, person: str, loop: str | None, done: str = "") -> str:
    """Where the next review is answered, or the inbox when there is none."""
    if loop is not None:
        desk.governing(loop)
    asked = urlencode({name: said for name, said in (("done", done), ("loop", loop)) if said})
    claim_id = held(desk, person, loop)
    if claim_id is None:
        claim = desk.claim(person, loop)
        claim_id = claim.id if claim else None
    where = f"/claims/{claim_id}" if claim_id else "/inbox"
    return f"{where}?{asked}" if asked else where


def held(desk: Desk, person: str, loop: str | None) -> str | None:
    """A claim this person holds already."""
    now = desk.steps.now()
    for row in of_loop(queue(desk, person=person, loop=loop, limit=200).rows, loop):
        review = row.review
        if (
            row.read_only is None
            and review.state == "claimed"
            and same(review.person, person)
            and (review.lease_until or 0) > now
        ):
            claim_id: str | None = review.claim_id
            return claim_id
    return None
