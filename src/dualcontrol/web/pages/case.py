"""The case page: everything about a case without a claim, and what may be done with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.case import Case
from dualcontrol.control import LoopSettings
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError, NotFoundError
from dualcontrol.names import among, same
from dualcontrol.pools import listed_as
from dualcontrol.review.blind import seen_by
from dualcontrol.store import CaseRow, Page
from dualcontrol.web.access import Visitor
from dualcontrol.web.api.inbox import rows as as_rows
from dualcontrol.web.deps import CaseId, Form, Here, Who, governing
from dualcontrol.web.ledger import ledger
from dualcontrol.web.pages.flash import flash
from dualcontrol.web.pages.inbox import LoopFilter, filtered
from dualcontrol.web.pages.reviewed import why
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.shapes import blind, case_reply
from dualcontrol.web.show import diff, titles, words

router = APIRouter(prefix="/cases", include_in_schema=False)
UNLIKELY = 0.01
STATES = ("open", "decided", "closed")


@router.get("")
def listed(
    request: Request, desk: Here, visitor: Who, loop: LoopFilter = None,
    state: Literal["open", "decided", "closed", ""] = "", cursor: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """All cases, newest first."""
    if loop:
        governing(desk, loop)
    page = desk.store.queries.cases(loop=loop or None, state=state or None, limit=50, cursor=cursor)
    settings = {control.loop: control.settings for control in desk.loops()}
    items = [shown for row in page.rows if (shown := item(desk, row, visitor.person, settings[row.loop], state))]
    rows = as_rows(Page(rows=tuple(shown["row"] for shown in items)))
    return pages_of(request).show(
        request, "cases.html", {"rows": rows, "next": page.next, "loop": loop or "", "state": state},
        items=items, loops=list(settings), states=STATES, first=cursor is None,
    )  # fmt: skip


def item(desk: Desk, row: CaseRow, person: str, settings: LoopSettings, state: str) -> dict[str, Any] | None:
    """What one line of the list shows; a case that cannot be read is named by what its row says.

    None where its state, which was asked for, is not for this person: that would tell what came of it.
    """
    try:
        seen = seen_by(desk.case(row.id), person, settings)
    except DualcontrolError:
        return {"row": row, "title": row.action or words.MODES.get(row.mode, "A case"), "brief": "", "picture": "",
                "kept": False}  # fmt: skip
    if seen.kept and state:
        return None
    case = seen.case
    return {
        "row": listed_as(row, seen), "title": titles.title(case), "brief": titles.subject(case),
        "picture": titles.picture(case.input), "kept": seen.kept,
    }  # fmt: skip


@router.get("/{case_id}")
def show(
    request: Request, case_id: CaseId, desk: Here, visitor: Who, lost: bool = False,
    loop: LoopFilter = None, done: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """A case as anybody may see it; answers stay closed while others still have to give theirs."""
    whole = desk.case(case_id)
    control = governing(desk, whole.loop)
    case, kept = seen_by(whole, visitor.person, control.settings)
    data = {**case_reply(case), "entries": [] if kept else ledger(desk, case, control.settings.shown_meta)}
    return pages_of(request).show(
        request, "case.html", data, case=case, control=control, title=titles.title(case), blind=blind(case),
        scores=scores(case), why=why(case, control), changes=changes(case), lost=lost,
        kept=kept, claims=claimable(desk, case, visitor), mine=mine(case, visitor, desk.steps.now()),
        flash=flash(desk, done, visitor.person), loop=loop or "",
    )  # fmt: skip


def changes(case: Case) -> tuple[diff.Row, ...]:
    """What the decision changed in the proposal, field by field."""
    decision = case.decision
    if decision is None or decision.verdict != "edit" or case.proposal is None:
        return ()
    after = decision.value
    if case.action and isinstance(after, dict) and "args" in after:
        if after.get("action") != case.action:
            return diff.rows(case.proposed_value(), after)
        after = after["args"]
    return diff.rows(case.proposal.value, after)


def scores(case: Case) -> dict[str, list[dict[str, Any]]]:
    """Every label with its score, likeliest first, and apart from them the tail of those that are hardly likely."""
    if case.mode != "labels" or not any(c.score is not None for c in case.candidates):
        return {}
    ranked = sorted(case.candidates, key=lambda c: -(c.score or 0.0))
    told: list[dict[str, Any]] = [
        {"text": words.brief(c.value, 40), "score": c.score, "proposed": c is case.proposal or c == case.proposal}
        for c in ranked
    ]
    likely = [row for row in told if row["proposed"] or (row["score"] or 0.0) >= UNLIKELY]
    return {"likely": likely, "tail": [row for row in told if row not in likely]}


def claimable(desk: Desk, case: Case, visitor: Visitor) -> bool:
    """Whether there is an open review that this visitor may try to take."""
    open_rows = [r for r in case.reviews if r.state == "open" and not among(visitor.person, r.excludes)]
    return (
        bool(open_rows)
        and not same(case.owner, visitor.person)
        and not any(same(r.person, visitor.person) for r in case.reviews)
    )


def mine(case: Case, visitor: Visitor, now: int) -> str | None:
    """The claim this visitor holds on the case."""
    held = [r for r in case.reviews if r.state == "claimed" and same(r.person, visitor.person)]
    return next((r.claim_id for r in held if (r.lease_until or 0) > now), None)


@router.post("/{case_id}/claim")
def take(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take a review of this very case."""
    case = desk.case(case_id)
    held = mine(case, visitor, desk.steps.now())
    if held is None:
        claim = desk.claim(visitor.person, case=case)
        if claim is None:
            raise NotFoundError("there is no open review of this case")
        held = claim.id
    return go(f"/claims/{held}{filtered(form)}")


@router.post("/{case_id}/undo")
def undo(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take one's own decision back while it is not effective, and hold the review again; sent twice, once."""
    held = mine(desk.case(case_id), visitor, desk.steps.now())
    if held is None:
        desk.retract(case_id, visitor.person)
        claim = desk.claim(visitor.person, case=case_id)
        held = claim.id if claim else None
    return go(f"/claims/{held}{filtered(form)}" if held else f"/cases/{case_id}")


@router.post("/{case_id}/effect")
def resolve(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Say whether an effect of unknown end happened."""
    happened = {"yes": True, "no": False}.get(str(form.get("happened", "")))
    if happened is None:
        raise NotFoundError("say whether it happened: yes or no")
    desk.resolve_effect(case_id, happened=happened, by=visitor.person)
    return go(f"/cases/{case_id}")
