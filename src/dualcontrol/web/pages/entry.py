"""Around the work: the single-use address, the API token, who you are, leaving; the keys and the error codes."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response

from dualcontrol.errors import NotFoundError, kinds
from dualcontrol.web.access import WEEK, Access, clean_person
from dualcontrol.web.attempts import client_of
from dualcontrol.web.deps import Form, Keys, Who
from dualcontrol.web.pages.site import go, pages_of

router = APIRouter(include_in_schema=False)


def admitted(request: Request, access: Access, token: str) -> Response:
    """Let the first browser that brings the entry token in; its address is clean from then on."""
    if request.scope["state"].get("visitor") is not None:
        access.spend(token)
        return go("/")
    if request.method == "GET" and access.enter(token, client_of(request.client)):
        return with_session(request, "/", access.issue(), access)
    return entrance(request, "This address was used already. Each one lets one browser in, once.", 403)


def entrance(request: Request, refusal: str = "", status: int = 200) -> Response:
    """The page that asks for the token."""
    data = {"said": refusal, "to": _inside(request.query_params.get("to", "/"))}
    return pages_of(request).show(request, "enter.html", data, status=status)


def with_session(request: Request, address: str, cookie: str, access: Access) -> Response:
    """Hand a session out and go on, to an address of this server whatever the form says."""
    response = go(_inside(address))
    secure = request.url.scheme == "https"
    response.set_cookie(access.cookie, cookie, max_age=WEEK, httponly=True, samesite="strict", secure=secure, path="/")
    return response


@router.get("/enter")
def ask(request: Request) -> Response:
    """Ask for the token."""
    return entrance(request)


@router.post("/enter")
def enter(request: Request, form: Form, access: Keys) -> Response:
    """Take the API token, and who somebody is, and let them in."""
    person = clean_person(str(form.get("person", "")))
    if not access.holds(str(form.get("token", "")).strip(), client_of(request.client)):
        return entrance(request, "That is not this server's token.", 403)
    cookie = access.issue(None, **({"person": person} if person else {}))
    return with_session(request, str(form.get("to", "/")), cookie, access)


@router.post("/you")
def you(request: Request, form: Form, access: Keys, visitor: Who) -> Response:
    """Say who you are, and whether single keys decide."""
    changes: dict[str, object] = {}
    person = clean_person(str(form.get("person", "")))
    if person:
        changes["person"] = person
    if "shortcuts" in form:
        changes["shortcuts"] = form["shortcuts"] == "on"
    cookie = access.issue(visitor if visitor.session else None, **changes)
    return with_session(request, str(form.get("to", "/")), cookie, access)


@router.post("/leave")
def leave(form: Form, access: Keys, visitor: Who) -> Response:
    """End the session, here and wherever its cookie was copied to."""
    access.end(visitor)
    response = go("/enter")
    response.delete_cookie(access.cookie, path="/")
    return response


@router.get("/errors/{code}")
def error(request: Request, code: str) -> Response:
    """What an error means and what to do."""
    kind = kinds().get(code.upper())
    if kind is None:
        raise NotFoundError(f"there is no error {code[:40]!r}")
    explained = {
        "code": kind.code, "meaning": (kind.__doc__ or "").strip().splitlines()[0], "hint": kind.hint,
        "status": getattr(kind, "status", None), "exit_code": kind.exit_code,
    }  # fmt: skip
    return pages_of(request).show(request, "error.html", {"error": explained})


@router.get("/keys")
def keys(request: Request, visitor: Who) -> Response:
    """The sheet of keys, and the switch that turns single keys off."""
    return pages_of(request).show(request, "keys.html", {"shortcuts": visitor.shortcuts})


def _inside(address: str) -> str:
    """An address on this server, whatever was asked for."""
    parts = urlsplit(address)
    safe = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if safe and address.isprintable() else "/"
