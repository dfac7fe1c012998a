"""One value of a case whole, page by page, and images by their address: what a page had no room for."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.case import ENCODER, JSON
from dualcontrol.errors import NotFoundError
from dualcontrol.layout import laid
from dualcontrol.web.access import Visitor
from dualcontrol.web.deps import CaseId, ClaimId, Here, Who, asks, claim_of
from dualcontrol.web.pages.case import as_visible
from dualcontrol.web.pages.site import pages_of
from dualcontrol.web.shapes import case_reply
from dualcontrol.web.show.content import image_bytes, pointer
from dualcontrol.web.show.literal import json_text, literal, weight
from dualcontrol.web.show.words import brief

router = APIRouter(include_in_schema=False)
A_PAGE = 40_000  # characters
TOGETHER, MOST = 1_500_000, 400  # bytes of JSON that are laid out at once; how many parts of more are listed
LARGEST = 500_000  # bytes of HTML; characters that are named take more room
NAMES = ("id", "review_id")  # by which the lists of a case name what is in them
At = Annotated[str, Query(max_length=2_000_000)]
Number = Annotated[int, Query(ge=1, le=1_000_000)]


@router.get("/cases/{case_id}/whole")
@asks("read")
def of_case(request: Request, case_id: CaseId, desk: Here, visitor: Who, at: At = "", page: Number = 1) -> Response:
    """A value of a case, as far as this visitor may see it."""
    return _page(request, case_reply(as_visible(desk, case_id, visitor)[0]), at, page, f"/cases/{case_id}")


@router.get("/claims/{claim_id}/whole")
@asks("claim")
def of_claim(request: Request, claim_id: ClaimId, desk: Here, visitor: Who, at: At = "", page: Number = 1) -> Response:
    """A value of what the holder of a claim may see."""
    return _page(request, _view(desk, claim_id, visitor), at, page, f"/claims/{claim_id}")


@router.get("/cases/{case_id}/image")
@asks("read")
def image_of_case(case_id: CaseId, desk: Here, visitor: Who, at: At) -> Response:
    """An image in a case."""
    return _image(value_at(case_reply(as_visible(desk, case_id, visitor)[0]), at))


@router.get("/claims/{claim_id}/image")
@asks("claim")
def image_of_claim(claim_id: ClaimId, desk: Here, visitor: Who, at: At) -> Response:
    """An image in what the holder of a claim may see."""
    return _image(value_at(_view(desk, claim_id, visitor), at))


def _view(desk: Here, claim_id: str, visitor: Visitor) -> dict[str, JSON]:
    return claim_of(desk, claim_id, visitor).view


def value_at(data: JSON, at: str) -> JSON:
    """What lies at a JSON Pointer (RFC 6901); in the lists of a case an item may be named by its id."""
    value = data
    for depth, token in enumerate(at.split("/")[1:]):
        name = token.replace("~1", "/").replace("~0", "~")
        try:
            if isinstance(value, list):
                named = (item for item in value if isinstance(item, dict) and name in map(item.get, NAMES))
                item = next(named, None) if depth == 1 else None
                value = value[int(name)] if item is None else item
            elif isinstance(value, dict):
                value = value[name]
            else:
                raise KeyError(name)
        except (KeyError, IndexError, TypeError, ValueError):
            raise NotFoundError(f"there is nothing at {at[:80]!r} here") from None
    return value


def _page(request: Request, data: dict[str, JSON], at: str, number: int, source: str) -> Response:
    """One page of a value's text; of a value too large for that the names and addresses of what lies in it."""
    value = value_at(data, at)
    twin: Any = {"at": at, "value": value}
    pages = pages_of(request)
    if isinstance(value, dict | list) and len(ENCODER.encode(value)) > TOGETHER:
        parts = [
            {"name": brief(str(name), 80), "at": at + pointer((name,)), "brief": brief(item, 80)}
            for name, item in islice(value.items() if isinstance(value, dict) else enumerate(value), MOST)
        ]
        return pages.show(request, "whole.html", twin, source=source, parts=parts, of=len(value), pages=1)
    is_text = isinstance(value, str)
    text = value if is_text else laid(value).text
    cuts = ends(text)
    if number > len(cuts):
        raise NotFoundError(f"there are only {len(cuts)} pages of this")
    start, end = cuts[number - 2] if number > 1 else 0, cuts[number - 1]
    write = literal if is_text else json_text
    return pages.show(
        request, "whole.html", twin, source=source, parts=None, is_text=is_text, html=write(text[start:end]),
        number=number, pages=len(cuts), start=start, end=end, length=len(text),
    )  # fmt: skip


def ends(text: str) -> list[int]:
    """Where the pages of a text end, the last at its own end; at the end of a line where there is one near."""
    cuts: list[int] = []
    at = 0
    while True:
        size = A_PAGE
        while weight(text[at : at + size]) > LARGEST:
            size //= 2
        line = text.rfind("\n", at + size * 9 // 10, at + size) + 1
        at = line if line and at + size < len(text) else min(at + size, len(text))
        cuts.append(at)
        if at >= len(text):
            return cuts


def _image(value: JSON) -> Response:
    image = image_bytes(value) if isinstance(value, str) else None
    if image is None:
        raise NotFoundError("there is no image there")
    kind, body = image
    return Response(body, media_type=kind)
