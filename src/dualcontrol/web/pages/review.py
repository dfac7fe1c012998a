"""The review page: everything this reviewer may see, and the forms that decide."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from markupsafe import escape
from starlette.responses import Response

from dualcontrol.case import JSON, Rendering, microseconds
from dualcontrol.control import PAGE, Control
from dualcontrol.desk import Claim, Desk
from dualcontrol.errors import AnswerError, ConflictError, DualcontrolError
from dualcontrol.names import same
from dualcontrol.review.joined import alike
from dualcontrol.review.view import as_seen, digest
from dualcontrol.web.access import Visitor
from dualcontrol.web.answering import answer, rehearse
from dualcontrol.web.api.claims import as_claim
from dualcontrol.web.deps import ClaimId, Form, Here, Who, access_of, claim_of, visitor_of
from dualcontrol.web.pages.deliberate import about, asks_again, check_seen, confirming, proof, step_of
from dualcontrol.web.pages.flash import flash
from dualcontrol.web.pages.inbox import filtered, next_address
from dualcontrol.web.pages.reviewed import shown, why
from dualcontrol.web.pages.saying import misfit, plainly, value
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.reply import reply, wants_json
from dualcontrol.web.show import titles
from dualcontrol.web.show.content import VERSION, Look

router = APIRouter(prefix="/claims/{claim_id}", include_in_schema=False)
CONFLICT = 409
TYPED = 150_000  # bytes of HTML


@router.get("")
def review(
    request: Request, claim_id: ClaimId, desk: Here, visitor: Who, loop: Annotated[str | None, Query()] = None,
    done: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """A held review; one that is not held any more leads to its case."""
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost={claim_id}")
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
    control = desk.governing(claim.case.loop)
    around: dict[str, Any] = {"error": None, "form": {}, "flash": None, "loop": None}
    around = {**around, **shown(claim, control, desk.steps.now()), **extra}
    around["look"] = Look(f"/claims/{claim.id}", control.settings.markdown)
    around["shown_digest"] = digest(around["view"], rendering(control))
    case, _ = as_seen(claim.case, claim.review)
    around["form"] = retyped(around["form"])
    field = misfit(around["error"], around["edit"])
    return pages_of(request).show(
        request, "review.html", as_claim(claim, around["view"]), status=status, claim=claim, case=case, control=control,
        settings=control.settings, misfit=field, told=plainly(around["error"], field),
        **_proof(request, claim, control), **around,
    )  # fmt: skip


def retyped(form: dict[str, Any]) -> dict[str, Any]:
    """What was typed, to be shown again; of more than a page holds only which answer it was."""
    typed = sum(len(str(escape(str(text))).encode()) for text in form.values())
    return form if typed <= TYPED else {name: form[name] for name in ("verdict", "how") if name in form}


def rendering(control: Control) -> Rendering:
    """How this version of the page shows a case of a loop."""
    return Rendering(version=VERSION, markdown=control.settings.markdown)


def changed(claim: Claim, form: Form, control: Control) -> ConflictError | None:
    """The refusal of an answer to a page that would show the case otherwise now; None where it would not."""
    if form.get("shown", "") in ("", digest(claim.view, rendering(control))):
        return None
    hint = "Nothing was decided. Look at it again, and send your answer then."
    return ConflictError("this page shows the case otherwise than when you opened it", hint=hint)


def _proof(request: Request, claim: Claim, control: Control) -> dict[str, Any]:
    """What the forms of a page bring back, and for how long nobody can answer on it."""
    made = proof(access_of(request), visitor_of(request), claim, claim.desk.steps.now())
    return {"proof": made, "dead": control.settings.dead // 1000, "dead_step": step_of(control.settings.dead)}


@router.post("/answer")
def decide(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take a decision and go on to the next review; a mistake shows the page again with what was typed."""
    loop = str(form.get("loop", "")) or None
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return _over(desk, claim_id, visitor, loop)
    control = desk.governing(claim.case.loop)
    if (other := changed(claim, form, control)) is not None:
        return _page(request, desk, claim, status=CONFLICT, error=other, form=dict(form), loop=loop)
    try:
        check_seen(access_of(request), visitor, claim, form, control)
        verdict, said = str(form.get("verdict", "")), _said(form)
        given = value(claim, verdict, form, control.settings.schema)
        whole = rehearse(claim, verdict, given, via=PAGE, **said)
        act = about(claim, verdict, whole, said)
        if asks_again(claim, verdict, whole, control) and not _confirmed(request, visitor, form, act):
            return _second(request, claim, verdict, whole, form, control, act)
        case = answer(claim, verdict, given, via=PAGE, rendered=rendering(control), **said)
    except DualcontrolError as error:
        if error.status == CONFLICT and not _mine(desk, claim_id, visitor):
            raise
        if error.status == CONFLICT:
            return _over(desk, claim_id, visitor, loop)
        return _page(request, desk, claim, status=error.status, error=error, form=dict(form), loop=loop)
    request.app.state.settler.add(case)
    return go(next_address(desk, visitor.person, loop, done=case.id))


