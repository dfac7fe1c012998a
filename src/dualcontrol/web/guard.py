"""The gate before every handler: hosts, sizes, tokens, sessions, cross-site requests, and the headers of each reply."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dualcontrol.errors import AccessError, DualcontrolError, PayloadTooLargeError, StoreError, TooManyAttemptsError
from dualcontrol.web.access import Access, Visitor
from dualcontrol.web.attempts import client_of
from dualcontrol.web.problem import refusal
from dualcontrol.web.reply import API, strip_suffix

MAX_BODY = 2 * 1024 * 1024
SAFE = ("GET", "HEAD", "OPTIONS")
NOT_BY_SESSION = (
    "Programs send the API token as Authorization: Bearer; a page is JSON at its address with .json behind."
)
STATIC = "/static/"
OPEN = (STATIC, "/errors/", "/favicon.ico", "/enter", f"{API}v1/health", f"{API}v1/openapi.json")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: lets a request through with its `Visitor` in ``scope["state"]``, or answers it itself."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        strip_suffix(scope)
        send = _with_headers(scope, send)
        try:
            await self._admit(scope)
        except Refused as refused:
            answer = await run_in_threadpool(refusal, Request(scope), refused.error, refused.status)
            await answer(scope, receive, send)
            return
        await self.app(scope, _limited(receive), send)

    async def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.access.answers_to(host):
            hint = "Open the address that `dualcontrol serve` printed, or start it with --allow-host."
            raise Refused(AccessError(f"this server does not answer to the host {host[:80]!r}", hint=hint), 421)
        if int(_digits(headers.get("content-length"))) > MAX_BODY:
            raise Refused(PayloadTooLargeError("the request is larger than 2 MiB"))
        visitor = None if scope["path"].startswith(STATIC) else await self._visitor(scope, headers)
        scope["state"]["visitor"] = visitor
        if visitor is None and not _is_open(scope):
            raise Refused(AccessError("this needs a token", hint=_entrance(headers), **_again(scope, headers)), 401)
        if (
            visitor is not None
            and visitor.session is not None
            and scope["path"].startswith(API)
            and not _is_open(scope)
        ):
            raise Refused(AccessError("a session of the console does not open the API", hint=NOT_BY_SESSION))
        if scope["method"] not in SAFE and (visitor is None or visitor.session is not None):
            _check_origin(headers)

    async def _visitor(self, scope: Scope, headers: Headers) -> Visitor | None:
        if "authorization" in headers:
            return self._bearer(scope, headers["authorization"])
        cookie = _cookies(headers.get("cookie", "")).get(self.access.cookie)
        visitor = self.access.session(cookie) if cookie else None
        if visitor is None:
            return None
        try:
            return visitor if await run_in_threadpool(self.access.lives, visitor) else None
        except StoreError as error:
            raise Refused(error) from error

    def _bearer(self, scope: Scope, header: str) -> Visitor | None:
        """Who brings a token; what needs none is answered, whatever else was tried."""
        try:
            return self.access.bearer(header, client_of(scope.get("client")))
        except TooManyAttemptsError as error:
            if _is_open(scope):
                return None
            raise Refused(error) from error


def _check_origin(headers: Headers) -> None:
    """A browser says where a form came from; ours come from here, and carry a token besides."""
    site = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin", "null")  # a form under our own no-referrer policy says "null"
    foreign = origin != "null" and urlsplit(origin).netloc != headers.get("host")
    if foreign or site not in ("same-origin", "none"):
        raise Refused(AccessError("this request came from another site", hint="Use the form in the console itself."))


class Refused(Exception):
    """A request that goes no further."""

    def __init__(self, error: DualcontrolError, status: int | None = None) -> None:
        self.error = error
        self.status = status
        super().__init__(error.message)


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    if path == "/" and b"token=" in scope.get("query_string", b""):
        return True
    return path.startswith(OPEN)


def _entrance(headers: Headers) -> str:
    if "authorization" in headers:
        return "The token in the Authorization header is not this server's; `dualcontrol serve` prints it."
    return AccessError.hint


def _again(scope: Scope, headers: Headers) -> dict[str, bool]:
    """A link on another site brings no strict cookie; asking once more from our own page does."""
    linked = scope["method"] == "GET" and headers.get("sec-fetch-site") == "cross-site"
    return {"again": True} if linked and headers.get("sec-fetch-mode") == "navigate" else {}


def _digits(text: str | None) -> str:
    return text if text and text.isascii() and text.isdigit() else "0"


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _limited(receive: Receive) -> Receive:
    """Count the bytes of a body that did not say its size."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise HTTPException(413, "the request is larger than 2 MiB")
        return message

    return counted


def _with_headers(scope: Scope, send: Send) -> Callable[[Message], Coroutine[Any, Any, None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not scope["path"].startswith(STATIC):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
