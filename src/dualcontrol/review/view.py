"""Blindness is a property of the read path: one function says what a reviewer may see of a case.

It feeds page, JSON, CLI and export, and the digest of what it gave is part of the answer.
"""

from __future__ import annotations

import hashlib

from dualcontrol.case import ENCODER, JSON, SNAPSHOT, Answer, Candidate, Case, Rendering, Review
from dualcontrol.review.blind import as_seen, fields_of, hidden, told

DECIDING = ("decide", "second", "arbiter")


def view(case: Case, review: Review, person: str) -> dict[str, JSON]:
    """What `person` may see of a case in this review, as plain JSON values.

    Other reviewers' answers stay hidden while a blind quorum is open; the arbiter, and the second reviewer of an
    edit, see those before theirs.  From the claim on nothing in it changes, so that the digest at the answer is that
    of what was shown.  A preference shows its candidates in this reviewer's own order and without their sources; a
    blind review shows nothing that tells of the proposal, for an action until its reviewer has committed.  Of `meta`
    it shows what the loop names.  `followers` says how many more cases ask the same, for which the answer counts as
    well.
    """
    seen, shown = as_seen(case, review)
    proposal = proposal_for(seen, shown)
    return {
        "case_id": case.id,
        "review_id": review.id,
        "loop": case.loop,
        "mode": case.mode,
        "kind": review.kind,
        "round": review.round,
        "group": review.group,
        "input": case.input,
        "proposal": proposal.to_dict() if proposal else None,
        "candidates": [_shown(c, case) for c in ordered(seen, shown)],
        "signal": seen.signal.to_dict(),
        "rationale": seen.rationale,
        "history": case.history,
        "meta": fields_of(case.meta, review.meta),
        "route": _route(seen),
        "answers": [a.to_dict() for a in visible_answers(case, review)],
        "escalations": escalations(case, review),
        "alarms": [a for a in case.alarms if a["review_id"] == review.id],
        "due_at": review.due_at,
        "opened_at": review.opened_at,
        **({"followers": review.followers} if review.followers else {}),
        **told(case, review),
    }


def digest(shown: dict[str, JSON], rendered: Rendering | None = None) -> str:
    """SHA-256 of a view as JSON with sorted keys; of a page, ``page-2:`` and that of view and rendering, in order.

    A page folds, cuts and renders by its version and the declared fields alone, so that these two and the view say
    what was to be seen; the order of the arguments belongs to it.
    """
    if rendered is None:
        return hashlib.sha256(ENCODER.encode(shown)).hexdigest()
    page = SNAPSHOT.encode({"rendered": rendered.to_dict(), "view": shown})
    return f"page-{rendered.version}:{hashlib.sha256(page).hexdigest()}"


def proposal_for(case: Case, review: Review) -> Candidate | None:
    """The proposal this review is about: the original, or the edit that a second reviewer is asked about."""
    proposal = case.proposal
    edit = edit_under_review(case, review)
    if edit is None or proposal is None:
        return proposal
    return Candidate(id="edit", action=edit["action"], value=edit["args"], schema=proposal.schema)


def edit_under_review(case: Case, review: Review) -> dict[str, JSON] | None:
    """The edited ``{action, args}`` that a second reviewer decides on, if this is such a review."""
    if review.kind != "second" or review.about is None:
        return None
    said = case.content.get(f"answer/{review.about}") or {}
    return said.get("approved") or said.get("value")


def ordered(case: Case, review: Review) -> list[dict[str, JSON]]:
    """The candidates, as their JSON, in the order in which this review presents them."""
    candidates: list[dict[str, JSON]] = list(case.content.get("candidates", ()))
    if not review.presented:
        return candidates
    by_id = {c["id"]: c for c in candidates}
    return [by_id[i] for i in review.presented if i in by_id]


def visible_answers(case: Case, review: Review) -> tuple[Answer, ...]:
    """The earlier answers that this review may see; while it is claimed, those that there were at the claim."""
    if not case.answered or review.adjudicates or review.blind:
        return ()
    over = case.concluded is not None and review.kind == "decide"
    if review.seen is not None and not over:
        return tuple(a for a in case.answers if a.review_id in review.seen)
    blind = case.route.quorum.blind if case.route else True
    if blind and not over and review.kind not in ("arbiter", "second"):
        return ()
    others = tuple(a for a in case.answers if a.review_id != review.id)
    if blind and review.kind == "second" and review.about is not None:
        return tuple(a for a in others if not _asked_beside(case, review, a))
    return others


def _asked_beside(case: Case, review: Review, answer: Answer) -> bool:
    """Whether an answer is of somebody who is asked about the same edit as this second reviewer."""
    given = case.review(answer.review_id)
    return given is not None and given.kind == "second" and given.about == review.about


def escalations(case: Case, review: Review) -> list[dict[str, JSON]]:
    """Who passed this review up, and why: told to whom takes their place, and to an arbiter."""
    return [told for r in passed_up(case, review) if (told := _escalation(case, r)) is not None]


def passed_up(case: Case, review: Review) -> list[Review]:
    """The passed reviews that this one may know of: those whose place it takes, for an arbiter all so far."""
    if hidden(review):
        return []
    if review.kind == "arbiter":
        return [r for r in case.reviews if r.state == "passed" and (review.seen is None or r.id in review.seen)]
    chain: list[Review] = []
    before = case.review(review.after) if review.after else None
    while before is not None:
        chain.insert(0, before)
        before = case.review(before.after) if before.after else None
    return chain


def _escalation(case: Case, passed: Review) -> dict[str, JSON] | None:
    """What was said when a review was passed up; an abstention says nothing to others."""
    said = case.content.get(f"answer/{passed.id}") or {}
    if not said.get("value"):
        return None
    return {"person": passed.person, "group": passed.group, **said["value"], "rationale": said.get("rationale")}


def _shown(candidate: dict[str, JSON], case: Case) -> dict[str, JSON]:
    if case.mode != "preference":
        return candidate
    return {k: v for k, v in candidate.items() if k not in ("source", "score")}


def _route(case: Case) -> dict[str, JSON] | None:
    if case.route is None:
        return None
    return {
        "to": case.route.to,
        "by": case.route.by,
        "reason": case.route.reason,
        "on_timeout": case.route.on_timeout,
    }
