"""Duplicate cases: a follower is settled with the leader that it was joined to, or reviewed by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from dualcontrol.case import Case, Content
from dualcontrol.commands import Follow, JoinCase
from dualcontrol.control import Control, Env
from dualcontrol.errors import BlockedError
from dualcontrol.events import Answered, Decided, Event, Joined, Parted, ReviewOpened, real
from dualcontrol.review.edits import rerouted
from dualcontrol.review.rows import first
from dualcontrol.review.values import canonical

ENDS = {"withdrawn": "was withdrawn", "timeout": "was not answered in time", "autopilot": "was not decided by a human"}


def alike(count: int) -> str:
    """The sentence that tells a reviewer how many duplicates an answer counts for as well."""
    if count == 1:
        return "1 more case asks the same; your answer counts for both"
    return f"{count:,} more cases ask the same; your answer counts for all of them"


def join(case: Case, command: JoinCase, control: Control, env: Env) -> list[Event]:
    """Record at the leader that a duplicate was joined to it."""
    return [Joined(follower=command.follower, at=env.now)]


def follow(case: Case, command: Follow, control: Control, env: Env) -> list[Event]:
    """Apply a concluded leader's decision to a follower; where it holds for the leader alone, part them.

    The answers that settled the leader are recorded as they were given; their content is sealed anew.
    """
    leader = env.facts.leader
    if case.state != "open" or leader is None or leader.id != case.leader or leader.concluded is None:
        return []
    why, settled = _without(case, leader, control, env), leader.settled
    if why is not None or settled is None:
        reason = f"{case.route.reason if case.route else ''}; but that case {why}, so this one is asked by itself"
        return [Parted(leader=leader.id, at=env.now, reason=reason)]
    answers = [
        Answered(
            review_id=a.review_id, actor=a.actor, verdict=a.verdict, at=a.at, reasons=a.reasons, shown=a.shown,
            confidence=real(a.confidence), presented=a.presented, seconds=real(a.seconds), until=a.until,
            content=Content({f"answer/{a.review_id}": leader.content.values[f"answer/{a.review_id}"]}),
        )
        for a in leader.answered if a.review_id in settled.answers
    ]  # fmt: skip
    decided = Decided(
        verdict=settled.verdict, answers=settled.answers, settled_by=settled.settled_by, effective_at=env.now,
        wrong=settled.wrong, source=settled.source, risk=real(settled.risk), until=settled.until,
    )  # fmt: skip
    return [*answers, decided]


def _without(case: Case, leader: Case, control: Control, env: Env) -> str | None:
    """Why a leader's outcome does not apply to a follower; None where it does."""
    if leader.erased:
        return "was erased"
    if leader.settled is None or leader.concluded is None or leader.concluded.by != "human":
        return ENDS.get(leader.concluded.by if leader.concluded else "", "ended otherwise")
    value = leader.resolved_value()
    if canonical(value) == canonical(case.proposed_value()):
        return None
    # An edited action may ask for other people here than there: the signal of a case counts, which may differ.
    other = "was answered with what other people have to agree to here"
    try:
        here, there = (rerouted(of, value, control, env) for of in (case, leader))
    except BlockedError:
        return other
    same = (here and (here.group, here.quorum)) == (there and (there.group, there.quorum))
    return None if same else other


def _by_itself(case: Case, event: Parted, control: Control, env: Env) -> list[Event]:
    """Open a parted follower's own reviews, at the place in the queue that they would have had from the start."""
    waited = env.now - case.opened_at
    rows = first(case, control, env)
    return [replace(e, order_at=max(e.order_at - waited, 0)) if isinstance(e, ReviewOpened) else e for e in rows]


REACTIONS: dict[type[Event], Callable[[Case, Any, Control, Env], list[Event]]] = {Parted: _by_itself}
