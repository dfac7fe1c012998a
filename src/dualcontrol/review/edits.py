"""Edits: an edited action is routed again, and needs the approvals that it would have needed as a proposal."""

from __future__ import annotations

from dualcontrol.case import JSON, Answer, Candidate, Case, Quorum, Review, Route, risk_number
from dualcontrol.control import Control, Env
from dualcontrol.errors import BlockedError
from dualcontrol.events import Event, Recalled, Rerouted, real
from dualcontrol.people import belongs
from dualcontrol.review import quorum
from dualcontrol.review.quorum import Votes
from dualcontrol.review.rows import WAITING, arbitration, first, group_of, seats


def rerouted(case: Case, value: JSON, control: Control, env: Env) -> Route | None:
    """The route of an edited action if that is to people, else None; `BlockedError` where it is blocked."""
    if env.reroute is None or case.action is None or not isinstance(value, dict) or "args" not in value:
        return None
    if value["action"] == case.action and not control.settings.rules:
        return None
    route = env.reroute(case, Candidate(id="edit", action=value["action"], value=value["args"]), control)
    if route.to == "block":
        raise BlockedError(f"the edited action is blocked: {route.reason}", by=route.by)
    return route if route.to == "human" else None


def outstanding(case: Case, wanted: Route, control: Control) -> bool:
    """Whether a decision lacks approvals that a route asks for now: too few people agreed, or the wrong ones.

    Where the route in force demands the same, what its quorum or its arbiter settled is settled.
    """
    if case.settled is None:
        return False
    if _same(case, wanted, control) and (case.recalled_after is None or case.settled.settled_by == "arbiter"):
        return False
    source = next((a for a in case.answers if a.review_id == case.settled.source), None)
    return source is None or _agreed(case, source, wanted, control) < _needed(wanted.quorum)


def _agreed(case: Case, source: Answer, wanted: Route, control: Control) -> int:
    """How many people of the group that a route asks agree with `source`, in this case or in its leader."""
    group = wanted.group or control.settings.group
    shape = quorum.shape(case, source)
    elsewhere = [a for a in case.answers if case.review(a.review_id) is None and quorum.shape(case, a) == shape]
    counting = [a for a in elsewhere if belongs(a.actor.person, group, control)]
    return len(_voices(case, source, group, control, strictly=True)) + len(counting)


def recalled(case: Case, event: Recalled, control: Control, env: Env) -> list[Event]:
    """Open the missing reviews after a recall: of an edit as second readings, else of the proposal."""
    if not case.answered:
        return first(case, control, env)
    return _asked_again(case, case.answer(event.about or case.answered[-1].review_id), control, env)


def decided_risk(case: Case, source: Answer | None, control: Control, env: Env) -> str | float | None:
    """The risk at which answers decide: that of the case, or that of the edit which they settled on."""
    before = case.route.risk if case.route else None
    wanted = rerouted(case, _edit(case, source), control, env) if source is not None else None
    return wanted.risk if wanted is not None and risk_number(wanted.risk) > risk_number(before) else before


def more(case: Case, votes: Votes, control: Control, env: Env) -> list[Event] | None:
    """Who else must agree to the edit that the answers settled on; None when nobody must, and it may be decided."""
    source, route, by_arbiter = votes.source, case.route, votes.settled_by == "arbiter"
    if source is None:
        return None
    wanted = rerouted(case, _edit(case, source), control, env)
    # What was recalled before its effect began may still lack people whom the route asks for since.
    recalled_route = route if case.recalled_after is not None and not by_arbiter else None
    if recalled_route and _agreed(case, source, recalled_route, control) < _needed(recalled_route.quorum):
        return _asked_again(case, source, control, env)
    if wanted is None:
        return None
    # Under a route that demands the same, what its quorum or its arbiter settled is settled.
    again, same = quorum.asked_again(case), _same(case, wanted, control)
    if same and (again is None or by_arbiter):
        return None
    if len(_voices(case, source, wanted.group, control)) >= _needed(wanted.quorum):
        return None
    if again is not None and again.about == source.review_id and same:
        return _asked(case, source, wanted.quorum, control, env)
    reason = f"the edit asks for {_needed(wanted.quorum)} of group {wanted.group or control.settings.group!r}"
    return [
        Rerouted(
            by=wanted.by, reason=reason if route is not None and route.by == wanted.by else wanted.reason,
            group=wanted.group, quorum=wanted.quorum, risk=real(wanted.risk), about=source.review_id,
        )
    ]  # fmt: skip


