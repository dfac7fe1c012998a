"""The reviewer's view of a case, and its blinding: a property of the read path, decided in one place.

It feeds page, JSON, CLI and export, and the digest of what it gave is part of the answer.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import (
    ENCODER,
    JSON,
    SNAPSHOT,
    Answer,
    Candidate,
    Case,
    Content,
    Effect,
    Rendering,
    Review,
    ReviewKind,
    Route,
)
from dualcontrol.control import COMMIT_FIRST, Control
from dualcontrol.errors import TrainingError, UnknownCaseError
from dualcontrol.names import identity, same
from dualcontrol.people import may
from dualcontrol.probe import anonymous, concealed, unaddressed
from dualcontrol.review import comparison


def view(case: Case, review: Review, person: str) -> dict[str, JSON]:
    """What `person` may see of a case in this review, as plain JSON values.

    Other reviewers' answers stay hidden while a blind quorum is open; the arbiter, and the second reviewer of an
    edit, see those before theirs.  From the claim on nothing in it changes, so that the digest at the answer is that
    of what was shown.  A preference shows its candidates in this reviewer's own order and without their sources; a
    blind review shows nothing that tells of the proposal, for an action until its reviewer has committed.  Where an
    answer is compared with the proposal, `texts` are the two, unnamed.  Of `meta` it shows what the loop names.
    `followers` says how many more cases ask the same, for which the answer counts as well.
    """
    seen, shown = as_seen(case, review)
    proposal, route = proposal_for(seen, shown), seen.route
    blindness: dict[str, JSON] = {"blind": True} if review.blind else {}
    if commits_first(case, review):  # the actions to choose among, where one would not be the one
        names = sorted({str(c["action"]) for c in case.content.get("candidates", ()) if c.get("action")})
        blindness |= {"committed": committed(case, review), "actions": names if len(names) > 1 else []}
    if review.against is not None:
        blindness["texts"] = comparison.texts(case, review)
    candidates: list[dict[str, JSON]] = list(seen.content.get("candidates", ()))
    if shown.presented:  # in this reviewer's own order
        by_id = {c["id"]: c for c in candidates}
        candidates = [by_id[i] for i in shown.presented if i in by_id]
    if case.mode == "preference":
        candidates = [{k: v for k, v in c.items() if k not in ("source", "score")} for c in candidates]
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
        "candidates": candidates,
        "signal": seen.signal.to_dict(),
        "rationale": seen.rationale,
        "history": case.history,
        "meta": fields_of(case.meta, review.meta),
        "route": route and {"to": route.to, "by": route.by, "reason": route.reason, "on_timeout": route.on_timeout},
        "answers": [a.to_dict() for a in visible_answers(case, review)],
        "escalations": escalations(case, review),
        "alarms": [a for a in case.alarms if a["review_id"] == review.id],
        "due_at": review.due_at,
        "opened_at": review.opened_at,
        **({"followers": review.followers} if review.followers else {}),
        **({"practice": True} if case.kind == "practice" else {}),
        **blindness,
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
    content = case.content.get(f"answer/{review.about}") or {}
    return content.get("approved") or content.get("value")


def visible_answers(case: Case, review: Review) -> tuple[Answer, ...]:
    """The earlier answers that this review may see; while it is claimed, those that there were at the claim."""
    if not case.answered or review.adjudicates or (review.blind and (review.kind != "arbiter" or hidden(review))):
        return ()
    over = case.concluded is not None and review.kind == "decide"
    if review.seen is not None and not over:
        return tuple(a for a in case.answers if a.review_id in review.seen)
    blind = case.route.quorum.blind if case.route else True
    if blind and not over and review.kind not in ("arbiter", "second"):
        return ()
    others = tuple(a for a in case.answers if a.review_id != review.id)
    if blind and review.kind == "second" and review.about is not None:
        peers = {r.id for r in case.reviews if r.kind == "second" and r.about == review.about}  # asked about this edit
        return tuple(a for a in others if a.review_id not in peers)
    return others


def escalations(case: Case, review: Review) -> list[dict[str, JSON]]:
    """Who escalated this review, and why, for whoever replaces them and for an arbiter."""
    rows = []
    for passed in passed_up(case, review):
        content = case.content.get(f"answer/{passed.id}") or {}
        if content.get("value"):  # an abstention says nothing to others
            who = {"person": passed.person, "group": passed.group}
            rows.append({**who, **content["value"], "rationale": content.get("rationale")})
    return rows


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


# Blind reviews: an answer is evidence only if the proposal has not led to it.  So are audits, adjudicating answers, and
# every row that can settle a case which was drawn for it when it was routed.
#
# What tells of the proposal is taken out of the case before anybody sees it: value, candidates, scores, signal,
# rationale, what the route says of them, what others said, and what came of it.  Input and history stay as the caller
# gave them; meta, key and run are the program's own.  A label or a response is given without ever seeing the proposal;
# an action is shown once its reviewer has committed.
#
# Every door goes through here: `as_seen` for a review that somebody holds, `seen_by` for a case outside a review.


REASON = "this review is blind: what is proposed, and why it is here, is not shown"
OPEN_SLOTS = ("input", "history")
MODES = ("labels", "fallback", "approval")
ABSENT = object()


def wanted(case: Case, kind: ReviewKind, about: str | None, control: Control) -> bool:
    """Whether a row opened now is blind: what is evidence for a guarantee is, unless its settings say otherwise."""
    if kind in ("decide", "arbiter") and about is None:
        return case.route is not None and bool(case.route.asked_blind)
    guarantee = control.settings.guarantee
    evidence = kind == "audit" or (kind == "second" and about is None)
    return evidence and guarantee is not None and guarantee.blind and case.mode in MODES and case.proposed is not None


def by_step(case: Case, review: Review, person: str, control: Control) -> bool:
    """Whether a review is blind for this person alone, who commits first by their step of the ladder.

    Not a reading of somebody's edit, which is about what was edited, and no training case, which is to be seen.
    """
    return (
        control.step_of(person) >= COMMIT_FIRST and not review.blind and review.about is None
        and case.mode in MODES and case.proposed is not None and case.kind != "practice"
    )  # fmt: skip


def hidden(review: Review) -> bool:
    """Whether the proposal is hidden from the reviewer now: for good, or until this person has committed."""
    return review.blind and (not same(review.committed, review.person) or review.committed is None)


def commits_first(case: Case, review: Review) -> bool:
    """Whether a review asks its holder to say what should happen before it shows the action."""
    return review.blind and case.mode == "approval"


def committed(case: Case, review: Review) -> JSON:
    """What its holder has committed to, ``{should, to}``; None before."""
    return None if hidden(review) else case.content.get(f"first/{review.id}")


def as_seen(case: Case, review: Review) -> tuple[Case, Review]:
    """Case and review as this reviewer may see them; what is hidden is not there."""
    case, review = concealed(case), unaddressed(review)
    if not hidden(review):
        return case, review
    # the order of two texts that are compared is no order of candidates
    return _masked(case, review.presented if review.against is None else ()), bare(review)


class PersonalView(NamedTuple):
    """A case as a person may see it outside a review, and whether it is `kept` from them for being theirs to judge."""

    case: Case
    kept: bool


def seen_by(case: Case, person: str, control: Control) -> PersonalView:
    """The case as a person may see it who holds no review of it: page, list, flash, command line, refusals.

    Nothing of the proposal and of what came of it where they hold a blind review or may take one; else all of it, and
    of meta what the loop shows.  Raises UnknownCaseError for a probe of somebody else, which is not theirs to see.
    """
    if withheld(case, person, control):
        raise UnknownCaseError(f"there is no case {case.id}", case_id=case.id)
    kept, case = kept_from(case, person, control), concealed(case)
    if kept:
        return PersonalView(_masked(case), kept=True)
    if control.settings.probe_share > 0.0 and may(person, "claim", control) is None:
        case = anonymous(case)
    values = case.content.values
    if "meta" in values:
        values = {**values, "meta": fields_of(case.meta, control.settings.shown_meta)}
    return PersonalView(replace(case, content=Content(values, case.content.seals)), kept=False)


def withheld(case: Case, person: str, control: Control) -> bool:
    """Whether a probe is not for this person: neither asked of them, nor may they see how others are measured."""
    if case.kind == "live" or not control.people or identity(person) not in control.people:
        return False  # who has no account holds the database itself
    return not any(same(r.addressee, person) for r in case.reviews) and may(person, "audit", control) is not None


def fields_of(meta: dict[str, JSON], names: tuple[str, ...]) -> dict[str, JSON]:
    """What a reviewer sees of the program's own data: the fields named, those below others by their path."""
    shown: dict[str, JSON] = {}
    for name in names:
        steps = [name] if name in meta else name.split(".")
        value: JSON = meta
        for step in steps:
            value = value.get(step, ABSENT) if isinstance(value, dict) else ABSENT
        if value is not ABSENT:
            place = shown
            for step in steps[:-1]:
                place = place.setdefault(step, {})
            place[steps[-1]] = value
    return shown


