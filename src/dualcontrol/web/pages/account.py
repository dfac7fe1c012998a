"""One's own account: who one is, with which roles, where one is signed in, and what one's programs may show."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from dualcontrol.accounts.sign_in import SHORTEST
from dualcontrol.desk import Desk
from dualcontrol.errors import AccountError, DualcontrolError, NotFoundError, ProviderError
from dualcontrol.people import DECIDING, ROLES
from dualcontrol.store.accounts import Account, SignIn
from dualcontrol.web.access import Visitor
from dualcontrol.web.deps import Form, Here, Keys, Who, access_of, asks, visible
from dualcontrol.web.pages.entry import carrying
from dualcontrol.web.pages.inbox import probed
from dualcontrol.web.pages.people import LIVES, account_of, in_force
from dualcontrol.web.pages.provider import away
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.pages.step_up import proven

router = APIRouter(prefix="/account", include_in_schema=False)


@router.get("")
@asks("sign")
def show(request: Request, desk: Here, visitor: Who) -> Response:
    """Who one is, one's sessions and one's tokens."""
    return _show(request, desk, visitor)


def own(desk: Desk, visitor: Visitor) -> tuple[Account, SignIn]:
    """The visitor's account and session; the demo has no accounts."""
    if visitor.session is None or not visitor.session.account:
        raise NotFoundError("there are no accounts here", hint="The demo has people to switch between, at the top.")
    return account_of(desk, visitor.session.account), visitor.session


def _show(
    request: Request, desk: Desk, visitor: Visitor, *, error: DualcontrolError | None = None, done: str = "",
    secret: str = "",
) -> Response:  # fmt: skip
    (account, session), provider, now = own(desk, visitor), access_of(request).provider, desk.steps.now()
    sessions = [
        {"id": each.id, "browser": each.agent or "unknown", "method": each.method, "here": each.id == session.id,
         "since": each.created_at, "seen": max(each.seen_at, now if each.id == session.id else 0)}
        for each in desk.sign_ins.sessions(account.id)
    ]  # fmt: skip
    tokens = [token for token, _ in desk.tokens.listed(account.id) if in_force(token, now)]
    data = {
        "name": account.name, "roles": [[grant.role, grant.loop] for grant in account.grants], "sessions": sessions,
        "tokens": [{"id": token.id, "name": token.name, "scopes": list(token.scopes)} for token in tokens],
    }  # fmt: skip
    return pages_of(request).show(
        request, "account.html", data, status=error.status if error else 200, account=account, in_force=tokens,
        words_of=ROLES, may_decide=any(account.has(role) for role in (*DECIDING, "policy")), error=error, done=done,
        once={"what": "Token", "shown": secret, "of": account.name, "hint": ""} if secret else None,
        provider=provider.name if provider else None, linked=bool(account.subjects), shortest=SHORTEST,
        loops=[control.loop for control in visible(desk, visitor)], probed=probed(visible(desk, visitor, "claim")),
    )  # fmt: skip


@router.post("/password")
@asks("sign")
def set_password(request: Request, form: Form, desk: Here, access: Keys, visitor: Who) -> Response:
    """Change one's password; every other session ends, and this one gets a new secret."""
    account, _ = own(desk, visitor)
    signed = proven(request, visitor, str(form.get("current", "")))
    if isinstance(signed, DualcontrolError):
        return _show(request, desk, visitor, error=signed)
    try:
        desk.sign_ins.set_password(account.id, str(form.get("password", "")))
    except AccountError as error:
        return carrying(request, _show(request, desk, visitor, error=error), signed, access)
    ended = desk.sign_ins.end_others(signed.session)
    more = f" {ended} other session{'s' if ended > 1 else ''} ended." if ended else ""
    return carrying(request, _show(request, desk, visitor, done=f"Your password is changed.{more}"), signed, access)


@router.post("/sessions")
@asks("sign")
def end_sessions(form: Form, desk: Here, visitor: Who) -> Response:
    """End one session of one's own by its id, or all but this one."""
    account, session = own(desk, visitor)
    if form.get("id", "others") == "others":
        desk.sign_ins.end_others(session)
    else:
        ended = next((each for each in desk.sign_ins.sessions(account.id) if each.id == form["id"]), None)
        if ended is not None:
            desk.sign_ins.end(digest=ended.digest)
    return go("/account")


@router.post("/tokens")
@asks("sign")
def issue(request: Request, form: Form, desk: Here, visitor: Who) -> Response:
    """Make a token of one's own, to read or to decide; it is shown once, on this page."""
    account, loop = own(desk, visitor)[0], str(form.get("loop", ""))
    try:
        _, secret = desk.tokens.issue(
            account.name, visitor.person, name=str(form.get("name", ""))[:80], scopes=[str(form.get("scope", "read"))],
            loops=[loop] if loop else None, life=LIVES.get(str(form.get("life", "")), LIVES["90"]),
        )  # fmt: skip
    except AccountError as error:
        return _show(request, desk, visitor, error=error)
    return _show(request, desk, visitor, secret=secret)


@router.post("/tokens/revoke")
@asks("sign")
def revoke(request: Request, form: Form, desk: Here, visitor: Who) -> Response:
    """End a token of one's own."""
    account, _ = own(desk, visitor)
    try:
        desk.tokens.revoke(str(form.get("token", "")), visitor.person, of=account.id)
    except AccountError as error:
        return _show(request, desk, visitor, error=error)
    return go("/account")


@router.post("/provider")
@asks("sign")
def link(request: Request, form: Form, desk: Here, access: Keys, visitor: Who) -> Response:
    """Link the account with the provider, so that either proves who one is; every other session ends with it."""
    account, session = own(desk, visitor)
    signed = None
    if account.password is not None:  # or a browser left open would be enough to come in for ever
        proof = proven(request, visitor, str(form.get("current", "")))
        if isinstance(proof, DualcontrolError):
            return _show(request, desk, visitor, error=proof)
        signed, session = proof, proof.session
    try:
        response = away(request, "link", "/account", session=session)
    except ProviderError as error:
        response = _show(request, desk, visitor, error=error)
    return response if signed is None else carrying(request, response, signed, access)
