"""Blindness is a property of the read path: one function says what a reviewer may see of a case.

It feeds page, JSON, CLI and export, and the digest of what it gave is part of the answer.
"""

from __future__ import annotations

import hashlib

from dualcontrol.case import ENCODER, JSON, Answer, Candidate, Case, Review

DECIDING = ("decide", "second", "arbiter")


def view(case: Case, review: Review, person: str) -> dict[str, JSON]:
    """What `person` may see of a case in this review, as plain JSON values.

    Other reviewers' answers stay hidden while a blind quorum is open; the arbiter, and the second reviewer of an
    edit, see them.  A preference shows its candidates in this reviewer's own order and without their sources.
    """
    proposal = proposal_for(case, review)
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
        "candidates": [_shown(c, case) for c in ordered(case, review)],
        "signal": case.signal.to_dict(),
        "rationale": case.rationale,
        "history": case.history,
        "meta": case.meta,
        "route": _route(case),
        "answers": [a.to_dict() for a in visible_answers(case, review)],
        "due_at": review.due_at,
        "opened_at": review.opened_at,
    }


def digest(shown: dict[str, JSON]) -> str:
    """SHA-256 of a view as JSON with sorted keys."""
    return hashlib.sha256(ENCODER.encode(shown)).hexdigest()


def proposal_for(case: Case, review: Review) -> Candidate | None:
    """The proposal this review is about: the original, or the edit that a second reviewer is asked about."""
    proposal = case.proposal
    edit = edit_under_review(case, review)
    if edit is None or proposal is None:
        return proposal
    return Candidate(id="edit", action=edit["action"], value=edit["args"], schema=proposal.schema)


def edit_under_review(case: Case, review: Review) -> dict[str, JSON] | None:
    """The edited ``{action, args}`` that a second reviewer decides on, if this is such a review."""
    if review.kind != "second":
        return None
    for answer in reversed(case.answers):
        if answer.verdict == "edit" and isinstance(answer.value, dict) and "args" in answer.value:
            return answer.value
    return None


def ordered(case: Case, review: Review) -> list[dict[str, JSON]]:
    """The candidates, as their JSON, in the order in which this review presents them."""
    candidates: list[dict[str, JSON]] = list(case.content.get("candidates", ()))
    if not review.presented:
        return candidates
    by_id = {c["id"]: c for c in candidates}
    return [by_id[i] for i in review.presented if i in by_id]


def visible_answers(case: Case, review: Review) -> tuple[Answer, ...]:
    """The earlier answers that this review may see."""
    blind = case.route.quorum.blind if case.route else True
    if review.kind in ("arbiter", "second") or not blind or (case.concluded is not None and review.kind == "decide"):
        return tuple(a for a in case.answers if a.review_id != review.id)
    return ()


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
