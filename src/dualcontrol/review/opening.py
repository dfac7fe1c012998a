"""Rows for reviewers: opened by the route, settled by the quorum, replaced when passed, cancelled when over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualcontrol.case import Case, Review, ReviewKind, Route, microseconds, risk_number
from dualcontrol.control import Control, Env
from dualcontrol.errors import EscalationError
from dualcontrol.events import (
    Answered,
    Audited,
    Concluded,
    Decided,
    Erased,
    Event,
    ReviewCancelled,
    ReviewOpened,
    Routed,
    TimedOut,
)
from dualcontrol.review import eligibility, quorum

HOUR = 3_600_000_000
BESIDE = ("audit", "probe")
WAITING = ("open", "claimed")


def _opened_by_route(case: Case, event: Routed, control: Control, env: Env) -> list[Event]:
    route = case.route
    if route is None or case.origin == "shadow":
        return []
    if route.to == "human":
        return _first_rows(case, route, control, env)
    if route.to == "autopilot" and route.audited:
        return [_row(case, "audit", _group(route, control), 1, (), control, env)]
    return []


def _first_rows(case: Case, route: Route, control: Control, env: Env) -> list[Event]:
    """The rows a human route opens; the arbiter decides alone where the group has too few eligible people."""
    group, arbiter = _group(route, control), route.quorum.arbiter or control.settings.quorum.arbiter
    people = eligibility.available(case, group, control.settings, ())
    if people is not None and people < route.quorum.answers and arbiter:
        return [_row(case, "arbiter", arbiter, 1, (), control, env)]
    count = 1 if route.quorum.ordered else route.quorum.asked
    return [_row(case, "decide", group, 1, (), control, env) for _ in range(count)]


def _group(route: Route, control: Control) -> str:
    return route.group or control.settings.group


def _row(
    case: Case,
    kind: ReviewKind,
    group: str,
    round_: int,
    excludes: tuple[str, ...],
    control: Control,
    env: Env,
) -> ReviewOpened:
    promise = control.settings.response_time or HOUR
    risk = case.route.risk if case.route else None
    weight = max(4.0 * risk_number(risk), 1.0)
    return ReviewOpened(
        review_id=env.new_id(), review=kind, group=group, round=round_, opened_at=env.now,
        order_at=env.now + int(promise / weight), due_at=case.due_at, excludes=excludes,
    )  # fmt: skip


def _after_answer(case: Case, event: Answered, control: Control, env: Env) -> list[Event]:
    review = case.review(event.review_id)
    if review is None:
        return []
    if review.kind in BESIDE or case.concluded is not None:
        said = case.answer(review.id)
        return [Audited(review_id=review.id, review=review.kind, verdict=said.verdict, wrong=quorum.wrong(case, said))]
    standing = quorum.standing(case)
    if standing.settled_by is not None:
        return [_decided(case, standing, control, env)]
    if standing.dispute:
        return _arbiter(case, control, env)
    return _next_votes(case, control, env)


def _decided(case: Case, standing: quorum.Standing, control: Control, env: Env) -> Decided:
    source = standing.source
    undo = microseconds(control.settings.undo) or 0
    return Decided(
        verdict=source.verdict if source else case.answers[-1].verdict,
        answers=standing.answers,
        settled_by=standing.settled_by or "",
        effective_at=env.now + undo,
        wrong=quorum.wrong(case, source) if source else None,
        source=source.review_id if source else None,
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
    count = 1 if route.quorum.ordered else lacking
    edited = any(a.verdict == "edit" for a in case.answered)
    kind: ReviewKind = "second" if edited and route.quorum.asked > _asked_at_first(case) else "decide"
    return [
        _row(case, kind, _group(route, control), 1 + len(votes), _workers(case), control, env) for _ in range(count)
    ]


def _asked_at_first(case: Case) -> int:
    return len([r for r in case.reviews if r.kind == "decide" and r.state != "passed" and r.state != "cancelled"])


def _arbiter(case: Case, control: Control, env: Env) -> list[Event]:
    if any(r.kind == "arbiter" and r.state in ("open", "claimed") for r in case.reviews):
        return []
    route = case.route
    group = (route.quorum.arbiter if route else None) or control.settings.quorum.arbiter
    group = group or (_group(route, control) if route else control.settings.group)
    return [_row(case, "arbiter", group, 1 + max(r.round for r in case.reviews), _workers(case), control, env)]


def _escalated(case: Case, event: TimedOut, control: Control, env: Env) -> list[Event]:
    if event.how != "escalate":
        return []
    route = case.route
    group = (route.quorum.arbiter if route else None) or control.settings.quorum.arbiter
    if group is None:
        return []
    return [
        _row(
            case,
            "arbiter",
            group,
            1 + max((r.round for r in case.reviews), default=0),
            _workers(case),
            control,
            env,
        )
    ]


def reopened(case: Case, review: Review, person: str, to: str | None, control: Control, env: Env) -> ReviewOpened:
    """The row that takes the place of a passed one: another person, and another group when escalated."""
    excludes = tuple(dict.fromkeys((*review.excludes, *_workers(case), person)))
    arbiter = (case.route.quorum.arbiter if case.route else None) or control.settings.quorum.arbiter
    groups = [to] if to else list(dict.fromkeys([review.group, arbiter or review.group]))
    group = next((g for g in groups if _somebody(case, review, g, excludes, control)), None)
    if group is None:
        raise EscalationError(f"nobody else in {' or '.join(groups)} may take this review of case {case.id}")
    return _row(case, review.kind, group, review.round, excludes, control, env)


def _somebody(case: Case, review: Review, group: str, excludes: tuple[str, ...], control: Control) -> bool:
    """Whether a group has a person left for one more row, beside those that its waiting rows will take."""
    people = eligibility.available(case, group, control.settings, excludes)
    waiting = [r for r in case.reviews if r.id != review.id and r.group == group and r.state in WAITING]
    return people is None or people > len(waiting)


def _workers(case: Case) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.person for r in case.reviews if r.person and r.state in ("answered", "passed")))


def _no_longer_needed(case: Case, event: Decided | Concluded, control: Control, env: Env) -> list[Event]:
    open_rows = [r for r in case.reviews if r.state in WAITING and r.kind not in BESIDE]
    return [_cancelled(r, "decided" if case.settled else "over") for r in open_rows]


def _forgotten(case: Case, event: Erased, control: Control, env: Env) -> list[Event]:
    return [_cancelled(r, "erased") for r in case.reviews if r.kind in BESIDE and r.state in WAITING]


def _cancelled(review: Review, reason: str) -> ReviewCancelled:
    return ReviewCancelled(review_id=review.id, reason=reason)


# What the review stage adds to what just happened.
REACTIONS: dict[type[Event], Callable[[Case, Any, Control, Env], list[Event]]] = {
    Routed: _opened_by_route,
    Answered: _after_answer,
    TimedOut: _escalated,
    Decided: _no_longer_needed,
    Concluded: _no_longer_needed,
    Erased: _forgotten,
}
