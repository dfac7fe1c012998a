"""The emergency stop: nothing runs in a loop, or in any, until somebody opens it again.  Who asks is the token's."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Desk
from dualcontrol.errors import Pending
from dualcontrol.web.api.bodies import Reason
from dualcontrol.web.api.loops import as_loop
from dualcontrol.web.deps import Here, LoopName, Who, acting, actor_of, asks
from dualcontrol.web.reply import case_response, reply
from dualcontrol.web.shapes import CaseReply, LoopPage, LoopReply, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(tags=["stop"], route_class=StrictRoute)


@router.post("/stop", responses=replies(LoopPage, 400, 403, 413))
@asks("stop")
def stop_all(body: Reason, desk: Here, visitor: Who) -> Response:
    """Stop every loop, also those that are defined later; the loops, which are stopped from here on."""
    return _page(desk, desk.stop(acting(visitor, body.person), body.because, actor=actor_of(visitor, "http")))


@router.post("/resume", responses=replies(LoopPage, 400, 403, 409, 413))
@asks("resume")
def resume_all(body: Reason, desk: Here, visitor: Who) -> Response:
    """Open the loops that were stopped together; a loop that was stopped by itself stays so."""
    return _page(desk, desk.resume(acting(visitor, body.person), body.because, actor=actor_of(visitor, "http")))


@router.post("/loops/{loop}/stop", responses=replies(LoopReply, 400, 403, 404, 409, 413))
@asks("stop")
def stop(loop: LoopName, body: Reason, desk: Here, visitor: Who) -> Response:
    """Stop a loop: no effect starts, approved or not, and everything goes to people; what has begun may end."""
    name = desk.governing(loop).loop
    return _one(desk, desk.stop(acting(visitor, body.person), body.because, loop=name, actor=actor_of(visitor, "http")))


@router.post("/loops/{loop}/resume", responses={
    **replies(LoopReply, 400, 403, 404, 409, 413),
    202: {"description": "A second person has to approve it: the case.", **replies(CaseReply)[200]},
})  # fmt: skip
@asks("resume")
def resume(loop: LoopName, body: Reason, desk: Here, visitor: Who) -> Response:
    """Open a stopped loop again: what is ready may start, as far as the checks of then let it."""
    name, person = desk.governing(loop).loop, acting(visitor, body.person)
    try:
        return _one(desk, desk.resume(person, body.because, loop=name, actor=actor_of(visitor, "http")))
    except Pending as waits:
        return case_response(desk.case(waits.case_id), visitor, 202)


def _one(desk: Desk, controls: list[Control]) -> Response:
    return reply(as_loop(desk, controls[0], desk.store.queries.unfed()))


def _page(desk: Desk, controls: list[Control]) -> Response:
    unfed = desk.store.queries.unfed()
    return reply(LoopPage(loops=[as_loop(desk, control, unfed) for control in controls]))
