"""The review page: everything this reviewer may see, and the forms that decide."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.case import microseconds
from dualcontrol.control import Control
from dualcontrol.desk import Claim, Desk
from dualcontrol.errors import AnswerError, DualcontrolError
from dualcontrol.names import same
from dualcontrol.review.blind import as_seen
from dualcontrol.web.access import Visitor
from dualcontrol.web.answering import answer
from dualcontrol.web.api.claims import as_claim
from dualcontrol.web.deps import ClaimId, Form, Here, Who, claim_of, governing
from dualcontrol.web.pages.flash import flash
from dualcontrol.web.pages.inbox import filtered, next_address
from dualcontrol.web.pages.reviewed import shown
from dualcontrol.web.pages.saying import misfit, plainly, value
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.reply import reply
from dualcontrol.web.twin import wants_json

router = APIRouter(prefix="/claims/{claim_id}", include_in_schema=False)
CONFLICT = 409


@router.get("")
def review(
    request: Request, claim_id: ClaimId, desk: Here, visitor: Who, loop: Annotated[str | None, Query()] = None,
    done: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """A held review; one that is not held any more leads to its case."""
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost=1")
    return _page(request, desk, claim, loop=loop, flash=flash(desk, done, visitor.person))


def _held(desk: Desk, claim_id: str, visitor: Visitor) -> Claim | None:
    """The claim while this visitor holds it."""
    try:
        claim = claim_of(desk, claim_id)
    except AnswerError:
        return None
    review = claim.review
    live = review.state == "claimed" and (review.lease_until or 0) > desk.steps.now()
    return claim if live and same(review.person, visitor.person) else None


def _page(request: Request, desk: Desk, claim: Claim, *, status: int = 200, **extra: Any) -> Response:
    control = governing(desk, claim.case.loop)
    around: dict[str, Any] = {"error": None, "form": {}, "flash": None, "loop": None}
    around = {**around, **shown(claim, control, desk.steps.now()), **extra}
    case, _ = as_seen(claim.case, claim.review)
    field = misfit(around["error"], around["edit"])
    return pages_of(request).show(
        request, "review.html", as_claim(claim), status=status, claim=claim, case=case, control=control,
        settings=control.settings, misfit=field, told=plainly(around["error"], field), **around,
    )  # fmt: skip


@router.post("/answer")
def decide(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take a decision and go on to the next review; a mistake shows the page again with what was typed."""
    loop = str(form.get("loop", "")) or None
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost=1")
    try:
        case = _answered(claim, form, governing(desk, claim.case.loop))
    except DualcontrolError as error:
        if error.status == CONFLICT:
            raise
        return _page(request, desk, claim, status=error.status, error=error, form=dict(form), loop=loop)
    return go(next_address(desk, visitor.person, loop, done=case.id))


@router.post("/commit")
def commit(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Say what should happen, and see the action then."""
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost=1")
    to = str(form.get("to", "")).replace("\r\n", "\n").strip() or None
    try:
        claim.commit(str(form.get("should", "")), to)
    except DualcontrolError as error:
        if error.status == CONFLICT:
            raise
        return _page(request, desk, claim, status=error.status, error=error, form=dict(form))
    return go(f"/claims/{claim.id}{filtered(form)}")


def claim_of_case(desk: Desk, claim_id: str) -> str:
    """The case that a claim was given for; not found when it never was."""
    return desk.steps.case_of_claim(claim_id) or claim_of(desk, claim_id).case.id


def _answered(claim: Claim, form: Form, control: Control) -> Any:
    verdict = str(form.get("verdict", ""))
    said = {
        "rationale": str(form.get("rationale", "")).replace("\r\n", "\n").strip() or None,
        "reasons": [str(code) for code in form.getlist("reasons") if code],
    }
    return answer(claim, verdict, value(claim, verdict, form, control.settings.schema), via="web", **said)


@router.post("/release")
def release(claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Give the review back to the queue."""
    claim = _held(desk, claim_id, visitor)
    if claim is not None:
        desk.release(claim.id)
    loop = filtered(form).replace("?", "&")
    return go(f"/inbox?done={claim_of_case(desk, claim_id)}{loop}")


@router.post("/extend")
def extend(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Hold the review longer; a script learns until when."""
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost=1")
    lease = microseconds(governing(desk, claim.case.loop).settings.lease) or 600_000_000
    after = desk.extend(claim.id, lease / 1_000_000)
    if wants_json(request.scope):
        held = after.review_of_claim(claim.id)
        return reply({"lease_until": held.lease_until if held else None})
    return go(f"/claims/{claim.id}{filtered(form)}")
