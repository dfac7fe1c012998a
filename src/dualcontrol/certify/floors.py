"""Floors: the least inclusion probability that any decision could have had under each version of a loop's control.

A bet may be as large as the floor allows, and has to be fixed before the decision: so it is taken from the control
that routed the decision, never from what was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable

from dualcontrol.control import Control, LoopSettings
from dualcontrol.events import Entry, governed_by
from dualcontrol.route import audit


class Floors:
    """The floors of one segment, folded from the loop's stream."""

    def __init__(self, entries: Iterable[Entry], control: Control, segment: str) -> None:
        now = Control(loop=control.loop, loop_id=control.loop_id, version=0, settings=LoopSettings(name=control.loop))
        self._least = {0: 1.0}
        for event in (event for entry in entries for event in entry.events):
            now = governed_by(now, event)
            self._least.setdefault(now.version, audit.least(now, segment))

    def at(self, version: int) -> float:
        """The floor under a version; 1 where it is unknown, as before the first event."""
        return self._least.get(version, 1.0)
