"""A cache of the cases that this process wrote or read last, so that the next step on one decodes and reads less.

A cached case is used only while the row in the database still holds the text and the head that it was cached
with: the hash over all that ever happened to it, the commitments of its content included.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import Case, Content
from dualcontrol.store.sql.rows import value_of

LIMIT = 256
LARGEST = 65_536


class CachedCase(NamedTuple):
    """A case at one head: its structure, and its content as the text that is stored."""

    head: str
    snapshot: str
    case: Case
    bodies: dict[str, str]

    def matches(self, head: str, snapshot: str) -> bool:
        """Whether a row that holds these is still what was cached."""
        return self.head == head and self.snapshot == snapshot

    def restored(self, values: bool) -> Case:
        """The case with a copy of its content, so that nobody can change what is cached."""
        seals = self.case.content.seals
        bodies = self.bodies if values else {}
        content = {slot: value_of(body) for slot, body in bodies.items() if slot in seals}
        return replace(self.case, content=Content(content, seals))


class Recent:
    """Cached cases by id; emptied when there are too many."""

    def __init__(self) -> None:
        self._kept: dict[str, CachedCase] = {}

    def get(self, case_id: str) -> CachedCase | None:
        """The cached case, whether it is still current or not."""
        return self._kept.get(case_id)

    def keep(self, case: Case, head: str, snapshot: str, bodies: dict[str, str]) -> None:
        """Cache a case, unless its content is large."""
        if sum(map(len, bodies.values())) > LARGEST:
            self.forget(case.id)
            return
        if len(self._kept) >= LIMIT:
            self._kept = {}
        self._kept[case.id] = CachedCase(
            head, snapshot, replace(case, content=Content(None, case.content.seals)), bodies
        )

    def forget(self, case_id: str) -> None:
        """Drop a case."""
        self._kept.pop(case_id, None)
