"""Coming in and going: the printed address, set-up, sign-in, invitations, leaving; the keys and the error codes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from msgspec.structs import replace
from starlette.responses import Response

from dualcontrol.accounts.sign_in import LONGEST, SHORTEST, WEEK, SignedIn
from dualcontrol.errors import (
    AccessError,
    AccountError,
    DualcontrolError,
    NotFoundError,
    SignInError,
    TooManyAttemptsError,
    kinds,
)
from dualcontrol.web.access import MAX_PERSON, Access, clean_person, default_person
from dualcontrol.web.attempts import client_of
from dualcontrol.web.deps import Form, Here, Keys, Who, access_of, asks
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.reply import inside
from dualcontrol.web.show import words

router = APIRouter(include_in_schema=False)
# The first that is named: Edge calls itself Chrome as well, and Chrome Safari.
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
SYSTEMS = {
    "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS", "Linux": "Linux",
}  # fmt: skip


def admitted(request: Request, access: Access, token: str) -> Response:
    """Let the first browser that brings the entry token in; its address is clean from then on."""
    if request.scope["state"].get("visitor") is not None:
        access.spend(token)
        return go("/")
    if request.method == "GET" and access.enter(token, client_of(request.client)):
        session = access.entered(agent_of(request))
        if session is None:
            return go("/sign-in")
        return with_session(request, "/" if access.people else "/set-up", session, access)
    return entrance(request, access, "This address was used already. Each one lets one browser in, once.", 403)


def entrance(request: Request, access: Access, refusal: str = "", status: int = 200, name: str = "") -> Response:
    """The page on which people sign in; before there is anybody, it says how the first one comes in."""
    data = {
        "refusal": refusal, "to": inside(request.query_params.get("to", "/")), "name": name, "begun": access.begun,
        "demo": bool(access.people), "provider": access.provider.name if access.provider else None,
    }  # fmt: skip
    return pages_of(request).show(request, "sign_in.html", data, status=status)


def with_session(request: Request, address: str, session: SignedIn, access: Access) -> Response:
    """Hand a session out and go on, to an address of this server whatever the form says."""
    return carrying(request, go(inside(address)), session, access)


def carrying(request: Request, response: Response, session: SignedIn, access: Access) -> Response:
    """The response with the session's secret in a cookie that no script and no other site can use."""
    response.set_cookie(
        access.cookie, session.secret, max_age=WEEK // 1_000_000, httponly=True, samesite="strict",
        secure=base_of(request, access).startswith("https:"), path="/",
    )  # fmt: skip
    return response


def base_of(request: Request, access: Access) -> str:
    """The address under which this browser reaches the server; the guard has checked the host."""
    return access.base(request.url.scheme, request.headers["host"])


def agent_of(request: Request) -> str:
    """What people call the browser that asks, for the list of one's sessions: ``Firefox on Linux``."""
    agent = request.headers.get("user-agent", "")
    name = next((called for sign, called in BROWSERS.items() if f"{sign}/" in agent), "")
    system = next((called for sign, called in SYSTEMS.items() if sign in agent), "")
    return " on ".join(part for part in (name, system) if part) or clean_person(agent)[:40]


# The first admin


@router.get("/set-up")
@asks(None)
def first(request: Request, access: Keys) -> Response:
    """Ask who the first admin is; only the browser that opened the printed address gets here."""
    visitor = request.scope["state"].get("visitor")
    if visitor is None or not visitor.sets_up:
        return go("/" if visitor is not None else "/sign-in")
    return set_up_page(request)


def set_up_page(request: Request, error: DualcontrolError | None = None, form: Form | None = None) -> Response:
    """The page of the set-up, after a mistake with what was typed."""
    typed = dict(form or {})
    data = {
        "refusal": error.message if error else "", "hint": error.hint if error else "",
        "name": str(typed.get("name", "admin")), "alone": str(typed.get("alone", "")), "owner": default_person(),
        "shortest": SHORTEST, "longest": LONGEST,
    }  # fmt: skip
    return pages_of(request).show(request, "set_up.html", data, status=error.status if error else 200)


