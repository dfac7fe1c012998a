"""The front page: every loop, what governs it, and how much waits, runs alone, or has not been learned from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.case import JSON
from dualcontrol.control import Control
from dualcontrol.web.api.loops import as_loop
from dualcontrol.web.deps import Here, Keys, visitor_of
from dualcontrol.web.pages.enter import admitted
from dualcontrol.web.pages.site import pages_of

router = APIRouter(include_in_schema=False)


@router.get("/")
def front(request: Request, desk: Here, access: Keys, token: Annotated[str | None, Query()] = None) -> Response:
    """All loops at a glance; with a token in the address, the way in."""
    if token is not None:
        return admitted(request, access, token)
    visitor_of(request)
    unfed = desk.store.queries.unfed()
    loops = [as_loop(desk, control, unfed) for control in desk.loops()]
    cards = [card(control, told) for control, told in zip(desk.loops(), loops, strict=False)]
    totals = {
        name: sum(c["counts"][name] for c in cards) for name in ("open", "overdue", "human", "autopilot", "audited")
    }
    totals["unfed"] = sum(unfed.values())
    return pages_of(request).show(request, "front.html", {"loops": loops}, cards=cards, totals=totals)


def card(control: Control, told: dict[str, JSON]) -> dict[str, Any]:
    """What a loop's card shows."""
    counts: dict[str, int] = told["counts"]
    settings = control.settings
    routed = counts["human"] + counts["autopilot"]
    return {
        "name": control.loop, "mode": settings.mode, "start": settings.start, "counts": counts,
        "autopilot_from": control.threshold_for(None), "guarantee": settings.guarantee,
        "human_above": settings.risk_ceiling, "audit": settings.audit, "closed": control.closed,
        "load": counts["human"] / routed if routed else None,
        "alone": counts["autopilot"] / routed if routed else None,
        "routed": routed, "unfed": told["unfed"], "model": control.model,
        "respond_within": settings.respond_within,
    }  # fmt: skip
