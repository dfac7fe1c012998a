"""Pages that explain: one per error code, and the sheet of keys."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from dualcontrol.errors import NotFoundError, kinds
from dualcontrol.web.deps import Who
from dualcontrol.web.pages.site import pages_of

router = APIRouter(include_in_schema=False)


@router.get("/errors/{code}")
def error(request: Request, code: str) -> Response:
    """What an error means and what to do."""
    kind = kinds().get(code.upper())
    if kind is None:
        raise NotFoundError(f"there is no error {code[:40]!r}")
    lines = (kind.__doc__ or "").strip().splitlines()
    told = {
        "code": kind.code,
        "meaning": lines[0],
        "hint": kind.hint,
        "status": getattr(kind, "status", None),
        "exit_code": kind.exit_code,
    }
    return pages_of(request).show(request, "error.html", {"error": told})


@router.get("/keys")
def keys(request: Request, visitor: Who) -> Response:
    """The sheet of keys, and the switch that turns single keys off."""
    return pages_of(request).show(request, "keys.html", {"shortcuts": visitor.shortcuts})
