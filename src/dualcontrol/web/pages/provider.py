"""Sign-in by a provider: away to it and back, to sign in, to accept an invitation, to link an account, to step up.

What belongs to a sign-in under way is kept in the database under a secret that only this browser has, in a cookie that
comes along when the provider sends the browser back; the cookie of the session does not, since that is another site's
link.  It is good once.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from dualcontrol.accounts.sign_in import Pending, SignedIn, Subject
from dualcontrol.case import JSON
from dualcontrol.desk import Desk
from dualcontrol.errors import AccessError, AccountError, ProviderError, SignInError
from dualcontrol.store.accounts import Account, SignIn
from dualcontrol.web.access import clean_person
from dualcontrol.web.attempts import client_of
from dualcontrol.web.deps import Form, Here, Keys, access_of, asks, desk_of
from dualcontrol.web.pages.entry import agent_of, base_of, carrying, entrance, join_page
from dualcontrol.web.pages.site import pages_of
from dualcontrol.web.reply import inside
from dualcontrol.web.show import words

router = APIRouter(include_in_schema=False)
BACK = "/sign-in/back"
KEPT = 600  # seconds for which the provider has time to answer, as its adapter gives it
Purpose = Literal["sign-in", "join", "link", "step-up"]


def away(
    request: Request, purpose: Purpose, to: str, *, session: SignIn | None = None, **kept: JSON
) -> Response:  # fmt: skip
    """Send the browser to the provider, by a page of our own: our policy for forms lets none lead to another site.

    `to` is where it goes on afterwards, `session` the one that it has.  Raises ProviderError.
    """
    access = access_of(request)
    if access.provider is None:
        raise AccessError("this console has no provider of sign-in", hint="Sign in with your password.")
    pending = access.provider.begin(base_of(request, access) + BACK, fresh=purpose == "step-up")
    body: dict[str, JSON] = {"purpose": purpose, "pending": pending.to_dict(), "to": inside(to), **kept}
    if session is not None:
        body |= {"session": session.digest, "account": session.account}
    response = pages_of(request).show(request, "away.html", {"url": pending.url, "provider": access.provider.name})
    return keeping(request, response, body)


def keeping(request: Request, response: Response, body: dict[str, JSON]) -> Response:
    """Keep what belongs to a sign-in under way, for the browser that gets this response."""
    access, key = access_of(request), secrets.token_urlsafe(32)
    desk_of(request).sign_ins.remember(key, body)
    response.set_cookie(
        access.cookie_of_provider, key, max_age=KEPT, httponly=True, samesite="lax",
        secure=base_of(request, access).startswith("https:"), path="/",
    )  # fmt: skip
    return response


def recalled(request: Request, *purposes: str) -> dict[str, Any] | None:
    """What was kept for this browser, once, if it is for one of these purposes."""
    key = request.cookies.get(access_of(request).cookie_of_provider, "")
    body = desk_of(request).sign_ins.recall(key) if key else None
    return body if isinstance(body, dict) and body.get("purpose") in purposes else None


@router.post("/sign-in/provider")
@asks(None)
def begin(request: Request, form: Form, access: Keys, desk: Here) -> Response:
    """Go to the provider to sign in, or to accept an invitation."""
    access.begins(client_of(request.client))
    visitor, invitation = request.scope["state"].get("visitor"), str(form.get("token", ""))
    session = visitor.session if visitor is not None else None
    if invitation:
        desk.sign_ins.link(invitation)  # one that is used up is refused before anybody goes away
    try:
        if invitation:
            return away(request, "join", "/", session=session, invitation=invitation)
        name = clean_person(str(form.get("name", "")))
        return away(request, "sign-in", str(form.get("to", "/")), session=session, name=name)
    except ProviderError as error:
        if invitation:
            return join_page(request, desk, invitation, error)
        return entrance(request, access, f"{words.sentence(error.message)}.", error.status)


@router.get(BACK)
@asks(None)
def back(request: Request, access: Keys, desk: Here) -> Response:
    """Take the provider's answer, once, and go on with what the browser left for."""
    body = recalled(request, "sign-in", "join", "link", "step-up")
    if body is None or access.provider is None:
        late = "This sign-in was used already, took too long, or began in another browser. Begin again."
        return entrance(request, access, late, SignInError.status)
    try:
        who = access.provider.finish(Pending.from_dict(body["pending"]), dict(request.query_params))
        session = _session(desk, body, who, agent_of(request))
    except (SignInError, ProviderError, AccountError) as error:
        if body["purpose"] == "step-up":  # the session goes on, and so does the page that was left
            return keeping(request, onward(request, body["to"]), _left(body, error.message))
        return entrance(request, access, f"{words.sentence(error.message)}. {error.hint}", error.status)
    response = carrying(request, onward(request, body["to"]), session, access)
    if body["purpose"] == "step-up":
        return keeping(request, response, _left(body))
    response.delete_cookie(access.cookie_of_provider, path="/")
    return response


def onward(request: Request, to: str) -> Response:
    """A page that leads on at once: what follows is our own link, which brings the strict cookie of the session."""
    return pages_of(request).show(request, "onward.html", {"to": inside(to)})


def _session(desk: Desk, body: dict[str, Any], who: Subject, agent: str) -> SignedIn:
    """The session that follows from the provider's answer; one that the browser had before ends."""
    sign_ins, purpose = desk.sign_ins, body["purpose"]
    if purpose == "step-up":
        account, session = _own(desk, body)
        if (who.issuer, who.subject) not in account.subjects:
            raise SignInError(f"the provider vouches for somebody else than {account.name}")
        return sign_ins.renewed(session, stepped_up=True, at=who.auth_time)
    if purpose == "link":
        account, _ = _own(desk, body)
        account = sign_ins.bind(account, who)
    else:
        account = sign_ins.by_subject(who, invitation=body.get("invitation", ""), name=body.get("name", ""))
    if "session" in body:
        sign_ins.end(digest=body["session"])
    return sign_ins.begin(account, "oidc", agent=agent, proven_at=who.auth_time or 0)


def _own(desk: Desk, body: dict[str, Any]) -> tuple[Account, SignIn]:
    """The account and the session that left for the provider, if both are still there."""
    account = next((a for a in desk.people.accounts() if a.id == body["account"] and a.state == "active"), None)
    sessions = desk.sign_ins.sessions(body["account"]) if account is not None else []
    session = next((s for s in sessions if s.digest == body["session"]), None)
    if account is None or session is None:
        raise SignInError("this session has ended")
    return account, session


# The page that waits for a step-up


def left(form: FormData, ours: tuple[str, ...]) -> list[JSON]:
    """The fields of a form that wait for its person, without those that are this server's own."""
    return [[name, str(text)] for name, text in form.multi_items() if name not in ours]


def _left(body: dict[str, Any], refused: str = "") -> dict[str, JSON]:
    """What is kept of the page that was left until its person sees it again."""
    return {"purpose": "stepped-up", "to": body["to"], "fields": body["fields"], "refused": refused}


def returned(request: Request) -> tuple[FormData, str] | None:
    """The fields of the page that was left from this address, and why the provider's answer was refused, if it was.

    They are kept on, so that the page can be loaded again.
    """
    body = recalled(request, "stepped-up")
    if body is None:
        return None
    desk_of(request).sign_ins.remember(request.cookies[access_of(request).cookie_of_provider], body)
    if body["to"] != request.url.path:
        return None
    return FormData([(str(name), str(text)) for name, text in body["fields"]]), str(body["refused"])
