"""Claims: take the next review, look at it, answer it, hold it longer, give it back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import Response

from dualcontrol.case import JSON, Actor, Case
from dualcontrol.commands import GiveAnswer, checked
from dualcontrol.desk import Claim
from dualcontrol.errors import ClaimError, ConflictError, SettledError
from dualcontrol.names import among
from dualcontrol.review import answer as answering
from dualcontrol.review import values
from dualcontrol.review.view import as_seen, seen_by
from dualcontrol.web.api.bodies import Answering, Claiming, Committing, Extending
from dualcontrol.web.deps import ClaimId, Here, Who, acting, actor_of, asks, claim_of, readable
from dualcontrol.web.reply import case_response, etag, reply, seq_of
from dualcontrol.web.shapes import CaseReply, ClaimReply, blind, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(tags=["claims"], route_class=StrictRoute)
answers = APIRouter(tags=["answers"], route_class=StrictRoute)
IfMatch = Annotated[
    str,
    Header(pattern=r'^(\*|(W/)?"[0-9]{1,18}")$', description="The claim's etag: answer only if nothing has moved."),
]


def as_claim(claim: Claim, view: dict[str, JSON] | None = None) -> dict[str, JSON]:
    """A claim as plain values; `view` is its view where it is at hand."""
    _, review = as_seen(claim.case, claim.review)
    return {
        "id": claim.id, "person": claim.person, "case_id": claim.case.id, "review": review.to_dict(),
        "view": claim.view if view is None else view, "lease_until": claim.review.lease_until,
        "etag": etag(claim.case.seq),
    }  # fmt: skip


def _response(claim: Claim, status: int = 200, **headers: str) -> Response:
    return reply(as_claim(claim), status, ETag=etag(claim.case.seq), **headers)


@router.post("/claims", status_code=201, responses={
    **replies(ClaimReply, 400, 403, 404, 409, 413, ok=201, says="The claim; its `id` answers the review."),
    204: {"description": "There is nothing this person may review now."},
})  # fmt: skip
@asks("claim")
def take(body: Claiming, desk: Here, visitor: Who) -> Response:
    """Take the next review that the bearer of this token may do."""
    person, lease = acting(visitor, body.person), body.lease
    if body.case is not None:
        readable(desk, visitor, desk.case(body.case).loop, "claim")
        claim = desk.claim(person, case=body.case, lease=lease)
        return Response(status_code=204) if claim is None else _taken(claim)
    loops = [control.loop for control in readable(desk, visitor, body.loop, "claim")]
    claim = desk.claim_in(person, loops, lease=lease)
    if claim is None:
        return Response(status_code=204)
    return _taken(claim)


def _taken(claim: Claim) -> Response:
    return _response(claim, 201, Location=f"/api/v1/claims/{claim.id}")


@router.get("/claims/{claim_id}", responses=replies(ClaimReply, 404, 409))
@asks("claim")
def show(claim_id: ClaimId, desk: Here, visitor: Who) -> Response:
    """What the holder of a claim may see of its case."""
    return _response(claim_of(desk, claim_id, visitor))


@router.post("/claims/{claim_id}/extend", responses=replies(ClaimReply, 400, 404, 409, 410, 413))
@asks("answer")
def extend(claim_id: ClaimId, body: Extending, desk: Here, visitor: Who) -> Response:
    """Hold a claim for `time` from now on; a lease is never shortened."""
    desk.extend(claim_of(desk, claim_id, visitor).id, body.time)
    return _response(claim_of(desk, claim_id, visitor))


@router.post("/claims/{claim_id}/commit", responses=replies(ClaimReply, 400, 404, 409, 410, 413))
@asks("answer")
def commit(claim_id: ClaimId, body: Committing, desk: Here, visitor: Who) -> Response:
    """Say what should happen before the action is shown; the claim's view shows it from then on."""
    return _response(claim_of(desk, claim_id, visitor).commit(body.should, body.to))


@router.delete("/claims/{claim_id}", status_code=204, responses=replies(
    None, 404, 409, 410, ok=204, says="The review is open again.",
))  # fmt: skip
@asks("answer")
def release(claim_id: ClaimId, desk: Here, visitor: Who) -> Response:
    """Give a claimed review back."""
    desk.release(claim_of(desk, claim_id, visitor).id)
    return Response(status_code=204)


@answers.post("/claims/{claim_id}/answer", responses=replies(
    CaseReply, 400, 403, 404, 409, 410, 413, says="The case after the answer.",
))  # fmt: skip
@asks("answer")
def give(claim_id: ClaimId, body: Answering, desk: Here, visitor: Who, if_match: IfMatch = "*") -> Response:
    """Answer; refused with 409 and `by` when somebody else was first."""
    fields = {name: value for name, value in body.stated().items() if name not in ("person", "verdict", "value")}
    acting(visitor, body.person)
    claim, actor = claim_of(desk, claim_id, visitor), actor_of(visitor, "http")
    after = answer(claim, body.verdict, body.value, actor=actor, expected_seq=seq_of(if_match), **fields)
    return case_response(after, visitor)


def answer(claim: Claim, verdict: str, value: JSON, *, actor: Actor, **fields: Any) -> Case:
    """Give the answer, for API and pages; a refusal because of others carries ``by``, ``seq`` and ``verdict``.

    It names those who answered first; what they said only to a person who may know it.
    """
    try:
        return claim.answer(verdict, value, actor=actor, **fields)
    except (SettledError, ConflictError, ClaimError) as error:
        case = claim.desk.case(claim.case.id)
        names = list(dict.fromkeys(answer.actor.person for answer in case.answered))
        error.details |= {"case_id": case.id, "seq": case.seq, "by": ", ".join(names) or None}
        hidden = seen_by(case, claim.person, claim.desk.governing(case.loop)).kept
        if names and not hidden and not blind(case) and case.settled is not None:
            error.details["verdict"] = case.settled.verdict
            if not among(claim.person, names):
                error.message = f"{', '.join(names)} answered first: {case.settled.verdict}"
        raise


def rehearse(claim: Claim, verdict: str, value: JSON, *, actor: Actor, **fields: Any) -> JSON:
    """Dry run of an answer: check it and write nothing; returns the value in its full form."""
    command = checked(
        GiveAnswer(case_id=claim.case.id, claim_id=claim.id, verdict=verdict, value=value, actor=actor, **fields)
    )
    desk = claim.desk
    control, env = desk.governing(claim.case.loop), desk.steps.env(desk.steps.now())
    answering.answer(claim.case, command, control, env)
    return values.checked(claim.case, claim.review, command, control)
