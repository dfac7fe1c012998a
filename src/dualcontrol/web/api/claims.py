"""Claims: take the next review, look at it, hold it longer, give it back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol.case import JSON
from dualcontrol.desk import Claim
from dualcontrol.review.view import as_seen
from dualcontrol.web.api.bodies import Claiming, Committing, Extending
from dualcontrol.web.deps import ClaimId, Here, claim_of
from dualcontrol.web.reply import etag, reply
from dualcontrol.web.shapes import ClaimReply, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(tags=["claims"], route_class=StrictRoute)


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


@router.post("/claims", status_code=201, response_class=Response, responses={
    **replies(ClaimReply, 400, 403, 404, 409, 413, ok=201, says="The claim; its `id` answers the review."),
    204: {"description": "There is nothing this person may review now."},
})  # fmt: skip
def take(body: Claiming, desk: Here) -> Response:
    """Take the next review that a person may do."""
    if body.loop is not None:
        desk.governing(body.loop)
    lease: Any = body.lease
    claim = desk.claim(body.person, body.loop, lease=lease)
    if claim is None:
        return Response(status_code=204)
    return _response(claim, 201, Location=f"/api/v1/claims/{claim.id}")


@router.get("/claims/{claim_id}", response_class=Response, responses=replies(ClaimReply, 404, 409))
def show(claim_id: ClaimId, desk: Here) -> Response:
    """What the holder of a claim may see of its case."""
    return _response(claim_of(desk, claim_id))


@router.post(
    "/claims/{claim_id}/extend", response_class=Response, responses=replies(ClaimReply, 400, 404, 409, 410, 413)
)
def extend(claim_id: ClaimId, body: Extending, desk: Here) -> Response:
    """Hold a claim for `time` from now on; a lease is never shortened."""
    desk.extend(claim_of(desk, claim_id).id, body.time)
    return _response(claim_of(desk, claim_id))


@router.post(
    "/claims/{claim_id}/commit", response_class=Response, responses=replies(ClaimReply, 400, 404, 409, 410, 413)
)
def commit(claim_id: ClaimId, body: Committing, desk: Here) -> Response:
    """Say what should happen before the action is shown; the claim's view shows it from then on."""
    return _response(claim_of(desk, claim_id).commit(body.should, body.to))


@router.delete("/claims/{claim_id}", status_code=204, response_class=Response, responses=replies(
    None, 404, 409, 410, ok=204, says="The review is open again.",
))  # fmt: skip
def release(claim_id: ClaimId, desk: Here) -> Response:
    """Give a claimed review back."""
    desk.release(claim_of(desk, claim_id).id)
    return Response(status_code=204)
