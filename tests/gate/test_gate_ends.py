"""Gates: how a gated call ends, whatever kind of function it is and whatever cuts it short."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.errors import EffectError, EffectUnknownError, ResultError

SURE: dict[str, Any] = {"confidence": 0.99, "context": lambda *a, **k: {"input": 1}}
UNSURE: dict[str, Any] = {"confidence": 0.1, "timeout": 0, "context": lambda *a, **k: {"input": 1}}


def test_generator_functions_are_refused_when_decorated(loop):
    def rows(n: int) -> Iterator[int]:
        yield from range(n)

    async def pages(n: int) -> Any:
        yield n

    class Rows:
        def __call__(self, n: int) -> Iterator[int]:
            yield n

    for fn in (rows, pages, functools.partial(rows, 1), Rows()):
        with pytest.raises(EffectError, match="generator function") as refused:
            loop.gate(fn, **SURE)
        assert "Return a list" in refused.value.hint


@dataclass
class Page:
    rows: Any


@pytest.mark.parametrize(
    "shape",
    [lambda it: it, lambda it: map(int, it), lambda it: {"rows": [it]}, lambda it: (1, it), lambda it: Page(it)],
    ids=["iterator", "map", "nested", "tuple", "dataclass"],
)
def test_a_result_that_can_be_read_once_is_left_to_the_caller(desk, loop, shape):
    @loop.gate(**SURE)
    def read(n: int) -> Any:
        return shape(iter(range(n)))

    with desk.run("r"):
        result = read(3)
    while not isinstance(result, Iterator):
        result = (
            result.rows if isinstance(result, Page) else [*(result.values() if type(result) is dict else result)][-1]
        )
    assert list(result) == [0, 1, 2]
    with desk.run("r"), pytest.raises(ResultError):
        read(3)


def test_an_object_with_an_async_call_is_a_coroutine_function(desk, loop):
    class Payer:
        async def __call__(self, n: int) -> int:
            await asyncio.sleep(0)
            return n + 1

    pay = loop.gate(Payer(), **SURE)
    assert pay.action == "Payer"
    with desk.run("r"):
        assert asyncio.run(pay(1)) == 2
    with desk.run("r"):
        assert asyncio.run(pay(1)) == 2


def test_a_plain_function_that_returns_a_coroutine_has_done_nothing_and_is_failed(desk, loop):
    async def later(n: int) -> None:
        raise AssertionError("must not run")

    @loop.gate(**SURE)
    def pay(n: int) -> Any:
        return later(n)

    with pytest.raises(EffectError, match="not a coroutine function") as refused:
        pay(1)
    assert "async def" in refused.value.hint
    (row,) = desk.store.queries.cases(loop="pay").rows
    assert desk.case(row.id).effect.state == "failed"


def test_a_plain_function_that_returns_work_under_way_is_never_done(desk, loop, clock):
    @loop.gate(**SURE)
    def pay(n: int) -> Any:
        return asyncio.get_running_loop().create_future()

    async def program() -> None:
        pay(1)

    with desk.run("r"), pytest.raises(EffectError, match="nothing has awaited"):
        asyncio.run(program())
    clock.tick(301)
    desk.sweep()
    with desk.run("r"), pytest.raises(EffectUnknownError):
        asyncio.run(program())


def test_a_pause_inside_an_effect_is_its_recorded_end(desk, loop):
    @loop.gate(**UNSURE)
    def inner(n: int) -> int:
        return n

    @loop.gate(**SURE)
    def outer(n: int) -> int:
        return inner(n) + 1

    with desk.run("r"), pytest.raises(EffectError, match="paused inside itself") as ended:
        outer(1)
    assert isinstance(ended.value.__cause__, dc.Pending)
    assert "timeout=None" in ended.value.hint
    effect = desk.case(ended.value.details["case_id"]).outcome.effect
    assert effect["state"] == "failed"
    assert "paused inside itself" in effect["error"]
    with desk.run("r"), pytest.raises(EffectError, match="failed before"):
        outer(1)


def test_a_pause_inside_a_block_of_ones_own_is_its_recorded_end(desk, loop):
    case = loop.propose(action="pay", args={"n": 1}, input=1, confidence=0.99)
    with pytest.raises(EffectError, match="paused inside itself"), loop.effect(case):
        loop.ask(action="pay", args={"n": 2}, input=1, confidence=0.1, alternatives=[], timeout=0)
    assert desk.case(case.id).effect.state == "failed"


def test_an_inner_gate_on_autopilot_or_one_that_waits_goes_on(desk, loop):
    @loop.gate(**SURE)
    def sure(n: int) -> int:
        return n

    @loop.gate(**{**UNSURE, "timeout": 60})
    async def asked(n: int) -> int:
        return n

    @loop.gate(**SURE)
    async def outer(n: int) -> int:
        return sure(n) + await asked(n)

    async def program() -> int:
        running = asyncio.create_task(outer(1))
        while (claim := await desk.aio.claim("ana")) is None:
            await asyncio.sleep(0.02)
        await claim.edit({"n": 5})
        return await running

    assert asyncio.run(program()) == 6


def test_an_effect_that_was_cancelled_is_unknown_and_never_run_again(desk, loop, clock):
    ran: list[int] = []

    @loop.gate(**SURE)
    async def pay(n: int) -> None:
        ran.append(n)
        await asyncio.sleep(60)

    async def program() -> None:
        paying = asyncio.create_task(pay(1))
        while not ran:
            await asyncio.sleep(0.01)
        paying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await paying

    with desk.run("r"):
        asyncio.run(program())
    (row,) = desk.store.queries.cases(loop="pay").rows
    assert desk.case(row.id).effect.state == "started"
    clock.tick(301)
    desk.sweep()
    with desk.run("r"), pytest.raises(EffectUnknownError):
        asyncio.run(pay(1))
    assert ran == [1]


@pytest.mark.parametrize("cut", [KeyboardInterrupt, SystemExit])
def test_an_effect_that_was_interrupted_is_unknown(desk, loop, clock, cut):
    @loop.gate(**SURE)
    def pay(n: int) -> None:
        raise cut

    with desk.run("r"), pytest.raises(cut):
        pay(1)
    clock.tick(301)
    desk.sweep()
    with desk.run("r"), pytest.raises(EffectUnknownError):
        pay(1)


def test_attributes_of_the_function_do_not_become_the_gates(desk, loop):
    def pay(n: int) -> int:
        return n

    pay.timeout, pay.loop, pay.team = 7, None, "ops"
    gate = loop.gate(pay, **SURE)
    assert (gate.timeout, gate.team, gate(1)) == (None, "ops", 1)


def test_a_cancellation_after_the_function_ended_does_not_lose_its_end(desk, loop, monkeypatch):
    begun, going = asyncio.Event(), []
    finish = type(loop).finish_effect

    def slowly(self, *args: Any, **kwargs: Any) -> None:
        going[0].call_soon_threadsafe(begun.set)
        asyncio.run(asyncio.sleep(0.2))
        finish(self, *args, **kwargs)

    monkeypatch.setattr(type(loop), "finish_effect", slowly)

    @loop.gate(**SURE)
    async def pay(n: int) -> int:
        return n

    async def program() -> str:
        going.append(asyncio.get_running_loop())
        paying = asyncio.create_task(pay(1))
        await begun.wait()
        paying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await paying
        (row,) = desk.store.queries.cases(loop="pay").rows
        return desk.case(row.id).effect.state

    assert asyncio.run(program()) == "succeeded"
