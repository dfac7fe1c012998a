"""Cases: propose one, look at it, wait for its outcome, withdraw it."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from msgspec import to_builtins
from starlette.responses import Response

from dualcontrol.case import Case
from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import Pending, RequestError
from dualcontrol.propose import command
from dualcontrol.web.api.bodies import Proposal, Revoking, Withdrawing
from dualcontrol.web.deps import CaseId, Here, LoopName
from dualcontrol.web.ledger import ledger
from dualcontrol.web.reply import case_response, reply, seq_of, unchanged
from dualcontrol.web.shapes import CasePage, CaseReply, EntryPage, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(tags=["cases"], route_class=StrictRoute)
LONGEST_WAIT = 60.0
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})")
Limit = Annotated[int, Query(ge=1, le=200)]
LoopQuery = Annotated[str, Query(max_length=200, description="Only this loop.")]
Cursor = Annotated[str, Query(max_length=200, description="`next` of the page before.")]


@router.post("/loops/{loop}/cases", status_code=201, response_class=Response, responses={
    **replies(CaseReply, 400, 404, 409, 410, 413, ok=201, says="The new case."),
    200: {"description": "The key was known: its case.", **replies(CaseReply)[200]},
})  # fmt: skip
def propose(
    loop: LoopName,
    body: Proposal,
    desk: Here,
    request: Request,
    idempotency_key: Annotated[str, Header(max_length=4096, description="The key, when the body gives none.")] = "",
) -> Response:
    """Open a case for a proposal and route it; with a known key, find its case again."""
    given = body.given()
    given["key"] = _one_key(given.get("key"), request.headers.getlist("idempotency-key"))
    proposed = desk.steps.propose(command(desk.governing(loop).settings, **given))
    address = f"/api/v1/cases/{proposed.case.id}"
    return case_response(proposed.case, 201 if proposed.new else 200, Location=address)


def _one_key(in_body: str | None, in_headers: list[str]) -> str | None:
    """The key of a proposal; two different ones would make two cases of what is one to somebody."""
    keys = {key for key in (in_body, *in_headers) if key}
    if len(keys) > 1:
        hint = "Give it once: as `key` in the body or as Idempotency-Key."
        raise RequestError("the request has more than one key", hint=hint)
    return next(iter(keys), None)


@router.get("/cases", response_class=Response, responses=replies(CasePage, 404))
def listed(
    desk: Here,
    loop: LoopQuery = "",
    state: Literal["open", "decided", "closed", ""] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Response:
    """Cases, newest first; `decided` are those that people have decided, whether closed by now or not."""
    if loop:
        desk.governing(loop)
    page = desk.store.queries.cases(loop=loop or None, state=state or None, limit=limit, cursor=cursor or None)
    return reply({"rows": [_row(row) for row in page.rows], "next": page.next})


def _row(row: Any) -> dict[str, Any]:
    built: dict[str, Any] = to_builtins(row)
    return built


@router.get("/cases/{case_id}", response_class=Response, responses={
    **replies(CaseReply, 404), 304: {"description": "The copy named in If-None-Match is still right."},
})  # fmt: skip
async def show(
    case_id: CaseId,
    desk: Here,
    prefer: Annotated[str, Header(description="`wait=30` waits up to 30 s (60 at most) for an outcome.")] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """A case as it is now, or as soon as it has an outcome."""
    case: Case = await desk.aio.case(case_id)
    patience = _patience(prefer)
    if patience is None:
        return unchanged(case.seq) if seq_of(if_none_match) == case.seq else case_response(case)
    case = await _awaited(desk, case, patience)
    return case_response(case, Preference_Applied=f"wait={patience:g}")


def _patience(prefer: str) -> float | None:
    found = WAIT.search(prefer)
    return min(float(found[1]), LONGEST_WAIT) if found else None


async def _awaited(desk: Desk, case: Case, patience: float) -> Case:
    """The case once it has an outcome or patience has ended; no thread is held meanwhile."""
    control = next(c for c in await desk.aio.loops() if c.loop == case.loop)
    with contextlib.suppress(Pending):
        await Loop(desk, control).await_outcome(case, patience)
    fresh: Case = await desk.aio.case(case.id)
    return fresh


@router.get("/cases/{case_id}/events", response_class=Response, responses=replies(EntryPage, 404))
def events(case_id: CaseId, desk: Here) -> Response:
    """Everything that happened to a case: its ledger entries with hashes, content where it is not erased."""
    return reply({"case_id": case_id, "entries": ledger(desk, desk.case(case_id))})


@router.post(
    "/cases/{case_id}/withdraw", response_class=Response, responses=replies(CaseReply, 400, 404, 409, 410, 413)
)
def withdraw(case_id: CaseId, desk: Here, body: Withdrawing | None = None) -> Response:
    """Say that the program no longer wants an answer."""
    return case_response(desk.withdraw(case_id, (body or Withdrawing()).by))


@router.post(
    "/cases/{case_id}/revoke", response_class=Response, responses=replies(CaseReply, 400, 403, 404, 409, 410, 413)
)
def revoke(case_id: CaseId, body: Revoking, desk: Here) -> Response:
    """Take an approval back whose effect has not begun: the case counts as rejected from then on."""
    return case_response(desk.revoke(case_id, body.person, body.rationale, via="http", authenticated="token"))
