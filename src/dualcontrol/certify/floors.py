"""Floors: the least inclusion probability that any decision could have had under each version of a loop's control.

A bet may be as large as the floor allows, and has to be fixed before the decision: so it is taken from the control
that routed the decision, never from what was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from dualcontrol.control import Control, LoopSettings
from dualcontrol.events import Entry, governed_by
from dualcontrol.route import audit


class Floors:
    """The floors of one segment, folded from the loop's stream."""

    def __init__(self, entries: Iterable[Entry], control: Control, segment: str) -> None:
        self._least = {now.version: audit.least(now, segment) for now in _versions(entries, control)}

    def at(self, version: int) -> float:
        """The floor under a version; 1 where it is unknown, as before the first event."""
        return self._least.get(version, 1.0)


class Reach(NamedTuple):
    """With what least probability people saw any case that a score sends somewhere, by version of the control.

    `guaranteed` says whether a guarantee ever governed: there what was labelled decided who saw the cases behind it.
    """

    least: Mapping[int, float]
    guaranteed: bool


def reach(entries: Iterable[Entry], control: Control) -> Reach:
    """What the loop's stream says of who could see its cases."""
    versions = list(_versions(entries, control))
    guaranteed = any(now.settings.guarantee is not None for now in versions)
    return Reach({now.version: audit.lowest(now) for now in versions}, guaranteed)


def _versions(entries: Iterable[Entry], control: Control) -> Iterator[Control]:
    """Every control that the loop's stream tells of, the first one before any event."""
    now = Control(loop=control.loop, loop_id=control.loop_id, version=0, settings=LoopSettings(name=control.loop))
    yield now
    for event in (event for entry in entries for event in entry.events):
        after = governed_by(now, event)
        if after is not now:
            now = after
            yield now
