"""A wake-up is a hint: without it a waiter wakes within about a second, in this process and in another."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from failure.conftest import PAY, Beside

import dualcontrol as dc


def test_without_any_hint(desk: dc.Desk, loop: dc.Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(desk.store), "publish", lambda self, ids: None)
    case = loop.propose(**PAY)
    answered: list[float] = []

    def human() -> None:
        desk.claim("ana").approve()
        answered.append(time.monotonic())

    threading.Timer(0.3, human).start()
    assert loop.wait(case, timeout=15).verdict == "approve"
    assert time.monotonic() - answered[0] < 3.0


def test_a_coroutine_without_any_hint(desk: dc.Desk, loop: dc.Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(desk.store), "publish", lambda self, ids: None)
    case = loop.propose(**PAY)
    threading.Timer(0.3, lambda: desk.claim("ana").approve()).start()
    assert asyncio.run(loop.await_outcome(case, timeout=15)).verdict == "approve"


def test_a_waiter_in_another_process(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    case = loop.propose(**PAY)
    beside.start("wait", case.id)
    beside.go()
    time.sleep(0.3)
    desk.claim("ana").reject("no")
    assert beside.said() == ["reject"]


def test_an_answer_in_another_process(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    case = loop.propose(**PAY)
    beside.start("answer", desk.claim("ana").id, "approve")
    threading.Timer(0.3, beside.go).start()
    assert loop.wait(case, timeout=15).verdict == "approve"