def _said(form: Form) -> dict[str, Any]:
    """What goes with a verdict besides its value."""
    return {
        "rationale": str(form.get("rationale", "")).replace("\r\n", "\n").strip() or None,
        "reasons": tuple(str(code) for code in form.getlist("reasons") if code),
    }


def _confirmed(request: Request, visitor: Visitor, form: Form, act: str) -> bool:
    """Whether this form is of the page that said this very answer back."""
    return access_of(request).stamped(visitor, act, str(form.get("confirmed", ""))) is not None


def _second(
    request: Request, claim: Claim, verdict: str, whole: JSON, form: Form, control: Control, act: str
) -> Response:  # fmt: skip
    """The page on which a verdict of high risk is given once more."""
    confirmed = access_of(request).stamp(visitor_of(request), act, claim.desk.steps.now())
    case, review = as_seen(claim.case, claim.review)
    look = Look(markdown=control.settings.markdown)  # what was typed has no address of its own
    told = {"claim": as_claim(claim), "verdict": verdict, "value": whole, "confirm": True}
    return pages_of(request).show(
        request, "confirm.html", told, case=case, held=claim, verdict=verdict, confirmed=confirmed, look=look,
        of=confirming(claim, verdict, whole, form, control, look), why=why(case, control, review), alike=alike,
        loop=str(form.get("loop", "")), title=titles.title(case), **_proof(request, claim, control),
    )  # fmt: skip


def _over(desk: Desk, claim_id: str, visitor: Visitor, loop: str | None) -> Response:
    """Where a verdict leads whose claim is held no more: on, for it was sent twice; else to the case."""
    case_id = claim_of_case(desk, claim_id)
    if _mine(desk, claim_id, visitor):
        return go(next_address(desk, visitor.person, loop, done=case_id))
    return go(f"/cases/{case_id}?lost={claim_id}")


def _mine(desk: Desk, claim_id: str, visitor: Visitor) -> bool:
    """Whether this very claim was answered by this visitor."""
    review = desk.case(claim_of_case(desk, claim_id)).review_of_claim(claim_id)
    return review is not None and review.person == visitor.person and review.state in ("answered", "passed")


@router.post("/commit")
def commit(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Say what should happen, and see the action then."""
    claim = _held(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost={claim_id}")
    to = str(form.get("to", "")).replace("\r\n", "\n").strip() or None
    control = desk.governing(claim.case.loop)
    if (other := changed(claim, form, control)) is not None:
        return _page(request, desk, claim, status=CONFLICT, error=other, form=dict(form))
    try:
        check_seen(access_of(request), visitor, claim, form, control)
        claim.commit(str(form.get("should", "")), to, rendered=rendering(control))
    except DualcontrolError as error:
        if error.status == CONFLICT:
            raise
        return _page(request, desk, claim, status=error.status, error=error, form=dict(form))
    return go(f"/claims/{claim.id}{filtered(form)}")


def claim_of_case(desk: Desk, claim_id: str) -> str:
    """The case that a claim was given for; not found when it never was."""
    return desk.steps.case_of_claim(claim_id) or claim_of(desk, claim_id).case.id


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
        return go(f"/cases/{claim_of_case(desk, claim_id)}?lost={claim_id}")
    lease = microseconds(desk.governing(claim.case.loop).settings.lease) or 600_000_000
    after = desk.extend(claim.id, lease / 1_000_000)
    if wants_json(request.scope):
        held = after.review_of_claim(claim.id)
        return reply({"lease_until": held.lease_until if held else None})
    return go(f"/claims/{claim.id}{filtered(form)}")