def bare(review: Review) -> Review:
    """A blind review without what tells of the proposal: the order of the candidates, and the place in the queue."""
    return replace(review, presented=(), order_at=0)


def without_claim(review: Review, person: str) -> Review:
    """A review without the id of its claim, which is a fencing token, and the step of who held it: theirs alone."""
    if same(review.person, person) or not (review.claim_id or review.by_step):
        return review
    return replace(review, claim_id=None, by_step=False)


def with_own_claims(case: Case, person: str) -> Case:
    """A case without the ids of claims that others hold or held."""
    return replace(case, reviews=tuple(without_claim(review, person) for review in case.reviews))


def _masked(case: Case, presented: tuple[str, ...] = ()) -> Case:
    """The case without anything that tells of the proposal, of what people said about it, or of what came of it."""
    values = {slot: value for slot, value in case.content.values.items() if slot in OPEN_SLOTS}
    # the labels alone, in the order given; their ids would tell which was the likeliest
    by_id = {c["id"]: c["value"] for c in case.content.get("candidates", ())}
    ids = enumerate(presented, 1)
    values["candidates"] = [{"id": f"label-{place}", "value": by_id[i]} for place, i in ids if i in by_id]
    # without the score, the rule and the demands that follow from the proposal
    route = case.route and Route(
        to=case.route.to, by="", reason=REASON, control=case.route.control, inclusion=1.0, audited=case.route.audited,
        epoch=case.route.epoch, group=case.route.group, due_at=case.route.due_at, on_timeout=case.route.on_timeout,
    )  # fmt: skip
    # The effect tells what people decided; what autopilot ran and lost is shown, since somebody must look.
    lost = case.effect.state == "unknown" and case.concluded is not None and case.concluded.by == "autopilot"
    return replace(
        case, proposed=None, leader=None, action=None, confidence=None, risk=None, requires_approval=False,
        segment=None, route=route, answered=(), settled=None, concluded=None,
        audits=(), content=Content(values), reviews=tuple(bare(r) for r in case.reviews if _still_asked(r)),
        state="open", closed_at=None, effect=Effect(state="unknown" if lost else "none", fence=0), wants_effect=False,
        key=None, run=None, parent=None, seq=0, alarms=tuple(a for a in case.alarms if a["review_id"] is not None),
    )  # fmt: skip


def _still_asked(review: Review) -> bool:
    """Whether a row is one that is asked blind now; the others say how the case went."""
    return review.blind and review.state in ("open", "claimed")


def kept_from(case: Case, person: str, control: Control) -> bool:
    """Whether a case is not shown to a person outside a review, because they hold a blind one or may take it."""
    for review in case.reviews:
        if not _still_asked(review):
            continue
        if same(review.person, person):
            if hidden(review):
                return True
            continue
        refusal = may(person, "claim", control, case, review.id)
        if refusal is None or isinstance(refusal, TrainingError):  # now, or once it is given back or they are trained
            return True
    return False
