"""The review page: everything this reviewer may see, the forms that decide, and what makes an answer deliberate.

A page says in its forms when it was served, signed for this claim and session.  A verdict that comes back within the
loop's dead time was given by a hand, not by somebody who has read: it is refused, and the page is shown again.  The
page's own script does the same from the moment of painting on; this is what holds without it.

Where the risk is high a verdict is said back in full and asked for once more, on a page of its own with a dead time of
its own, so that neither a double click nor a held key is the second act.  Whose sign-in is old proves on that page who
they are, and everything that was typed comes back with it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import escape
from msgspec.structs import replace
from starlette.responses import Response

from dualcontrol.case import ENCODER, JSON, Actor, Candidate, Case, Rendering, is_high, microseconds
from dualcontrol.control import PAGE, Control
from dualcontrol.desk import Claim, Desk
from dualcontrol.errors import AnswerError, ConflictError, DualcontrolError, ProviderError, StepUpError, TooSoonError
from dualcontrol.names import same
from dualcontrol.review.joined import alike
from dualcontrol.review.view import as_seen, digest, proposal_for
from dualcontrol.route import reroute
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.claims import answer, as_claim, rehearse
from dualcontrol.web.deps import ClaimId, Form, Here, Who, access_of, actor_of, asks, claim_of, visitor_of
from dualcontrol.web.pages.claim import shown, why
from dualcontrol.web.pages.entry import carrying
from dualcontrol.web.pages.forms import misfit, plainly, value
from dualcontrol.web.pages.inbox import CaseFilter, filtered, flash, holds, next_address
from dualcontrol.web.pages.provider import away, left, returned
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.pages.step_up import PROOF, proven, ways
from dualcontrol.web.problem import refusal
from dualcontrol.web.reply import reply, wants_json
from dualcontrol.web.show import diff, titles, words
from dualcontrol.web.show.content import VERSION, Look

router = APIRouter(prefix="/claims/{claim_id}", include_in_schema=False)
CONFLICT = 409
TYPED = 150_000  # bytes of HTML
# One key or one click says these; a rejection and an escalation are opened first and sent then.
ACTS = {name: spec.act for name, spec in words.SPECS.items() if spec.act is not None}
OURS = ("csrf", "served", "confirmed", "loop", "verdict", *PROOF)
STEPS = (150, 400, 1000)  # milliseconds for which the stylesheet knows a class


@router.get("")
@asks("claim")
def review(
    request: Request, claim_id: ClaimId, desk: Here, visitor: Who, loop: CaseFilter = None, done: CaseFilter = None
) -> Response:
    """A held review; one that is not held any more leads to its case."""
    claim = _live(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{case_id_of(desk, claim_id, visitor)}?lost={claim_id}")
    return _page(request, claim, desk.governing(claim.case.loop), loop=loop, flash=flash(desk, done, visitor.person))


def _live(desk: Desk, claim_id: str, visitor: Visitor) -> Claim | None:
    """The claim while this visitor holds it."""
    try:
        claim = claim_of(desk, claim_id, visitor)
    except AnswerError:
        return None
    return claim if holds(claim.review, visitor.person, desk.steps.now()) else None


def _page(
    request: Request, claim: Claim, control: Control, *, form: Form | None = None, loop: str | None = None,
    error: DualcontrolError | None = None, flash: dict[str, Any] | None = None,
) -> Response:  # fmt: skip
    """The page; after an `error`, with what was typed, unless that is more than a page holds."""
    case, _ = as_seen(claim.case, claim.review)
    around = shown(claim, control, claim.desk.steps.now())
    typed = dict(form or {})
    if sum(len(str(escape(str(text))).encode()) for text in typed.values()) > TYPED:
        typed = {name: typed[name] for name in ("verdict", "how") if name in typed}  # only which answer it was
    field = misfit(error, around["edit"])
    return pages_of(request).show(
        request, "review.html", as_claim(claim, around["view"]), status=error.status if error else 200, claim=claim,
        notices=claim.desk.prober.notices(claim.person, [], claim.case),
        case=case, misfit=field, told=plainly(error, field), form=typed, flash=flash, loop=loop,
        look=Look(f"/claims/{claim.id}", control.settings.markdown),
        shown_digest=digest(around["view"], rendering(control)), **_proof(request, claim, control), **around,
    )  # fmt: skip


def rendering(control: Control) -> Rendering:
    """How this version of the page shows a case of a loop."""
    return Rendering(version=VERSION, markdown=control.settings.markdown)


def _proof(request: Request, claim: Claim, control: Control) -> dict[str, Any]:
    """What the forms of a page bring back (whose, when shown), and for how long nobody can answer on it.

    The class of the stylesheet for a dead time is the longest that is not longer.
    """
    access, visitor, dead = access_of(request), visitor_of(request), control.settings.dead
    proof = {
        "csrf": access.csrf(visitor) if visitor.session else "",
        "served": access.stamp(visitor, f"served/{claim.id}", claim.desk.steps.now()),
    }
    step = max((step for step in STEPS if step * 1000 <= dead), default=STEPS[0])
    return {"proof": proof, "dead": dead // 1000, "dead_step": step}


@router.post("/answer")
@asks("answer")
def decide(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take a decision and go on to the next review; a mistake shows the page again with what was typed.

    With a password it steps the session up first, and whatever comes of the decision, the browser gets its new secret.
    """
    if form.get("by") == "provider":
        try:
            fields = left(form, ("csrf", "served", "confirmed", *PROOF))
            return away(request, "step-up", f"/claims/{claim_id}/answer", session=visitor.session, fields=fields)
        except ProviderError as error:
            return _decided(request, claim_id, form, desk, refused=error)
    if "password" not in form:
        return _decided(request, claim_id, form, desk)
    signed = proven(request, visitor, str(form["password"]))
    if isinstance(signed, DualcontrolError):
        return _decided(request, claim_id, form, desk, refused=signed)
    try:
        response = _decided(request, claim_id, form, desk)
    except DualcontrolError as error:
        response = refusal(request, error)
    return carrying(request, response, signed, access_of(request))


