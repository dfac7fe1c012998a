"""Blind reviews: an audit or an adjudicating answer is worth something only if the proposal has not led to it.

What tells of the proposal is taken out of the case before anybody sees it: value, candidates, scores, signal,
rationale, the reason of the route, and what others said.  Input, history and meta stay as the caller gave them.
A label or a response is given without ever seeing the proposal; an action is shown once its reviewer has committed.
"""

from __future__ import annotations

from msgspec.structs import replace

from dualcontrol.case import ENCODER, JSON, Case, Content, Review, ReviewKind
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import AnswerError
from dualcontrol.names import same
from dualcontrol.review import eligibility

REASON = "this review is blind: what is proposed, and why it is here, is not shown"
OPEN_SLOTS = ("input", "history", "meta")
MODES = ("labels", "fallback", "approval")


def wanted(case: Case, kind: ReviewKind, about: str | None, control: Control) -> bool:
    """Whether a row that is opened now is blind: the evidence of a loop with a guarantee, unless it says otherwise."""
    guarantee = control.settings.guarantee
    evidence = kind == "audit" or (kind == "second" and about is None)
    return evidence and guarantee is not None and guarantee.blind and case.mode in MODES and case.proposed is not None


def hidden(review: Review) -> bool:
    """Whether the proposal is hidden from the reviewer now: for good, or until this person has committed."""
    return review.blind and (not same(review.committed, review.person) or review.committed is None)


def commits_first(case: Case, review: Review) -> bool:
    """Whether a review asks its holder to say what should happen before it shows the action."""
    return review.blind and case.mode == "approval"


def committed(case: Case, review: Review) -> JSON:
    """What its holder has committed to, ``{should, to}``; None before."""
    return None if hidden(review) else case.content.get(f"first/{review.id}")


def told(case: Case, review: Review) -> dict[str, JSON]:
    """What the view of a blind review says of itself; the actions to choose among where one would not be the one."""
    if not commits_first(case, review):
        return {"blind": True} if review.blind else {}
    names = sorted({str(c["action"]) for c in case.content.get("candidates", ()) if c.get("action")})
    return {"blind": True, "committed": committed(case, review), "actions": names if len(names) > 1 else []}


def as_seen(case: Case, review: Review) -> tuple[Case, Review]:
    """Case and review as this reviewer may see them; what is hidden is not there."""
    if not hidden(review):
        return case, review
    return masked(case, review.presented), replace(review, presented=())


def masked(case: Case, presented: tuple[str, ...] = ()) -> Case:
    """The case without anything that tells of the proposal, or of what people said about it."""
    values = {slot: value for slot, value in case.content.values.items() if slot in OPEN_SLOTS}
    values["candidates"] = _bare(case, presented)
    route = case.route and replace(case.route, by="", reason=REASON, risk=None, bin=None)
    return replace(
        case, proposed=None, leader=None, action=None, confidence=None, risk=None, requires_approval=False,
        segment=None, route=route, answered=(), settled=None, concluded=None, audits=(), content=Content(values),
        reviews=tuple(replace(r, presented=()) for r in case.reviews),
    )  # fmt: skip


def _bare(case: Case, presented: tuple[str, ...]) -> list[dict[str, JSON]]:
    """The labels alone, in the order given; their ids would tell which was the likeliest."""
    by_id = {c["id"]: c["value"] for c in case.content.get("candidates", ())}
    return [{"id": f"label-{place}", "value": by_id[i]} for place, i in enumerate(presented, 1) if i in by_id]


def in_label_order(case: Case, settings: LoopSettings) -> tuple[str, ...]:
    """The ids of the candidates in the order of the loop's labels.

    None where only some labels are candidates: these few would tell what is likely.
    """
    ids = {ENCODER.encode(c["value"]): c["id"] for c in case.content.get("candidates", ())}
    labels = [ENCODER.encode(label) for label in settings.labels or ()]
    return tuple(ids[label] for label in labels) if all(label in ids for label in labels) else ()


def kept_from(case: Case, person: str, settings: LoopSettings) -> bool:
    """Whether a case is not shown to a person outside a review, because they hold a blind one or may take it."""
    waiting = [r for r in case.reviews if r.blind and r.state in ("open", "claimed")]
    return any(hidden(r) if same(r.person, person) else _may_take(case, r, person, settings) for r in waiting)


def _may_take(case: Case, review: Review, person: str, settings: LoopSettings) -> bool:
    """Whether somebody could take a review, now or once its holder gives it back."""
    try:
        eligibility.check(case, replace(review, state="open"), person, settings)
    except AnswerError:
        return False
    return True
