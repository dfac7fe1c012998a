"""Effects: any program, in any language, runs the decided action itself, once."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol.desk import Loop
from dualcontrol.errors import RecalledError
from dualcontrol.web.api.bodies import Finishing, Recalling, Resolving, Starting
from dualcontrol.web.deps import CaseId, Here, Who, acting, asks, seen_over_http
from dualcontrol.web.reply import case_response, etag, reply
from dualcontrol.web.shapes import CaseReply, EffectReply, replies
from dualcontrol.web.strict import StrictRoute

router = APIRouter(prefix="/cases/{case_id}/effect", tags=["effects"], route_class=StrictRoute)


@router.post("/start", responses=replies(EffectReply, 400, 404, 409, 410, 413))
@asks("run")
def start(case_id: CaseId, desk: Here, body: Starting | None = None) -> Response:
    """Take the effect: the one conditional step; who comes second gets 409, and so does what may not run by now."""
    body = body or Starting()
    loop = Loop(desk, desk.governing(desk.case(case_id).loop))
    case, fence = loop.start(case_id, body.owner, runs=body.runs and body.runs.stated(), asks=body.asks)
    if fence is None:
        why = case.route.reason if case.route else ""
        raise RecalledError(f"case {case.id} went back to people before its effect began: {why}", case_id=case.id)
    effect = EffectReply(case_id=case.id, fence=fence, value=case.resolved_value(), until=case.effect.until)
    return reply(effect, ETag=etag(case.seq))


@router.post("/finish", responses=replies(CaseReply, 400, 404, 409, 410, 413))
@asks("run")
def finish(case_id: CaseId, body: Finishing, desk: Here, visitor: Who) -> Response:
    """Say how the started effect ended; only the holder of the fence may."""
    loop = Loop(desk, desk.governing(desk.case(case_id).loop))
    loop.finish_effect(
        case_id,
        body.fence,
        succeeded=body.succeeded,
        result=body.result,
        error=body.error,
        ran=body.ran,
        kept=body.kept,
    )
    return case_response(desk.case(case_id), visitor)


@router.post("/recall", responses=replies(CaseReply, 400, 404, 409, 410, 413))
@asks("run")
def recall(case_id: CaseId, body: Recalling, desk: Here, visitor: Who) -> Response:
    """Let people decide again about what the program cannot run; before the effect has begun."""
    Loop(desk, desk.governing(desk.case(case_id).loop)).recall(case_id, body.reason)
    return case_response(desk.case(case_id), visitor)


@router.post("/resolve", responses=replies(CaseReply, 400, 404, 409, 410, 413))
@asks("resolve")
def resolve(case_id: CaseId, body: Resolving, desk: Here, visitor: Who) -> Response:
    """Say whether an effect of unknown end happened; if not, it may be started again.

    So may one that failed with `ran` false.
    """
    by = acting(visitor, body.by)
    resolved = desk.resolve_effect(case_id, happened=body.happened, by=by, result=body.result)
    return case_response(seen_over_http(desk, visitor, resolved).case, visitor)
