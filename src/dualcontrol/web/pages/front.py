"""The front page: every loop, what governs it, and how much waits or runs alone; live counts for the top bar."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dualcontrol.control import RISK
from dualcontrol.route.capacity import LEVELS
from dualcontrol.web.api.events import HEARTBEAT, STREAM, stream
from dualcontrol.web.api.loops import as_loop
from dualcontrol.web.deps import Here, Keys, asks, visible, visitor_of
from dualcontrol.web.pages.entry import admitted
from dualcontrol.web.pages.site import go, pages_of, permits
from dualcontrol.web.pages.waiting import Wait, summed
from dualcontrol.web.reply import reply, wants_json
from dualcontrol.web.shapes import LoopReply

router = APIRouter(include_in_schema=False)
PAUSE = 2.0


@router.get("/")
@asks(None)
def front(request: Request, desk: Here, access: Keys, token: Annotated[str | None, Query()] = None) -> Response:
    """All loops at a glance; with a token in the address, the way in."""
    if token is not None:
        return admitted(request, access, token)
    pages = pages_of(request)
    visitor = visitor_of(request)
    if (able := permits(visitor))["people"] and not able["read"] and not wants_json(request.scope):
        return go("/people")  # an admin sees no case
    waits = pages.waiting.by_loop(visitor.person)
    unfed = desk.store.queries.unfed()
    loops: list[LoopReply] = []
    cards: list[dict[str, Any]] = []
    for control in visible(desk, visitor):
        loop, settings, waiting = as_loop(desk, control, unfed), control.settings, waits.get(control.loop, Wait())
        counts = loop.counts
        routed = counts["human"] + counts["autopilot"]
        loops.append(loop)
        cards.append({
            "name": control.loop, "mode": settings.mode, "start": settings.start, "counts": counts, "waiting": waiting,
            "others": 0 if waiting.more else max(counts["open"] - waiting.open + waiting.audits, 0),
            "autopilot_from": control.threshold_for(None),
            "ordered_by": "a learned chance of being right of" if control.acting(None) == RISK else "confidence",
            "guarantee": settings.guarantee,
            "certified": sorted(control.thresholds) if settings.guarantee else [],
            "probed": settings.probe_share > 0.0,
            "human_above": settings.risk_ceiling, "audit": settings.audit, "closed": control.closed,
            "stopped": control.stopped is not None,
            "load": counts["human"] / routed if routed else None,
            "alone": counts["autopilot"] / routed if routed else None,
            "routed": routed, "unfed": loop.unfed, "model": control.model, "untrained": control.untrained.items(),
            "relief": LEVELS.get(control.relief) if control.relief else None,
            "overrides": len(control.overrides),
        })  # fmt: skip
    totals = {name: sum(loop.counts[name] for loop in loops) for name in ("overdue", "human", "autopilot")} | {
        "open": sum(wait.open for wait in waits.values()), "others": sum(card["others"] for card in cards),
        "more": any(wait.more for wait in waits.values()), "unfed": sum(unfed.values()),
    }  # fmt: skip
    data = {"loops": loops, "waiting": waits}
    return pages.show(request, "front.html", data, cards=cards, totals=totals, nav=summed(waits))


@router.get("/live")
@asks("sign")
async def live(request: Request) -> Response:
    """How much waits: once, or as a stream with one small event whenever that changes."""
    visitor = visitor_of(request)
    pages = pages_of(request)
    if STREAM not in request.headers.get("accept", ""):
        return reply(await run_in_threadpool(pages.waiting.recent, visitor.person))

    async def changes() -> AsyncIterator[bytes]:
        last: dict[str, int] = {}
        quiet = 0.0
        while await run_in_threadpool(pages.access.lives, visitor):  # until the reader is gone, or has left
            counts = await run_in_threadpool(pages.waiting.recent, visitor.person)
            quiet += PAUSE
            if counts != last:
                last, quiet = counts, 0.0
                yield format_sse_event(event="counts", data_str=json.dumps(counts))
            elif quiet >= HEARTBEAT:
                quiet = 0.0
                yield format_sse_event(comment="still here")
            await asyncio.sleep(PAUSE)

    return stream(changes())
