"""People: who is let in, with which roles and groups, and what ends when somebody is removed.

Only a session that is signed in as an admin opens these pages; a link or a token is on the page that made it, and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from dualcontrol.control import Role
from dualcontrol.desk import Desk
from dualcontrol.errors import AccountError, DualcontrolError, EligibilityError, NotFoundError, Pending, RequestError
from dualcontrol.people import ROLES, Grant
from dualcontrol.store.accounts import Account, Token
from dualcontrol.web.access import Access, clean_person
from dualcontrol.web.api.people import directory, groups_of
from dualcontrol.web.deps import ID, Form, Here, Keys, Who, asks
from dualcontrol.web.pages.entry import base_of
from dualcontrol.web.pages.site import go, pages_of

router = APIRouter(prefix="/people", include_in_schema=False)
CaseFilter = Annotated[str | None, Query(max_length=80)]
AccountId = Annotated[str, Path(min_length=1, max_length=80, pattern=ID)]
DAY = 86_400_000_000
LIVES = {"30": 30 * DAY, "90": 90 * DAY, "365": 365 * DAY}  # for which a token may be good
OF_PEOPLE = [role for role in ROLES if role != "submitter"]
REFUSALS = (AccountError, RequestError, NotFoundError, EligibilityError)


@router.get("")
@asks("people")
def listed(request: Request, desk: Here, case: CaseFilter = None) -> Response:
    """Everybody with an account, the services, the groups, and the form that invites; `case` waits for approval."""
    return _list(request, desk, waiting=() if case is None else (desk.case(case).id,))


def _list(
    request: Request, desk: Desk, *, error: DualcontrolError | None = None, form: Form | None = None,
    once: dict[str, str] | None = None, waiting: Sequence[str] = (),
) -> Response:  # fmt: skip
    page = directory(desk)
    tokens = [token for token, _ in desk.tokens.listed() if in_force(token, desk.steps.now())]
    stated = {group.name for group in desk.people.groups()}
    return pages_of(request).show(
        request, "people.html", page, status=error.status if error else 200,
        persons=[p for p in page.people if p.kind == "person" and p.state != "removed"],
        services=[p for p in page.people if p.kind == "service" and p.state != "removed"],
        removed=[p for p in page.people if p.state == "removed"],
        tokens={p.id: sum(token.account == p.id for token in tokens) for p in page.people}, stated=stated,
        loops=[control.loop for control in desk.loops()], roles=ROLES, offered=OF_PEOPLE, error=error, once=once,
        waiting=waiting,
        form={name: str(text) for name, text in (form or {}).items()},
    )  # fmt: skip


@router.post("")
@asks("people")
def invite(request: Request, form: Form, desk: Here, access: Keys, visitor: Who) -> Response:
    """Invite a person; the link is shown once, on this page."""
    role, loop = str(form.get("role", "")), str(form.get("loop", ""))
    group, email = str(form.get("group", "")).strip(), str(form.get("email", "")).strip()
    try:
        name = clean_person(str(form.get("name", "")))
        account, secret, waiting = desk.people.invite(
            name, visitor.person, roles=[_grant(role, loop)] if role else [], groups=[group] if group else [],
            email=email or None,
        )  # fmt: skip
    except REFUSALS as error:
        return _list(request, desk, error=error, form=form)
    once = _link(request, access, account, secret, "It is good for seven days, and once.")
    return _list(request, desk, once=once, waiting=waiting)


@router.post("/services")
@asks("people")
def register(request: Request, form: Form, desk: Here, visitor: Who) -> Response:
    """Register a service; its tokens are made on its own page."""
    loop = str(form.get("loop", ""))
    try:
        account = desk.people.register(
            clean_person(str(form.get("name", ""))), visitor.person, owner=str(form.get("owner", "")),
            loops=[loop] if loop else [],
        )  # fmt: skip
    except REFUSALS as error:
        return _list(request, desk, error=error, form=form)
    return go(f"/people/{account.id}")


@router.post("/groups")
@asks("people")
def give_back(request: Request, form: Form, desk: Here, visitor: Who) -> Response:
    """Give a group back to the settings."""
    try:
        desk.people.set_group(str(form.get("group", "")), None, visitor.person)
    except Pending as waits:
        return go(f"/people?{urlencode({'case': waits.case_id})}")
    except REFUSALS as error:
        return _list(request, desk, error=error)
    return go("/people")


# One account


@router.get("/{account_id}")
@asks("people")
def show(request: Request, account_id: AccountId, desk: Here, case: CaseFilter = None) -> Response:
    """One account: roles, groups, who else is the same human, sessions and tokens; `case` waits for approval."""
    waiting = () if case is None else (desk.case(case).id,)
    return _show(request, desk, account_of(desk, account_id), waiting=waiting)


def account_of(desk: Desk, account_id: str) -> Account:
    """The account of an id."""
    account = next((account for account in desk.people.accounts() if account.id == account_id), None)
    if account is None:
        raise NotFoundError(f"there is no account {account_id[:80]!r}")
    return account


def _show(
    request: Request, desk: Desk, account: Account, *, error: DualcontrolError | None = None,
    once: dict[str, str] | None = None, waiting: Sequence[str] = (),
) -> Response:  # fmt: skip
    page = directory(desk)
    person = next(person for person in page.people if person.id == account.id)
    tokens = [token for token, _ in desk.tokens.listed(account.id)]
    return pages_of(request).show(
        request, "person.html", {"person_shown": _plain(person)}, status=error.status if error else 200, of=person,
        email=account.email, by_password=account.password is not None, by_provider=bool(account.subjects),
        sessions=desk.sign_ins.sessions(account.id), tokens=tokens, in_force=in_force, roles=ROLES,
        offered=["submitter", "auditor"] if account.kind == "service" else OF_PEOPLE,
        loops=[control.loop for control in desk.loops()], groups=list(page.groups), error=error, once=once,
        waiting=waiting,
        others=[p.name for p in page.people if p.id != account.id and p.kind == "person" and p.state != "removed"],
    )  # fmt: skip


def _plain(person: Any) -> dict[str, Any]:
    return {"id": person.id, "name": person.name, "state": person.state}


@router.get("/{account_id}/remove")
@asks("people")
def ask_to_remove(request: Request, account_id: AccountId, desk: Here) -> Response:
    """Say what ends with an account, and ask."""
    return _ask(request, desk, account_of(desk, account_id))


def _ask(request: Request, desk: Desk, account: Account, error: DualcontrolError | None = None) -> Response:
    now = desk.steps.now()
    with desk.store.queries.accounts() as book:
        claims, accounts = len(book.held_by(account.name)), book.accounts()
    ends = {
        "name": account.name, "claims": claims, "sessions": len(desk.sign_ins.sessions(account.id)),
        "tokens": sum(in_force(token, now) for token, _ in desk.tokens.listed(account.id)),
        "roles": [[grant.role, grant.loop] for grant in account.grants],
        "groups": [name for name, members in groups_of(desk).items() if account.name in members],
        "services": [other.name for other in accounts if other.owner == account.id and other.state != "removed"],
    }  # fmt: skip
    return pages_of(request).show(
        request, "remove.html", ends, status=error.status if error else 200, id=account.id, error=error
    )


@router.post("/{account_id}/remove")
@asks("people")
def remove(request: Request, account_id: AccountId, form: Form, desk: Here, visitor: Who) -> Response:
    """Close an account everywhere at once."""
    account = account_of(desk, account_id)
    try:
        desk.people.remove(account.name, visitor.person)
    except AccountError as error:
        return _ask(request, desk, account, error)
    return go("/people")


@router.post("/{account_id}/invite")
@asks("people")
def invite_again(
    request: Request, account_id: AccountId, form: Form, desk: Here, access: Keys, visitor: Who
) -> Response:  # fmt: skip
    """A new link for somebody who never came in; the one before ends.

    Whoever has come in gets a new link on the machine only: an admin who could make one here could sign in as anybody.
    """
    account = account_of(desk, account_id)
    if account.state not in ("invited", "named"):
        hint = "Where a password is forgotten: `dualcontrol users recover NAME`, on the machine."
        error = AccountError(f"{account.name} has come in already, or was removed", hint=hint)
        return _show(request, desk, account, error=error)
    account, secret, _ = desk.people.recover(account.name, visitor.person)
    return _show(
        request, desk, account, once=_link(request, access, account, secret, "It is good for a day, and once.")
    )


@router.post("/{account_id}/tokens")
@asks("people")
def issue(request: Request, account_id: AccountId, form: Form, desk: Here, visitor: Who) -> Response:
    """Make a token of a service; it is shown once, on this page.  People make their own."""
    account, loop = account_of(desk, account_id), str(form.get("loop", ""))
    try:
        if account.kind != "service":
            raise AccountError(f"{account.name} is a person, who makes tokens on the page of their own account")
        _, secret = desk.tokens.issue(
            account.name, visitor.person, name=str(form.get("name", ""))[:80],
            scopes=str(form.get("scopes", "propose read")).split(), loops=[loop] if loop else None,
            life=LIVES.get(str(form.get("life", "")), LIVES["90"]),
        )  # fmt: skip
    except REFUSALS as error:
        return _show(request, desk, account, error=error)
    return _show(request, desk, account, once={"what": "Token", "shown": secret, "of": account.name, "hint": ""})


@router.post("/{account_id}/{act}")
@asks("people")
def change(request: Request, account_id: AccountId, act: str, form: Form, desk: Here, visitor: Who) -> Response:
    """Change one thing of an account: see `CHANGES`."""
    account = account_of(desk, account_id)
    if act not in CHANGES:
        raise NotFoundError(f"there is no such change of an account: {act[:40]!r}")
    try:
        CHANGES[act](desk, account, form, visitor.person)
    except Pending as waits:
        return go(f"/people/{account.id}?{urlencode({'case': waits.case_id})}")
    except REFUSALS as error:
        return _show(request, desk, account, error=error)
    return go(f"/people/{account.id}")


CHANGES: dict[str, Callable[[Desk, Account, Form, str], Any]] = {
    "grant": lambda desk, account, form, by: desk.people.grant(
        account.name, str(form.get("role", "")), by, loop=str(form.get("loop", ""))
    ),
    "revoke": lambda desk, account, form, by: desk.people.revoke(
        account.name, str(form.get("role", "")), by, loop=str(form.get("loop", ""))
    ),
    "group": lambda desk, account, form, by: desk.people.add_to_group(
        str(form.get("group", "")).strip(), account.name, by
    ),
    "ungroup": lambda desk, account, form, by: desk.people.take_from_group(
        str(form.get("group", "")), account.name, by
    ),
    "link": lambda desk, account, form, by: desk.people.link(account.name, str(form.get("other", "")), by),
    "end-sessions": lambda desk, account, form, by: desk.sign_ins.end(account_id=account.id),
    "revoke-token": lambda desk, account, form, by: desk.tokens.revoke(str(form.get("token", "")), by, of=account.id),
}


def in_force(token: Token, now: int) -> bool:
    """Whether a token still lets a program in."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _grant(role: str, loop: str) -> Grant:
    """A role as a form says it."""
    if role not in get_args(Role):
        raise RequestError(f"there is no role {role[:40]!r}", hint=f"Roles are {', '.join(ROLES)}.")
    return Grant(role=role, loop=loop)  # type: ignore[arg-type]


def _link(request: Request, access: Access, account: Account, secret: str, hint: str) -> dict[str, str]:
    """A link as it is shown once."""
    address = f"{base_of(request, access)}/join?token={secret}"
    return {"what": "Link", "shown": address, "of": account.name, "hint": hint}
