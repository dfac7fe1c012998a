"""LangChain's real agent behind the desk: one middleware, and every call of a turn a case of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from adapters.agents import ORDER, REFUND, Shop, at_once, texts, thread
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import dualcontrol as dc
from dualcontrol import errors
from dualcontrol.adapters.langchain import HumanGate, Resumer, rescue
from dualcontrol.testing import scripted_model

pytestmark = pytest.mark.slow
HERE = thread("t1")
BOTH = ("Both.", ("refund", ORDER), ("mail", {"to": "ana"}))


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return desk.loop("orders", mode="approval", rationale="optional")


def agent(tools: list[Any], turns: list[Any], *middleware: Any, saver: Any = None) -> Any:
    return create_agent(
        scripted_model(turns), tools, middleware=middleware, checkpointer=InMemorySaver() if saver is None else saver
    )


def start(app: Any, text: str = "where is my parcel?") -> list[str]:
    return [pending.id for pending in app.invoke({"messages": text}, HERE)["__interrupt__"]]


def answer(desk: dc.Desk, **verdicts: Any) -> None:
    """Answer as many cases as there are verdicts, each by its action."""
    for _ in verdicts:
        claim = desk.claim("ana", "orders")
        assert claim is not None
        verdict = verdicts[claim.case.action]
        claim.answer(*verdict) if isinstance(verdict, tuple) else claim.answer(verdict)


@pytest.mark.parametrize(
    ("verdict", "said", "ran"),
    [
        ("approve", "refunded 40.0 for A-17", [("A-17", 40.0)]),
        (("edit", {"order": "A-17", "amount": 15.5}), "A reviewer changed the arguments", [("A-17", 15.5)]),
        ("reject", "Nothing was run. ana rejected", []),
        (("respond", {"text": "It arrives today."}), "It arrives today.", []),
    ],
    ids=["approve", "edit", "reject", "respond"],
)
def test_what_people_decide_is_what_happens(
    desk: dc.Desk, loop: dc.Loop, verdict: Any, said: str, ran: list[Any]
) -> None:
    shop = Shop()
    app = agent([shop.refund], [REFUND, "Done."], HumanGate(loop))
    start(app)
    answer(desk, refund=verdict)
    (resumed,) = Resumer(app, loop).once()
    assert texts(resumed.result)[1].startswith(said)
    assert shop.ran == ran


def test_parallel_calls_are_cases_of_their_own(desk: dc.Desk, loop: dc.Loop) -> None:
    """One is decided days before the other: it runs, and the thread waits for the other."""
    shop = Shop()
    app = agent([shop.refund, shop.mail], [BOTH, "Done."], HumanGate(loop))
    assert len(start(app)) == 2
    claim = desk.claim("ana", "orders")
    first = claim.case.action
    claim.answer({"refund": "approve", "mail": "reject"}[first])
    resumer = Resumer(app, loop)
    (resumed,) = resumer.once()
    assert len(resumed.result["__interrupt__"]) == 1
    answer(desk, **{"refund": {"mail": "reject"}, "mail": {"refund": "approve"}}[first])
    (resumed,) = resumer.once()
    said = texts(resumed.result)
    assert said[1] == "refunded 40.0 for A-17"
    assert said[2].startswith("Nothing was run. ana rejected")
    assert shop.ran == [("A-17", 40.0)]


def test_four_resumes_at_once_run_the_tool_once(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop(takes=0.2)
    app = agent([shop.refund], [REFUND, "Done."], HumanGate(loop))
    (waits,) = start(app)
    answer(desk, refund="approve")
    results = at_once(lambda: texts(app.invoke(Command(resume={waits: {"type": "approve"}}), HERE))[1])
    assert results == ["refunded 40.0 for A-17"] * 4
    assert shop.ran == [("A-17", 40.0)]


def test_an_agent_of_coroutines_runs_the_tool_once(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = agent([shop.refund], [REFUND, "Done."], HumanGate(loop))

    async def program() -> list[Any]:
        paused = await app.ainvoke({"messages": "hello"}, HERE)
        await asyncio.to_thread(answer, desk, refund="approve")
        command = Command(resume={paused["__interrupt__"][0].id: "go"})
        return await asyncio.gather(*(app.ainvoke(command, HERE) for _ in range(4)))

    assert [texts(result)[1] for result in asyncio.run(program())] == ["refunded 40.0 for A-17"] * 4
    assert shop.ran == [("A-17", 40.0)]


def test_a_resume_in_langchains_own_shape_is_no_approval(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = agent([shop.refund], [REFUND, "Done."], HumanGate(loop))
    start(app)
    for value in ({"decisions": [{"type": "approve"}]}, {"type": "approve"}):
        assert "__interrupt__" in app.invoke(Command(resume=value), HERE)
    assert shop.ran == []


def test_a_call_that_was_rejected_is_answered_from_the_record(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = agent([shop.refund], [REFUND, REFUND, "I give up."], HumanGate(loop))
    start(app)
    desk.claim("ana").reject("too much")
    (resumed,) = Resumer(app, loop).once()
    assert texts(resumed.result)[3].startswith("This very call was rejected before by ana: too much")
    assert desk.claim("ana") is None


def test_a_tool_that_was_renamed_does_not_run_on_the_old_approval(desk: dc.Desk, loop: dc.Loop) -> None:
    saver, shop = InMemorySaver(), Shop()
    start(agent([shop.refund], [REFUND, "Done."], HumanGate(loop), saver=saver))
    answer(desk, refund="approve")
    renamed = agent([shop.mail], [REFUND, "Done."], HumanGate(loop), saver=saver)
    (resumed,) = Resumer(renamed, loop).once()
    assert isinstance(resumed.error, errors.RunChangedError)
    assert "gone or has another name" in str(resumed.error)
    (resumed,) = Resumer(agent([shop.refund], [REFUND, "Done."], HumanGate(loop), saver=saver), loop).once()
    assert resumed.error is None
    assert shop.ran == [("A-17", 40.0)]


def test_a_poisoned_batched_thread_is_rescued_to_the_gate(desk: dc.Desk, loop: dc.Loop) -> None:
    """LangChain keeps an answer of the wrong number, and every right one after it fails as well."""
    saver, shop = InMemorySaver(), Shop()
    tools, turns = [shop.refund, shop.mail], [BOTH, "Done."]
    own = HumanInTheLoopMiddleware(interrupt_on={"refund": True, "mail": True})
    old = agent(tools, turns, own, saver=saver)
    (waits,) = start(old)
    right = {"decisions": [{"type": "approve"}, {"type": "reject"}]}
    for answers in ({"decisions": [{"type": "approve"}]}, right):
        with pytest.raises(ValueError, match="Number of human decisions"):
            old.invoke(Command(resume={waits: answers}), HERE)
    new = agent(tools, turns, HumanGate(loop), saver=saver)
    assert len(rescue(new, "t1")["__interrupt__"]) == 2
    answer(desk, refund="approve", mail="reject")
    (resumed,) = Resumer(new, loop).once()
    assert texts(resumed.result)[1] == "refunded 40.0 for A-17"
    assert shop.ran == [("A-17", 40.0)]


def test_a_rescue_runs_nothing_again(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = agent([shop.refund, shop.mail], [BOTH, "Done."], HumanGate(loop))
    start(app)
    claim = desk.claim("ana", "orders")
    claim.approve()
    Resumer(app, loop).once()
    ran = list(shop.ran)
    assert len(ran) == 1
    assert len(rescue(app, "t1")["__interrupt__"]) == 1
    assert shop.ran == ran


def test_a_thread_that_waits_for_nothing_is_not_rescued(loop: dc.Loop) -> None:
    app = agent([Shop().refund], ["Hello."], HumanGate(loop))
    app.invoke({"messages": "hello"}, HERE)
    with pytest.raises(errors.RequestError, match="waits for nothing"):
        rescue(app, "t1")


def test_tools_beside_the_gate_are_named_and_exist(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    turns = [("Hello.", ("mail", {"to": "ana"})), "Done."]
    agent([shop.mail], turns, HumanGate(loop, ungated=["mail"])).invoke({"messages": "hello"}, HERE)
    assert shop.ran == ["ana"]
    with pytest.raises(errors.RequestError, match="ungated names 'mial'"):
        agent([shop.mail], turns, HumanGate(loop, ungated=["mial"])).invoke({"messages": "hello"}, HERE)