@router.get("/answer")
@asks("answer")
def decide_after(request: Request, claim_id: ClaimId, desk: Here) -> Response:
    """The decision that was left for the provider, as it was typed; it waits for its second act."""
    kept = returned(request)
    if kept is None:
        return go(f"/claims/{claim_id}")
    form, refused = kept
    return _decided(request, claim_id, form, desk, refused=refused, back=True)


def _decided(
    request: Request, claim_id: str, form: Form, desk: Desk, *, refused: DualcontrolError | str | None = None,
    back: bool = False,
) -> Response:  # fmt: skip
    """The page that follows a decision.

    `refused` is why a proof of its person was not taken, `back` that it waits for its second act in any case.
    """
    loop, visitor = str(form.get("loop", "")) or None, visitor_of(request)
    claim = _live(desk, claim_id, visitor)
    if claim is None:
        return _over(desk, claim_id, visitor, loop)
    control = desk.governing(claim.case.loop)
    if (conflict := changed(claim, form, control)) is not None:
        return _page(request, claim, control, error=conflict, form=form, loop=loop)
    verdict, actor = str(form.get("verdict", "")), actor_of(visitor, PAGE)
    remarks: dict[str, Any] = {
        "rationale": _unix(form, "rationale"),
        "reasons": tuple(str(code) for code in form.getlist("reasons") if code),
    }
    try:
        if not back:
            check_seen(request, claim, form, control)
        answered = value(claim, verdict, form, control.settings.schema)
        full, lacking = rehearsed(claim, verdict, answered, actor, remarks)
        if lacking is not None and (visitor.session is None or wants_json(request.scope)):
            raise lacking
        # The second act is stamped for the very answer, to the letter.
        act = f"confirmed/{claim.id}/{hashlib.sha256(ENCODER.encode([verdict, full, remarks])).hexdigest()}"
        confirmed = access_of(request).stamped(visitor, act, str(form.get("confirmed", ""))) is not None
        proof = ways(request, visitor, refused) if lacking is not None else None
        if proof or back or (not confirmed and asks_again(claim, verdict, full, control)):
            return _second(request, claim, verdict, full, form, control, act, proof)
        case = answer(claim, verdict, answered, actor=actor, rendered=rendering(control), **remarks)
    except DualcontrolError as error:
        if error.status == CONFLICT and _mine(desk, claim_id, visitor):
            return _over(desk, claim_id, visitor, loop)
        if error.status == CONFLICT or isinstance(error, StepUpError):
            raise
        return _page(request, claim, control, error=error, form=form, loop=loop)
    request.app.state.settler.add(case)
    return go(next_address(desk, visitor.person, loop, done=case.id))


