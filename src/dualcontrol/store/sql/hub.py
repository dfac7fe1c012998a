"""Hints within one process: who waits is woken, and who was too late is told that hints were lost."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition

CAPACITY = 10_000


class Hub:
    """A box of case ids that publishers fill and one listener empties."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._ids: list[str] = []
        self._lost = False

    def push(self, case_ids: Sequence[str]) -> None:
        """Put ids into the box; an overfull box is emptied and counts as lost."""
        with self._changed:
            if len(self._ids) + len(case_ids) > CAPACITY:
                self._ids, self._lost = [], True
            else:
                self._ids.extend(case_ids)
            self._changed.notify_all()

    def lose(self) -> None:
        """Say that hints may have been lost."""
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> list[str] | None:
        """The ids since the last call, as soon as there are any; empty after `timeout`, None when some were lost."""
        with self._changed:
            if not self._ids and not self._lost:
                self._changed.wait(timeout)
            ids, self._ids = self._ids, []
            lost, self._lost = self._lost, False
        return None if lost else ids
