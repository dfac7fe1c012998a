"""Threads go on by the interrupt's id when their cases are decided, one program at a time, whoever wrote the graph."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from adapters.agents import ORDER, REFUND, Shop, at_once, graph, texts, thread
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

import dualcontrol as dc
from dualcontrol import errors
from dualcontrol.adapters.langgraph import Resumer, gated
from dualcontrol.testing import FakeClock

pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open(database_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return desk.loop("orders", mode="approval", rationale="optional", context=["proposal"])


def answer(desk: dc.Desk, verdict: str, value: Any = None) -> dc.Case:
    claim = desk.claim("ana", "orders")
    assert claim is not None
    return claim.answer(verdict, value)


def test_every_decided_thread_goes_on_and_no_other(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    resumer = Resumer(app, loop)
    for name in ("a", "b", "c"):
        app.invoke({"messages": name}, thread(name))
    assert resumer.once() == []
    first, second = answer(desk, "approve"), answer(desk, "reject")
    went = {resumed.thread: resumed for resumed in resumer.once()}
    assert {each.cases for each in went.values()} == {(first.id,), (second.id,)}
    assert [texts(each.result)[-1] for each in went.values()] == ["Done.", "Done."]
    assert shop.ran == [("A-17", 40.0)]
    assert resumer.once() == []
    answer(desk, "approve")
    assert len(resumer.once()) == 1
    assert len(shop.ran) == 2


def test_four_resumers_at_once_continue_a_thread_once(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop(takes=0.2)
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    app.invoke({"messages": "hello"}, thread("a"))
    answer(desk, "approve")
    results = at_once(lambda: Resumer(app, loop).resume("a"))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert len([result for result in results if result is not None]) == 1
    assert shop.ran == [("A-17", 40.0)]


def test_resumers_that_begin_at_one_moment_want_the_same_lease(desk: dc.Desk, loop: dc.Loop) -> None:
    shop, moment = Shop(takes=0.2), threading.Barrier(4)

    class AtOneMoment(Resumer):
        """Each has read what was continued before any of them writes."""

        def _continuations(self, thread: str) -> list[str]:
            read = super()._continuations(thread)
            moment.wait(timeout=30)
            return read

    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    app.invoke({"messages": "hello"}, thread("a"))
    answer(desk, "approve")
    results = at_once(lambda: AtOneMoment(app, loop).resume("a"))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert len([result for result in results if result is not None]) == 1
    assert len(desk.store.queries.cases(loop="orders-resumed").rows) == 1


def test_a_new_program_continues_what_an_old_one_left(desk: dc.Desk, loop: dc.Loop) -> None:
    saver, shop = InMemorySaver(), Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."], saver=saver)
    app.invoke({"messages": "hello"}, thread("a"))
    answer(desk, "edit", {"order": "A-17", "amount": 7.0})
    again = graph(gated(loop, [shop.refund]), [REFUND, "Done."], saver=saver)
    (resumed,) = Resumer(again, loop).once()
    assert texts(resumed.result)[-1] == "Done."
    assert shop.ran == [("A-17", 7.0)]


def test_a_thread_that_cannot_go_on_says_why_rests_and_keeps_no_other(desk: dc.Desk, loop: dc.Loop) -> None:
    saver, shop = InMemorySaver(), Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."], saver=saver)
    for name in ("a", "b"):
        app.invoke({"messages": name}, thread(name))

    def refund(order: str, amount: float, currency: str = "EUR") -> str:
        """Give money back."""
        raise AssertionError("never")

    answer(desk, "approve")
    answer(desk, "approve")
    resumer = Resumer(graph(gated(loop, [refund]), [REFUND, "Done."], saver=saver), loop)
    assert [type(each.error) for each in resumer.once()] == [errors.RunChangedError] * 2
    assert resumer.once() == [], "it rests"
    went = Resumer(graph(gated(loop, [shop.refund]), [REFUND, "Done."], saver=saver), loop).once()
    assert [each.error for each in went] == [None, None]
    assert len(shop.ran) == 2


class Mail(TypedDict, total=False):
    answered: Any


def inbox_graph(sent: list[Any], **config: bool) -> Any:
    """A graph that was written for the Agent Inbox, and knows nothing of a desk."""

    def node(state: Mail) -> Mail:
        allowed = {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True, **config}
        request = {
            "action_request": {"action": "send_mail", "args": {"to": "ana"}},
            "config": allowed,
            "description": "She asked.",
        }
        response = interrupt([request])[0]
        if response["type"] in ("accept", "edit"):
            sent.append((response["args"] or request["action_request"])["args"]["to"])
        return {"answered": response}

    built = StateGraph(Mail)
    built.add_node("mail", node)
    built.add_edge(START, "mail")
    return built.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize(
    ("verdict", "value", "told", "sent"),
    [
        ("approve", None, {"type": "accept", "args": None}, ["ana"]),
        ("edit", {"to": "ben"}, {"type": "edit", "args": {"action": "send_mail", "args": {"to": "ben"}}}, ["ben"]),
        ("respond", {"text": "Call her."}, {"type": "response", "args": "Call her."}, []),
        ("reject", None, {"type": "ignore", "args": None}, []),
    ],
)
def test_a_graph_for_the_agent_inbox_works_unchanged(
    desk: dc.Desk, loop: dc.Loop, verdict: str, value: Any, told: Any, sent: list[str]
) -> None:
    done: list[Any] = []
    app = inbox_graph(done)
    resumer = Resumer(app, loop)
    app.invoke({}, thread("a"))
    (case,) = resumer.ask("a")
    assert [again.id for again in resumer.ask("a")] == [case.id]
    assert (case.action, case.candidates[0].value, case.rationale) == ("send_mail", {"to": "ana"}, "She asked.")
    answer(desk, verdict, value)
    (resumed,) = resumer.once()
    assert (resumed.result["answered"], done) == (told, sent)
    assert resumer.once() == []
    assert desk.case(case.id).effect.state == ("succeeded" if sent else "none")


def test_an_answer_that_the_graph_does_not_take_is_kept_from_it(desk: dc.Desk, loop: dc.Loop) -> None:
    sent: list[Any] = []
    app = inbox_graph(sent, allow_edit=False)
    resumer = Resumer(app, loop)
    app.invoke({}, thread("a"))
    (case,) = resumer.ask("a")
    answer(desk, "edit", {"to": "ben"})
    with pytest.raises(errors.AnswerValueError, match="it was answered with edit"):
        resumer.resume("a")
    assert app.get_state(thread("a")).interrupts, "the pause is not spent"
    assert (sent, desk.case(case.id).effect.state) == ([], "ready")


def test_four_resumers_at_once_answer_an_inbox_graph_once(desk: dc.Desk, loop: dc.Loop) -> None:
    sent: list[Any] = []
    app = inbox_graph(sent)
    app.invoke({}, thread("a"))
    Resumer(app, loop).ask("a")
    answer(desk, "approve")
    results = at_once(lambda: Resumer(app, loop).resume("a"))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert sent == ["ana"]


def test_a_lost_continuation_is_taken_up_after_its_lease(desk: dc.Desk, loop: dc.Loop, clock: FakeClock) -> None:
    """A program that ended in the middle, with the answer in the checkpoint and no interrupt waiting any more."""
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    app.invoke({"messages": "hello"}, thread("a"))
    answer(desk, "approve")

    class Killed(BaseException):
        """As if the process ended here."""

    class Dying:
        """The graph in a program that ends when the tool has run."""

        checkpointer, get_state = app.checkpointer, app.get_state

        def invoke(self, *args: Any) -> Any:
            for _ in app.stream(*args):
                raise Killed

    with pytest.raises(Killed):
        Resumer(Dying(), loop, lease="1m").resume("a")
    assert Resumer(app, loop, lease="1m").once() == [], "somebody has the lease"
    clock.tick(61)
    (resumed,) = Resumer(app, loop, lease="1m").once()
    assert texts(resumed.result) == ["It never arrived.", "refunded 40.0 for A-17", "Done."]
    assert shop.ran == [("A-17", 40.0)]
    assert Resumer(app, loop, lease="1m").once() == []


def test_a_graph_that_keeps_no_threads_is_refused(loop: dc.Loop) -> None:
    with pytest.raises(errors.RequestError, match="keeps no threads"):
        Resumer(graph(gated(loop, [Shop().refund]), [REFUND], saver=False), loop)


def test_a_stopped_loop_continues_nothing(desk: dc.Desk, loop: dc.Loop) -> None:
    shop = Shop()
    app = graph(gated(loop, [shop.refund]), [REFUND, "Done."])
    app.invoke({"messages": "hello"}, thread("a"))
    answer(desk, "approve")
    desk.stop("olga", "an alarm", loop=loop)
    assert Resumer(app, loop).once() == []
    desk.resume("olga", "all is well", loop=loop)
    assert len(Resumer(app, loop).once()) == 1
    assert shop.ran == [(ORDER["order"], ORDER["amount"])]
