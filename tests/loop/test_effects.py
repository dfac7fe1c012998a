"""Effects: started once, finished by who holds the fence, unknown when nobody reports back, erased with their case."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

import dualcontrol as dc
from dualcontrol.errors import (
    EffectError,
    EffectTakenError,
    EffectUnknownError,
    ErasedError,
    PayloadError,
    Rejected,
    RequestError,
    ResultError,
)
from dualcontrol.testing import FakeClock

PAY: dict[str, Any] = {"action": "pay", "args": {"n": 1}, "input": 1, "confidence": 0.99}
SURE: dict[str, Any] = {"confidence": 0.99, "timeout": 0, "context": lambda *a, **k: {"input": 1}}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url, clock):
    with dc.open(database_url, durability="process", clock=clock) as desk:
        yield desk


@pytest.fixture
def loop(desk):
    return desk.loop("pay", context="minimal", threshold=0.9)


def test_only_the_fence_in_force_finishes(desk, loop):
    case = loop.propose(**PAY)
    fence = loop.start_effect(case.id)
    with pytest.raises(EffectTakenError):
        loop.start_effect(case.id)
    for bad in (fence + 1, 0, -1):
        with pytest.raises(EffectTakenError):
            loop.finish_effect(case.id, bad, succeeded=True)
    for bad in (True, "1", None, 1.5):
        with pytest.raises(RequestError):
            loop.finish_effect(case.id, bad, succeeded=True)
    loop.finish_effect(case.id, fence, succeeded=True, result={"id": 2**60})
    assert desk.case(case.id).outcome.effect == {"state": "succeeded", "result": {"id": 2**60}}
    with pytest.raises(EffectTakenError):
        loop.finish_effect(case.id, fence, succeeded=False, error="late")


def test_a_late_report_is_still_the_truth(desk, loop, clock):
    case = loop.propose(**PAY)
    fence = loop.start_effect(case.id)
    clock.tick(301)
    desk.sweep()
    with pytest.raises(EffectUnknownError):
        loop.start_effect(case.id)
    loop.finish_effect(case.id, fence, succeeded=True, result="done")
    assert desk.case(case.id).effect.state == "succeeded"
    with pytest.raises(EffectTakenError):
        desk.resolve_effect(case.id, happened=False)


def test_a_report_after_it_was_started_anew_is_refused(desk, loop, clock):
    case = loop.propose(**PAY)
    old = loop.start_effect(case.id)
    clock.tick(301)
    desk.sweep()
    desk.resolve_effect(case.id, happened=False)
    new = loop.start_effect(case.id)
    with pytest.raises(EffectTakenError):
        loop.finish_effect(case.id, old, succeeded=True)
    loop.finish_effect(case.id, new, succeeded=False, error="no")
    assert desk.case(case.id).outcome.effect["error"] == "no"


def test_what_was_not_decided_or_was_refused_has_no_effect(desk, loop):
    case = loop.propose(**{**PAY, "confidence": 0.1})
    with pytest.raises(EffectError):
        loop.start_effect(case.id)
    desk.claim("ana", case=case).reject("no")
    with pytest.raises(Rejected):
        loop.start_effect(case.id)
    with pytest.raises(EffectError):
        loop.start_effect(loop.propose(**PAY, effect="none").id)


def test_an_effect_that_raises_is_failed_whatever_it_says(desk, loop):
    case = loop.propose(**PAY)
    with pytest.raises(ValueError, match="x"), loop.effect(case):
        raise ValueError("\ud800" + "x" * 2_000_000)
    effect = desk.case(case.id).outcome.effect
    assert effect["state"] == "failed"
    assert effect["error"].startswith("ValueError: ")
    assert len(effect["error"]) < 11_000


@pytest.mark.parametrize(
    "result",
    ["x" * 2_000_000, object(), float("nan"), "\ud800", {}],
    ids=["long", "object", "nan", "surrogate", "deep"],
)
def test_a_gate_that_ran_is_done_whatever_it_returned(desk, loop, result):
    """A result that cannot be kept is given once; nothing hangs and nothing runs again."""
    ran: list[int] = []
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]

    @loop.gate(**SURE)
    def pay(n: int) -> Any:
        ran.append(n)
        return {"deep": deep} if isinstance(result, dict) else result

    with desk.run("r"):
        pay(1)
    with desk.run("r"), pytest.raises(ResultError):
        pay(1)
    assert ran == [1]


def test_a_gate_that_raised_is_failed_whatever_it_said(desk, loop):
    @loop.gate(**SURE)
    def pay(n: int) -> None:
        raise RuntimeError("\ud800" + "x" * 2_000_000)

    with desk.run("r"), pytest.raises(RuntimeError):
        pay(1)
    with desk.run("r"), pytest.raises(EffectError, match="failed before"):
        pay(1)


@pytest.mark.parametrize(
    "argument", [object(), b"\xff", float("nan"), "\ud800"], ids=["object", "bytes", "nan", "surrogate"]
)
def test_arguments_that_are_not_json_never_run(desk, loop, argument):
    @loop.gate(**SURE)
    def pay(what: Any) -> None:
        raise AssertionError("must not run")

    with pytest.raises(PayloadError):
        pay(argument)
    assert desk.store.queries.cases(loop="pay").rows == ()


def test_an_erased_case_leaves_the_queue_and_blocks_nobody(desk, loop, clock):
    waiting = loop.propose(**{**PAY, "confidence": 0.1})
    held = loop.propose(**{**PAY, "confidence": 0.1})
    desk.claim("ana", case=held, lease="1m")
    desk.erase(waiting.id)
    desk.erase(held.id)
    other = loop.propose(**{**PAY, "confidence": 0.1})
    clock.tick(61)
    assert desk.claim("ben").case.id == other.id
    assert desk.claim("cleo") is None
    outcome = loop.wait(waiting.id, timeout=0)
    assert (outcome.by, outcome.value) == ("withdrawn", None)
    assert {r.state for r in desk.case(held.id).reviews} == {"cancelled"}


def test_an_erased_audit_leaves_the_queue(desk):
    loop = desk.loop("audited", context="minimal", threshold=0.1, audit=1.0)
    case = loop.propose(**PAY, effect="none")
    desk.erase(case.id)
    assert desk.claim("ana", "audited") is None
    assert desk.case(case.id).outcome.by == "autopilot"


def test_an_effect_under_way_when_its_case_is_erased(desk, loop, clock):
    case, lost = loop.propose(**PAY), loop.propose(**PAY)
    fence = loop.start_effect(case.id)
    loop.start_effect(lost.id)
    desk.erase(case.id)
    desk.erase(lost.id)
    loop.finish_effect(case.id, fence, succeeded=True, result="a name")
    clock.tick(301)
    desk.sweep()
    after = desk.case(case.id)
    assert (after.effect.state, after.effect.kept, after.content.values) == ("succeeded", False, {})
    assert desk.case(lost.id).effect.state == "unknown"
    desk.resolve_effect(lost.id, happened=False)
    with pytest.raises(ErasedError):
        loop.start_effect(lost.id)


def test_a_gate_says_that_what_was_decided_is_erased(desk, loop):
    @loop.gate(confidence=0.1, timeout=0, context=lambda amount: {"input": "x"})
    def pay(amount: float) -> None:
        raise AssertionError("must not run")

    with pytest.raises(dc.Pending) as waiting:
        pay(1.0)
    desk.claim("ana").approve()
    desk.erase(waiting.value.case_id)
    with pytest.raises(ErasedError, match="was erased; it is not run"):
        pay.resume(waiting.value.case_id)


def test_an_async_program_runs_its_own_effect_once(desk, loop):
    async def program(case: dc.Case) -> Any:
        async with (await desk.aio.loop("pay")).effect(case) as value:
            return value

    case = loop.propose(**PAY)
    assert asyncio.run(program(case)) == {"action": "pay", "args": {"n": 1}}
    assert desk.case(case.id).effect.state == "succeeded"
    with pytest.raises(EffectTakenError):
        asyncio.run(program(case))


def test_an_async_block_that_raises_is_failed(desk, loop):
    async def program(case: dc.Case, error: BaseException) -> None:
        async with (await desk.aio.loop("pay")).effect(case.id):
            raise error

    for error, state in ((ValueError("x"), "failed"), (StopIteration("x"), "failed"), (KeyError("x"), "failed")):
        case = loop.propose(**PAY)
        with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
            asyncio.run(program(case, error))
        assert desk.case(case.id).effect.state == state


def test_an_async_block_may_be_awaited_and_entered_as_before(desk, loop):
    async def program(case: dc.Case) -> Any:
        with await (await desk.aio.loop("pay")).effect(case) as value:
            return value

    case = loop.propose(**PAY)
    assert asyncio.run(program(case))["args"] == {"n": 1}
    assert desk.case(case.id).effect.state == "succeeded"


def test_an_async_block_that_ended_is_recorded_in_a_cancelled_scope(desk, loop):
    async def program(case: dc.Case) -> None:
        with anyio.CancelScope() as scope:
            async with (await desk.aio.loop("pay")).effect(case):
                scope.cancel()

    case = loop.propose(**PAY)
    anyio.run(program, case)
    assert desk.case(case.id).effect.state == "succeeded"


def test_an_async_block_that_was_cancelled_is_unknown(desk, loop, clock):
    async def program(case: dc.Case) -> None:
        with anyio.CancelScope() as scope:
            async with (await desk.aio.loop("pay")).effect(case):
                scope.cancel()
                await anyio.sleep(60)

    case = loop.propose(**PAY)
    anyio.run(program, case)
    clock.tick(301)
    desk.sweep()
    assert desk.case(case.id).effect.state == "unknown"


def test_a_response_where_nothing_was_proposed_counts_as_wrong(desk):
    loop = desk.loop("answers", mode="fallback", context="minimal")
    case = loop.propose(input="Where is it?")
    desk.claim("ana", loop).respond("In Bonn.")
    assert desk.case(case.id).decision.wrong == 1
    assert [row.wrong for row in loop.examples()] == [1]
