"""Cases: propose one, look at it, wait for its outcome, withdraw it."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from msgspec.structs import replace
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dualcontrol.case import Case
from dualcontrol.control import Control
from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import DualcontrolError, Pending, RequestError, UnknownCaseError
from dualcontrol.keys import fingerprint
from dualcontrol.propose import command
from dualcontrol.step import listed_as
from dualcontrol.store import CaseRow
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.bodies import Proposal, Revoking, Withdrawing
from dualcontrol.web.deps import (
    CaseId,
    Here,
    LoopName,
    Who,
    acting,
    actor_of,
    asks,
    decides,
    readable,
    seen_over_http,
)
from dualcontrol.web.ledger import ledger
from dualcontrol.web.reply import case_response, etag, reply, seq_of
from dualcontrol.web.shapes import CasePage, CaseReply, EntryPage, FingerprintReply, KnownCases, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(tags=["cases"], route_class=StrictRoute)
LONGEST_WAIT = 60.0
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})")
Limit = Annotated[int, Query(ge=1, le=200)]
LoopQuery = Annotated[str, Query(max_length=200, description="Only this loop.")]
Cursor = Annotated[str, Query(max_length=200, description="`next` of the page before.")]


@router.post("/loops/{loop}/cases", status_code=201, responses={
    **replies(CaseReply, 400, 404, 409, 410, 413, ok=201, says="The new case."),
    200: {"description": "The key was known: its case.", **replies(CaseReply)[200]},
})  # fmt: skip
@asks("propose")
def propose(
    loop: LoopName, body: Proposal, desk: Here, request: Request, visitor: Who,
    idempotency_key: Annotated[str, Header(max_length=4096, description="The key, when the body gives none.")] = "",
) -> Response:  # fmt: skip
    """Open a case for a proposal and route it; with a known key, find its case again."""
    fields = body.stated()
    keys = {key for key in (fields.get("key"), *request.headers.getlist("idempotency-key")) if key}
    if len(keys) > 1:  # they would make two cases of what is one to somebody
        hint = "Give it once: as `key` in the body or as Idempotency-Key."
        raise RequestError("the request has more than one key", hint=hint)
    fields["key"] = next(iter(keys), None)
    proposal = command(desk.governing(loop).settings, **fields)
    if visitor.principal.account:  # whoever it is proposed for, the service and its owner do not approve it
        proposal = replace(proposal, owner=proposal.owner or visitor.person, submitter=visitor.person)
    proposed = desk.steps.propose(proposal)
    address = f"/api/v1/cases/{proposed.case.id}"
    return case_response(proposed.case, visitor, 201 if proposed.new else 200, Location=address)


@router.post("/loops/{loop}/fingerprint", responses=replies(FingerprintReply, 400, 404, 413))
@asks("propose")
def fingerprinted(loop: LoopName, body: Proposal, desk: Here) -> Response:
    """What tells a proposal from others by its content, for a program that numbers its equal calls; opens no case."""
    proposal = command(desk.governing(loop).settings, **body.stated())
    return reply(FingerprintReply(fingerprint=fingerprint(desk.steps.secret, proposal)))


@router.get("/loops/{loop}/cases", responses=replies(KnownCases, 404))
@asks("propose")
def known(
    loop: LoopName, desk: Here,
    run: Annotated[str, Query(max_length=200, description="The cases of this run.")] = "",
    key: Annotated[str, Query(max_length=4096, description="The case of this key.")] = "",
) -> Response:  # fmt: skip
    """The cases that a program opened before, for one that is started again."""
    control = desk.governing(loop)
    ids = list(desk.store.queries.of_run(control.loop_id, run)) if run else []
    named = desk.steps.case_of_key(loop, key) if key else None
    return reply(KnownCases(case_ids=ids if named is None else [*ids, named]))


@router.get("/cases", responses=replies(CasePage, 404))
@asks("read")
def listed(
    desk: Here, visitor: Who, loop: LoopQuery = "", state: Literal["open", "decided", "closed", ""] = "",
    limit: Limit = 50, cursor: Cursor = "",
) -> Response:  # fmt: skip
    """Cases, newest first; `decided` are those that people have decided, whether closed by now or not."""
    controls = {control.loop: control for control in readable(desk, visitor, loop)}
    page = desk.store.queries.cases(
        loop=loop or None, state=state or None, kind="listed", limit=limit, cursor=cursor or None
    )
    rows = [row_for(desk, visitor, row, controls[row.loop], state) for row in page.rows if row.loop in controls]
    return reply(CasePage(rows=[row for row in rows if row is not None], next=page.next))


def row_for(desk: Desk, visitor: Visitor, row: CaseRow, control: Control, state: str) -> CaseRow | None:
    """A row of the list as a visitor may see it; None where it, or the state asked for, is not for them."""
    if not decides(visitor, control):
        return row
    try:
        seen = seen_over_http(desk, visitor, desk.glance(row.id)[0])
    except UnknownCaseError:
        return None
    except DualcontrolError:
        return row  # one that cannot be read is named by what its row says
    return None if seen.kept and state else listed_as(row, seen)


@router.get("/cases/{case_id}", responses={
    **replies(CaseReply, 404), 304: {"description": "The copy named in If-None-Match is still right."},
})  # fmt: skip
@asks("read")
async def show(
    case_id: CaseId, desk: Here, visitor: Who,
    prefer: Annotated[str, Header(description="`wait=30` waits up to 30 s (60 at most) for an outcome.")] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:  # fmt: skip
    """A case as it is now, or as soon as it has an outcome."""
    case: Case = await desk.aio.case(case_id)
    seen = await run_in_threadpool(seen_over_http, desk, visitor, case)
    wait = WAIT.search(prefer)
    if wait is None or seen.kept:  # how long somebody waits would tell whether there is an outcome
        if seq_of(if_none_match) == seen.case.seq:
            return Response(status_code=304, headers={"ETag": etag(seen.case.seq)})
        return case_response(seen.case, visitor)
    patience = min(float(wait[1]), LONGEST_WAIT)
    control = next(control for control in await desk.aio.loops() if control.loop == case.loop)
    with contextlib.suppress(Pending):  # no thread is held meanwhile
        await Loop(desk, control).await_outcome(case, patience)
    seen = await run_in_threadpool(seen_over_http, desk, visitor, await desk.aio.case(case_id))
    return case_response(seen.case, visitor, Preference_Applied=f"wait={patience:g}")


@router.get("/cases/{case_id}/events", responses=replies(EntryPage, 404))
@asks("read")
def events(case_id: CaseId, desk: Here, visitor: Who) -> Response:
    """Everything that happened to a case: its ledger entries with hashes, content where it is not erased."""
    seen = seen_over_http(desk, visitor, desk.case(case_id))
    entries = [] if seen.kept else ledger(desk, seen.case, visitor.person)
    return reply(EntryPage(case_id=case_id, entries=entries))


@router.post("/cases/{case_id}/withdraw", responses=replies(CaseReply, 400, 404, 409, 410, 413))
@asks("withdraw")
def withdraw(case_id: CaseId, desk: Here, visitor: Who, body: Withdrawing | None = None) -> Response:
    """Say that the program no longer wants an answer."""
    stated = (body or Withdrawing()).by  # a word for what withdraws, unless an account does
    return case_response(desk.withdraw(case_id, visitor.person if visitor.principal.account else stated), visitor)


@router.post("/cases/{case_id}/revoke", responses=replies(CaseReply, 400, 403, 404, 409, 410, 413))
@asks("revoke")
def revoke(case_id: CaseId, body: Revoking, desk: Here, visitor: Who) -> Response:
    """Take an approval back whose effect has not begun: the case counts as rejected from then on."""
    person = acting(visitor, body.person)
    revoked = desk.revoke(case_id, person, body.rationale, actor=actor_of(visitor, "http"))
    return case_response(seen_over_http(desk, visitor, revoked).case, visitor)
