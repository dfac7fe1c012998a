"""Coming in: the single-use address, the API token typed by hand, who you are, and leaving."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response

from dualcontrol.web.access import Access, Visitor, clean_person
from dualcontrol.web.attempts import client_of
from dualcontrol.web.deps import Form, Keys, Who
from dualcontrol.web.pages.site import go, pages_of

router = APIRouter(include_in_schema=False)
WEEK = 7 * 24 * 3600


def admitted(request: Request, access: Access, token: str) -> Response:
    """Let the first browser that brings the entry token in; its address is clean from then on."""
    if request.scope["state"].get("visitor") is not None:
        access.spend(token)
        return go("/")
    if request.method == "GET" and access.enter(token, client_of(request.client)):
        return with_session(request, go("/"), access.issue(), access)
    return entrance(request, "This address was used already. Each one lets one browser in, once.", 403)


def entrance(request: Request, said: str = "", status: int = 200) -> Response:
    """The page that asks for the token."""
    shown = {"said": said, "to": _inside(request.query_params.get("to", "/"))}
    return pages_of(request).show(request, "enter.html", shown, status=status)


def with_session(request: Request, response: Response, cookie: str, access: Access) -> Response:
    """Hand a session out."""
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
    fresh = access.issue(None, **({"person": person} if person else {}))
    return with_session(request, go(_inside(str(form.get("to", "/")))), fresh, access)


@router.post("/you")
def you(request: Request, form: Form, access: Keys, visitor: Who) -> Response:
    """Say who you are, and whether single keys decide."""
    changes: dict[str, object] = {}
    person = clean_person(str(form.get("person", "")))
    if person:
        changes["person"] = person
    if "shortcuts" in form:
        changes["shortcuts"] = form["shortcuts"] == "on"
    fresh = access.issue(_own(visitor), **changes)
    return with_session(request, go(_inside(str(form.get("to", "/")))), fresh, access)


@router.post("/leave")
def leave(form: Form, access: Keys, visitor: Who) -> Response:
    """End the session, here and wherever its cookie was copied to."""
    access.end(visitor)
    response = go("/enter")
    response.delete_cookie(access.cookie, path="/")
    return response


def _own(visitor: Visitor) -> Visitor | None:
    return visitor if visitor.session else None


def _inside(address: str) -> str:
    """An address on this server, whatever was asked for."""
    parts = urlsplit(address)
    safe = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if safe and address.isprintable() else "/"
