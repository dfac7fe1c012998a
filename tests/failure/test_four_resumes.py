"""Four programs come back to one decided gate at the same moment: the effect runs once.

With LangGraph 1.2.22 four concurrent resumes of one interrupt ran the tool four times.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from failure.conftest import Beside, kinds

import dualcontrol as dc


def decided(desk: dc.Desk, loop: dc.Loop) -> str:
    """A gate that was called once, paused, and has been decided since."""

    @loop.gate(confidence=0.5, timeout=0)
    def pay(order: str, amount: float) -> str:
        raise AssertionError("nobody has decided yet")

    with desk.run("order-17"), loop.context(input={"mail": "please"}), pytest.raises(dc.Pending) as paused:
        pay("A-17", 420.0)
    desk.claim("ana").edit({"order": "A-17", "amount": 90.0})
    return paused.value.case_id


def test_four_processes(desk: dc.Desk, loop: dc.Loop, beside: Beside, tmp_path: Path) -> None:
    case_id = decided(desk, loop)
    for _ in range(4):
        beside.start("gate", str(tmp_path / "witness"))
    beside.go()
    assert beside.said() == ["paid 90.0"] * 4
    assert [line.split(" ", 1)[1] for line in (tmp_path / "witness").read_text().splitlines()] == ["A-17 90.0"]
    assert kinds(desk, case_id).count("EffectStarted") == 1


def test_four_threads(desk: dc.Desk, loop: dc.Loop) -> None:
    case_id = decided(desk, loop)
    ran: list[float] = []
    given: list[str] = []

    @loop.gate(confidence=0.5, timeout=10)
    def pay(order: str, amount: float) -> str:
        ran.append(amount)
        return f"paid {amount}"

    def program() -> None:
        with desk.run("order-17"), loop.context(input={"mail": "please"}):
            given.append(pay("A-17", 420.0))

    threads = [threading.Thread(target=program) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert (ran, given) == ([90.0], ["paid 90.0"] * 4)
    assert kinds(desk, case_id).count("EffectSucceeded") == 1
