"""Agents of the tests: real graphs, a scripted model, and tools that write down what they did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from dualcontrol.testing import scripted_model

ORDER = {"order": "A-17", "amount": 40.0}
REFUND = ("It never arrived.", ("refund", ORDER))


class Shop:
    """A shop whose tools cost something: what was done stands in `ran`."""

    def __init__(self, takes: float = 0.0) -> None:
        self.ran: list[Any] = []
        self.takes = takes

    @property
    def refund(self) -> Callable[..., str]:
        def refund(order: str, amount: float) -> str:
            """Give money back."""
            time.sleep(self.takes)
            self.ran.append((order, amount))
            return f"refunded {amount} for {order}"

        return refund

    @property
    def mail(self) -> Callable[..., str]:
        def mail(to: str) -> str:
            """Write to somebody."""
            self.ran.append(to)
            return f"wrote to {to}"

        return mail


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def graph(tools: Sequence[Any], turns: Sequence[Any], *, saver: Any = None, **node: Any) -> Any:
    """A model and its tools, round and round until the model calls none."""
    model = scripted_model(turns).bind_tools(tools)
    built = StateGraph(MessagesState)
    built.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    built.add_node("tools", ToolNode(list(tools), **node))
    built.add_edge(START, "model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile(checkpointer=InMemorySaver() if saver is None else saver)


def texts(result: Any) -> list[str]:
    """What was said after the first message."""
    return [message.content for message in result["messages"][1:]]


def at_once(work: Callable[[], Any], times: int = 4) -> list[Any]:
    """What each of several threads got that did the same at one moment; an error is one of the results."""
    gate, got = threading.Barrier(times), []

    def run() -> None:
        gate.wait()
        try:
            got.append(work())
        except BaseException as error:
            got.append(error)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return got
