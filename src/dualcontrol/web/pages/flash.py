"""What was just decided, read from the case itself: nothing to store, nothing to go stale."""

from __future__ import annotations

from typing import Any

from dualcontrol.case import Answer, Case
from dualcontrol.control import LoopSettings
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError
from dualcontrol.names import same
from dualcontrol.review.view import seen_by
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
    settings = desk.governing(case.loop).settings
    until = undo_until(case, given, settings)
    return {
        "case": case.id, "title": titles.title(seen_by(case, person, settings).case),
        "said": _said(case, given, person), "undo_until": until if until and until > desk.steps.now() else None,
    }  # fmt: skip


def undo_until(case: Case, given: Answer | None, settings: LoopSettings) -> int | None:
    """Until when an answer may be taken back: while it settles nothing yet, for its own time; None where it counts."""
    if given is None or case.concluded is not None:
        return None
    if case.settled is None:
        return given.at + settings.undo_for(given.actor.via)
    return case.settled.effective_at if given.review_id in case.settled.answers else None


def _said(case: Case, given: Answer | None, person: str) -> str:
    if given is None:
        passed = any(same(r.person, person) and r.state == "passed" for r in case.reviews)
        return "Passed on" if passed else "Given back"
    said = words.VERDICTS[given.verdict]
    if given.verdict == "label":
        return f"{said} {words.brief(given.value, 40)}"
    return said
