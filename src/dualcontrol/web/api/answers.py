"""Answers: what a reviewer says to the review they hold."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

from dualcontrol.web.answering import answer
from dualcontrol.web.api.bodies import Answering
from dualcontrol.web.deps import ClaimId, Here, claim_of
from dualcontrol.web.reply import case_response, seq_of
from dualcontrol.web.shapes import CaseReply, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(tags=["answers"], route_class=StrictRoute)


@router.post("/claims/{claim_id}/answer", response_class=Response, responses=replies(
    CaseReply, 400, 403, 404, 409, 410, 413, says="The case after the answer.",
))  # fmt: skip
def give(
    claim_id: ClaimId,
    body: Answering,
    desk: Here,
    if_match: Annotated[
        str,
        Header(pattern=r'^(\*|(W/)?"[0-9]{1,18}")$', description="The claim's etag: answer only if nothing has moved."),
    ] = "*",
) -> Response:
    """Answer; refused with 409 and `by` when somebody else was first."""
    given = {name: value for name, value in body.given().items() if name not in ("verdict", "value")}
    claim = claim_of(desk, claim_id)
    case = answer(claim, body.verdict, body.value, via="http", expected_seq=seq_of(if_match), **given)
    return case_response(case)
