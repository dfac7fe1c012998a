"""Live counts for the top bar: one small server-sent event whenever they change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dualcontrol.web.access import Visitor
from dualcontrol.web.api.events import HEARTBEAT, STREAM, stream
from dualcontrol.web.deps import visitor_of
from dualcontrol.web.pages.site import Pages, pages_of
from dualcontrol.web.reply import reply

router = APIRouter(include_in_schema=False)
PAUSE = 2.0


@router.get("/live")
async def live(request: Request) -> Response:
    """How much waits: once, or as a stream."""
    visitor = visitor_of(request)
    pages = pages_of(request)
    if STREAM not in request.headers.get("accept", ""):
        return reply(await run_in_threadpool(pages.waiting.recent, visitor.person))
    return stream(_counts(pages, visitor))


async def _counts(pages: Pages, visitor: Visitor) -> AsyncIterator[bytes]:
    """Until the reader is gone, or has left."""
    last: dict[str, int] = {}
    quiet = 0.0
    while await run_in_threadpool(pages.access.lives, visitor):
        counts = await run_in_threadpool(pages.waiting.recent, visitor.person)
        quiet += PAUSE
        if counts != last:
            last, quiet = counts, 0.0
            yield format_sse_event(event="counts", data_str=json.dumps(counts))
        elif quiet >= HEARTBEAT:
            quiet = 0.0
            yield format_sse_event(comment="still here")
        await asyncio.sleep(PAUSE)
