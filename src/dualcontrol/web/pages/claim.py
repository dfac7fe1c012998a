"""What the review page shows of a claim: why it is here, what is proposed, which answers there are."""

from __future__ import annotations

from typing import Any

from markupsafe import escape

from dualcontrol.case import JSON, Candidate, Case, Review
from dualcontrol.control import RISK, Control
from dualcontrol.desk import Claim
from dualcontrol.labels import mark
from dualcontrol.layout import laid
from dualcontrol.people import arbiter_of, available, may
from dualcontrol.review.joined import alike
from dualcontrol.review.rows import workers
from dualcontrol.review.view import as_seen, proposal_for, visible_answers
from dualcontrol.web.pages.forms import editable
from dualcontrol.web.show import titles, words
from dualcontrol.web.show.fields import fields
from dualcontrol.web.show.literal import weight

MANY_LABELS, LONG_LABEL = 24, 400
MOST_LABELS, LABEL_TEXT = 500, 150_000  # more labels, or more bytes of HTML of them, are typed
EARLIER = 40  # answers and escalations of others on the page; the JSON of it has all
EDITABLE = 60_000  # characters of JSON that a page lets one edit, and twice as many bytes of HTML


def shown(claim: Claim, control: Control, now: int) -> dict[str, Any]:
    """Everything the template asks for besides the claim itself."""
    case, review = as_seen(claim.case, claim.review)
    proposal = proposal_for(case, review)
    schema = control.settings.schema
    choices = labels(case, control)
    view = claim.view
    # A commitment is asked for while there is none; then there may be actions to choose among.
    first = {
        "asked": "committed" in view and view["committed"] is None, "said": view.get("committed"),
        "actions": view.get("actions", []),
    }  # fmt: skip
    edit_json: str | None = ""
    if proposal is not None:
        text, whole = laid(proposal.value, EDITABLE)
        edit_json = text if whole and len(escape(text).encode()) <= 2 * EDITABLE else None  # None: too long for a page
    candidates = [Candidate.from_dict(row) for row in view["candidates"]]  # as this reviewer sees them, in that order
    alternatives = []
    if case.mode not in ("preference", "labels"):
        alternatives = [c for c in candidates if proposal is None or c.id != proposal.id]
    return {
        "view": view,
        "title": titles.title(case),
        "proposal": proposal,
        "alternatives": alternatives,
        "why": why(case, control, review),
        "edit": editable(proposal, schema),
        "edit_json": edit_json,
        "reply": fields(schema, {}) if case.mode == "fallback" and schema else (),
        "labels": choices,
        "short": all(len(label["text"]) <= 3 for label in choices),
        "many": len(choices) > MANY_LABELS or max((len(c["text"]) for c in choices), default=0) > LONG_LABEL,
        "typed": len(choices) > MOST_LABELS
        or sum(weight(c["text"]) + weight(c["value"]) for c in choices) > LABEL_TEXT,
        "first": first,
        "form_of": "compare" if review.against else "commit" if first["asked"] else case.mode,
        "panes": candidates if case.mode == "preference" else [],
        "alike": alike,
        "earlier": visible_answers(claim.case, review)[:EARLIER],
        "above": above(claim, control),
        "reason_needed": control.settings.rationale == "required",
        "lease_left": (review.lease_until or now) - now,
    }


def above(claim: Claim, control: Control) -> list[dict[str, str]]:
    """Whom this reviewer may escalate to, the arbiter first: other groups in which somebody is left to take it."""
    case, review = claim.case, claim.review
    arbiter = arbiter_of(case, control)
    worked = (*review.excludes, *workers(case), str(review.person))
    known = [
        group
        for group in dict.fromkeys([arbiter, *control.pools()])
        if group and group != review.group and available(case, group, control, worked) != 0
    ]
    return [
        {"name": group, "text": f"{group} (arbiter)" if group == arbiter else group}
        for group in known
        if may(review.person or "", "escalate", control, case, review.id, group=group) is None
    ]


def labels(case: Case, control: Control) -> list[dict[str, Any]]:
    """The labels to choose from, each with its key, its score and whether it is the proposed one."""
    if case.mode != "labels":
        return []
    candidates = case.candidates
    scores = {mark(c.value): c.score for c in reversed(candidates)}
    known = list(control.settings.labels) if control.settings.labels is not None else [c.value for c in candidates]
    proposed = None if case.proposal is None else mark(case.proposal.value)
    digits = all(isinstance(label, str | int) and len(str(label)) == 1 and str(label).isdigit() for label in known)
    return [
        {
            "value": laid(label).text, "text": label if isinstance(label, str) else laid(label).text,
            "key": str(label) if digits else "1234567890"[index] if index < 10 else "",
            "score": scores.get(mark(label)),
            "proposed": mark(label) == proposed,
        }
        for index, label in enumerate(known)
    ]  # fmt: skip


def why(case: Case, control: Control, review: Review | None = None) -> dict[str, JSON]:
    """Why a human sees this: the route's sentence, and the figures behind it."""
    route = case.route
    kind = review.kind if review is not None else "decide"
    if kind == "audit":
        reason = "Autopilot acted; this case was drawn at random for an audit. What was done stands."
        if route is not None and route.shown:
            reason = "People have decided; this case was drawn at random to be asked again. What was decided stands."
    elif kind == "arbiter":
        reason = "The reviewers disagree, or nobody answered in time: your answer settles it."
    elif review is not None and review.against:
        reason = "Somebody answered this without seeing what the AI would say. What was decided stands."
    elif review is not None and review.adjudicates:
        reason = "It is answered once more, by somebody who has not seen the first answer. What was decided stands."
    elif kind == "second":
        reason = "Another reviewer changed the proposal; a second person has to agree."
    else:
        reason = words.sentence(route.reason if route else "it was opened for review")
    return {
        "reason": reason,
        "by": route.by if route else None,
        "confidence": case.confidence,
        "threshold": None if control.acting(case.segment) == RISK else control.threshold_for(case.segment),
        "risk": route.risk if route and route.risk is not None else case.risk,
        "ceiling": control.settings.risk_ceiling,
        "segment": case.segment,
        "requires_approval": case.requires_approval,
    }