def rehearsed(
    claim: Claim, verdict: str, value: JSON, actor: Actor, remarks: dict[str, Any]
) -> tuple[JSON, StepUpError | None]:
    """The value of an answer in its full form, and the step-up that it lacks; every other refusal is raised."""
    try:
        return rehearse(claim, verdict, value, actor=actor, **remarks), None
    except StepUpError as lacking:
        proven_now = replace(actor, stepped_up_at=claim.desk.steps.now())
        return rehearse(claim, verdict, value, actor=proven_now, **remarks), lacking


def changed(claim: Claim, form: Form, control: Control) -> ConflictError | None:
    """The refusal of an answer to a page that would show the case otherwise now; None where it would not."""
    if form.get("shown", "") in ("", digest(claim.view, rendering(control))):
        return None
    hint = "Nothing was decided. Look at it again, and send your answer then."
    return ConflictError("this page shows the case otherwise than when you opened it", hint=hint)


def _unix(form: Form, name: str) -> str | None:
    """A text of a form with line ends of one kind; None for an empty one."""
    return str(form.get(name, "")).replace("\r\n", "\n").strip() or None


def check_seen(request: Request, claim: Claim, form: Form, control: Control) -> None:
    """Refuse what came before anybody could have seen the page; `TooSoonError` says how long that takes."""
    served = access_of(request).stamped(visitor_of(request), f"served/{claim.id}", str(form.get("served", "")))
    if served is None:
        raise TooSoonError("the answer does not say which page it was given on")
    passed = claim.desk.steps.now() - served
    if passed < control.settings.dead:
        after = f"{max(passed, 0) // 1000} ms after the page was shown"
        raise TooSoonError(
            f"that came {after}; {control.settings.dead // 1000} ms have to pass before an answer counts"
        )


def asks_again(claim: Claim, verdict: str, value: JSON, control: Control) -> bool:
    """Whether a verdict takes a second act: the risk that this reviewer sees is high, or that of the edited action.

    What a blind answer decides takes it as well: by then it is given, and the risk can lead nobody to it.
    """
    if verdict not in ACTS:
        return False
    case = as_seen(claim.case, claim.review)[0] if claim.review.beside else claim.case
    risks = [case.risk, case.route.risk if case.route else None]
    if verdict == "edit" and case.action is not None:
        edited = Candidate(id="edit", action=value["action"], value=value["args"])
        risks.append(reroute(claim.case, edited, control).risk)
    return any(is_high(risk) for risk in risks)


def _second(
    request: Request, claim: Claim, verdict: str, value: JSON, form: Form, control: Control, act: str,
    proof: dict[str, Any] | None = None,
) -> Response:  # fmt: skip
    """The page on which a verdict of high risk is given once more: what happens, in words and in full.

    The fields of the first act are sent again with the second, and `proof` of who sends it where that is asked for.
    """
    case, review = as_seen(claim.case, claim.review)
    look = Look(markdown=control.settings.markdown)  # what was typed has no address of its own
    undo = 0 if verdict == "abstain" or review.beside else control.settings.undo_for(PAGE)
    action, content, changes = _meaning(claim, case, verdict, value, look)
    happens = "This is recorded, and the program goes on with it:"
    if verdict == "abstain":
        happens = "You decide nothing, and somebody else is asked."
    elif verdict == "respond":
        happens = "The program gets this in the AI's place" + ("; the action does not run." if case.action else ".")
    elif words.SPECS[verdict].runs and case.action is not None:
        happens = "This runs, as it stands here:"
    repeated = {
        "act": ACTS.get(verdict, verdict), "happens": happens, "action": action, "shown": content, "changes": changes,
        "fields": [(name, str(text)) for name, text in form.multi_items() if name not in OURS],
        "rationale": str(form.get("rationale", "")).strip(), "followers": review.followers,
        "undo": words.duration(undo) if undo >= words.SECOND else "",
    }  # fmt: skip
    data = {"claim": as_claim(claim), "verdict": verdict, "value": value, "confirm": True}
    return pages_of(request).show(
        request, "confirm.html", data, case=case, proof_of_person=proof,
        status=proof["status"] if proof else 200, held=claim, verdict=verdict, look=look, of=repeated,
        confirmed=access_of(request).stamp(visitor_of(request), act, claim.desk.steps.now()),
        why=why(case, control, review), alike=alike, loop=str(form.get("loop", "")), title=titles.title(case),
        **_proof(request, claim, control),
    )  # fmt: skip


