"""The feed: sequenced entries as ids and kinds, page by page or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import format_sse_event
from msgspec.structs import asdict
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from dualcontrol.desk import Desk
from dualcontrol.errors import ScopeError
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.cases import LoopQuery
from dualcontrol.web.deps import Here, Keys, Who, asks, readable, visible
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import FeedPage, FeedRow, replies

router = APIRouter(tags=["events"])
STREAM = "text/event-stream"
HEARTBEAT = 15.0
PAUSE = 1.0
Position = Annotated[int, Query(ge=0, le=2**53, description="Only entries behind this position.")]


def feed(desk: Desk, after: int, limit: int, loop: str | None = None) -> list[FeedRow]:
    """The next entries behind a position; gives waiting entries theirs first."""
    desk.store.sequence()
    return [
        FeedRow(
            pos=entry.pos or 0, stream=entry.stream,
            case_id=entry.stream.partition("/")[2] if entry.stream.startswith("case/") else None, seq=entry.seq,
            at=entry.at, kinds=[type(event).__name__ for event in entry.events],
        )
        for entry in desk.store.feed(after, limit, loop)
    ]  # fmt: skip


@router.get("/events", responses={
    **replies(FeedPage, 404),
    200: {
        "description": "A page, or with Accept: text/event-stream the stream.",
        "content": {
            **replies(FeedPage)[200]["content"],
            STREAM: {"schema": {"type": "string", "description": "Events `entry`: id is the position, data the row."}},
        },
    },
})  # fmt: skip
@asks("read")
async def events(
    request: Request, desk: Here, access: Keys, visitor: Who, after: Position = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    loop: LoopQuery = "",
    last_event_id: Annotated[str, Header(description="Where a broken stream goes on.")] = "",
) -> Response:  # fmt: skip
    """What happened, in order.

    With ``Accept: text/event-stream`` this is an endless stream whose event ids are positions; with anything else,
    one page.
    """
    if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16:
        after = max(after, int(last_event_id))
    await run_in_threadpool(_readable, desk, visitor, loop)
    if STREAM not in request.headers.get("accept", ""):
        rows = await run_in_threadpool(feed, desk, after, limit, loop or None)
        return reply(FeedPage(entries=rows, next=rows[-1].pos if rows else after))

    async def entries() -> AsyncIterator[bytes]:
        yield format_sse_event(comment="dualcontrol", retry=2000)
        position, quiet = after, 0.0
        while await run_in_threadpool(access.lives, visitor):
            rows = await run_in_threadpool(feed, desk, position, limit, loop or None)
            for row in rows:
                yield format_sse_event(data_str=json.dumps(asdict(row)), event="entry", id=str(row.pos))
                position, quiet = row.pos, 0.0
            if rows:
                continue
            await asyncio.sleep(PAUSE)
            quiet += PAUSE
            if quiet >= HEARTBEAT:
                yield format_sse_event(comment="still here")
                quiet = 0.0

    return stream(entries())


def _readable(desk: Desk, visitor: Visitor, loop: str) -> None:
    """Refuse the feed of a loop that a visitor may not read, and that of all where there is such a loop."""
    if not loop and len(visible(desk, visitor)) < len(desk.loops()):
        names = ", ".join(control.loop for control in visible(desk, visitor))
        raise ScopeError(
            "this is the feed of all loops, and not all are yours to read", hint=f"Add ?loop= and one of: {names}."
        )
    readable(desk, visitor, loop)


def stream(parts: AsyncIterator[bytes]) -> StreamingResponse:
    """A response of server-sent events that proxies do not hold back."""
    return StreamingResponse(parts, media_type=STREAM, headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
