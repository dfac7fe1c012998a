"""Health: the one address that needs no token."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol import __version__
from dualcontrol.web.deps import Here
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import Health, replies

router = APIRouter(tags=["health"])


@router.get("/health", response_class=Response, responses={
    status: told for status, told in replies(Health).items() if status in (200, 421, 503)
}, openapi_extra={"security": []})  # fmt: skip
def health(desk: Here) -> Response:
    """Whether the server answers and its database does."""
    desk.loops()
    return reply({"status": "ok", "version": __version__})
