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
    StepUpError,
    StoreError,
)
from dualcontrol.web.reply import wants_json
from dualcontrol.web.strict import nearest_field

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
    429: "Too many wrong secrets",
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
    if isinstance(error, StepUpError):  # RFC 9470
        how = f'error="insufficient_user_authentication", max_age={error.details.get("max_age", 300)}'
        headers["WWW-Authenticate"] = f'Bearer realm="dualcontrol", {how}'
    if "retry_after" in error.details:
        headers["Retry-After"] = str(error.details["retry_after"])
    if wants_json(request.scope):
        return JSONResponse(body, status_code=body["status"], headers=headers, media_type=MEDIA)
    page: Response = request.app.state.pages.show(request, "problem.html", {"problem": body}, status=body["status"])
    page.headers.update(headers)
    return page


def validation(errors: Any, route: object = None) -> RequestError:
    """FastAPI's validation errors, in one sentence and as a list; an unknown field's names the likeliest known one."""
    mistakes = []
    for error in errors:
        message = str(error["msg"])
        if error["type"] == "extra_forbidden":
            near = nearest_field(str(error["loc"][-1]), route)
            message = f"there is no such field{f'; did you mean {near!r}?' if near else ''}"
        elif error["type"] == "json_invalid":
            message = f"not JSON: {error.get('ctx', {}).get('error', message)}"
        else:
            message = message[:1].lower() + message[1:]
        where = ".".join(str(part) for part in error["loc"]) or "the request"  # such as body.confidence
        mistakes.append({"where": where, "message": message})
    first = mistakes[0] if mistakes else {"where": "the request", "message": "does not fit"}
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return RequestError(f"{first['where']}: {first['message']}{more}", errors=mistakes)


def install(app: FastAPI) -> None:
    """Answer every refusal and every accident as a problem."""

    def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, DualcontrolError):
            if isinstance(error, StoreError):
                log.warning("store refused: %s", error.message)
            return refusal(request, error)
        if isinstance(error, RequestValidationError):
            return refusal(request, validation(error.errors(), request.scope.get("route")))
        if isinstance(error, HTTPException):
            kind = KINDS.get(error.status_code, RequestError)
            detail = None if error.detail in ("", "Not Found") else str(error.detail)
            return refusal(request, kind(detail), error.status_code, **dict(error.headers or {}))
        log.exception("unexpected error", exc_info=error)
        return refusal(request, DualcontrolError("The server met an error that it did not expect."), 500)

    for kind in (DualcontrolError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
