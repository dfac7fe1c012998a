"""What relief does to one route: a case of low risk may wait longer, is held, or gets the loop's safe answer.

Only routes to people are touched, and only where somebody said that the risk is low.  No route leads to autopilot
from here, and what a case gets at the end is never more than its loop declared for a case that nobody answers.
"""

from __future__ import annotations

from msgspec.structs import replace

from dualcontrol.case import RELIEF_TIMES, Route, is_low
from dualcontrol.control import Control
from dualcontrol.route.capacity import LATER, SHED

BUSY = "people are asked for more than they can answer in time"


def eased(found: Route, control: Control, now: int) -> Route:
    """The route under the relief in force."""
    if control.relief < LATER or found.to != "human" or not is_low(found.risk):
        return found
    return _later(found, now) if control.relief < SHED else _shed(found)


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
