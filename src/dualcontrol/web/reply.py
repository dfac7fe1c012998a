"""JSON replies: integers exact, no NaN, an ETag where a case is shown."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from dualcontrol.case import JSON, Case
from dualcontrol.web.shapes import case_reply

_encode = msgspec.json.Encoder().encode


def reply(value: JSON, status: int = 200, **headers: str) -> Response:
    """A value as JSON, names in their order; header names are given with underscores."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return Response(_encode(value), status_code=status, headers=named, media_type="application/json")


def case_response(case: Case, status: int = 200, **headers: str) -> Response:
    """A case, with its sequence number as ETag."""
    return reply(case_reply(case), status, ETag=etag(case.seq), **headers)


def etag(seq: int) -> str:
    """A sequence number as an entity tag."""
    return f'"{seq}"'


def unchanged(seq: int) -> Response:
    """Say that the client's copy is still right."""
    return Response(status_code=304, headers={"ETag": etag(seq)})


def seq_of(header: str) -> int | None:
    """The sequence number in an If-Match or If-None-Match header; None for ``*`` and for none."""
    text = header.strip().removeprefix("W/").strip('"')
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def plain(**given: Any) -> dict[str, Any]:
    """Only what was given."""
    return {k: v for k, v in given.items() if v is not None}