@router.post("/set-up")
@asks(None)
def set_up(request: Request, form: Form, access: Keys, desk: Here, visitor: Who) -> Response:
    """Make the first admin, and the second account of one who reviews as well; sign them in."""
    if not visitor.sets_up or visitor.session is None:
        raise AccessError("this desk has its admin; only the printed address sets a desk up")
    name, alone = clean_person(str(form.get("name", ""))), clean_person(str(form.get("alone", ""))) or None
    try:
        accounts = desk.sign_ins.set_up(name, str(form.get("password", "")), alone=alone)
    except DualcontrolError as error:
        return set_up_page(request, error, form)
    desk.sign_ins.end(digest=visitor.session.digest)
    session = desk.sign_ins.begin(accounts[-1], "password", agent=agent_of(request))
    return with_session(request, "/" if alone else "/people", session, access)


# Sign-in and invitations


@router.get("/sign-in")
@asks(None)
def ask(request: Request, access: Keys) -> Response:
    """Ask for name and password."""
    return entrance(request, access)


@router.post("/sign-in")
@asks(None)
def sign_in(request: Request, form: Form, access: Keys, desk: Here) -> Response:
    """Sign somebody in under a session of their own; one that the browser had before ends."""
    name = clean_person(str(form.get("name", "")))
    try:
        session = access.sign_in(name, str(form.get("password", "")), client_of(request.client), agent_of(request))
    except (SignInError, TooManyAttemptsError) as error:
        page = entrance(request, access, f"{words.sentence(error.message)}.", error.status, name)
        if "retry_after" in error.details:
            page.headers["Retry-After"] = str(error.details["retry_after"])
        return page
    before = request.scope["state"].get("visitor")
    if before is not None and before.session is not None:
        desk.sign_ins.end(digest=before.session.digest)
    return with_session(request, str(form.get("to", "/")), session, access)


@router.get("/join")
@asks(None)
def invited(request: Request, desk: Here, token: str = "") -> Response:
    """Show an invitation or a recovery; looking uses nothing up, since mail programs look ahead."""
    return join_page(request, desk, token)


def join_page(request: Request, desk: Here, token: str, error: DualcontrolError | None = None) -> Response:
    """The page on which an invited person chooses a password, or goes to the provider."""
    link, account = desk.sign_ins.link(token)
    provider = access_of(request).provider
    data = {
        "provider": provider.name if provider else None,
        "name": account.name if account else "", "purpose": link.purpose, "token": token,
        "refusal": error.message if error else "", "hint": error.hint if error else "", "shortest": SHORTEST,
    }  # fmt: skip
    return pages_of(request).show(request, "join.html", data, status=error.status if error else 200)


@router.post("/join")
@asks(None)
def join(request: Request, form: Form, access: Keys, desk: Here) -> Response:
    """Use an invitation or a recovery up: the password is chosen, and its owner is signed in."""
    token = str(form.get("token", ""))
    try:
        account = desk.sign_ins.choose_password(token, str(form.get("password", "")))
    except AccountError as error:
        return join_page(request, desk, token, error)
    session = desk.sign_ins.begin(account, "password", agent=agent_of(request))
    return with_session(request, "/", session, access)


# Who you are, and leaving


@router.post("/you")
@asks("sign")
def you(form: Form, access: Keys, desk: Here, visitor: Who) -> Response:
    """Say whether single keys decide; in the demo, who you are."""
    session = visitor.session
    if session is None:
        raise AccessError("a token has no page to say this of")
    if "person" in form:
        session = access.switched(visitor, clean_person(str(form["person"])))
    if "shortcuts" in form:
        session = replace(session, shortcuts=form["shortcuts"] == "on")
    desk.sign_ins.update(session)
    return go(inside(str(form.get("to", "/"))))


@router.post("/leave")
@asks(None)
def leave(form: Form, access: Keys, desk: Here, visitor: Who) -> Response:
    """End the session, here and wherever its cookie was copied to."""
    if visitor.session is not None:
        desk.sign_ins.end(digest=visitor.session.digest)
    response = go("/sign-in")
    response.delete_cookie(access.cookie, path="/")
    return response


@router.get("/errors/{code}")
@asks(None)
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
@asks("sign")
def keys(request: Request, visitor: Who) -> Response:
    """The sheet of keys, and the switch that turns single keys off."""
    return pages_of(request).show(request, "keys.html", {"shortcuts": visitor.shortcuts})


__all__ = ["MAX_PERSON", "admitted", "carrying", "router"]
