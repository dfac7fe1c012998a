"""LangGraph's real runtime behind the desk: one case a call, decided at the desk, run once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from adapters.agents import ORDER, REFUND, Shop, at_once, graph, texts, thread
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command, interrupt
from team import team
from typing_extensions import TypedDict

import dualcontrol as dc
from dualcontrol import errors
from dualcontrol.adapters.langgraph import CallGate, ask, ask_async, gated
from dualcontrol.web.server import background

pytestmark = pytest.mark.slow
HERE = thread("t1")


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return desk.loop("orders", mode="approval", rationale="optional", autopilot_actions=["search"])


def kinds(desk: dc.Desk, case_id: str) -> list[str]:
    return [type(event).__name__ for event in desk.events(case_id)]


def paused(result: Any) -> str:
    """The id of the one interrupt that a graph paused with."""
    (pending,) = result["__interrupt__"]
    return str(pending.id)


def start(app: Any, text: str = "where is my parcel?") -> str:
    return paused(app.invoke({"messages": text}, HERE))


def resume(app: Any, interrupt_id: str, value: Any = "go") -> Any:
    return app.invoke(Command(resume={interrupt_id: value}), HERE)


def test_a_call_is_one_case_with_all_that_people_need(desk: dc.Desk, loop: dc.Loop) -> None:
    app = graph(gated(loop, [Shop().refund], risk="high"), [REFUND, "Done."])
    app.invoke({"messages": "where is my parcel?"}, HERE)
    claim = desk.claim("ana")
    assert claim is not None
    case = claim.case
    assert (case.action, case.candidates[0].value, case.risk, case.run) == ("refund", ORDER, "high", "t1")
    assert case.candidates[0].schema["required"] == ["order", "amount"]
    assert (case.input, case.rationale) == ({"message": "where is my parcel?"}, "It never arrived.")
    assert case.history == [{"by": "human", "text": "where is my parcel?"}]
    assert case.meta == {"framework": "langgraph", "thread": "t1", "call": "call-0-0"}


@pytest.mark.parametrize(
    ("answer", "ran", "said"),
    [
        (lambda claim: claim.approve(), [("A-17", 40.0)], "refunded 40.0 for A-17"),
        (
            lambda claim: claim.edit({"order": "A-17", "amount": 15.5}),
            [("A-17", 15.5)],
            'A reviewer changed the arguments before it ran, to {"amount":15.5,"order":"A-17"}. This is intended.\n'
            "refunded 15.5 for A-17",
        ),
        (lambda claim: claim.respond({"text": "It arrives today."}), [], "It arrives today."),
    ],
    ids=["approve", "edit", "respond"],
)
def test_what_people_decide_is_what_happens(
    desk: dc.Desk, loop: dc.Loop, answer: Callable[[Any], Any], ran: list[Any], said: str
) -> None:
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    waits = start(app)
    answer(desk.claim("ana"))
    assert texts(resume(app, waits)) == ["It never arrived.", said, "Done."]
    assert shop.ran == ran


def test_a_rejection_reaches_the_model_with_its_reason_and_runs_nothing(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    waits = start(app)
    desk.claim("ana").reject("too much")
    (message,) = [m for m in resume(app, waits)["messages"] if isinstance(m, ToolMessage)]
    assert (message.status, shop.ran) == ("error", [])
    assert "ana rejected" in message.content
    assert "too much" in message.content


def test_autopilot_runs_a_call_without_a_pause(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()

    def search(text: str) -> str:
        """Look something up."""
        shop.ran.append(text)
        return "nothing"

    app = graph(gated(loop, [search]), [("I look.", ("search", {"text": "parcel"})), "Done."])
    assert texts(app.invoke({"messages": "hello"}, HERE)) == ["I look.", "nothing", "Done."]
    assert shop.ran == ["parcel"]


@pytest.mark.parametrize("value", ["go", [{"type": "accept", "args": None}], {"type": "approve"}, True])
def test_no_resume_is_an_approval(desk: dc.Desk, loop: dc.Loop, value: Any) -> None:
    """Whoever holds the thread can resume it; only the desk lets the tool run."""
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    waits = start(app)
    for _ in range(2):  # unknown by now, the second time
        again = paused(resume(app, waits, value))
    paused(app.invoke(Command(resume=value), HERE))
    paused(app.invoke(Command(resume={"0" * 32: value}), HERE))
    assert shop.ran == []
    desk.claim("ana").approve()
    assert desk.claim("ana") is None, "however often it was resumed, it is one case"
    resume(app, again)
    assert shop.ran == [("A-17", 40.0)]


def test_four_resumes_at_once_run_the_tool_once(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop(takes=0.2)
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    waits = start(app)
    case = desk.claim("ana").approve()
    results = at_once(lambda: texts(resume(app, waits))[1])
    assert shop.ran == [("A-17", 40.0)]
    assert results == ["refunded 40.0 for A-17"] * 4
    assert kinds(desk, case.id).count("EffectStarted") == 1


def test_four_coroutines_at_once_run_the_tool_once(desk: dc.Desk, loop: dc.Loop) -> None:
    ran: list[str] = []

    async def refund(order: str, amount: float) -> str:
        """Give money back."""
        await asyncio.sleep(0.2)
        ran.append(order)
        return "refunded"

    async def program() -> list[Any]:
        app = graph(gated(loop, [tool(refund)]), [REFUND, "Done."])
        waits = paused(await app.ainvoke({"messages": "hello"}, HERE))
        await desk.aio._call(desk.claim("ana").approve)
        command = Command(resume={waits: "go"})
        return await asyncio.gather(*(app.ainvoke(command, HERE) for _ in range(4)))

    results = asyncio.run(program())
    assert ran == ["A-17"]
    assert [texts(result)[1] for result in results] == ["refunded"] * 4


def test_a_replayed_thread_is_answered_from_the_record(desk: dc.Desk, loop: dc.Loop) -> None:
    """A checkpoint of before the tool ran: the thread goes there again, and the tool does not run again."""
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    waits = start(app)
    before = app.get_state(HERE).config
    desk.claim("ana").approve()
    resume(app, waits)
    again = app.invoke(Command(resume={waits: "go"}), before)
    assert texts(again)[1] == "refunded 40.0 for A-17"
    assert shop.ran == [("A-17", 40.0)]


def test_the_same_call_is_another_case_when_the_model_makes_it_again(desk: dc.Desk, loop: dc.Loop) -> None:
    """Some models number the calls of each message from the beginning: the message tells them apart."""
    shop = Shop()
    refund = AIMessage("Again.", tool_calls=[{"name": "refund", "args": ORDER, "id": "call_0"}])
    app = graph(gated(loop, [shop.refund]), [refund, refund, "Done."])
    waits = start(app)
    desk.claim("ana").approve()
    waits = paused(resume(app, waits))
    desk.claim("ana").approve()
    resume(app, waits)
    assert shop.ran == [("A-17", 40.0)] * 2


def test_a_call_that_was_rejected_is_answered_from_the_record_in_the_same_turn(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, REFUND, "I give up.", REFUND, "Done."])
    waits = start(app)
    desk.claim("ana").reject("too much")
    said = texts(resume(app, waits))
    assert said[3].startswith("This very call was rejected before by ana: too much")
    assert desk.claim("ana") is None
    start(app, "I insist, my lawyer says so")  # a person spoke: it is asked anew
    assert desk.claim("ana") is not None
    assert shop.ran == []


def test_arguments_that_the_tool_does_not_take_go_back_to_the_model(desk: dc.Desk, loop: dc.Loop) -> None:
    """The tool itself would have taken "40" for 40, and people would have been asked about the text."""
    shop = Shop()
    wrong = ({"order": "A-17", "amount": "40"}, {"order": "A-17"}, {**ORDER, "to": "me"}, {**ORDER, "amount": {1, 2}})
    turns = [("So be it.", ("refund", args)) for args in wrong]
    app = graph(gated(loop, [shop.refund]), [*turns, "Done."])
    said = texts(app.invoke({"messages": "hello"}, HERE))
    assert [text.startswith("Nothing was run: refund does not take these") for text in said[1:-1:2]] == [True] * 4
    assert desk.claim("ana") is None
    assert shop.ran == []


def test_an_edit_that_the_tool_does_not_take_is_refused_at_the_desk(desk: dc.Desk, loop: dc.Loop) -> None:
    app = graph(gated(loop, [Shop().refund]), [REFUND, "Done."])
    start(app)
    claim = desk.claim("ana")
    for args in ({"order": "A-17", "amount": "NOT A NUMBER"}, {"order": "A-17"}, {**ORDER, "ammount": 3}):
        with pytest.raises(errors.AnswerValueError):
            claim.edit(args)


def changed(order: str, amount: float, currency: str = "EUR") -> str:
    """Give money back."""
    raise AssertionError("it must not run on the old approval")


@pytest.mark.parametrize(("decided", "told"), [(True, "currency is new"), (False, "currency is new")])
def test_a_tool_that_changed_meanwhile_does_not_run_on_the_old_approval(
    desk: dc.Desk, loop: dc.Loop, decided: bool, told: str
) -> None:
    saver, shop = InMemorySaver(), Shop()
    waits = start(graph(gated(loop, [shop.refund]), [REFUND, "Done."], saver=saver))
    claim = desk.claim("ana")
    if decided:
        claim.approve()
    later = graph(gated(loop, [tool("refund")(changed)]), [REFUND, "Done."], saver=saver)
    with pytest.raises(errors.RunChangedError, match=told) as refused:
        resume(later, waits)
    assert refused.value.details["case_id"] == claim.case.id
    assert desk.case(claim.case.id).effect.state == ("ready" if decided else "none"), "nothing approved is lost"
    before = graph(gated(loop, [shop.refund]), [REFUND, "Done."], saver=saver)
    if decided:
        before.invoke(None, HERE)
        assert shop.ran == [("A-17", 40.0)]


def test_a_tool_that_is_gone_is_said_to_be_gone(desk: dc.Desk, loop: dc.Loop) -> None:
    saver, shop = InMemorySaver(), Shop()
    gate = CallGate(loop)
    node = {"wrap_tool_call": gate.wrap, "awrap_tool_call": gate.awrap}
    waits = start(graph([shop.refund], [REFUND, "Done."], saver=saver, **node))
    desk.claim("ana").approve()
    renamed = graph([shop.mail], [REFUND, "Done."], saver=saver, **node)
    with pytest.raises(errors.RunChangedError, match="it is gone or has another name"):
        resume(renamed, waits)
    assert shop.ran == []


def test_other_words_about_a_parameter_change_nothing(desk: dc.Desk, loop: dc.Loop) -> None:
    def described(order: Annotated[str, "the order"], amount: Annotated[float, "how much"]) -> str:
        """Give money back, in other words."""
        return "refunded"

    saver = InMemorySaver()
    waits = start(graph(gated(loop, [Shop().refund]), [REFUND, "Done."], saver=saver))
    desk.claim("ana").approve()
    later = graph(gated(loop, [tool("refund", parse_docstring=False)(described)]), [REFUND, "Done."], saver=saver)
    assert texts(resume(later, waits))[1] == "refunded"


def test_two_tools_of_one_name_are_refused(loop: dc.Loop) -> None:
    with pytest.raises(errors.RequestError, match="two tools have the name 'refund'"):
        gated(loop, [Shop().refund, tool("refund")(changed)])


def test_a_thread_is_asked_for_before_anybody_is(desk: dc.Desk, loop: dc.Loop) -> None:
    app = graph(gated(loop, [Shop().refund]), [REFUND, "Done."], saver=False)
    with pytest.raises(errors.RequestError, match="outside a thread"):
        app.invoke({"messages": "hello"})
    assert desk.claim("ana") is None


def test_a_gated_tool_gets_what_the_graph_injects_and_the_model_sees_none_of_it(desk: dc.Desk, loop: dc.Loop) -> None:
    seen: list[Any] = []

    @tool
    def note(
        text: str,
        state: Annotated[dict[str, Any], InjectedState],
        call: Annotated[str, InjectedToolCallId],
        runtime: ToolRuntime,
    ) -> Command[Any]:
        """Write something down."""
        seen.append((text, len(state["messages"]), call, runtime.tool_call_id))
        return Command(update={"messages": [ToolMessage(f"noted {text}", tool_call_id=call)]})

    (behind,) = gated(loop, [note])
    assert list(behind.tool_call_schema.model_json_schema()["properties"]) == ["text"]
    app = graph([behind], [("Noted.", ("note", {"text": "milk"})), "Done."])
    waits = start(app)
    before = app.get_state(HERE).config
    desk.claim("ana").approve()
    assert texts(resume(app, waits))[1] == "noted milk"
    again = app.invoke(Command(resume={waits: "go"}), before)
    assert texts(again)[1] == "noted milk", "a command comes back from the record as well"
    assert seen == [("milk", 2, "call-0-0", "call-0-0")]


def test_a_tool_that_fails_is_not_run_again_and_the_model_is_told(desk: dc.Desk, loop: dc.Loop) -> None:
    tried: list[str] = []

    def refund(order: str, amount: float) -> str:
        """Give money back."""
        tried.append(order)
        raise ConnectionError("the bank hung up")

    app = graph(gated(loop, [refund]), [REFUND, "Done."])
    waits = start(app)
    case = desk.claim("ana").approve()
    with pytest.raises(ConnectionError):
        resume(app, waits)
    assert desk.case(case.id).effect.state == "failed"
    said = texts(app.invoke(None, HERE))
    assert "ConnectionError: the bank hung up" in said[1]
    assert tried == ["A-17"]


def test_a_tool_that_pauses_inside_itself_is_told_off(desk: dc.Desk, loop: dc.Loop) -> None:
    def refund(order: str, amount: float) -> str:
        """Give money back."""
        return str(interrupt("which account?"))

    app = graph(gated(loop, [refund]), [REFUND, "Done."])
    waits = start(app)
    desk.claim("ana").approve()
    with pytest.raises(errors.EffectError, match="called interrupt inside itself"):
        resume(app, waits)


def test_a_stopped_loop_runs_nothing_and_goes_on_when_it_is_opened(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    waits = start(app)
    desk.claim("ana").approve()
    desk.stop("olga", "an alarm", loop=loop)
    waits = paused(resume(app, waits))
    assert shop.ran == []
    desk.resume("olga", "all is well", loop=loop)
    resume(app, waits)
    assert shop.ran == [("A-17", 40.0)]


class Choice(TypedDict, total=False):
    asked: int
    said: Any


PAY: dict[str, Any] = {"action": "pay", "args": {"to": "ana"}, "input": {"bill": 7}, "alternatives": []}


def deciding(loop: dc.Loop, ran: list[str]) -> Any:
    """A graph of one node that asks, and acts once on what was decided."""

    def node(state: Choice) -> Choice:
        outcome = ask(loop, rationale="due", **PAY)
        if outcome.verdict in (None, "approve", "edit"):
            with loop.effect(outcome.case_id) as value:
                ran.append(value["args"]["to"])
        return {"said": outcome.verdict}

    built = StateGraph(Choice)
    built.add_node("pay", node)
    built.add_edge(START, "pay")
    return built.compile(checkpointer=InMemorySaver())


def test_a_node_asks_the_desk_and_acts_once(desk: dc.Desk, loop: dc.Loop) -> None:
    ran: list[str] = []
    app = deciding(loop, ran)
    waits = paused(app.invoke({}, HERE))
    waits = paused(resume(app, waits, "yes"))
    assert ran == []
    claim = desk.claim("ana")
    assert (claim.case.run, claim.case.action) == ("t1", "pay")
    assert "ana" not in (claim.case.key or ""), "what is asked can be erased, and a key cannot"
    claim.approve()
    assert resume(app, waits)["said"] == "approve"
    assert ran == ["ana"]
    waits = paused(app.invoke({}, HERE))  # another task of the thread: another question
    desk.claim("ana").reject("not again")
    assert resume(app, waits)["said"] == "reject"
    assert ran == ["ana"]


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_a_node_asks_twice_and_a_question_of_its_own(desk: dc.Desk, loop: dc.Loop, sync: bool) -> None:
    """What resumes the gate's questions, however often, is never taken for the answer to another one."""

    def node(state: Choice) -> Choice:
        said = [ask(loop, rationale="due", key=key, **PAY).verdict for key in ("one", "two")]
        return {"said": [*said, interrupt("how do you do?")]}

    async def coroutine(state: Choice) -> Choice:
        said = [(await ask_async(loop, rationale="due", key=key, **PAY)).verdict for key in ("one", "two")]
        return {"said": [*said, interrupt("how do you do?")]}

    built = StateGraph(Choice)
    built.add_node("pay", node if sync else coroutine)
    built.add_edge(START, "pay")
    app = built.compile(checkpointer=InMemorySaver())

    def invoke(value: Any) -> Any:
        return app.invoke(value, HERE) if sync else asyncio.run(app.ainvoke(value, HERE))

    waits = paused(invoke({}))
    for _ in range(2):
        waits = paused(invoke(Command(resume={waits: "too early"})))
    desk.claim("ana").approve()
    waits = paused(invoke(Command(resume={waits: "go"})))
    waits = paused(invoke(Command(resume={waits: "too early"})))
    desk.claim("ana").reject("once is enough")
    waits = paused(invoke(Command(resume={waits: "go"})))
    assert invoke(Command(resume={waits: "very well"}))["said"] == ["approve", "reject", "very well"]


