"""Settles decisions of pages when they count: a program that waits goes on then, not with the next sweep.

What is missed here (a server that stops, a database that is away) a sweep finds within a second or so.
"""

from __future__ import annotations

import heapq
import logging
import threading

from dualcontrol.case import Case
from dualcontrol.commands import Settle
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError

log = logging.getLogger("dualcontrol.web")
AFTER = 2_000  # microseconds: the clock of the database may be a little behind
LONGEST = 60.0


class Settler:
    """Knows what was decided here and is not effective yet; settles each when its time has come, while it runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._due: list[tuple[int, str]] = []
        self._changed = threading.Condition()
        self._runs = self._stopped = False

    def add(self, case: Case) -> None:
        """Note a case that was just answered, where it is decided and may still be taken back."""
        if case.settled is None or case.concluded is not None:
            return
        with self._changed:
            if self._runs:
                heapq.heappush(self._due, (case.settled.effective_at + AFTER, case.id))
                self._changed.notify()

    def run(self) -> None:
        """Settle until `stop`."""
        with self._changed:
            self._runs = not self._stopped
        while (case_id := self._next()) is not None:
            try:
                self._desk.steps.run(Settle(case_id=case_id))
            except DualcontrolError as error:
                log.warning("not settled at once, a sweep will: %s", error.message)

    def stop(self) -> None:
        """Let `run` end."""
        with self._changed:
            self._runs, self._stopped = False, True
            self._changed.notify()

    def _next(self) -> str | None:
        """The next case whose time has come, waited for; None after `stop`."""
        with self._changed:
            while self._runs:
                left = (self._due[0][0] - self._desk.steps.now()) / 1_000_000 if self._due else LONGEST
                if left <= 0:
                    return heapq.heappop(self._due)[1]
                self._changed.wait(min(left, LONGEST))
        return None
