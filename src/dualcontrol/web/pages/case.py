"""The case page: everything about a case without a claim, and what may be done with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.case import Case
from dualcontrol.control import PAGE, Control
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError, NotFoundError, UnknownCaseError
from dualcontrol.names import same
from dualcontrol.people import may
from dualcontrol.review.view import seen_by, with_own_claims
from dualcontrol.step import case_of_claim, listed_as
from dualcontrol.store import CaseRow
from dualcontrol.web.access import Visitor
from dualcontrol.web.deps import CaseId, Form, Here, Who, actor_of, asks, readable, visible
from dualcontrol.web.ledger import ledger
from dualcontrol.web.pages.claim import why
from dualcontrol.web.pages.inbox import CaseFilter, LoopFilter, filtered, flash, holds, missed, summary, unread
from dualcontrol.web.pages.site import go, pages_of
from dualcontrol.web.reply import wants_json
from dualcontrol.web.shapes import blind, case_reply
from dualcontrol.web.show import diff, titles, words
from dualcontrol.web.show.content import Look, Place

router = APIRouter(prefix="/cases", include_in_schema=False)
UNLIKELY = 0.01
MOST_SCORES = 120
STATES = ("open", "decided", "closed")


@router.get("")
@asks("read")
def listed(
    request: Request, desk: Here, visitor: Who, loop: LoopFilter = None,
    state: Literal["open", "decided", "closed", ""] = "", cursor: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """All cases, newest first."""
    page = desk.store.queries.cases(loop=loop or None, state=state or None, kind="listed", limit=50, cursor=cursor)
    controls = {control.loop: control for control in readable(desk, visitor, loop)}
    lines = [item(desk, row, visitor.person, controls[row.loop], state) for row in page.rows if row.loop in controls]
    items = [line for line in lines if line is not None]
    data = {"rows": [line["row"] for line in items], "next": page.next, "loop": loop or "", "state": state}
    loops = [control.loop for control in visible(desk, visitor)]
    return pages_of(request).show(request, "cases.html", data, items=items, loops=loops, states=STATES)


def item(desk: Desk, row: CaseRow, person: str, control: Control, state: str) -> dict[str, Any] | None:
    """What one line of the list shows; a case that cannot be read is named by what its row says.

    None where it is not for this person, or its state, which was asked for: that would tell what came of it.
    """
    try:
        whole, start = desk.glance(row.id)
        seen = seen_by(whole, person, control)
    except UnknownCaseError:
        return None
    except DualcontrolError:
        return {"row": row, **unread(row), "kept": False}
    if seen.kept and state:
        return None
    return {"row": listed_as(row, seen), **summary(seen.case, start), "kept": seen.kept}


@router.get("/{case_id}")
@asks("read")
def show(
    request: Request, case_id: CaseId, desk: Here, visitor: Who,
    lost: Annotated[str | None, Query(max_length=200)] = None, loop: LoopFilter = None, done: CaseFilter = None,
) -> Response:  # fmt: skip
    """A case as anybody may see it; answers stay closed while others still have to give theirs.

    `lost` is a claim on the case that this visitor holds no longer: the page says how it ended.
    """
    case, control, hidden = as_visible(desk, case_id, visitor)
    meta, values = control.settings.shown_meta, wants_json(request.scope)
    entries = [] if hidden else ledger(desk, case, visitor.person, meta, values=values)
    data = {**case_reply(case), "entries": entries}
    look = Look(f"/cases/{case.id}", control.settings.markdown)
    others = [c for c in case.candidates if case.proposal is None or c.id != case.proposal.id]
    ending = None
    if lost is not None and case_of_claim(lost) == case.id:
        ending = desk.steps.ending(lost, visitor.person)
    claimable = any(
        r.state == "open" and may(visitor.principal, "claim", control, case, r.id) is None for r in case.reviews
    )
    return pages_of(request).show(
        request, "case.html", data, case=case, title=titles.title(case), blind=blind(case),
        look=look, others=others, scores=scores(case), why=why(case, control), changes=changes(case, look),
        lost=ending, kept=hidden, claims=claimable, mine=mine(case, visitor, desk.steps.now()),
        flash=flash(desk, done, visitor.person), loop=loop or "", key=case.content.get("answer_key"),
        missed=missed(case), theirs=any(same(review.addressee, visitor.person) for review in case.reviews),
    )  # fmt: skip


def as_visible(desk: Desk, case_id: str, visitor: Visitor) -> tuple[Case, Control, bool]:
    """A case as a visitor may see it, what governs it, and whether the proposal is hidden from them.

    Ids of claims are in it only where they are the visitor's own.
    """
    whole = desk.case(case_id)
    control = desk.governing(whole.loop)
    seen = seen_by(whole, visitor.person, control)
    return with_own_claims(seen.case, visitor.person), control, seen.kept


def changes(case: Case, look: Look) -> diff.Changes:
    """What the decision changed in the proposal, field by field."""
    decision, proposal = case.decision, case.proposal
    if decision is None or decision.verdict != "edit" or proposal is None:
        return diff.Changes()
    was: Place = ("candidates", proposal.id, "value")
    now: Place = ("decision", "value")
    after = decision.value
    if case.action and isinstance(after, dict) and "args" in after:
        if after.get("action") != case.action:
            return diff.changes(case.proposed_value(), after, look, was, now)
        after, now = after["args"], (*now, "args")
    return diff.changes(proposal.value, after, look, was, now)


def scores(case: Case) -> dict[str, Any]:
    """Every label with its score, likeliest first, and apart from them the tail of those that are hardly likely."""
    candidates, proposal = case.candidates, case.proposal
    if case.mode != "labels" or not any(c.score is not None for c in candidates):
        return {}
    ranked = sorted(candidates, key=lambda c: -(c.score or 0.0))
    parts: dict[str, Any] = {"likely": [], "tail": [], "more": max(len(ranked) - MOST_SCORES, 0)}
    for c in ranked[:MOST_SCORES]:
        proposed = proposal is not None and c.id == proposal.id
        part = parts["likely" if proposed or (c.score or 0.0) >= UNLIKELY else "tail"]
        part.append({"text": words.brief(c.value, 40), "score": c.score, "proposed": proposed})
    return parts


def mine(case: Case, visitor: Visitor, now: int) -> str | None:
    """The claim this visitor holds on the case."""
    return next((r.claim_id for r in case.reviews if holds(r, visitor.person, now)), None)


@router.post("/{case_id}/claim")
@asks("claim")
def take(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take a review of this very case."""
    case = desk.case(case_id)
    claim_id = mine(case, visitor, desk.steps.now())
    if claim_id is None:
        claim = desk.claim(visitor.person, case=case)
        if claim is None:
            raise NotFoundError("there is no open review of this case")
        claim_id = claim.id
    return go(f"/claims/{claim_id}{filtered(form)}")


