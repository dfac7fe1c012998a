"""Reactions of the review stage: rows opened by the route, settled by the quorum, reopened by an edit, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from dualcontrol import events as ev
from dualcontrol import probe
from dualcontrol.case import Case, ReviewKind
from dualcontrol.control import SECOND_REVIEW, Control, Env
from dualcontrol.events import Event, real
from dualcontrol.evolve import fold
from dualcontrol.people import arbiter_of, humans_of
from dualcontrol.review import adjudication, edits, joined, quorum, rows


def _opened_by_route(case: Case, event: ev.Routed, control: Control, env: Env) -> list[Event]:
    """The rows of a case for people, or the one of an audit beside autopilot."""
    route = case.route
    if case.kind != "live":
        return _probe_asked(case, control, env)
    if route is None or case.origin == "shadow" or route.relief in ("reject", "joined"):
        return []
    if route.to == "human":
        return rows.first(case, control, env)
    if route.to == "autopilot" and route.audited:
        return [rows.row(case, "audit", rows.group_of(route, control), 1, control, env)]
    return []


def _probe_asked(case: Case, control: Control, env: Env) -> list[Event]:
    """The rows of a probe, all for the person it is meant for: those of a live case, or an audit beside autopilot.

    One that is meant for nobody is over at once, and kept to be copied.
    """
    key, route = probe.key_of(case), case.route
    if key is None or not key.person or route is None or route.to == "block":
        return [probe.scored(case, None, env, rejected=None)]
    kind: ReviewKind = "audit" if route.to == "autopilot" else "decide"
    asked = rows.first(case, control, env) if kind == "decide" else []
    if all(getattr(event, "review", kind) != kind for event in asked):  # an arbiter alone is somebody else
        asked = [rows.row(case, kind, rows.group_of(route, control), 1, control, env)]
    return [replace(event, addressee=key.person) if isinstance(event, ev.ReviewOpened) else event for event in asked]


def _after_answer(case: Case, event: ev.Answered, control: Control, env: Env) -> list[Event]:
    """What an answer leads to: an audit's result, a decision, more people for an edit, an arbiter, or more votes."""
    review, route = case.review(event.review_id), case.route
    if review is None:
        return []
    if case.kind != "live":
        return probe.over(case, review, env, rejected=bool(quorum.wrong(case, case.answer(review.id))))
    if review.beside or case.concluded is not None:
        answer = case.answer(review.id)
        wrong = quorum.wrong(case, answer, free=control.settings.side_by_side)
        return [ev.Audited(review_id=review.id, review=review.kind, verdict=answer.verdict, wrong=wrong)]
    votes = quorum.votes(case)
    if votes.settled_by is not None:
        more = edits.more(case, votes, control, env)
        if more is None and _settles_alone(case, votes, control):
            return [_with_a_second(case, votes, control)]
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


def _settles_alone(case: Case, votes: quorum.Votes, control: Control) -> bool:
    """Whether the answer of one person alone settles a case, whose answers need a second by the ladder.

    A veto stops something at once, whoever gives it, and who is under second review arbitrates nothing.
    """
    if not control.rungs or votes.source is None or votes.settled_by in ("veto", "arbiter"):
        return False
    says = quorum.shape(case, votes.source)
    agreeing = [a.actor.person for a in case.answers if a.review_id in votes.answers and quorum.shape(case, a) == says]
    alone = len(humans_of(agreeing, control)) == 1
    return alone and any(control.step_of(person) >= SECOND_REVIEW for person in agreeing)


def _with_a_second(case: Case, votes: quorum.Votes, control: Control) -> ev.Rerouted:
    """The route by which one more person has to agree; of an edit they read what was edited."""
    route, source = case.route, votes.source
    asked = route.quorum if route else control.settings.quorum
    settle = asked.settle + 1 if isinstance(asked.settle, int) else asked.settle
    return ev.Rerouted(
        by="ladder", reason="one person's answer does not settle this case alone", group=route.group if route else None,
        quorum=replace(asked, answers=len(votes.answers) + 1, settle=settle), risk=real(route.risk if route else None),
        about=source.review_id if source is not None and source.verdict == "edit" else None,
    )  # fmt: skip


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
    if event.about is None:
        return [*cancelled, *rows.seats(fold(case, cancelled), "decide", control, env, rows=1, people=1, settling=1)]
    return [*cancelled, *edits.seconds(fold(case, cancelled), event, control, env)]


def _taken_back(case: Case, event: ev.Retracted, control: Control, env: Env) -> list[Event]:
    """Nobody is asked about an edit that was taken back."""
    return _cancelled(case, "retracted", about=event.review_id)


def _over(case: Case, event: ev.Decided | ev.Concluded | ev.Erased, control: Control, env: Env) -> list[Event]:
    """Cancel what waits; at the conclusion ask a second person where the first said "wrong", or where it was drawn."""
    if isinstance(event, ev.Erased):
        return _cancelled(case, "erased", beside=True)
    cancelled = _cancelled(case, "decided" if case.settled else "over")
    if not isinstance(event, ev.Concluded):
        return cancelled
    asked = adjudication.asked(case, event, control, env)
    return [*cancelled, *asked, *adjudication.asked_again(case, event, control, env)]


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
