"""What is measured of a loop's people, and whom its leads suspend and readmit.

All of it is for who may see how others are measured; everybody else sees their own figures.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import Pending
from dualcontrol.people import may
from dualcontrol.vigilance.standing import Oversight
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.bodies import Moving
from dualcontrol.web.api.loops import as_loop
from dualcontrol.web.deps import Here, LoopName, Who, acting, asks
from dualcontrol.web.reply import case_response, reply
from dualcontrol.web.shapes import CaseReply, LoopReply, OversightReply, replies

router = APIRouter(prefix="/loops", tags=["loops"])
MOVES = {"suspend": Loop.suspend, "readmit": Loop.readmit}
MOVED: dict[int | str, dict[str, Any]] = {
    **replies(LoopReply, 400, 403, 404, 409, 413),
    202: {"description": "A second person has to approve it: the case.", **replies(CaseReply)[200]},
}


@router.get("/{loop}/oversight", responses=replies(OversightReply, 404))
@asks("read")
def oversight(loop: LoopName, desk: Here, visitor: Who) -> Response:
    """What test cases say of the human step: certificate, team, people, context levels, flags; or one's own figures."""
    return reply(as_reply(measured(desk, desk.governing(loop), visitor)))


@router.post("/{loop}/suspend", responses=MOVED)
@asks("resume")
def suspend(loop: LoopName, body: Moving, desk: Here, visitor: Who) -> Response:
    """Let somebody take no more cases of a loop, until a lead readmits them."""
    return _moved(desk, loop, "suspend", body, visitor)


@router.post("/{loop}/readmit", responses=MOVED)
@asks("resume")
def readmit(loop: LoopName, body: Moving, desk: Here, visitor: Who) -> Response:
    """Let somebody take cases again who was suspended; they begin below the ladder."""
    return _moved(desk, loop, "readmit", body, visitor)


def _moved(desk: Desk, loop: str, act: Literal["suspend", "readmit"], body: Moving, visitor: Visitor) -> Response:
    person, governed = acting(visitor, body.person), Loop(desk, desk.governing(loop))
    try:
        control = MOVES[act](governed, body.reviewer, by=person, because=body.because)
    except Pending as waits:
        return case_response(desk.case(waits.case_id), visitor, 202)
    return reply(as_loop(desk, control, desk.store.queries.unfed()))


def measured(desk: Desk, control: Control, visitor: Visitor) -> Oversight:
    """What a visitor may see of it."""
    sees_all = may(visitor.principal, "audit", control) is None
    return Loop(desk, control).oversight(None if sees_all else visitor.person)


def as_reply(view: Oversight) -> OversightReply:
    """It as a reply."""
    return OversightReply(**{name: getattr(view, name) for name in view.__struct_fields__})
