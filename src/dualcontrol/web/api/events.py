"""The feed: sequenced entries as ids and kinds, page by page or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from dualcontrol.case import JSON
from dualcontrol.desk import Desk
from dualcontrol.web.api.cases import LoopQuery
from dualcontrol.web.deps import Here
from dualcontrol.web.ledger import feed_row
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import FeedPage, replies

router = APIRouter(tags=["events"])
STREAM = "text/event-stream"
HEARTBEAT = 15.0
PAUSE = 1.0
Position = Annotated[int, Query(ge=0, le=2**53, description="Only entries behind this position.")]


def feed(desk: Desk, after: int, limit: int, loop: str | None = None) -> list[dict[str, JSON]]:
    """The next entries behind a position; gives waiting entries theirs first."""
    desk.store.sequence()
    return [feed_row(entry) for entry in desk.store.feed(after, limit, loop)]


@router.get("/events", response_class=Response, responses={
    **replies(FeedPage, 404),
    200: {
        "description": "A page, or with Accept: text/event-stream the stream.",
        "content": {
            **replies(FeedPage)[200]["content"],
            STREAM: {"schema": {"type": "string", "description": "Events `entry`: id is the position, data the row."}},
        },
    },
})  # fmt: skip
async def events(
    request: Request,
    desk: Here,
    after: Position = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    loop: LoopQuery = "",
    last_event_id: Annotated[str, Header(description="Where a broken stream goes on.")] = "",
) -> Response:
    """What happened, in order.

    With ``Accept: text/event-stream`` this is an endless stream whose event ids are positions; with anything else,
    one page.
    """
    if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16:
        after = max(after, int(last_event_id))
    if loop:
        await run_in_threadpool(desk.governing, loop)
    if STREAM not in request.headers.get("accept", ""):
        found = await run_in_threadpool(feed, desk, after, limit, loop or None)
        return reply({"entries": found, "next": found[-1]["pos"] if found else after})
    return stream(_told(desk, after, limit, loop or None))


async def _told(desk: Desk, after: int, limit: int, loop: str | None) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="dualcontrol", retry=2000)
    quiet = 0.0
    while True:
        found = await run_in_threadpool(feed, desk, after, limit, loop)
        for row in found:
            yield format_sse_event(data_str=json.dumps(row), event="entry", id=str(row["pos"]))
            after, quiet = row["pos"], 0.0
        if found:
            continue
        await asyncio.sleep(PAUSE)
        quiet += PAUSE
        if quiet >= HEARTBEAT:
            yield format_sse_event(comment="still here")
            quiet = 0.0


def stream(parts: AsyncIterator[bytes]) -> StreamingResponse:
    """A response of server-sent events that proxies do not hold back."""
    return StreamingResponse(parts, media_type=STREAM, headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
