"""Settings of a loop: what is in force, what the file says, and what people have laid over it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Loop
from dualcontrol.errors import Pending
from dualcontrol.overrides import settings_of_loop
from dualcontrol.web.api.bodies import Overriding
from dualcontrol.web.deps import NAME, Here, LoopName, Who, asks
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import SettingsReply, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(prefix="/loops", tags=["loops"], route_class=StrictRoute)
Key = Annotated[
    str,
    Path(min_length=1, max_length=200, pattern=NAME, description="A setting, such as threshold, or groups.NAME."),
]
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {**replies(SettingsReply)[200], "description": "A second person has to approve it: `case_id`."}
}


def as_settings(control: Control, case_id: str | None = None) -> SettingsReply:
    """The settings of a loop; `case_id` is the case of a change that a second person has to approve."""
    rows = settings_of_loop(control)
    return SettingsReply(
        loop=control.loop, version=control.version, effective={row.key: row.value for row in rows},
        base={row.key: row.declared for row in rows}, overrides=control.overrides, case_id=case_id,
    )  # fmt: skip


@router.get("/{loop}/settings", responses=replies(SettingsReply, 404))
@asks("overview")
def show(loop: LoopName, desk: Here) -> Response:
    """Every setting of a loop in force, what the file says, and what is laid over it."""
    return reply(as_settings(desk.governing(loop)))


@router.put("/{loop}/settings/{key}", responses={**replies(SettingsReply, 400, 403, 404, 409, 413), **ACCEPTED})
@asks("configure")
def override(loop: LoopName, key: Key, body: Overriding, desk: Here, visitor: Who) -> Response:
    """Lay a value over the file's, from here on and for every program; the same again changes nothing."""
    opened = Loop(desk, desk.governing(loop))
    try:
        return reply(as_settings(opened.override(key, by=visitor.person, **body.stated())))
    except Pending as waits:
        return reply(as_settings(opened.control, waits.case_id), 202)


@router.delete("/{loop}/settings/{key}", responses={**replies(SettingsReply, 403, 404, 409), **ACCEPTED})
@asks("configure")
def drop(loop: LoopName, key: Key, desk: Here, visitor: Who) -> Response:
    """Let a setting be as the file says again."""
    opened = Loop(desk, desk.governing(loop))
    try:
        return reply(as_settings(opened.drop_override(key, visitor.person)))
    except Pending as waits:
        return reply(as_settings(opened.control, waits.case_id), 202)
