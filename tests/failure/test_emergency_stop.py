"""A stop amid programs that start effects: once it has returned nothing starts, and nothing that was ready is lost."""

from __future__ import annotations

import time

from failure.conftest import PAY, Beside

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine

EFFECTS, STOPS = 240, 12


def begun(desk: dc.Desk) -> int:
    """How many effects have been started, as the database says."""
    return sum(row.effect == "started" for row in desk.store.queries.cases(loop="pay", limit=1000).rows)


def test_two_programs_start_nothing_once_a_stop_has_returned(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    ready = [loop.propose(**{**PAY, "confidence": 0.99}, effect="ready").id for _ in range(EFFECTS)]
    for place in range(2):
        beside.start("starts", *ready[place::2])
    beside.go()
    amid = 0
    for turn in range(STOPS):
        desk.stop("Ada", "wrong amounts", loop=None if turn % 2 else "pay")
        stopped_at = begun(desk)
        time.sleep(0.05)
        assert begun(desk) == stopped_at
        amid += 0 < stopped_at < EFFECTS
        desk.resume("Lea", "mended", loop=None if turn % 2 else "pay")
        until = time.monotonic() + 2
        while begun(desk) == stopped_at < EFFECTS and time.monotonic() < until:  # whoever waits comes back
            time.sleep(0.005)
    assert amid > 0, "no stop came amid the starts"
    assert beside.said() == [str(EFFECTS // 2)] * 2
    assert begun(desk) == EFFECTS
    assert not [finding for finding in examine(desk.store) if finding.level == PROBLEM]


def test_loops_that_come_amid_a_stop_of_all_are_stopped(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    for name in ("a", "b"):
        beside.start("loops", name, "30")
    beside.go()
    while len(desk.loops()) < 5:
        time.sleep(0.002)
    desk.stop("Ada", "wrong amounts")
    known = len(desk.loops())
    assert all(control.stopped is not None for control in desk.loops())
    assert beside.said() == ["done", "done"]
    assert known < len(desk.loops()) == 61
    assert all(control.stopped is not None for control in desk.loops())