def test_a_request_shows_the_case_in_the_shape_of_the_agent_inbox(desk: dc.Desk, loop: dc.Loop) -> None:
    app = graph(gated(loop, [Shop().refund]), [REFUND, "Done."])
    (shown,) = app.invoke({"messages": "hello"}, HERE)["__interrupt__"][0].value
    claim = desk.claim("ana")
    assert shown["action_request"] == {"action": "refund", "args": ORDER}
    assert shown["config"] == dict.fromkeys(("allow_accept", "allow_edit", "allow_respond", "allow_ignore"), True)
    assert (shown["description"], shown["case_id"]) == ("It never arrived.", claim.case.id)


def test_one_approved_and_one_rejected_in_one_node(desk: dc.Desk, loop: dc.Loop) -> None:
    """A plain ToolNode runs all calls of a message in one task, and may ask one after the other."""
    shop, verdicts = Shop(), {"refund": "approve", "mail": "reject"}
    app = graph(gated(loop, [shop.refund, shop.mail]), [("Both.", ("refund", ORDER), ("mail", {"to": "ana"})), "Done."])
    result = app.invoke({"messages": "hello"}, HERE)
    for _ in range(2):
        if "__interrupt__" in result:
            while (claim := desk.claim("ana")) is not None:
                claim.answer(verdicts[claim.case.action])
            result = resume(app, paused(result))
    said = texts(result)
    assert said[1] == "refunded 40.0 for A-17"
    assert said[2].startswith("Nothing was run. ana rejected")
    assert shop.ran == [("A-17", 40.0)]


