"""Examples: a row for learning each time a human settles something, with its inclusion probability."""

from __future__ import annotations

from collections.abc import Sequence

from dualcontrol.case import Case, Example
from dualcontrol.control import Control, Env
from dualcontrol.events import Audited, Concluded, Event

KINDS = {
    "label": "label",
    "prefer": "preference",
    "edit": "edit",
    "respond": "demonstration",
    "approve": "approval",
    "reject": "rejection",
}


def rows(case: Case, events: Sequence[Event], control: Control, env: Env) -> list[Example]:
    """The example rows that these events make: one for a human decision, one for each audit."""
    made: list[Example] = []
    for event in events:
        if isinstance(event, Concluded) and event.by == "human" and case.settled is not None:
            made.append(_row(case, control, event.verdict or "", case.settled.wrong, env))
        elif isinstance(event, Audited) and event.verdict in KINDS:
            made.append(_row(case, control, event.verdict, event.wrong, env))
    return made


def _row(case: Case, control: Control, verdict: str, wrong: int | None, env: Env) -> Example:
    route = case.route
    return Example(
        case_id=case.id,
        loop_id=control.loop_id,
        epoch=route.epoch if route else 0,
        kind=KINDS.get(verdict, verdict),
        verdict=verdict,
        wrong=wrong,
        bin=route.bin if route else None,
        score=case.confidence,
        inclusion=route.inclusion if route else 1.0,
        at=env.now,
    )
