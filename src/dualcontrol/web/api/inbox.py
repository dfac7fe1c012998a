"""The inbox: open reviews in queue order, for everybody or as one person may take them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from dualcontrol.desk import Desk
from dualcontrol.people import pools_of
from dualcontrol.step import as_listed
from dualcontrol.store import Page
from dualcontrol.web.api.cases import Cursor, Limit, LoopQuery
from dualcontrol.web.deps import Here
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import InboxPage, replies

router = APIRouter(prefix="/inbox", tags=["inbox"])


def queue(
    desk: Desk, *, person: str | None = None, loop: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page:
    """Open reviews, and those the person holds, in queue order."""
    controls = [desk.governing(loop)] if loop else desk.loops()
    pools = [pool for control in controls for pool in pools_of(person, control)]
    page = desk.store.queries.inbox(pools, person=person, limit=limit, cursor=cursor)
    return Page(rows=tuple(as_listed(row) for row in page.rows), next=page.next)


@router.get("", responses=replies(InboxPage, 404))
def listed(
    desk: Here, person: Annotated[str, Query(max_length=80, description="As this person may take them.")] = "",
    loop: LoopQuery = "", limit: Limit = 50, cursor: Cursor = "",
) -> Response:  # fmt: skip
    """Open reviews in queue order."""
    page = queue(desk, person=person or None, loop=loop or None, limit=limit, cursor=cursor or None)
    return reply(InboxPage(rows=list(page.rows), next=page.next))
