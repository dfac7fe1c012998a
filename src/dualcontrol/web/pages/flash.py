"""What was just decided, read from the case itself: nothing to store, nothing to go stale."""

from __future__ import annotations

from typing import Any

from dualcontrol.case import Answer, Case
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError
from dualcontrol.names import same
from dualcontrol.review.blind import seen_by
from dualcontrol.web.deps import governing
from dualcontrol.web.show import titles, words


def flash(desk: Desk, case_id: str | None, person: str) -> dict[str, Any] | None:
    """What this person last did to a case, with the way back while there is one."""
    if not case_id:
        return None
    try:
        case = desk.case(case_id)
    except DualcontrolError:
        return None
    given = next((a for a in reversed(case.answers) if same(a.actor.person, person)), None)
    seen = seen_by(case, person, governing(desk, case.loop).settings)
    return {
        "case": case.id, "title": titles.title(seen.case), "said": _said(case, given, person),
        "undo_until": undo_until(desk, case, given),
    }  # fmt: skip


def undo_until(desk: Desk, case: Case, given: Answer | None) -> int | None:
    """Until when an answer may be taken back, or None."""
    settled = case.settled
    if given is None or settled is None or case.concluded is not None or given.review_id not in settled.answers:
        return None
    return settled.effective_at if settled.effective_at > desk.steps.now() else None


def _said(case: Case, given: Answer | None, person: str) -> str:
    if given is None:
        passed = any(same(r.person, person) and r.state == "passed" for r in case.reviews)
        return "Passed on" if passed else "Given back"
    said = words.VERDICTS[given.verdict]
    if given.verdict == "label":
        return f"{said} {words.brief(given.value, 40)}"
    return said
