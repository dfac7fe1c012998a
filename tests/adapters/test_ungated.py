"""What an agent can run beside the gate is listed, and refused where nobody named it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from adapters.agents import REFUND, Shop, graph
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

import dualcontrol as dc
from dualcontrol import errors
from dualcontrol.adapters.langchain import HumanGate
from dualcontrol.adapters.langgraph import CallGate, gated
from dualcontrol.adapters.ungated import check, tools_of
from dualcontrol.testing import scripted_model

pytestmark = pytest.mark.slow


@pytest.fixture
def loop() -> Iterator[dc.Loop]:
    with dc.open("sqlite:///:memory:") as desk:
        yield desk.loop("orders", mode="approval")


def listed(app: Any) -> list[tuple[str, str, bool]]:
    return [(tool.node, tool.tool, tool.gated) for tool in tools_of(app)]


def test_a_tool_beside_the_gate_is_refused_unless_it_is_named(loop: dc.Loop) -> None:
    shop = Shop()
    app = graph([*gated(loop, [shop.refund]), shop.mail], [REFUND])
    assert listed(app) == [("tools", "refund", True), ("tools", "mail", False)]
    with pytest.raises(errors.RequestError, match="beside the gate: mail in tools"):
        check(app)
    assert [tool.tool for tool in check(app, ungated=["mail"])] == ["mail"]
    with pytest.raises(errors.RequestError, match="no such tool"):
        check(app, ungated=["mail", "mial"])


def test_a_gated_node_gates_all_but_those_it_names(loop: dc.Loop) -> None:
    shop, gate = Shop(), CallGate(loop, ungated=["mail"])
    tools = [shop.refund, shop.mail]
    app = graph(tools, [REFUND], wrap_tool_call=gate.wrap, awrap_tool_call=gate.awrap)
    assert listed(app) == [("tools", "refund", True), ("tools", "mail", False)]


def test_a_node_that_is_gated_for_coroutines_alone_is_not_gated(loop: dc.Loop) -> None:
    gate = CallGate(loop)
    assert not listed(graph([Shop().refund], [REFUND], awrap_tool_call=gate.awrap))[0][2]
    assert listed(graph([Shop().refund], [REFUND], wrap_tool_call=gate.wrap))[0][2]


@pytest.mark.parametrize("first", [True, False])
def test_a_middleware_among_others_is_found(loop: dc.Loop, first: bool) -> None:
    own = HumanGate(loop)
    middleware = [own, ToolRetryMiddleware()] if first else [ToolRetryMiddleware(), own]
    app = create_agent(scripted_model([REFUND]), [Shop().refund], middleware=middleware)
    assert listed(app) == [("tools", "refund", True)]
    bare = create_agent(scripted_model([REFUND]), [Shop().refund], middleware=[ToolRetryMiddleware()])
    assert listed(bare) == [("tools", "refund", False)]


def test_graphs_inside_a_graph_are_looked_into(loop: dc.Loop) -> None:
    inner = graph([Shop().refund], [REFUND])

    def called(state: MessagesState) -> Any:
        return inner.invoke(state)

    built = StateGraph(MessagesState)
    built.add_node("agent", inner)
    built.add_node("called", called)
    built.add_edge(START, "agent")
    built.add_edge("agent", "called")
    app = built.compile(checkpointer=InMemorySaver())
    assert listed(app) == [("agent/tools", "refund", False), ("called/tools", "refund", False)]
