"""The inbox: open reviews in queue order, for everybody or as one person may take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from msgspec.structs import replace
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Desk
from dualcontrol.names import is_own, own_pool
from dualcontrol.people import pools_of
from dualcontrol.review.view import without_claim
from dualcontrol.step import as_listed
from dualcontrol.store import Page
from dualcontrol.web.api.cases import Cursor, Limit, LoopQuery
from dualcontrol.web.deps import Here, Who, asks, readable
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import InboxPage, replies

router = APIRouter(prefix="/inbox", tags=["inbox"])


def queue(
    desk: Desk, controls: Sequence[Control], *, person: str | None = None, limit: int = 50, cursor: str | None = None,
    seen_by: str | None = None,
) -> Page:  # fmt: skip
    """Open reviews of these loops, and those the person holds, in queue order.

    `seen_by` is who looks at the queues of everybody: what is meant for them alone is in these too, and in no other.
    """
    pools = [pool for control in controls for pool in pools_of(person, control)]
    if seen_by is not None:
        own = own_pool(seen_by)
        pools = [pool for pool in pools if pool[1] == own or not is_own(pool[1])]
        pools += [(control.loop_id, own) for control in controls if control.settings.probe_share > 0.0]
    page = desk.store.queries.inbox(pools, person=person, limit=limit, cursor=cursor)
    return Page(rows=tuple(as_listed(row) for row in page.rows), next=page.next)


@router.get("", responses=replies(InboxPage, 404))
@asks("read")
def listed(
    desk: Here, visitor: Who,
    person: Annotated[str, Query(max_length=80, description="As this person may take them.")] = "",
    loop: LoopQuery = "", limit: Limit = 50, cursor: Cursor = "",
) -> Response:  # fmt: skip
    """Open reviews in queue order."""
    page = queue(
        desk, readable(desk, visitor, loop), person=person or None, limit=limit, cursor=cursor or None,
        seen_by=visitor.person,
    )  # fmt: skip
    rows = [replace(row, review=without_claim(row.review, visitor.person)) for row in page.rows]
    return reply(InboxPage(rows=rows, next=page.next))
