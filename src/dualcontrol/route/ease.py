"""What relief does to one route: a case joins one that asks the same, may wait longer, is held, or is answered safely.

Only routes to people are touched, never those of a high risk, and none is shed or put off unless somebody said that
the risk is low.  No route leads to autopilot from here, and what a case gets at the end is never more than its loop
declared for a case that nobody answers.
"""

from __future__ import annotations

from msgspec.structs import replace

from dualcontrol.case import RELIEF_TIMES, Case, Route, is_high, is_low
from dualcontrol.control import Control
from dualcontrol.route.capacity import JOINED, LATER, SHED

BUSY = "people are asked for more than they can answer in time"


def eased(found: Route, control: Control, now: int, leader: Case | None = None) -> Route:
    """The route under the relief in force; `leader` is an older case that asks the same, where there is one."""
    if control.relief < JOINED or found.to != "human":
        return found
    later = control.relief >= LATER and is_low(found.risk)
    if leader is not None and joins(found, leader, now):
        return _joined(_later(found, now) if later else found, leader)
    if not later:
        return found
    return _later(found, now) if control.relief < SHED else _shed(found)


def joins(found: Route, leader: Case, now: int) -> bool:
    """Whether a case with this route may be settled with another that waits, unseen, for the same people.

    What they are asked was compared when the leader was looked for; a high risk is always asked about by itself.
    """
    asked, due_at = leader.route, leader.due_at
    if asked is None or is_high(found.risk) or (due_at is not None and due_at <= now):
        return False
    waits = leader.state == "open" and leader.leader is None and not leader.erased and leader.read_only is None
    live = (leader.kind, leader.origin, asked.to) == ("live", "live", "human")
    same = (asked.group, asked.quorum, asked.risk) == (found.group, found.quorum, found.risk)
    return waits and live and same and bool(leader.reviews) and all(r.state == "open" for r in leader.reviews)


def _joined(found: Route, leader: Case) -> Route:
    reason = (
        f"{found.reason}; the same question as case {leader.id}, which waits already; its answer will count for both"
    )
    return replace(found, reason=reason, relief="joined")


def _later(found: Route, now: int) -> Route:
    times = RELIEF_TIMES["later"]
    due_at = None if found.due_at is None else now + times * (found.due_at - now)
    reason = f"{found.reason}; {BUSY}, so it may wait {times} times as long"
    return replace(found, due_at=due_at, reason=reason, relief="later")


def _shed(found: Route) -> Route:
    """The safe answer is no where the loop declares an end without people, else it waits until they have time."""
    if found.on_timeout in ("reject", "autopilot"):
        reason = f"{found.reason}; {BUSY}, so the answer is no"
        return replace(found, by="relief", reason=reason, due_at=None, on_timeout="reject", relief="reject")
    reason = f"{found.reason}; {BUSY}, so it is held until they have time"
    return replace(found, by="relief", reason=reason, due_at=None, on_timeout="hold", relief="hold")