@router.post("/{case_id}/undo")
@asks("retract")
def undo(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take one's own decision back while it is not effective, and hold the review again; sent twice, once."""
    claim_id = mine(desk.case(case_id), visitor, desk.steps.now())
    if claim_id is None:
        desk.retract(case_id, visitor.person)
        claim = desk.claim(visitor.person, case=case_id)
        claim_id = claim.id if claim else None
    return go(f"/claims/{claim_id}{filtered(form)}" if claim_id else f"/cases/{case_id}")


@router.post("/{case_id}/revoke")
@asks("revoke")
def revoke(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Take an approval back whose effect has not begun."""
    rationale = str(form.get("rationale", "")).replace("\r\n", "\n").strip() or None
    desk.revoke(case_id, visitor.person, rationale, actor=actor_of(visitor, PAGE))
    return go(f"/cases/{case_id}")


@router.post("/{case_id}/effect")
@asks("resolve")
def resolve(case_id: CaseId, form: Form, desk: Here, visitor: Who) -> Response:
    """Say whether an effect of unknown end happened."""
    happened = {"yes": True, "no": False}.get(str(form.get("happened", "")))
    if happened is None:
        raise NotFoundError("say whether it happened: yes or no")
    desk.resolve_effect(case_id, happened=happened, by=visitor.person)
    return go(f"/cases/{case_id}")
