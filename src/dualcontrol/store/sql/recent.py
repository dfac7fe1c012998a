"""The cases that this process wrote or read last, so that the next step on one decodes and reads less.

A kept case is used only while the row in the database still holds the very text and the head it was kept with: the
hash over all that ever happened to it, the commitments of its content included.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import Case, Content
from dualcontrol.store.sql.rows import value_of

LIMIT = 256
LARGEST = 65_536


class Kept(NamedTuple):
    """A case at one head: its structure, and its content as the text that is stored."""

    head: str
    snapshot: str
    case: Case
    bodies: dict[str, str]

    def tells(self, head: str, snapshot: str) -> bool:
        """Whether a row that holds these still says what is kept."""
        return self.head == head and self.snapshot == snapshot

    def revived(self, values: bool) -> Case:
        """The case with content of its own, so that nobody can change what is kept."""
        seals, found = self.case.content.seals, {}
        if values:
            found = {slot: value_of(body) for slot, body in self.bodies.items() if slot in seals}
        return replace(self.case, content=Content(found, seals))


class Recent:
    """Kept cases by id; when there are too many, it begins anew."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def get(self, case_id: str) -> Kept | None:
        """What is kept of a case."""
        return self._kept.get(case_id)

    def keep(self, case: Case, head: str, snapshot: str, bodies: dict[str, str]) -> None:
        """Keep a case, unless its content is large."""
        if sum(map(len, bodies.values())) > LARGEST:
            self.forget(case.id)
            return
        if len(self._kept) >= LIMIT:
            self._kept = {}
        self._kept[case.id] = Kept(head, snapshot, replace(case, content=Content(None, case.content.seals)), bodies)

    def forget(self, case_id: str) -> None:
        """Keep nothing of a case."""
        self._kept.pop(case_id, None)
