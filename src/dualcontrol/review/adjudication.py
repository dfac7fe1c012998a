"""Adjudication: a "wrong" is confirmed by a second reviewer before it counts as an error of the model.

A reviewer who is wrong in 2 of 100 cases looks like a model that is; no autopilot would ever open on such evidence.
The second answer is given without seeing the first, and changes neither decision nor outcome.  A free response says
nothing of a proposal that it was written without: there the second person judges both, side by side.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Value
from dualcontrol.control import Control, Env
from dualcontrol.events import AlarmRaised, Audited, Concluded, Event, real
from dualcontrol.names import identity
from dualcontrol.review import quorum, rows

NOBODY = "no_adjudicator"


class Adjudicated(Value, frozen=True, kw_only=True):
    """The label of a proposal after adjudication: none, a "wrong" that is still pending, or final."""

    state: Literal["none", "pending", "final"]
    wrong: int | None = None


def verdict(case: Case, control: Control) -> Adjudicated:
    """The adjudicated label of a proposal, by all answers so far.

    A first "right" is believed, and so is the second answer where there is one; a first "wrong" that nobody else
    can be asked about counts as it is, and so does a free response that nobody else can compare.
    """
    first = _first_word(case)
    if first is None and to_compare(case, control) is None:
        return Adjudicated(state="none")
    if first == 0 or (first == 1 and not _wanted(control)):
        return Adjudicated(state="final", wrong=first)
    if _asking(case):
        return Adjudicated(state="pending")
    second = next((a["wrong"] for a in case.audits if a["kind"] == "second"), None)
    unsaid = 1 if first is None else first
    return Adjudicated(state="final", wrong=unsaid if second is None else second)


def blind(case: Case) -> bool:
    """Whether the label of a case comes from people who were asked without the proposal."""
    drawn = case.route is not None and bool(case.route.asked_blind)
    return drawn or any(review.kind == "audit" and review.blind for review in case.reviews)


def confirmed(case: Case) -> bool | None:
    """Whether a second person, who answered blind, confirmed a first "wrong"; None where none did, or had to."""
    if _first_word(case) != 1:
        return None
    second = next((audit for audit in case.audits if audit["kind"] == "second"), None)
    review = None if second is None else case.review(second["review_id"])
    return None if second is None or review is None or not review.blind else second["wrong"] == 1


def truth(case: Case, *, alone: bool = False) -> JSON:
    """The true label of a case, by the latest answer; None outside labels mode and while adjudication is open.

    Where one reviewer is `alone`, the first word stands while a second is asked for.
    """
    if case.mode != "labels" or _first_word(case) is None or (_asking(case) and not alone):
        return None
    review = next((r for r in case.reviews if r.adjudicates and r.state == "answered"), None)
    if review is None and case.decision is not None:
        return case.decision.value
    if review is None:
        review = next((r for r in case.reviews if r.kind == "audit" and r.state == "answered"), None)
    return case.answer(review.id).value if review is not None else None


def asked(case: Case, event: Concluded | Audited, control: Control, env: Env) -> list[Event]:
    """Open a second review beside the outcome where the first said "wrong"; an alarm if nobody is eligible.

    It is opened as well where what the first said has to be compared with the proposal.
    """
    first, compared = _first_word(case), to_compare(case, control)
    needed = compared is not None if first is None else first == 1 and _wanted(control)
    if not needed or (isinstance(event, Audited) and event.review != "audit"):
        return []
    if case.route is not None and case.route.shown:  # no evidence, whatever a second says
        return []
    if any(r.adjudicates for r in case.reviews) or (first == 1 and _agreed(case)):
        return []
    if case.leader is not None:  # settled with it: one second opinion on one question, and that is the leader's
        return []
    group = rows.group_of(case.route, control)
    if rows.left(case, group, control) == 0:
        reason = f"nobody else of group {group!r} is eligible to say whether the proposal was wrong"
        return [AlarmRaised(code=NOBODY, reason=reason, at=env.now)]
    return [
        rows.row(
            case, "second", group, rows.next_round(case), control, env, excludes=rows.workers(case), against=compared
        )
    ]  # fmt: skip


AGAIN = "again"  # the purpose of its draw


def asked_again(case: Case, event: Concluded, control: Control, env: Env) -> list[Event]:
    """Ask somebody else, blind, about a share of what people decided with the proposal shown: what slips through?

    It is no evidence for a guarantee and no example; nobody is asked about a "wrong" of it once more.
    """
    share, route = control.settings.again_share, case.route
    if event.by != "human" or route is None or not route.shown or case.settled is None or case.leader is not None:
        return []
    if control.relief or env.draw(AGAIN, case.id) >= share:
        return []
    group = rows.group_of(route, control)
    if rows.left(case, group, control) == 0:
        return []
    row = rows.row(case, "audit", group, rows.next_round(case), control, env, excludes=rows.workers(case))
    return [replace(row, again=real(share))] if row.blind else []


def _wanted(control: Control) -> bool:
    guarantee = control.settings.guarantee
    return guarantee is not None and guarantee.adjudicate


def _first_word(case: Case) -> int | None:
    """Whether the proposal was wrong by the decision, else by the audit; None where no human has said so."""
    return _first_answer(case)[1]


def _first_answer(case: Case) -> tuple[str | None, int | None]:
    """The review in which the case was decided, else audited, and whether the proposal was wrong by that."""
    if case.kind != "live" or case.proposed is None or case.concluded is None:
        return None, None
    audited = case.route is not None and case.route.audited  # and recalled, where a human decided it
    if case.concluded.by == "human" and not audited:
        return (case.settled.source, case.settled.wrong) if case.settled is not None else (None, None)
    return next(((a["review_id"], a["wrong"]) for a in case.audits if a["kind"] == "audit"), (None, None))


def to_compare(case: Case, control: Control) -> str | None:
    """The review whose free response a second person judges beside the proposal; None where it is the proposal."""
    source, wrong = _first_answer(case)
    if not control.settings.side_by_side or source is None or wrong == 0:
        return None
    review = case.review(source)
    return source if review is not None and review.state == "answered" and (review.blind or wrong == 1) else None


def _asking(case: Case) -> bool:
    return any(r.adjudicates and r.state in rows.WAITING for r in case.reviews)


def _agreed(case: Case) -> bool:
    """Whether two or more people settled the case unanimously: that is adjudication already.

    Of those who were asked blind each has to say the same of the proposal, before they saw it as well.
    """
    if case.settled is None:
        return False
    answers = [case.answer(i) for i in case.settled.answers]
    if len({identity(a.actor.person) for a in answers}) < 2 or len({quorum.shape(case, a) for a in answers}) > 1:
        return False
    blind = {review.id for review in case.reviews if review.blind}
    return len({quorum.wrong(case, a) for a in answers if a.review_id in blind}) < 2
