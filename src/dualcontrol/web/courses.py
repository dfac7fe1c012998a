"""The courses of all loops, kept between requests: each asks the ledger for what is new only."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from dualcontrol.control import Control
from dualcontrol.desk import Desk
from dualcontrol.guarantee.history import History, Move, Point, Rate


class Course(NamedTuple):
    """What one segment went through; `seq` is the last entry of the loop's stream that is in it."""

    seq: int
    points: Sequence[Point]
    moves: list[Move]
    rates: list[Rate]
    promise: dict[str, Any]


class Courses:
    """Folds the streams of loops; safe for many threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._histories: dict[int, History] = {}

    def of(self, control: Control, segment: str) -> Course:
        """A segment's course up to now."""
        with self._lock:
            history = self._histories.setdefault(control.loop_id, History(control.loop))
            entries = self._desk.store.queries.entries(f"loop/{control.loop_id}", after=history.seq, values=False)
            return _course(history.fold(entries), segment)


def _course(history: History, segment: str) -> Course:
    trail = history.trails.get(segment)
    rates = trail.tally.rates() if trail else []
    promise = json.loads(trail.segment.promise) if trail else {}
    return Course(history.seq, list(history.points(segment)), history.moved(segment), rates, promise)
