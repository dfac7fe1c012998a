"""Rows for reviewers: opened by the route, settled by the quorum, opened again for an edit, cancelled when over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualcontrol.case import Case, Review
from dualcontrol.control import Control, Env
from dualcontrol.events import (
    Answered,
    Audited,
    Concluded,
    Decided,
    Erased,
    Event,
    Recalled,
    Rerouted,
    Retracted,
    ReviewCancelled,
    Routed,
    TimedOut,
    real,
)
from dualcontrol.evolve import fold
from dualcontrol.people import arbiter_of
from dualcontrol.review import adjudication, edits, joined, quorum, rows


def _opened_by_route(case: Case, event: Routed, control: Control, env: Env) -> list[Event]:
    route = case.route
    if route is None or case.origin == "shadow" or route.relief in ("reject", "joined"):
        return []
    if route.to == "human":
        return rows.first(case, control, env)
    if route.to == "autopilot" and route.audited:
        return [rows.row(case, "audit", rows.group_of(route, control), 1, control, env)]
    return []


def _after_answer(case: Case, event: Answered, control: Control, env: Env) -> list[Event]:
    review = case.review(event.review_id)
    if review is None:
        return []
    if review.beside or case.concluded is not None:
        answer = case.answer(review.id)
        wrong = quorum.wrong(case, answer)
        return [Audited(review_id=review.id, review=review.kind, verdict=answer.verdict, wrong=wrong)]
    standing = quorum.standing(case)
    if standing.settled_by is not None:
        more = edits.more(case, standing, control, env)
        return [_decided(case, standing, control, env)] if more is None else more
    if standing.dispute:
        arbitrating = any(r.kind == "arbiter" and r.state in rows.WAITING for r in case.reviews)
        return [] if arbitrating else rows.arbitration(case, control, env)
    return _next_votes(case, control, env)


def _decided(case: Case, standing: quorum.Votes, control: Control, env: Env) -> Decided:
    source = standing.source
    answers = [a for a in case.answered if a.review_id in standing.answers]
    # Effective once everybody whose answer settles the case has had the time to retract it that their door gives;
    # without such a time it is effective now, whatever another's clock says.
    undo_times = [(a.at, control.settings.undo_for(a.actor.via)) for a in answers]
    return Decided(
        verdict=source.verdict if source else case.answers[-1].verdict,
        answers=standing.answers,
        settled_by=standing.settled_by or "",
        effective_at=max([env.now, *(at + undo for at, undo in undo_times if undo)]),
        wrong=quorum.wrong(case, source) if source else None,
        source=source.review_id if source else None,
        risk=real(edits.decided_risk(case, source, control, env)),
        until=min((a.until for a in answers if a.until is not None), default=None),
    )


def _next_votes(case: Case, control: Control, env: Env) -> list[Event]:
    """More rows when the quorum grew or asks one after the other."""
    route = case.route
    if route is None:
        return []
    votes = [r for r in case.reviews if r.kind in quorum.VOTING and r.state in ("open", "claimed", "answered")]
    pending = [r for r in votes if r.state != "answered"]
    lacking = route.quorum.asked - len(votes)
    if lacking <= 0 or (route.quorum.ordered and pending):
        return []
    again = quorum.asked_again(case)
    return [
        rows.row(
            case, "second" if again else "decide", rows.group_of(route, control), 1 + len(votes), control, env,
            excludes=rows.workers(case), about=again.about if again else None,
        )
        for _ in range(1 if route.quorum.ordered else lacking)
    ]  # fmt: skip


def _escalated(case: Case, event: TimedOut, control: Control, env: Env) -> list[Event]:
    if event.how != "escalate" or arbiter_of(case, control.settings) is None:
        return []
    return rows.arbitration(case, control, env)


def _by_reroute(case: Case, event: Rerouted, control: Control, env: Env) -> list[Event]:
    """What was asked about the original is over; the people whom the edit demands are asked about the edit."""
    cancelled = _cancelled(_waiting(case), "rerouted")
    return [*cancelled, *edits.seconds(fold(case, cancelled), event, control, env)]


def _taken_back(case: Case, event: Retracted, control: Control, env: Env) -> list[Event]:
    """Nobody is asked about an edit that was taken back."""
    return _cancelled([r for r in _waiting(case) if r.about == event.review_id], "retracted")


def _over(case: Case, event: Decided | Concluded | Erased, control: Control, env: Env) -> list[Event]:
    """Cancel what waits; at the conclusion ask a second person where the first said that the proposal was wrong."""
    if isinstance(event, Erased):
        return _cancelled([r for r in case.reviews if r.beside and r.state in rows.WAITING], "erased")
    cancelled = _cancelled(_waiting(case), "decided" if case.settled else "over")
    return [*cancelled, *(adjudication.asked(case, event, control, env) if isinstance(event, Concluded) else ())]


def _waiting(case: Case) -> list[Review]:
    return [r for r in case.reviews if r.state in rows.WAITING and not r.beside]


def _cancelled(reviews: list[Review], reason: str) -> list[Event]:
    return [ReviewCancelled(review_id=r.id, reason=reason) for r in reviews]


# The events that the review stage adds in reaction to an event.
REACTIONS: dict[type[Event], Callable[[Case, Any, Control, Env], list[Event]]] = {
    **joined.REACTIONS,
    Routed: _opened_by_route,
    Answered: _after_answer,
    Rerouted: _by_reroute,
    Recalled: edits.recalled,
    Retracted: _taken_back,
    TimedOut: _escalated,
    Decided: _over,
    Concluded: _over,
    Audited: adjudication.asked,
    Erased: _over,
}