def _meaning(
    claim: Claim, case: Case, verdict: str, value: JSON, look: Look
) -> tuple[str | None, JSON, diff.Changes]:  # fmt: skip
    """Action and value that the verdict stands for, as they would be run or recorded, and what an edit changes.

    A preference is told by the numbers under which the candidates stand on the page.
    """
    if verdict == "approve":
        proposal = proposal_for(case, claim.review)
        return *((proposal.action, proposal.value) if proposal else (None, None)), diff.Changes()
    if verdict == "edit":
        before = case.proposed_value()
        if case.action is None:
            return None, value, diff.changes(before, value, look)
        same_action = value["action"] == case.action
        sides = (before["args"], value["args"]) if same_action else (before, value)
        return value["action"], value["args"], diff.changes(*sides, look)
    if verdict == "prefer":
        number = {str(c["id"]): str(place) for place, c in enumerate(claim.view["candidates"], 1)}
        ranks = [" and ".join(number[i] for i in tie) for tie in value["ranking"]]
        order = ", then ".join(ranks) if len(ranks) > 1 else f"{''.join(ranks)} equally good" if ranks else ""
        bad = " and ".join(number[i] for i in value["rejected"])
        value = "; ".join(part for part in (order, f"{bad} bad" if bad else "") if part)
    elif verdict == "respond" and set(value) == {"text"}:
        value = value["text"]
    return None, value, diff.Changes()


def _over(desk: Desk, claim_id: str, visitor: Visitor, loop: str | None) -> Response:
    """Where a verdict leads whose claim is held no more: on, for it was sent twice; else to the case."""
    case_id = case_id_of(desk, claim_id, visitor)
    if _mine(desk, claim_id, visitor):
        return go(next_address(desk, visitor.person, loop, done=case_id))
    return go(f"/cases/{case_id}?lost={claim_id}")


def _mine(desk: Desk, claim_id: str, visitor: Visitor) -> bool:
    """Whether this very claim was answered by this visitor."""
    review = desk.case(case_id_of(desk, claim_id, visitor)).review_of_claim(claim_id)
    return review is not None and same(review.person, visitor.person) and review.state in ("answered", "passed")


def case_id_of(desk: Desk, claim_id: str, visitor: Visitor) -> str:
    """The case that a claim was given for; not found when it never was."""
    return desk.steps.case_of_claim(claim_id) or claim_of(desk, claim_id, visitor).case.id


@router.post("/commit")
@asks("answer")
def commit(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Say what should happen, and see the action then."""
    claim = _live(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{case_id_of(desk, claim_id, visitor)}?lost={claim_id}")
    control = desk.governing(claim.case.loop)
    if (conflict := changed(claim, form, control)) is not None:
        return _page(request, claim, control, error=conflict, form=form)
    try:
        check_seen(request, claim, form, control)
        claim.commit(str(form.get("should", "")), _unix(form, "to"), rendered=rendering(control))
    except DualcontrolError as error:
        if error.status == CONFLICT:
            raise
        return _page(request, claim, control, error=error, form=form)
    return go(f"/claims/{claim.id}{filtered(form)}")


@router.post("/release")
@asks("answer")
def release(claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Give the review back to the queue."""
    claim = _live(desk, claim_id, visitor)
    if claim is not None:
        desk.release(claim.id)
    return go(f"/inbox?done={case_id_of(desk, claim_id, visitor)}{filtered(form).replace('?', '&')}")


@router.post("/extend")
@asks("answer")
def extend(request: Request, claim_id: ClaimId, form: Form, desk: Here, visitor: Who) -> Response:
    """Hold the review longer; a script learns until when."""
    claim = _live(desk, claim_id, visitor)
    if claim is None:
        return go(f"/cases/{case_id_of(desk, claim_id, visitor)}?lost={claim_id}")
    lease = microseconds(desk.governing(claim.case.loop).settings.lease) or 600_000_000
    case = desk.extend(claim.id, lease / 1_000_000)
    if wants_json(request.scope):
        review = case.review_of_claim(claim.id)
        return reply({"lease_until": review.lease_until if review else None})
    return go(f"/claims/{claim.id}{filtered(form)}")
