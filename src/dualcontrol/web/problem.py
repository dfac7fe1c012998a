"""Every refusal as problem+json (RFC 9457) for programs and as a page for people."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from dualcontrol.errors import (
    AccessError,
    DualcontrolError,
    NotFoundError,
    PayloadTooLargeError,
    RequestError,
    StoreError,
)
from dualcontrol.web import strict
from dualcontrol.web.reply import wants_json

log = logging.getLogger("dualcontrol.web")
MEDIA = "application/problem+json"
KINDS: dict[int, type[DualcontrolError]] = {
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    413: PayloadTooLargeError,
    421: AccessError,
}
TITLES: dict[int, str] = {
    400: "The request cannot be read",
    401: "You are not signed in",
    403: "You may not do this",
    404: "Nothing is known by that name",
    405: "This address does not know the method",
    409: "Somebody or something was first",
    410: "The content was erased",
    413: "The request is too large",
    415: "The request does not say what it is",
    421: "This server does not answer to that host",
    422: "The request does not fit",
    429: "Too many wrong tokens",
    500: "Something went wrong here",
    503: "The database refused",
}


def problem(error: DualcontrolError, status: int | None = None) -> dict[str, Any]:
    """A refusal as RFC 9457 members, then code, hint and the error's own details."""
    status = status or error.status
    body = {
        "type": f"/errors/{error.code}",
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
    }
    return {**{k: v for k, v in error.details.items() if k not in body}, **body}


def refusal(request: Request, error: DualcontrolError, status: int | None = None, **headers: str) -> Response:
    """The response to a refused request, in the form the client reads."""
    body = problem(error, status)
    if body["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="dualcontrol"'
    if "retry_after" in error.details:
        headers["Retry-After"] = str(error.details["retry_after"])
    if wants_json(request.scope):
        return JSONResponse(body, status_code=body["status"], headers=headers, media_type=MEDIA)
    page: Response = request.app.state.pages.show(request, "problem.html", {"problem": body}, status=body["status"])
    page.headers.update(headers)
    return page


def validation(errors: Any, route: object = None) -> RequestError:
    """What FastAPI found wrong with a request, in one sentence and as a list."""
    found = [{"where": where(e["loc"]), "message": told(e, route)} for e in errors]
    first = found[0] if found else {"where": "the request", "message": "does not fit"}
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return RequestError(f"{first['where']}: {first['message']}{more}", errors=found)


def where(location: tuple[Any, ...]) -> str:
    """The place of a mistake in words: ``body.confidence``."""
    return ".".join(str(part) for part in location) or "the request"


def told(error: dict[str, Any], route: object) -> str:
    """What is wrong; for an unknown field, the name that was most likely meant."""
    if error["type"] == "extra_forbidden":
        near = strict.field(str(error["loc"][-1]), route)
        return f"there is no such field{f'; did you mean {near!r}?' if near else ''}"
    if error["type"] == "json_invalid":
        return f"not JSON: {error.get('ctx', {}).get('error', error['msg'])}"
    text = str(error["msg"])
    return text[:1].lower() + text[1:]


def install(app: FastAPI) -> None:
    """Answer every refusal and every accident as a problem."""

    def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, DualcontrolError)
        if isinstance(error, StoreError):
            log.warning("store refused: %s", error.message)
        return refusal(request, error)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return refusal(request, validation(error.errors(), request.scope.get("route")))

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = KINDS.get(error.status_code, RequestError)
        said = None if error.detail in ("", "Not Found") else str(error.detail)
        return refusal(request, kind(said), error.status_code, **dict(error.headers or {}))

    def accident(request: Request, error: Exception) -> Response:
        log.exception("unexpected error", exc_info=error)
        return refusal(request, DualcontrolError("The server met an error that it did not expect."), 500)

    app.add_exception_handler(DualcontrolError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, accident)
