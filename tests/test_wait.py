"""Who waits is woken as soon as the answer is written, however shortly they have waited, and when the desk closes."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.errors import StoreUnavailableError

PAY: dict[str, Any] = {"action": "pay", "args": {"order": "A-17"}, "input": "please", "confidence": 0.5}
AFTER = 0.15  # seconds from the beginning of the wait to the answer
AT_ONCE = 0.25  # seconds; without a wake-up the catch-up query would take up to 1.0
ROUNDS = 5


@pytest.fixture
def desk(database_url: str) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process") as desk:
        desk.loop("pay", threshold=0.9, context="minimal", lease="1h")
        yield desk


def answered_later(desk: dc.Desk, answered: list[float]) -> threading.Thread:
    """A person who answers the one open case a little later, and notes when the answer was written."""

    def human() -> None:
        time.sleep(AFTER)
        desk.claim("ana").approve()
        answered.append(time.monotonic())

    thread = threading.Thread(target=human)
    thread.start()
    return thread


def typical_delay(desk: dc.Desk, wait: Callable[[dc.Case], Any]) -> float:
    """The median of how long after the answer the program goes on; each case is waited for after the one before."""
    delays = []
    for _ in range(ROUNDS):
        answered: list[float] = []
        case = desk.loop("pay").propose(**PAY)
        human = answered_later(desk, answered)
        assert wait(case).verdict == "approve"
        woken = time.monotonic()
        human.join()
        delays.append(woken - answered[0])
    return statistics.median(delays)


def test_a_program_that_asks_again_and_again_wakes_at_once(desk: dc.Desk) -> None:
    assert typical_delay(desk, lambda case: desk.loop("pay").wait(case, timeout=20)) < AT_ONCE


def test_a_coroutine_that_asks_again_and_again_wakes_at_once(desk: dc.Desk) -> None:
    def wait(case: dc.Case) -> Any:
        return asyncio.run(desk.loop("pay").await_outcome(case, timeout=20))

    assert typical_delay(desk, wait) < AT_ONCE


def test_who_comes_while_another_waits_wakes_at_once(desk: dc.Desk) -> None:
    """The listener has been listening for the first one for a while; the second comes, and only it is answered."""
    loop = desk.loop("pay")
    first = loop.propose(**PAY)
    desk.claim("ben")  # so that nobody else is offered the first
    end = threading.Thread(target=lambda: loop.wait(first, timeout=30))
    end.start()
    try:
        assert typical_delay(desk, lambda case: loop.wait(case, timeout=20)) < AT_ONCE
    finally:
        desk.withdraw(first.id)
        end.join()


def test_a_busy_listener_wakes_at_once(desk: dc.Desk) -> None:
    """Cases that nobody waits for are settled all the time; what is waited for is not lost among them."""
    loop, stop = desk.loop("pay"), threading.Event()

    def busy() -> None:
        while not stop.wait(0.005):
            loop.propose(**(PAY | {"confidence": 0.95}))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert typical_delay(desk, lambda case: loop.wait(case, timeout=20)) < AT_ONCE
    finally:
        stop.set()
        thread.join()


def test_closing_the_desk_ends_the_wait_with_an_error(desk: dc.Desk) -> None:
    case = desk.loop("pay").propose(**PAY)
    threading.Timer(0.2, desk.close).start()
    with pytest.raises(StoreUnavailableError, match="closed") as raised:
        desk.loop("pay").wait(case)
    assert case.id in str(raised.value)


def test_closing_the_desk_ends_the_wait_of_a_coroutine(desk: dc.Desk) -> None:
    case = desk.loop("pay").propose(**PAY)
    threading.Timer(0.2, desk.close).start()
    with pytest.raises(StoreUnavailableError, match="closed"):
        asyncio.run(desk.loop("pay").await_outcome(case))


def test_closing_the_desk_ends_every_wait(desk: dc.Desk) -> None:
    cases = [desk.loop("pay").propose(**PAY) for _ in range(5)]
    ends: list[str] = []

    def wait(case: dc.Case) -> None:
        try:
            desk.loop("pay").wait(case)
        except StoreUnavailableError as error:
            ends.append(error.code)

    threads = [threading.Thread(target=wait, args=(case,), daemon=True) for case in cases]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    desk.close()
    for thread in threads:
        thread.join(timeout=10)
    assert ends == ["DC-STORE-UNAVAILABLE"] * 5


def test_a_wait_on_a_closed_desk_is_an_error(desk: dc.Desk) -> None:
    case = desk.loop("pay").propose(**PAY)
    desk.close()
    with pytest.raises(StoreUnavailableError):
        desk.loop("pay").wait(case)


def test_a_coroutine_whose_event_loop_ended_stops_nobody_else(desk: dc.Desk) -> None:
    """A cancelled wait leaves nothing behind that could end the listener of those who still wait."""
    loop = desk.loop("pay")
    given_up, waited_for = loop.propose(**PAY), loop.propose(**PAY)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.await_outcome(given_up), 0.1)

    ends: list[Any] = []
    thread = threading.Thread(target=lambda: ends.append(loop.wait(waited_for, timeout=20).verdict))
    thread.start()
    asyncio.run(impatient())
    desk.withdraw(given_up.id)
    desk.claim("ana", case=waited_for).approve()
    thread.join()
    assert ends == ["approve"]


def test_a_wait_that_lasts_no_time_is_not_turned_into_an_error(desk: dc.Desk) -> None:
    case = desk.loop("pay").propose(**PAY)
    with pytest.raises(dc.Pending):
        desk.loop("pay").wait(case, timeout=0.05)
