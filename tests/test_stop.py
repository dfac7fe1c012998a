"""The emergency stop: nothing starts in a stopped loop, nothing that was ready is lost, and all else goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import (
    EligibilityError,
    NotStoppedError,
    PartialStopError,
    Pending,
    RequestError,
    StoppedError,
    StoreUnavailableError,
    UnknownLoopError,
)
from dualcontrol.events import AllResumed, AllStopped, EffectStarted, LoopResumed, LoopStopped
from dualcontrol.evolve import governed_by
from dualcontrol.testing import FakeClock

PAY: dict[str, Any] = {"action": "pay", "args": {"n": 1}, "input": 1, "confidence": 0.99}
UNSURE = {**PAY, "confidence": 0.1}


@pytest.fixture
def desk(database_url):
    with dc.open(database_url, durability="process") as desk:
        yield desk


@pytest.fixture
def loop(desk):
    return desk.loop("pay", context="minimal", threshold=0.9)


def stops(desk: dc.Desk, stream: str) -> list[Any]:
    kinds = (LoopStopped, LoopResumed, AllStopped, AllResumed)
    return [e for entry in desk.store.queries.entries(stream) for e in entry.events if isinstance(e, kinds)]


def starts(desk: dc.Desk, case_id: str) -> int:
    return sum(isinstance(event, EffectStarted) for event in desk.events(case_id))


# What a stopped loop does, and what it goes on to do


def test_everything_goes_to_people_and_the_reason_says_who_and_why(desk, loop):
    desk.stop("Ada", "wrong amounts since noon", loop="pay")
    case = loop.propose(**PAY)
    assert (case.route.to, case.route.by) == ("human", "closed")
    assert case.route.reason == "autopilot is closed: Ada stopped the loop: wrong amounts since noon"
    assert case.route.inclusion == 1.0
    batch = loop.propose_batch(
        {"action": ["pay"] * 3, "args.n": [1, 2, 3], "confidence": [0.99, 0.95, 0.1], "input": [1, 1, 1]}
    )
    assert batch.to.tolist() == [1, 1, 1]
    reasons = {desk.case(case_id).route.reason for case_id in batch.cases.values()}
    assert any("Ada stopped the loop: wrong amounts since noon" in reason for reason in reasons)


def test_what_is_blocked_stays_blocked(desk):
    loop = desk.loop("pay", context="minimal", threshold=0.9, block_actions=["pay"])
    desk.stop("Ada", "wrong amounts", loop=loop)
    assert loop.propose(**PAY).route.to == "block"


@pytest.mark.parametrize("approved", [False, True], ids=["by autopilot", "by a person"])
def test_a_ready_effect_stays_ready_and_starts_after_the_stop(desk, loop, approved):
    case = loop.propose(**(UNSURE if approved else PAY))
    if approved:
        desk.claim("ana", case=case).approve()
    desk.stop("Ada", "wrong amounts", loop="pay")
    with pytest.raises(StoppedError, match="Ada stopped the loop: wrong amounts") as refused:
        loop.start_effect(case.id)
    assert refused.value.details["case_id"] == case.id
    assert "stays ready" in str(refused.value)
    with pytest.raises(StoppedError), loop.effect(case):
        raise AssertionError("nothing runs")
    assert (desk.case(case.id).effect.state, starts(desk, case.id)) == ("ready", 0)
    desk.resume("Lea", "mended", loop="pay")
    loop.finish_effect(case.id, loop.start_effect(case.id), succeeded=True)
    assert (desk.case(case.id).effect.state, starts(desk, case.id)) == ("succeeded", 1)


def test_after_the_stop_the_checks_of_then_hold(desk, loop):
    case = loop.propose(**PAY)
    desk.stop("Ada", "wrong amounts", loop="pay")
    desk.loop("pay", context="minimal", threshold=0.9, human_actions=["pay"])
    desk.resume("Lea", "mended", loop="pay")
    with pytest.raises(Pending, match="human_actions"):
        loop.start_effect(case.id)
    assert (desk.case(case.id).state, starts(desk, case.id)) == ("open", 0)


def test_what_has_begun_may_end(desk, loop):
    case = loop.propose(**PAY)
    fence = loop.start_effect(case.id)
    desk.stop("Ada", "wrong amounts", loop="pay")
    loop.finish_effect(case.id, fence, succeeded=True, result=1)
    assert desk.case(case.id).outcome.effect == {"state": "succeeded", "result": 1}


def test_answers_claims_and_revocations_go_on(desk, loop):
    first, second = loop.propose(**UNSURE), loop.propose(**{**UNSURE, "args": {"n": 2}})
    desk.stop("Ada", "wrong amounts", loop="pay")
    desk.claim("ana", case=first).approve()
    desk.claim("ana", case=second).approve()
    desk.revoke(second.id, "ana", "it is wrong after all")
    assert desk.case(first.id).effect.state == "ready"
    assert desk.case(second.id).outcome.verdict == "reject"


def test_a_timeout_lets_nothing_through(database_url):
    clock = FakeClock()
    with dc.open(database_url, durability="process", clock=clock) as desk:
        loop = desk.loop("pay", context="minimal", threshold=0.9, respond_within="1m", on_timeout="autopilot")
        case = loop.propose(**UNSURE)
        desk.stop("Ada", "wrong amounts", loop="pay")
        clock.tick(61)
        desk.sweep()
        assert desk.case(case.id).outcome.verdict == "reject"


def test_autopilot_that_opens_meanwhile_opens_nothing(desk, loop):
    loop.stop_autopilot("ana", "too many")
    desk.stop("Ada", "wrong amounts", loop="pay")
    loop.open_autopilot("ana", "enough people")
    assert loop.control.closed == {}
    assert loop.propose(**PAY).route.to == "human"
    desk.resume("Lea", "mended", loop="pay")
    assert loop.propose(**PAY).route.to == "autopilot"


def test_new_settings_do_not_open_a_stopped_loop(desk, loop):
    desk.stop("Ada", "wrong amounts", loop="pay")
    desk.loop("pay", context="minimal", threshold=0.5)
    assert loop.control.stopped.by == "Ada"


# Who, why, when: what is recorded


def test_the_loop_records_who_stopped_it_and_who_opened_it(desk, loop):
    (after,) = desk.stop("Ada", "wrong amounts", loop="pay", via="web", authenticated="password")
    assert (after.stopped.by, after.stopped.because, after.stopped.everywhere) == ("Ada", "wrong amounts", False)
    (again,) = desk.stop("Bo", "me too", loop="pay")
    assert (again.stopped, again.version) == (after.stopped, after.version)
    (open_again,) = desk.resume("Lea", "mended", loop="pay")
    assert open_again.stopped is None
    stopped, resumed = stops(desk, loop.stream)
    assert (stopped.actor.person, stopped.actor.via, stopped.actor.authenticated) == ("Ada", "web", "password")
    assert (stopped.because, resumed.actor.person, resumed.because) == ("wrong amounts", "Lea", "mended")
    folded = loop.control
    for entry in desk.store.queries.entries(loop.stream)[1:]:
        for event in entry.events:
            folded = governed_by(folded, event)
    assert folded.stopped is None
    assert not [finding for finding in examine(desk.store) if finding.level == PROBLEM]


def test_what_is_not_stopped_cannot_be_resumed(desk, loop):
    with pytest.raises(NotStoppedError, match="'pay' is not stopped"):
        desk.resume("Lea", "mended", loop="pay")
    with pytest.raises(NotStoppedError, match="no loop is stopped"):
        desk.resume("Lea", "mended")


@pytest.mark.parametrize("because", ["", "  ", None, 3, "x" * 201, "two\nlines"])
def test_a_reason_is_needed_to_stop_and_to_resume(desk, loop, because):
    for verb in (desk.stop, desk.resume):
        with pytest.raises(RequestError):
            verb("Ada", because, loop="pay")
    assert stops(desk, loop.stream) == []


def test_bad_names_are_refused(desk, loop):
    with pytest.raises(EligibilityError):
        desk.stop("", "why")
    with pytest.raises(UnknownLoopError):
        desk.stop("Ada", "why", loop="nobody-defined-it")
    assert stops(desk, "stop") == []


# All loops


def test_all_loops_are_stopped_and_those_that_come_later(desk, loop):
    other = desk.loop("mail", context="minimal", threshold=0.9)
    assert [control.loop for control in desk.stop("Ada", "wrong amounts")] == ["mail", "pay"]
    later = desk.loop("later", context="minimal", threshold=0.9)
    for each in (loop, other, later):
        case = each.propose(**PAY)
        assert case.route.reason == "autopilot is closed: Ada stopped every loop: wrong amounts"
    assert [event.actor.person for event in stops(desk, later.stream)] == ["Ada"]
    assert [control.stopped for control in desk.resume("Lea", "mended")] == [None] * 3
    assert desk.loop("latest", context="minimal", threshold=0.9).propose(**PAY).route.to == "autopilot"
    assert [type(event).__name__ for event in stops(desk, "stop")] == ["AllStopped", "AllResumed"]
    assert not [finding for finding in examine(desk.store) if finding.level == PROBLEM]


def test_a_database_without_loops_is_stopped_as_well(desk):
    assert desk.stop("Ada", "not yet") == []
    assert desk.loop("pay", context="minimal", threshold=0.9).propose(**PAY).route.to == "human"


def test_stopping_all_twice_records_nothing_new(desk, loop):
    desk.stop("Ada", "wrong amounts")
    before = len(desk.store.queries.entries(loop.stream)), len(desk.store.queries.entries("stop"))
    desk.stop("Bo", "me too")
    assert (len(desk.store.queries.entries(loop.stream)), len(desk.store.queries.entries("stop"))) == before
    assert loop.control.stopped.by == "Ada"


def test_a_loop_opened_by_itself_is_open_and_a_second_stop_of_all_takes_it_in(desk, loop):
    desk.stop("Ada", "wrong amounts")
    desk.resume("Lea", "this one is fine", loop=loop)
    assert loop.propose(**PAY).route.to == "autopilot"
    desk.stop("Bo", "it was not")
    assert loop.control.stopped.by == "Bo"


def test_a_loop_stopped_by_itself_stays_so_when_all_are_opened(desk, loop):
    desk.loop("mail", context="minimal")
    desk.stop("Ada", "wrong amounts", loop="pay")
    desk.stop("Bo", "the whole site")
    assert [control.loop for control in desk.resume("Lea", "the site is back")] == ["mail"]
    assert loop.control.stopped.by == "Ada"
    with pytest.raises(NotStoppedError, match="by themselves, and so opened one by one, are stopped: pay"):
        desk.resume("Lea", "the rest")


def test_one_loop_that_fails_keeps_no_other_from_being_stopped(desk, loop, monkeypatch):
    """Its rows cannot be written, as on a disk that fails: the error names it, and all others are stopped."""
    for name in ("a", "z"):
        desk.loop(name, context="minimal")
    move = desk.steps.move

    def failing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "pay":
            raise StoreUnavailableError("the disk fails")
        return move(name, *rest, **named)

    monkeypatch.setattr(desk.steps, "move", failing)
    with pytest.raises(PartialStopError, match=r"1 of 3 loops could not be stopped \(pay: the disk fails\)") as partial:
        desk.stop("Ada", "wrong amounts")
    assert partial.value.details["failed"] == ["pay"]
    assert {c.loop: c.stopped is not None for c in desk.loops()} == {"a": True, "pay": False, "z": True}
    monkeypatch.undo()
    desk.stop("Ada", "again")
    assert loop.control.stopped.because == "again"


def test_aio_has_both_verbs(desk, loop):
    async def trip() -> list[Any]:
        await desk.aio.stop("Ada", "wrong amounts")
        return list(await desk.aio.resume("Lea", "mended"))

    assert [control.stopped for control in asyncio.run(trip())] == [None]


# Gates wait through a stop


def test_a_gate_waits_through_a_stop_and_runs_after_it(desk, loop):
    ran: list[int] = []

    @loop.gate(confidence=0.1, timeout=20, context=lambda n: {"input": 1})
    def pay(n: int) -> str:
        ran.append(n)
        return "paid"

    given: list[str] = []
    program = threading.Thread(target=lambda: given.append(pay(1)))
    program.start()
    while (claim := desk.claim("ana")) is None:
        time.sleep(0.02)
    desk.stop("Ada", "wrong amounts", loop="pay")
    claim.approve()
    time.sleep(0.3)
    assert (ran, given) == ([], [])
    desk.resume("Lea", "mended", loop="pay")
    program.join(15)
    assert (ran, given) == ([1], ["paid"])


@pytest.mark.parametrize("timeout", [0, 0.3])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_gate_whose_time_is_up_pauses_and_comes_back(desk, loop, timeout, is_async):
    ran: list[int] = []
    options: dict[str, Any] = {"confidence": 0.1, "timeout": timeout, "context": lambda n: {"input": 1}}

    def act(n: int) -> str:
        ran.append(n)
        return "paid"

    async def act_async(n: int) -> str:
        return act(n)

    def call() -> str:
        with desk.run("r"):
            if is_async:
                return asyncio.run(loop.gate(act_async, **options)(1))
            return loop.gate(act, **options)(1)

    with pytest.raises(Pending):
        call()
    desk.claim("ana").approve()
    desk.stop("Ada", "wrong amounts", loop="pay")
    began = time.monotonic()
    with pytest.raises(Pending, match="Ada stopped the loop: wrong amounts"):
        call()
    assert timeout <= time.monotonic() - began < 10
    desk.resume("Lea", "mended", loop="pay")
    assert (call(), ran) == ("paid", [1])


def test_a_gate_in_a_stopped_loop_keeps_a_case_that_autopilot_had_let_run(desk, loop):
    ran: list[int] = []
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.99, key="k", effect="ready")
    desk.stop("Ada", "wrong amounts", loop="pay")

    @loop.gate(action="act", confidence=0.99, timeout=0, input=1, key="k")
    def act(n: int) -> None:
        ran.append(n)

    with pytest.raises(Pending) as waiting:
        act(1)
    assert (waiting.value.case_id, ran) == (case.id, [])
    desk.resume("Lea", "mended", loop="pay")
    act(1)
    assert ran == [1]


# Whatever comes in which order


VERBS = st.sampled_from(
    ["propose", "propose unsure", "answer", "stop", "stop all", "resume", "resume all", "start", "gate", "new loop"]
)


@given(verbs=st.lists(VERBS, min_size=1, max_size=25))
@settings(max_examples=60, deadline=None)
def test_in_any_order_nothing_starts_while_stopped_and_nothing_is_lost(verbs):
    with dc.open("sqlite:///:memory:") as desk:
        options: dict[str, Any] = {"context": "minimal", "threshold": 0.9}
        loop = desk.loop("pay", **options)
        cases: list[str] = []
        stopped = everywhere = False
        for number, verb in enumerate(verbs):
            if verb.startswith("propose"):
                signal = UNSURE if verb.endswith("unsure") else PAY
                case = loop.propose(**{**signal, "args": {"n": number}})
                assert case.route.to == ("human" if stopped or verb.endswith("unsure") else "autopilot")
                cases.append(case.id)
            elif verb == "gate":
                gate = loop.gate(lambda n: n, action="act", timeout=0, confidence=0.99, input=1)
                try:
                    gate(number)
                    assert not stopped
                except Pending as pending:
                    assert stopped
                    cases.append(pending.case_id)
            elif verb == "answer":
                claim = desk.claim("ana")
                if claim is not None:
                    claim.approve()
            elif verb == "stop":
                desk.stop("Ada", "why", loop="pay")
                stopped = True
            elif verb == "stop all":
                desk.stop("Ada", "why")
                stopped = everywhere = True
            elif verb.startswith("resume"):
                with contextlib.suppress(NotStoppedError):
                    desk.resume("Lea", "why", loop=None if verb == "resume all" else "pay")
                everywhere = everywhere and verb != "resume all"
                stopped = loop.control.stopped is not None
            elif verb == "new loop":
                new = desk.loop(f"new-{number}", **options)
                assert (new.control.stopped is not None) == everywhere
            else:
                for case_id in cases:
                    before = desk.case(case_id)
                    if before.effect.state != "ready":
                        continue
                    try:
                        loop.start_effect(case_id)
                        assert not stopped
                    except StoppedError:
                        assert stopped
                        assert desk.case(case_id) == before
        if loop.control.stopped is not None:
            desk.resume("Lea", "the end", loop="pay")
        while (claim := desk.claim("ana", loop)) is not None:
            claim.approve()
        for case_id in cases:
            if desk.case(case_id).effect.state == "ready":
                loop.start_effect(case_id)
            assert starts(desk, case_id) == 1
