"""What an edited action demands: the people it would have needed had it been proposed, before it is decided."""

from __future__ import annotations

from dualcontrol.case import JSON, Answer, Candidate, Case, Quorum, Review, Route
from dualcontrol.control import Control, Env, LoopSettings
from dualcontrol.errors import BlockedError
from dualcontrol.events import Event, Rerouted, real
from dualcontrol.review import quorum
from dualcontrol.review.quorum import Standing
from dualcontrol.review.seats import WAITING, arbitration, group_of, seats


def rerouted(case: Case, value: JSON, control: Control, env: Env) -> Route | None:
    """The route of an edited action where it goes to people; a block is refused.  None where nothing is demanded."""
    if env.reroute is None or case.action is None or not isinstance(value, dict) or "args" not in value:
        return None
    if value["action"] == case.action and not control.settings.rules:
        return None
    route = env.reroute(case, Candidate(id="edit", action=value["action"], value=value["args"]), control)
    if route.to == "block":
        raise BlockedError(f"the edited action is blocked: {route.reason}", by=route.by)
    return route if route.to == "human" else None


def more(case: Case, standing: Standing, control: Control, env: Env) -> list[Event] | None:
    """Who else must agree to the edit that the answers settled on; None when nobody must, and it may be decided."""
    source = standing.source
    wanted = rerouted(case, _edit(case, source), control, env) if source is not None else None
    if source is None or wanted is None or _met(case, standing, source, wanted, control):
        return None
    again = quorum.asked_again(case)
    if again is not None and again.about == source.review_id and _same(case, wanted, control):
        return _asked(case, source, wanted.quorum, control, env)
    return [_tightened(case, source, wanted, control)]


def seconds(case: Case, event: Rerouted, control: Control, env: Env) -> list[Event]:
    """The rows in which the people whom an edit demands are asked about it."""
    source = next((a for a in case.answered if a.review_id == event.about), None)
    return [] if source is None else _asked(case, case.answer(source.review_id), event.quorum, control, env)


def _edit(case: Case, answer: Answer) -> JSON:
    """The edited action that an answer stands for; None for every other answer."""
    if answer.verdict == "edit":
        return answer.value
    said = case.content.get(f"answer/{answer.review_id}") or {}
    return said.get("approved") if answer.verdict == "approve" else None


def _same(case: Case, wanted: Route, control: Control) -> bool:
    """Whether the route in force demands the very same."""
    route = case.route
    return route is not None and wanted.quorum == route.quorum and wanted.group == group_of(route, control)


def _met(case: Case, standing: Standing, source: Answer, wanted: Route, control: Control) -> bool:
    """Whether as many of the people demanded as must agree have said the very same.

    Under a route that demands the same, what its quorum or its arbiter settled is settled.
    """
    again = quorum.asked_again(case)
    if _same(case, wanted, control) and (again is None or standing.settled_by == "arbiter"):
        return True
    return len(_voices(case, source, wanted.group, control)) >= _needed(wanted.quorum)


def _needed(asked: Quorum) -> int:
    """How many must agree: all, more than half, or the number named."""
    if isinstance(asked.settle, int):
        return asked.settle
    return asked.answers // 2 + 1 if asked.settle == "majority" else asked.answers


def _voices(case: Case, source: Answer, group: str | None, control: Control) -> list[Review]:
    """The answered rows that say the same as `source` and count for a group."""
    said = quorum.shape(case, source)
    settings, again = control.settings, quorum.asked_again(case)
    about = again.about if again is not None and again.about == source.review_id else None
    agreeing = [r for r in case.reviews if r.state == "answered" and r.kind in quorum.COUNTING]
    agreeing = [r for r in agreeing if quorum.shape(case, case.answer(r.id)) == said]
    return [
        r
        for r in agreeing
        if (about and r.about == about and r.after) or _speaks_for(r, group or settings.group, settings)
    ]


def _speaks_for(review: Review, group: str, settings: LoopSettings) -> bool:
    """Whether an answer counts for a group: anybody's for the loop's own, for another one only its members'."""
    if group in (settings.group, review.group):
        return True
    members = settings.members(group)
    return members is not None and review.person in members


def _tightened(case: Case, source: Answer, wanted: Route, control: Control) -> Rerouted:
    said_before = case.route is not None and case.route.by == wanted.by
    reason = f"the edit asks for {_needed(wanted.quorum)} of group {wanted.group or control.settings.group!r}"
    return Rerouted(
        by=wanted.by, reason=reason if said_before else wanted.reason, group=wanted.group, quorum=wanted.quorum,
        risk=real(wanted.risk), about=source.review_id,
    )  # fmt: skip


def _asked(case: Case, source: Answer, asked: Quorum, control: Control, env: Env) -> list[Event]:
    """Rows for those still to be asked about the edit; the arbiter's when all were asked and too few agree."""
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
