"""Loops: what governs each, how much of everything there is, and the rows for learning."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import Pending
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.bodies import Opening, Stopping
from dualcontrol.web.deps import Here, LoopName, Who, acting, asks, decides, seen_over_http, visible
from dualcontrol.web.reply import case_response, reply
from dualcontrol.web.shapes import CaseReply, ExamplePage, LoopPage, LoopReply, replies

router = APIRouter(prefix="/loops", tags=["loops"])


def as_loop(desk: Desk, control: Control, unfed: dict[str, int]) -> LoopReply:
    """A loop with its counts; `unfed` are the answers not yet used for learning, by loop.

    A probe that is still to be answered counts as the live case that it is taken for.
    """
    counts = desk.store.queries.counts(control.loop_id)
    probes = desk.store.queries.probes_waiting(control.loop_id) if control.settings.probe_share > 0.0 else {}
    return LoopReply(
        loop=control.loop, mode=control.settings.mode, control=control.to_dict(),
        counts={name: many + probes.get(name, 0) for name, many in counts.items()},
        unfed=unfed.get(control.loop, 0), model=control.model,
    )  # fmt: skip


@router.get("", responses=replies(LoopPage))
@asks("overview")
def listed(desk: Here, visitor: Who) -> Response:
    """Every loop."""
    unfed = desk.store.queries.unfed()
    return reply(LoopPage(loops=[as_loop(desk, control, unfed) for control in visible(desk, visitor, "overview")]))


@router.get("/{loop}", responses=replies(LoopReply, 404))
@asks("overview")
def show(loop: LoopName, desk: Here) -> Response:
    """One loop."""
    return reply(as_loop(desk, desk.governing(loop), desk.store.queries.unfed()))


@router.post("/{loop}/autopilot/stop", responses=replies(LoopReply, 400, 403, 404, 409, 413))
@asks("stop")
def stop_autopilot(loop: LoopName, body: Stopping, desk: Here, visitor: Who) -> Response:
    """Send everything to people from here on; an effect that has not begun is theirs as well."""
    person, governed = acting(visitor, body.person), Loop(desk, desk.governing(loop))
    stopped = governed.stop_autopilot(person, body.because, segment=body.segment)
    return reply(as_loop(desk, stopped, desk.store.queries.unfed()))


@router.post("/{loop}/autopilot/open", responses={
    **replies(LoopReply, 400, 403, 404, 409, 413),
    202: {"description": "A second person has to approve it: the case.", **replies(CaseReply)[200]},
})  # fmt: skip
@asks("resume")
def open_autopilot(loop: LoopName, body: Opening, desk: Here, visitor: Who) -> Response:
    """Let autopilot act again where a person had stopped it; an alarm or a missing model ends otherwise."""
    person, governed = acting(visitor, body.person), Loop(desk, desk.governing(loop))
    try:
        opened = governed.open_autopilot(person, body.because, segment=body.segment)
    except Pending as waits:
        return case_response(desk.case(waits.case_id), visitor, 202)
    return reply(as_loop(desk, opened, desk.store.queries.unfed()))


@router.get("/{loop}/examples", responses=replies(ExamplePage, 404))
@asks("read")
def examples(
    loop: LoopName, desk: Here, visitor: Who, unused: bool = False, after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:  # fmt: skip
    """Learning rows made from decisions, in the order they were made; `next` goes into `after`."""
    control = desk.governing(loop)
    rows = desk.store.queries.examples(control.loop_id, unused=unused, after=after, limit=limit)
    shown = [row for row in rows if not decides(visitor, control) or not hidden_from(desk, visitor, row.case_id)]
    return reply(ExamplePage(rows=shown, next=rows[-1].id if len(rows) == limit else None))


def hidden_from(desk: Desk, visitor: Visitor, case_id: str) -> bool:
    """Whether an example would tell a reviewer what a case was decided as that they may still review unseen."""
    return seen_over_http(desk, visitor, desk.glance(case_id)[0]).kept
