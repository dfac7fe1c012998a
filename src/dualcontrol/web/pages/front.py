"""The front page: every loop, what governs it, and how much waits, runs alone, or has not been learned from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from msgspec import to_builtins
from starlette.responses import Response

from dualcontrol.case import JSON
from dualcontrol.control import Control
from dualcontrol.route.capacity import LEVELS
from dualcontrol.web.api.loops import as_loop
from dualcontrol.web.deps import Here, Keys, visitor_of
from dualcontrol.web.pages.enter import admitted
from dualcontrol.web.pages.site import pages_of
from dualcontrol.web.pages.waiting import Wait, summed

router = APIRouter(include_in_schema=False)


@router.get("/")
def front(request: Request, desk: Here, access: Keys, token: Annotated[str | None, Query()] = None) -> Response:
    """All loops at a glance; with a token in the address, the way in."""
    if token is not None:
        return admitted(request, access, token)
    mine = pages_of(request).waiting.by_loop(visitor_of(request).person)
    unfed = desk.store.queries.unfed()
    loops = [as_loop(desk, control, unfed) for control in desk.loops()]
    cards = [
        card(control, told, mine.get(control.loop, Wait())) for control, told in zip(desk.loops(), loops, strict=False)
    ]
    waiting = {name: to_builtins(wait) for name, wait in mine.items()}
    return pages_of(request).show(
        request,
        "front.html",
        {"loops": loops, "waiting": waiting},
        cards=cards,
        totals=totalled(cards, unfed),
        nav=summed(mine),
    )


def totalled(cards: list[dict[str, Any]], unfed: dict[str, int]) -> dict[str, Any]:
    """The figures over all loops."""
    routed = {name: sum(c["counts"][name] for c in cards) for name in ("overdue", "human", "autopilot")}
    return {
        **routed, "open": sum(c["waiting"].open for c in cards), "others": sum(c["others"] for c in cards),
        "more": any(c["waiting"].more for c in cards), "unfed": sum(unfed.values()),
    }  # fmt: skip


def card(control: Control, told: dict[str, JSON], waiting: Wait) -> dict[str, Any]:
    """What a loop's card shows."""
    counts: dict[str, int] = told["counts"]
    settings = control.settings
    routed = counts["human"] + counts["autopilot"]
    return {
        "name": control.loop, "mode": settings.mode, "start": settings.start, "counts": counts,
        "waiting": waiting, "others": 0 if waiting.more else max(counts["open"] - waiting.open + waiting.audits, 0),
        "autopilot_from": control.threshold_for(None), "guarantee": settings.guarantee,
        "certified": sorted(control.thresholds) if settings.guarantee else [],
        "human_above": settings.risk_ceiling, "audit": settings.audit, "closed": control.closed,
        "load": counts["human"] / routed if routed else None,
        "alone": counts["autopilot"] / routed if routed else None,
        "routed": routed, "unfed": told["unfed"], "model": control.model,
        "respond_within": settings.respond_within, "untrained": control.untrained.items(),
        "relief": LEVELS.get(control.relief) if control.relief else None,
    }  # fmt: skip