def _asked_again(case: Case, source: Answer, control: Control, env: Env) -> list[Event]:
    """The missing reviews: of an edit as second readings, else of the proposal; none while some are open."""
    route = case.route
    if _edit(case, source) is not None and case.review(source.review_id) is not None:
        return _asked(case, source, route.quorum if route else Quorum(), control, env)
    if route is None or any(r.state in WAITING and r.kind in quorum.COUNTING for r in case.reviews):
        return []
    lacking = max(route.quorum.asked - _agreed(case, source, route, control), 1)
    rows = 1 if route.quorum.ordered else lacking
    return seats(case, "decide", control, env, rows=rows, people=lacking, settling=lacking)


def seconds(case: Case, event: Rerouted, control: Control, env: Env) -> list[Event]:
    """The second readings that an edit demands."""
    source = next((a for a in case.answered if a.review_id == event.about), None)
    return [] if source is None else _asked(case, case.answer(source.review_id), event.quorum, control, env)


def _edit(case: Case, answer: Answer) -> JSON:
    """The edited action that an answer stands for; None for every other answer."""
    if answer.verdict == "edit":
        return answer.value
    content = case.content.get(f"answer/{answer.review_id}") or {}
    return content.get("approved") if answer.verdict == "approve" else None


def _same(case: Case, wanted: Route, control: Control) -> bool:
    """Whether the route in force demands the very same."""
    route = case.route
    return route is not None and wanted.quorum == route.quorum and wanted.group == group_of(route, control)


def _needed(asked: Quorum) -> int:
    """How many must agree: all, more than half, or the number named."""
    if isinstance(asked.settle, int):
        return asked.settle
    return asked.answers // 2 + 1 if asked.settle == "majority" else asked.answers


def _voices(
    case: Case, source: Answer, group: str | None, control: Control, *, strictly: bool = False
) -> list[Review]:  # fmt: skip
    """The answered rows that say the same as `source` and count for a group.

    For the loop's own group anybody's answer counts, for another one only its members'.  Strictly, the loop's own is no
    exception, since it may be another by now than the one that was asked; whoever was asked after the outcome was taken
    back was asked for it.
    """
    settings, again, shape = control.settings, quorum.asked_again(case), quorum.shape(case, source)
    group = group or settings.group
    strictly = strictly or case.recalled_after is not None
    asked_since = case.reviews[case.recalled_after :] if case.recalled_after is not None else ()
    about = again.about if again is not None and again.about == source.review_id else None

    def counts(review: Review) -> bool:
        if (about and review.about == about and review.after) or review.group == group or review in asked_since:
            return True
        if group == settings.group and not strictly:
            return True
        return (strictly or control.members(group) is not None) and belongs(review.person, group, control)

    agreeing = [r for r in case.reviews if r.state == "answered" and r.kind in quorum.COUNTING]
    return [r for r in agreeing if quorum.shape(case, case.answer(r.id)) == shape and counts(r)]


def _asked(case: Case, source: Answer, asked: Quorum, control: Control, env: Env) -> list[Event]:
    """The second readings still missing; an arbitration when all were asked and too few agree."""
    group = group_of(case.route, control)
    before = [r for r in _voices(case, source, group, control) if r.about != source.review_id]
    rows = [r for r in case.reviews if r.about == source.review_id and r.state in (*WAITING, "answered")]
    waiting = any(r.state in WAITING for r in rows)
    lacking = asked.asked - len(before) - len(rows)
    if waiting and (asked.ordered or lacking <= 0):
        return []
    if lacking <= 0:
        return arbitration(case, control, env)
    settling = max(_needed(asked) - len(before) - len(rows), 1)
    return seats(
        case, "second", control, env, rows=1 if asked.ordered else lacking, people=lacking, settling=settling,
        about=source.review_id,
    )  # fmt: skip
