"""Dependencies of handlers: the desk, the visitor, a loop, a checked form."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from dualcontrol.desk import Claim, Desk
from dualcontrol.errors import AccessError, NotFoundError, RequestError
from dualcontrol.names import nearest
from dualcontrol.web.access import Access, Visitor

MAX_FIELDS = 2000
SEVERAL = ("reasons",)  # fields of a form that may stand in it more than once


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


def claim_of(desk: Desk, claim_id: str) -> Claim:
    """The claim that an id stands for; one that was never given is not found."""
    if desk.steps.case_of_claim(claim_id) is None:
        raise NotFoundError(f"no claim {claim_id[:80]!r} was ever given", hint="Claim the next review.")
    return desk.claimed(claim_id)


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
    if visitor is not None and not access_of(request).meant(visitor, str(form.get("csrf", ""))):
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
