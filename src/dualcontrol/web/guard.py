"""The gate before every handler: hosts, sizes, tokens, sessions, cross-site requests, and the headers of each reply.

What somebody who was let in may do is asked of each address by `deps.authorised`.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dualcontrol.control import PAGE
from dualcontrol.errors import AccessError, DualcontrolError, PayloadTooLargeError, StoreError, TooManyAttemptsError
from dualcontrol.names import same
from dualcontrol.people import Door, through
from dualcontrol.web.access import Access, Visitor
from dualcontrol.web.attempts import client_of
from dualcontrol.web.deps import actor_of
from dualcontrol.web.problem import refusal
from dualcontrol.web.reply import API, sign_in_address, strip_suffix, wants_json

MAX_BODY = 2 * 1024 * 1024
SAFE = ("GET", "HEAD", "OPTIONS")
NOT_BY_SESSION = (
    "Programs send the API token as Authorization: Bearer; a page is JSON at its address with .json behind."
)
NOT_OURS = "The token was never given, has expired, or was revoked; make one with `dualcontrol keys new`."
STATIC = "/static/"
OPEN = (STATIC, "/errors/", "/favicon.ico", "/sign-in", "/join", f"{API}v1/health", f"{API}v1/openapi.json")
SETTING_UP = ("/set-up", "/leave")
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
        is_static = scope["path"].startswith(STATIC)
        size = 0

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if not is_static:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        async def receive_limited() -> Message:  # counts the bytes of a body that did not say its size
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, "the request is larger than 2 MiB")
            return message

        try:
            await self._admit(scope)
        except Refused as refused:
            answer: Response
            if refused.to is not None:
                answer = RedirectResponse(refused.to, status_code=303)
            else:
                answer = await run_in_threadpool(refusal, Request(scope), refused.error, refused.status)
            await answer(scope, receive, send_with_headers)
            return
        with through(door(scope["state"]["visitor"], scope["path"])):
            await self.app(scope, receive_limited, send_with_headers)

    async def _admit(self, scope: Scope) -> None:
        """Note the visitor, or raise `Refused`."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self.access.answers_to(host):
            hint = "Open the address that `dualcontrol serve` printed, or start it with --allow-host."
            raise Refused(AccessError(f"this server does not answer to the host {host[:80]!r}", hint=hint), 421)
        size = headers.get("content-length", "")
        if size.isascii() and size.isdigit() and int(size) > MAX_BODY:
            raise Refused(PayloadTooLargeError("the request is larger than 2 MiB"))
        is_open = path.startswith(OPEN) or (path == "/" and b"token=" in scope.get("query_string", b""))
        visitor = None if path.startswith(STATIC) else await self._visitor(scope, headers, is_open)
        scope["state"]["visitor"] = visitor
        if visitor is None and not is_open:
            hint = NOT_OURS if "authorization" in headers else AccessError.hint
            # A link on another site brings no strict cookie; asking once more from our own page does.
            linked = scope["method"] == "GET" and headers.get("sec-fetch-site") == "cross-site"
            again = {"again": True} if linked and headers.get("sec-fetch-mode") == "navigate" else {}
            to = None if again or "authorization" in headers or not browses(scope, headers) else sign_in_address(scope)
            raise Refused(AccessError("this needs a sign-in or a token", hint=hint, **again), 401, to)
        by_session = visitor is not None and visitor.session is not None
        if visitor is not None and visitor.sets_up and not is_open and not path.startswith(SETTING_UP):
            to = "/set-up" if browses(scope, headers) else None
            raise Refused(AccessError("this desk has no admin yet", hint="Open /set-up and make one."), 401, to)
        if by_session and path.startswith(API) and not is_open:
            raise Refused(AccessError("a session of the console does not open the API", hint=NOT_BY_SESSION))
        if scope["method"] in SAFE or (visitor is not None and not by_session):
            return
        # A browser says where a form came from; ours come from here, and carry a token besides.
        site = headers.get("sec-fetch-site", "same-origin")
        origin = headers.get("origin", "null")  # a form under our own no-referrer policy says "null"
        foreign = origin != "null" and urlsplit(origin).netloc != headers.get("host")
        if foreign or site not in ("same-origin", "none"):
            hint = "Use the form in the console itself."
            raise Refused(AccessError("this request came from another site", hint=hint))

    async def _visitor(self, scope: Scope, headers: Headers, is_open: bool) -> Visitor | None:
        """Who brings a token or a session; what needs none is answered, whatever else was tried."""
        if "authorization" in headers:
            try:
                client = client_of(scope.get("client"))
                return await run_in_threadpool(self.access.bearer, headers["authorization"], client)
            except StoreError as error:
                raise Refused(error) from error
            except TooManyAttemptsError as error:
                if is_open:
                    return None
                raise Refused(error) from error
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.access.cookie)
        except CookieError:
            return None
        try:
            return await run_in_threadpool(self.access.session, cookie.value) if cookie else None
        except StoreError as error:
            raise Refused(error) from error


def door(visitor: Visitor | None, path: str) -> Door | None:
    """How the visitor of an address is known, for what they do there in their own name."""
    if visitor is None:
        return None
    actor = actor_of(visitor, "http" if path.startswith(API) else PAGE)
    return lambda name: actor if same(name, actor.person) else None


class Refused(Exception):
    """A request that goes no further."""

    def __init__(self, error: DualcontrolError, status: int | None = None, to: str | None = None) -> None:
        self.error = error
        self.status = status
        self.to = to  # where a browser is sent in the place of the refusal
        super().__init__(error.message)


def browses(scope: Scope, headers: Headers) -> bool:
    """Whether somebody opens a page, who can be sent to another."""
    return scope["method"] == "GET" and "text/html" in headers.get("accept", "") and not wants_json(scope)
