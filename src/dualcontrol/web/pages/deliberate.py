"""What makes an answer on a page a deliberate act: time to see the case, and a second act where the risk is high.

A page says in its forms when it was served, signed for this claim and session.  A verdict that comes back within the
loop's dead time was given by a hand, not by somebody who has read: it is not taken, and the page is shown again.  The
page's own script does the same from the moment of painting on; this is what holds without it.

Where the risk is high a verdict is said back in full and asked for once more, on a page of its own with a dead time of
its own, so that neither a double click nor a held key is the second act.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.datastructures import FormData

from dualcontrol.case import ENCODER, JSON, Candidate, Case, is_high
from dualcontrol.control import PAGE, Control
from dualcontrol.desk import Claim
from dualcontrol.errors import TooSoonError
from dualcontrol.review.view import as_seen, proposal_for
from dualcontrol.route import reroute
from dualcontrol.web.access import Access, Visitor
from dualcontrol.web.show import diff, words
from dualcontrol.web.show.content import Look

# One key or one click says these; a rejection and an escalation are opened first and sent then.
ACTS = {name: spec.act for name, spec in words.SPECS.items() if spec.act is not None}
OURS = ("csrf", "served", "confirmed", "loop", "verdict")
STEPS = (150, 400, 1000)  # milliseconds for which the stylesheet knows a class


def proof(access: Access, visitor: Visitor, claim: Claim, now: int) -> dict[str, str]:
    """What a form of this page brings back: whose it is, and when it was shown."""
    csrf = access.csrf(visitor) if visitor.session else ""
    return {"csrf": csrf, "served": access.stamp(visitor, f"served/{claim.id}", now)}


def check_seen(access: Access, visitor: Visitor, claim: Claim, form: FormData, control: Control) -> None:
    """Refuse what came before anybody could have seen the page; `TooSoonError` says how long that takes."""
    served = access.stamped(visitor, f"served/{claim.id}", str(form.get("served", "")))
    if served is None:
        raise TooSoonError("the answer does not say which page it was given on")
    passed = claim.desk.steps.now() - served
    if passed < control.settings.dead:
        after = f"{max(passed, 0) // 1000} ms after the page was shown"
        raise TooSoonError(
            f"that came {after}; {control.settings.dead // 1000} ms have to pass before an answer counts"
        )


def asks_again(claim: Claim, verdict: str, value: JSON, control: Control) -> bool:
    """Whether a verdict takes a second act: the risk that this reviewer sees is high, or that of the edited action."""
    if verdict not in ACTS:
        return False
    case, _ = as_seen(claim.case, claim.review)
    risks = [case.risk, case.route.risk if case.route else None]
    if verdict == "edit" and case.action is not None:
        edited = Candidate(id="edit", action=value["action"], value=value["args"])
        risks.append(reroute(claim.case, edited, control).risk)
    return any(is_high(risk) for risk in risks)


def about(claim: Claim, verdict: str, value: JSON, said: Mapping[str, Any]) -> str:
    """What a second act is about, as the name of its stamp: the very answer, to the letter."""
    whole = hashlib.sha256(ENCODER.encode([verdict, value, dict(said)])).hexdigest()
    return f"confirmed/{claim.id}/{whole}"


def confirming(
    claim: Claim, verdict: str, value: JSON, form: FormData, control: Control, look: Look
) -> dict[str, Any]:  # fmt: skip
    """What the page of the second act shows: what happens, in words and in full."""
    case, review = as_seen(claim.case, claim.review)
    undo = 0 if verdict == "abstain" or review.beside else control.settings.undo_for(PAGE)
    action, shown = _what(claim, case, verdict, value)
    return {
        "act": ACTS[verdict], "happens": _happens(case, verdict), "action": action, "shown": shown,
        "changes": _changes(case, value, look) if verdict == "edit" else diff.Changes(), "fields": list(_carried(form)),
        "rationale": str(form.get("rationale", "")).strip(), "followers": review.followers,
        "undo": words.duration(undo) if undo >= words.SECOND else "",
    }  # fmt: skip


def _happens(case: Case, verdict: str) -> str:
    """What follows from the verdict, in one sentence."""
    if verdict == "abstain":
        return "You decide nothing, and somebody else is asked."
    if verdict == "respond":
        return "The program gets this in the AI's place" + ("; the action does not run." if case.action else ".")
    if words.SPECS[verdict].runs and case.action is not None:
        return "This runs, as it stands here:"
    return "This is recorded, and the program goes on with it:"


def _what(claim: Claim, case: Case, verdict: str, value: JSON) -> tuple[str | None, JSON]:
    """Action and value that the verdict stands for, as they would be run or recorded."""
    if verdict == "approve":
        proposal = proposal_for(case, claim.review)
        return (proposal.action, proposal.value) if proposal is not None else (None, None)
    if verdict == "edit" and case.action is not None:
        return value["action"], value["args"]
    if verdict == "prefer":
        return None, _order(claim, value)
    if verdict == "respond" and set(value) == {"text"}:
        return None, value["text"]
    return None, value


def _order(claim: Claim, value: JSON) -> str:
    """A preference by the numbers under which the candidates stand on the page."""
    number = {str(c["id"]): str(place) for place, c in enumerate(claim.view["candidates"], 1)}
    ranks = [" and ".join(number[i] for i in tie) for tie in value["ranking"]]
    order = ", then ".join(ranks) if len(ranks) > 1 else f"{''.join(ranks)} equally good" if ranks else ""
    bad = " and ".join(number[i] for i in value["rejected"])
    return "; ".join(part for part in (order, f"{bad} bad" if bad else "") if part)


def _changes(case: Case, value: JSON, look: Look) -> diff.Changes:
    """What an edit changes, field by field."""
    before = case.proposed_value()
    if case.action is not None and value["action"] == case.action:
        return diff.changes(before["args"], value["args"], look)
    return diff.changes(before, value, look)


def _carried(form: FormData) -> Iterator[tuple[str, str]]:
    """The fields of the first act, to be sent again with the second."""
    return ((name, str(value)) for name, value in form.multi_items() if name not in OURS)


def step_of(dead: int) -> int:
    """The class of the stylesheet for a dead time: the longest that is not longer."""
    return max((step for step in STEPS if step * 1000 <= dead), default=STEPS[0])
