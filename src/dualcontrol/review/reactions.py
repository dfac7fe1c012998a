"""Reactions of the review stage: rows opened by the route, settled by the quorum, reopened by an edit, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualcontrol import events as ev
from dualcontrol.case import Case
from dualcontrol.control import Control, Env
from dualcontrol.events import Event, real
from dualcontrol.evolve import fold
from dualcontrol.people import arbiter_of
from dualcontrol.review import adjudication, edits, joined, quorum, rows


def _opened_by_route(case: Case, event: ev.Routed, control: Control, env: Env) -> list[Event]:
    """The rows of a case for people, or the one of an audit beside autopilot."""
    route = case.route
    if route is None or case.origin == "shadow" or route.relief in ("reject", "joined"):
        return []
    if route.to == "human":
        return rows.first(case, control, env)
    if route.to == "autopilot" and route.audited:
        return [rows.row(case, "audit", rows.group_of(route, control), 1, control, env)]
    return []


def _after_answer(case: Case, event: ev.Answered, control: Control, env: Env) -> list[Event]:
    """What an answer leads to: an audit's result, a decision, more people for an edit, an arbiter, or more votes."""
    review, route = case.review(event.review_id), case.route
    if review is None:
        return []
    if review.beside or case.concluded is not None:
        answer = case.answer(review.id)
        wrong = quorum.wrong(case, answer, free=control.settings.side_by_side)
        return [ev.Audited(review_id=review.id, review=review.kind, verdict=answer.verdict, wrong=wrong)]
    votes = quorum.votes(case)
    if votes.settled_by is not None:
        more = edits.more(case, votes, control, env)
        return [_decided(case, votes, control, env)] if more is None else more
    if votes.dispute:
        arbitrating = any(r.kind == "arbiter" and r.state in rows.WAITING for r in case.reviews)
        return [] if arbitrating else rows.arbitration(case, control, env)
    if route is None:
        return []
    # more rows when the quorum grew or asks one after the other
    voting = [r for r in case.reviews if r.kind in quorum.VOTING and r.state in (*rows.WAITING, "answered")]
    lacking = route.quorum.asked - len(voting)
    if lacking <= 0 or (route.quorum.ordered and any(r.state != "answered" for r in voting)):
        return []
    again = quorum.asked_again(case)
    return [
        rows.row(
            case, "second" if again else "decide", rows.group_of(route, control), 1 + len(voting), control, env,
            excludes=rows.workers(case), about=again.about if again else None,
        )
        for _ in range(1 if route.quorum.ordered else lacking)
    ]  # fmt: skip


def _decided(case: Case, votes: quorum.Votes, control: Control, env: Env) -> ev.Decided:
    """The decision that the answers came to, effective once none of them can be retracted any more."""
    source, free = votes.source, control.settings.side_by_side
    answers = [a for a in case.answered if a.review_id in votes.answers]
    # Effective once everybody whose answer settles the case has had the time to retract it that their door gives;
    # without such a time it is effective now, whatever another's clock says.
    undo_times = [(a.at, control.settings.undo_for(a.actor.via)) for a in answers]
    return ev.Decided(
        verdict=source.verdict if source else case.answers[-1].verdict, answers=votes.answers,
        settled_by=votes.settled_by or "",
        effective_at=max([env.now, *(at + undo for at, undo in undo_times if undo)]),
        wrong=quorum.label(case, source, free=free), source=source.review_id if source else None,
        risk=real(edits.decided_risk(case, source, control, env)),
        until=min((a.until for a in answers if a.until is not None), default=None),
    )  # fmt: skip


def _escalated(case: Case, event: ev.TimedOut, control: Control, env: Env) -> list[Event]:
    if event.how != "escalate" or arbiter_of(case, control) is None:
        return []
    return rows.arbitration(case, control, env)


def _by_reroute(case: Case, event: ev.Rerouted, control: Control, env: Env) -> list[Event]:
    """What was asked about the original is over; the people whom the edit demands are asked about the edit."""
    cancelled = _cancelled(case, "rerouted")
    return [*cancelled, *edits.seconds(fold(case, cancelled), event, control, env)]


def _taken_back(case: Case, event: ev.Retracted, control: Control, env: Env) -> list[Event]:
    """Nobody is asked about an edit that was taken back."""
    return _cancelled(case, "retracted", about=event.review_id)


def _over(case: Case, event: ev.Decided | ev.Concluded | ev.Erased, control: Control, env: Env) -> list[Event]:
    """Cancel what waits; at the conclusion ask a second person where the first said that the proposal was wrong."""
    if isinstance(event, ev.Erased):
        return _cancelled(case, "erased", beside=True)
    cancelled = _cancelled(case, "decided" if case.settled else "over")
    return [*cancelled, *(adjudication.asked(case, event, control, env) if isinstance(event, ev.Concluded) else ())]


def _cancelled(case: Case, reason: str, *, beside: bool = False, about: str | None = None) -> list[Event]:
    """Cancel the waiting rows, either of the decision itself or beside it; with `about` only those about that edit."""
    waiting = [r for r in case.reviews if r.state in rows.WAITING and r.beside is beside and about in (None, r.about)]
    return [ev.ReviewCancelled(review_id=r.id, reason=reason) for r in waiting]


# The events that the review stage adds in reaction to an event.
REACTIONS: dict[type[Event], Callable[[Case, Any, Control, Env], list[Event]]] = {
    **joined.REACTIONS,
    ev.Routed: _opened_by_route,
    ev.Answered: _after_answer,
    ev.Rerouted: _by_reroute,
    ev.Recalled: edits.recalled,
    ev.Retracted: _taken_back,
    ev.TimedOut: _escalated,
    ev.Decided: _over,
    ev.Concluded: _over,
    ev.Audited: adjudication.asked,
    ev.Erased: _over,
}
