"""A case folded from its entries again, against the snapshot in its row."""

from __future__ import annotations

from collections.abc import Iterator

from dualcontrol.case import ENCODER, Case
from dualcontrol.doctor.finding import PROBLEM, WARNING, Finding
from dualcontrol.doctor.stored import KEEP, UNREADABLE
from dualcontrol.events import Entry, fold

NEWER = "Upgrade dualcontrol; until then the case cannot be changed."


def folded(case: Case, entries: list[Entry]) -> tuple[Case | None, list[Finding]]:
    """The case that its entries make, and what is wrong with them or with its row."""
    again: Case | None = None
    if not entries:
        return None, [Finding("evidence", PROBLEM, f"case {case.id} has a row and no entries", KEEP, case.id)]
    for entry in entries:
        try:
            again = fold(again, entry.events, seq=entry.seq)
        except UNREADABLE as error:
            what = f"entry {entry.seq} of case {case.id} does not follow from those before: {error}"
            return None, [Finding("evidence", PROBLEM, what, KEEP, case.id, entry.seq)]
    return again, list(_unlike(again, case))


def _unlike(again: Case | None, case: Case) -> Iterator[Finding]:
    """Whether the entries of a case, folded, are its row."""
    if again is not None and again.seq != case.seq:
        what = f"case {case.id} is at entry {case.seq}, its stream ends at {again.seq}"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id, again.seq)
    elif again is not None and again.read_only and not case.read_only:
        yield unknown(case, again.read_only)  # what a newer version made of it, this one cannot compare
    elif again is not None and ENCODER.encode(again) != ENCODER.encode(case):
        fields = ", ".join(f for f in Case.__struct_fields__ if _differs(getattr(again, f), getattr(case, f)))
        what = f"the row of case {case.id} is not what its entries say: {fields}"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq)


def _differs(one: object, other: object) -> bool:
    return ENCODER.encode(one) != ENCODER.encode(other)


def unknown(case: Case, name: str) -> Finding:
    """The finding on an event of a newer version, which is no fault of the record."""
    what = f"case {case.id} holds an event {name!r} that this version does not know"
    return Finding("evidence", WARNING, what, NEWER, case.id)
