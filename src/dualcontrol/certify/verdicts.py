"""What people found a proposal to be: right, wrong, not said yet, or never to be said."""

from __future__ import annotations

from dualcontrol.case import Case
from dualcontrol.control import Control
from dualcontrol.review import adjudication

PENDING, MISSING = "pending", "missing"
AWAITED = ("open", "claimed")


def found(case: Case, control: Control, *, alone: bool = False) -> int | str:
    """0 or 1 where a label stands, `PENDING` while one may come, `MISSING` where none will.

    Where one reviewer is `alone`, nobody can be asked again, and the first word counts.
    """
    if case.route is None or case.concluded is None:
        return PENDING
    if case.route.to == "human" and case.concluded.by != "human":
        return MISSING  # its time ran out, or the program did not want it any more
    if any(r.kind == "audit" and r.state in AWAITED for r in case.reviews):
        return PENDING
    said = adjudication.verdict(case, control)
    if said.state == "pending":
        return 1 if alone else PENDING
    return MISSING if said.wrong is None else said.wrong
