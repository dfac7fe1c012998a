"""JSON replies: integers exact, no NaN, an ETag where a case is shown."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dualcontrol.case import JSON, Case
from dualcontrol.review.view import with_own_claims
from dualcontrol.web.access import Visitor
from dualcontrol.web.shapes import case_reply

_encode = msgspec.json.Encoder().encode


def reply(value: JSON | msgspec.Struct, status: int = 200, **headers: str) -> Response:
    """A value or shape as JSON, names in their order; header names are given with underscores."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return Response(_encode(value), status_code=status, headers=named, media_type="application/json")


def case_response(case: Case, visitor: Visitor, status: int = 200, **headers: str) -> Response:
    """A case as a visitor may have it, with its sequence number as ETag; ids of claims are their holders' alone."""
    return reply(case_reply(with_own_claims(case, visitor.person)), status, ETag=etag(case.seq), **headers)


def etag(seq: int) -> str:
    """A sequence number as an entity tag."""
    return f'"{seq}"'


def seq_of(header: str) -> int | None:
    """The sequence number in an If-Match or If-None-Match header; None for ``*`` and for none."""
    text = header.strip().removeprefix("W/").strip('"')
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


# Every page has a JSON twin: the same address with ``.json``, or with ``Accept: application/json``.


SUFFIX = ".json"
API = "/api/"


def strip_suffix(scope: MutableMapping[str, Any]) -> None:
    """Take ``.json`` off a page's path and remember that its twin was asked for."""
    path: str = scope["path"]
    if path.endswith(SUFFIX) and not path.startswith((API, "/static/")):
        scope["path"] = path.removesuffix(SUFFIX) or "/"
        scope["raw_path"] = scope["path"].encode()
        scope["state"]["twin"] = True


def wants_json(scope: Any) -> bool:
    """Whether this request is answered with JSON: the API, a twin's address, or a client that accepts no page."""
    if scope["path"].startswith(API) or scope.get("state", {}).get("twin"):
        return True
    accept = Headers(scope=scope).get("accept", "")
    return "application/json" in accept and "text/html" not in accept


# Where a browser is sent.


COMING_IN = ("/sign-in", "/join", "/set-up", "/leave")


def inside(address: str) -> str:
    """An address on this server, whatever was asked for; the front page in the place of one where people come in."""
    parts = urlsplit(address)
    safe = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if safe and address.isprintable() and not address.startswith(COMING_IN) else "/"


def sign_in_address(scope: MutableMapping[str, Any]) -> str:
    """The address of the sign-in that leads on to what was asked for."""
    query = scope.get("query_string", b"").decode("ascii", "replace")
    to = inside(quote(scope["path"]) + (f"?{query}" if query else ""))
    return "/sign-in" if to == "/" else f"/sign-in?{urlencode({'to': to})}"


# HEAD on whatever GET answers: the same status and headers, and no body.


class Head:
    """Asks the app as GET would and keeps the body back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HEAD passes as it is."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        over = False

        async def bare(message: Message) -> None:
            nonlocal over
            if message["type"] != "http.response.body":
                await send(message)
            elif not over:
                over = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        # As GET, but never a stream, which would not end, and never the entry token, which works once.
        headers = [header for header in scope["headers"] if header[0] != b"accept" or b"event-stream" not in header[1]]
        query = b"" if b"token=" in scope["query_string"] else scope["query_string"]
        await self.app({**scope, "method": "GET", "headers": headers, "query_string": query}, receive, bare)
