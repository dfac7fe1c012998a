"""A wake-up is a hint: without it a waiter wakes within about a second, with it at once, here and elsewhere."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

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


def test_another_process_wakes_at_once(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    """One wait after the other, each answered shortly after it began; the catch-up query would take up to a second."""
    cases = [loop.propose(**PAY) for _ in range(5)]
    other = beside.start("waits", *(case.id for case in cases))
    beside.go()
    delays = []
    for case in cases:
        time.sleep(0.2)
        desk.claim("ana", case=case).approve()
        answered = time.monotonic()
        assert other.stdout is not None
        delays.append(float(other.stdout.readline()) - answered)
    assert statistics.median(delays) < 0.25


def _answer(desk: dc.Desk, loop: dc.Loop) -> None:
    loop.propose(**PAY)
    desk.claim("ana").approve()


def _answer_case(desk: dc.Desk, loop: dc.Loop) -> None:
    case = loop.propose(**PAY)
    desk.claim("ana", case=case).reject("no")


def _autopilot(desk: dc.Desk, loop: dc.Loop) -> None:
    loop.propose(**(PAY | {"confidence": 0.95}))


def _withdrawn(desk: dc.Desk, loop: dc.Loop) -> None:
    desk.withdraw(loop.propose(**PAY).id)


def _erased(desk: dc.Desk, loop: dc.Loop) -> None:
    desk.erase(loop.propose(**PAY).id)


def _passed(desk: dc.Desk) -> dc.Loop:
    loop = desk.loop("pay", threshold=0.9, context="minimal", respond_within=0.05, on_timeout="reject")
    loop.propose(**PAY, key="k")
    time.sleep(0.1)
    return loop


def _swept(desk: dc.Desk, loop: dc.Loop) -> None:
    _passed(desk)
    desk.sweep()


def _looked_at_by_key(desk: dc.Desk, loop: dc.Loop) -> None:
    """Who proposes again finds that the time has passed, and does what is due in the same transaction."""
    assert _passed(desk).propose(**PAY, key="k").concluded is not None


def _taken(desk: dc.Desk, loop: dc.Loop) -> None:
    """Who wants to run it finds that the time has passed, and does what is due."""
    loop = _passed(desk)
    case = desk.case(desk.store.queries.cases().rows[0].id)
    with pytest.raises(dc.DualcontrolError):
        loop.start_effect(case.id, "worker")
    assert desk.case(case.id).concluded is not None


def _too_late(desk: dc.Desk, loop: dc.Loop) -> None:
    loop = desk.loop("pay", threshold=0.9, context="minimal", respond_within=0.3, on_timeout="reject")
    loop.propose(**PAY)
    claim = desk.claim("ana")
    time.sleep(0.35)
    with pytest.raises(dc.DualcontrolError):
        claim.approve()


WAYS = [
    _answer, _answer_case, _autopilot, _withdrawn, _erased, _swept, _looked_at_by_key, _taken, _too_late,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_nobody_is_woken_before_the_commit(
    desk: dc.Desk, loop: dc.Loop, monkeypatch: pytest.MonkeyPatch, way: Callable[[dc.Desk, dc.Loop], None]
) -> None:
    """Whoever hears of an outcome, on another connection, finds it; a hint that comes too early is worth nothing."""
    heard: dict[str, bool] = {}
    publish = type(desk.store).publish

    def listened(store: Any, case_ids: Any) -> None:
        heard.update(store.settled(list(case_ids)))
        publish(store, case_ids)

    monkeypatch.setattr(type(desk.store), "publish", listened)
    way(desk, loop)
    assert heard
    assert all(heard.values())
