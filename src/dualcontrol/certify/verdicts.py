"""What people found a proposal to be: right, wrong, not said yet, or never to be said."""

from __future__ import annotations

from dualcontrol.case import Case

PENDING, MISSING = "pending", "missing"


def found(case: Case) -> int | str:
    """0 or 1 where a label stands, `PENDING` while one may come, `MISSING` where none will."""
    if case.route is None:
        return PENDING
    if case.route.to == "autopilot":
        return _audited(case)
    if case.concluded is None:
        return PENDING
    if case.concluded.by != "human" or case.settled is None or case.settled.wrong is None:
        return MISSING
    return case.settled.wrong


def _audited(case: Case) -> int | str:
    said = next((row for row in case.audits if row["kind"] == "audit"), None)
    if said is not None:
        return MISSING if said["wrong"] is None else int(said["wrong"])
    waiting = any(r.kind == "audit" and r.state in ("open", "claimed", "answered") for r in case.reviews)
    return PENDING if waiting else MISSING