def test_an_unknown_field_of_a_gate_is_refused(loop: dc.Loop) -> None:
    with pytest.raises(errors.ArgumentError, match="not 'risky'"):
        gated(loop, [Shop().refund], risky=True)  # type: ignore[call-arg]


def test_ungated_tools_run_beside_the_gate(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    gate = CallGate(loop, ungated=["mail"])
    app = graph([shop.mail], [("Hello.", ("mail", {"to": "ana"})), "Done."], wrap_tool_call=gate.wrap)
    app.invoke({"messages": "hello"}, HERE)
    assert shop.ran == ["ana"]
    assert desk.store.queries.cases(loop="orders").rows == ()


def test_the_scripted_model_goes_on_where_the_conversation_is() -> None:
    from dualcontrol.testing import scripted_model

    model = scripted_model([REFUND, "Done."])
    assert model.invoke("hello").tool_calls[0]["args"] == ORDER
    assert model.invoke([("human", "hello"), AIMessage("It never arrived.")]).content == "Done."
    with pytest.raises(errors.RequestError, match="a turn is a text"):
        scripted_model([7]).invoke("hello")


def test_an_agent_far_from_the_database_is_gated_as_well(tmp_path: Path) -> None:
    """The same gate over HTTP, for a program that has a token and no database."""
    with dc.open(f"sqlite:///{tmp_path}/dc.db") as desk:
        desk.loop("orders", mode="approval", rationale="optional")
        team(desk, ("ana", "olga"))
        desk.people.register("bot", "root", owner="olga")
        token = desk.tokens.issue("bot", "root")[1]
        with background(desk, port=0) as server, dc.open(server.url, token=token) as far:
            shop = Shop(takes=0.1)
            app = graph(gated(far.loop("orders"), [shop.refund]), [REFUND, "Done."])
            waits = start(app)
            desk.claim("ana").approve()
            results = at_once(lambda: texts(resume(app, waits))[1])
            assert results == ["refunded 40.0 for A-17"] * 4
            assert shop.ran == [("A-17", 40.0)]
