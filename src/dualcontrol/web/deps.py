"""Dependencies of handlers: the desk, the visitor and what they may do, a loop, a checked form.

Every handler says with `asks` what it takes to call it; one that says nothing is answered to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Path, Request
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from dualcontrol.case import Actor, Case
from dualcontrol.control import Control
from dualcontrol.desk import Claim, Desk
from dualcontrol.errors import AccessError, ClaimError, NotFoundError, RequestError, RoleError
from dualcontrol.names import nearest, same
from dualcontrol.people import Verb, may, permitted_roles, refuse
from dualcontrol.review.view import PersonalView, seen_by
from dualcontrol.step import case_of_claim
from dualcontrol.web.access import Access, Visitor

MAX_FIELDS = 2000
SEVERAL = ("reasons",)  # fields of a form that may stand in it more than once
# Whoever sends these shows a secret and acts under no session: their page may be older than the one they have.
BY_SECRET = ("/sign-in", "/join")


def desk_of(request: Request) -> Desk:
    """The desk behind this server."""
    return cast(Desk, request.app.state.desk)


def access_of(request: Request) -> Access:
    """The keys of this server."""
    return cast(Access, request.app.state.access)


def visitor_of(request: Request) -> Visitor:
    """Who asks; the guard has let nobody in without."""
    visitor = request.scope["state"].get("visitor")
    if visitor is None:
        raise AccessError("this needs a token")
    return cast(Visitor, visitor)


def claim_of(desk: Desk, claim_id: str, visitor: Visitor) -> Claim:
    """The claim that a visitor holds; one that was never given is not found, and one of somebody else no more."""
    unknown = NotFoundError(f"no claim {claim_id[:80]!r} of yours was ever given", hint="Claim the next review.")
    if desk.steps.case_of_claim(claim_id) is None:
        raise unknown
    try:
        claim = desk.claimed(claim_id)
    except ClaimError:
        if desk.steps.ending(claim_id, visitor.person) in (None, "another's"):
            raise unknown from None
        raise
    if not same(claim.person, visitor.person):
        raise unknown
    return claim


# What it takes to call a handler


H = TypeVar("H", bound=Callable[..., Any])


def asks(verb: Verb | None) -> Callable[[H], H]:
    """Say what a handler asks of its visitor, by the verbs of `people.may`; None is open to whoever comes in."""

    def marked(handler: H) -> H:
        setattr(handler, "asks", verb)  # noqa: B010
        return handler

    return marked


def authorised(request: Request) -> None:
    """Refuse a visitor who may not do what this address does, in the loop that it names; unmarked ones are closed."""
    handler = request.scope["endpoint"]
    if not hasattr(handler, "asks"):
        raise AccessError("this address does not say who may call it, so nobody may")
    verb: Verb | None = handler.asks
    if verb is None:
        return
    refuse(may(visitor_of(request).principal, verb, _governing(request)))


def _governing(request: Request) -> Control | None:
    """What governs the loop that an address names by itself, by a case or by a claim; None where it names none."""
    desk, named = desk_of(request), request.path_params
    loop = named.get("loop")
    if loop is None and (case_id := named.get("case_id") or case_of_claim(named.get("claim_id", ""))):
        case = desk.store.queries.case(str(case_id), recent=True)
        loop = None if case is None else case.loop
    return None if loop is None else next((control for control in desk.loops() if control.loop == loop), None)


def visible(desk: Desk, visitor: Visitor, verb: Verb = "read") -> list[Control]:
    """The loops in which a visitor may do something, for lists that name no loop."""
    return [control for control in desk.loops() if may(visitor.principal, verb, control) is None]


def actor_of(visitor: Visitor, via: str) -> Actor:
    """The visitor as the record names them: who, through which door, by which sign-in, and when that was."""
    who = visitor.principal
    return Actor(
        person=who.person, via=via, authenticated=who.authenticated, signed_in_at=who.signed_in_at,
        stepped_up_at=who.stepped_up_at,
    )  # fmt: skip


def readable(desk: Desk, visitor: Visitor, loop: str | None, verb: Verb = "read") -> list[Control]:
    """The loop that a list is asked of, if the visitor may, else all in which they may."""
    if not loop:
        return visible(desk, visitor, verb)
    control = desk.governing(loop)
    refuse(may(visitor.principal, verb, control))
    return [control]


def seen_over_http(desk: Desk, visitor: Visitor, case: Case) -> PersonalView:
    """A case as a visitor may have it by the API.

    A program sees all of it, since it goes on with the outcome; who decides sees by a token what they see on a page.
    """
    control = desk.governing(case.loop)
    if not decides(visitor, control):
        return PersonalView(case, kept=False)
    return seen_by(case, visitor.person, control)


def decides(visitor: Visitor, control: Control) -> bool:
    """Whether a visitor's account may take reviews of a loop, whatever their token is good for."""
    return bool(visitor.principal.roles(control.loop) & frozenset(permitted_roles("claim", control)))


def acting(visitor: Visitor, name: str | None) -> str:
    """The person who acts: the visitor, whatever a body says; `RoleError` where it names somebody else."""
    if name is not None and not same(name, visitor.person):
        raise RoleError(f"this is the sign-in of {visitor.person}, who cannot act as {name[:80]!r}")
    return visitor.person


def check_query(request: Request) -> None:
    """Refuse a query parameter that the address does not know; the error names the nearest one."""
    route = request.scope.get("route")
    known = [str(field.alias) for field in route.dependant.query_params] if isinstance(route, APIRoute) else []
    for name in request.query_params:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"known are: {', '.join(known) or 'none'}"
            raise RequestError(f"query.{name[:80]}: there is no such parameter; {hint}")


async def posted(request: Request) -> FormData:
    """The fields of a form that was made for this session."""
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    twice = next((name for name in form if name not in SEVERAL and len(form.getlist(name)) > 1), None)
    if twice is not None:
        raise RequestError(f"the form says {twice[:80]!r} twice", hint="Reload the page and send it again.")
    visitor = request.scope["state"].get("visitor")
    acts = request.url.path not in BY_SECRET
    if acts and visitor is not None and not access_of(request).meant(visitor, str(form.get("csrf", ""))):
        raise AccessError("the form is not of this session", hint="Go back, reload the page and send it again.")
    return form


Here = Annotated[Desk, Depends(desk_of)]
Keys = Annotated[Access, Depends(access_of)]
Who = Annotated[Visitor, Depends(visitor_of)]
Form = Annotated[FormData, Depends(posted)]
NAME, ID = r"^[^\x00-\x1f\x7f/]+$", r"^[0-9A-Za-z._-]+$"
CaseId = Annotated[str, Path(min_length=1, max_length=80, pattern=ID, description="The id of a case.")]
ClaimId = Annotated[
    str, Path(min_length=1, max_length=80, pattern=ID, description="The id of a claim, which is its fencing token.")
]
LoopName = Annotated[str, Path(min_length=1, max_length=200, pattern=NAME, description="The name of a loop.")]
