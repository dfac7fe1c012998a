"""How much waits for one person: what that person's inbox lists, audits and second readings included."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import msgspec

from dualcontrol.desk import Desk
from dualcontrol.store import InboxRow
from dualcontrol.web.api.inbox import queue

FRESH = 1.5
MOST = 100
PEOPLE = 200


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What of a loop waits for a person; `more` when it is more than was counted."""

    open: int = 0
    audits: int = 0
    overdue: int = 0
    more: bool = False


class Waiting:
    """Counts by person and loop; a page counts anew, open tabs share a count that is a second or so old."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[float, dict[str, Wait]]] = {}

    def recent(self, person: str) -> dict[str, int]:
        """Over all loops, as of a moment ago."""
        with self._lock:
            at, waits = self._counted.get(person, (0.0, {}))
            return summed(waits if at and time.monotonic() - at < FRESH else self._count(person))

    def by_loop(self, person: str) -> dict[str, Wait]:
        """Loop by loop, counted now."""
        with self._lock:
            return self._count(person)

    def _count(self, person: str) -> dict[str, Wait]:
        waits = {}
        for control in self._desk.loops():
            page = queue(self._desk, [control], person=person, limit=MOST)
            rows, now = of_loop(page.rows, control.loop), self._desk.steps.now()
            waits[control.loop] = Wait(
                open=len(rows), audits=sum(row.review.kind == "audit" for row in rows),
                overdue=sum(row.review.due_at is not None and row.review.due_at < now for row in rows),
                more=page.next is not None,
            )  # fmt: skip
        if len(self._counted) >= PEOPLE:
            self._counted.clear()
        self._counted[person] = (time.monotonic(), waits)
        return waits


def summed(waits: dict[str, Wait]) -> dict[str, int]:
    """Over all loops: what stands in the top bar."""
    loops = waits.values()
    return {
        "open": sum(w.open for w in loops), "overdue": sum(w.overdue for w in loops),
        "more": int(any(w.more for w in loops)),
    }  # fmt: skip


def of_loop(rows: Iterable[InboxRow], loop: str | None) -> list[InboxRow]:
    """The rows of one loop: what a person holds comes with every queue."""
    return [row for row in rows if loop in (None, row.loop)]
