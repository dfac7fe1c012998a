"""The emergency stop on pages: a form that asks why, for a loop or for all."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from dualcontrol.control import PAGE
from dualcontrol.desk import Desk
from dualcontrol.errors import RequestError
from dualcontrol.stop import in_force
from dualcontrol.web.access import Visitor
from dualcontrol.web.deps import Form, Here, LoopName, Who, actor_of, asks
from dualcontrol.web.pages.site import go, pages_of

router = APIRouter(include_in_schema=False)


@router.get("/stop")
@router.get("/loops/{loop}/stop")
@asks("stop")
def ask_to_stop(request: Request, desk: Here, visitor: Who, loop: LoopName | None = None) -> Response:
    """Ask why a loop, or every loop, is to be stopped."""
    return _ask(request, desk, "stop", loop)


@router.get("/resume")
@router.get("/loops/{loop}/resume")
@asks("resume")
def ask_to_resume(request: Request, desk: Here, visitor: Who, loop: LoopName | None = None) -> Response:
    """Ask why a loop, or all that were stopped together, is to be opened again."""
    return _ask(request, desk, "resume", loop)


@router.post("/stop")
@router.post("/loops/{loop}/stop")
@asks("stop")
def stop(request: Request, form: Form, desk: Here, visitor: Who, loop: LoopName | None = None) -> Response:
    """Stop a loop, or every loop; sent twice, it is stopped once."""
    return _take(request, form, desk, visitor, "stop", loop)


@router.post("/resume")
@router.post("/loops/{loop}/resume")
@asks("resume")
def resume(request: Request, form: Form, desk: Here, visitor: Who, loop: LoopName | None = None) -> Response:
    """Open a loop again, or all that were stopped together."""
    return _take(request, form, desk, visitor, "resume", loop)


def _ask(
    request: Request, desk: Desk, act: Literal["stop", "resume"], loop: str | None, because: str = "",
    wrong: RequestError | None = None,
) -> Response:  # fmt: skip
    stop = in_force(desk.store) if loop is None else desk.governing(loop).stopped
    data = {"act": act, "loop": loop, "stopped": None if stop is None else stop.to_dict()}
    return pages_of(request).show(
        request, "stop.html", data, status=200 if wrong is None else wrong.status, stop=stop, because=because,
        wrong=wrong,
    )  # fmt: skip


def _take(
    request: Request, form: Form, desk: Desk, visitor: Visitor, act: Literal["stop", "resume"], loop: str | None
) -> Response:
    because = str(form.get("because", "")).replace("\r\n", " ").replace("\n", " ").strip()
    name = None if loop is None else desk.governing(loop).loop
    try:
        (desk.stop if act == "stop" else desk.resume)(visitor.person, because, loop=name, actor=actor_of(visitor, PAGE))
    except RequestError as error:  # a reason that does not fit is asked for again, beside what was typed
        return _ask(request, desk, act, loop, because, error)
    return go("/")
