"""LangChain agents behind the desk: one middleware gates every tool call, and each call of a turn is its own case.

The gate is that of `dualcontrol.adapters.langgraph`; its `Resumer` continues the agent's threads, and answers graphs
that pause in the manner of the Agent Inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Unpack

from langchain.agents.middleware import AgentMiddleware

from dualcontrol.adapters.langgraph import CallGate, CallSignal, Resumed, Resumer
from dualcontrol.adapters.messages import messages_of
from dualcontrol.desk import Loop
from dualcontrol.errors import RequestError

__all__ = ["HumanGate", "Resumed", "Resumer", "rescue"]


class HumanGate(AgentMiddleware):
    """``create_agent(model, tools, middleware=[HumanGate(loop)], checkpointer=…)``: people decide on tool calls.

    Every call is gated but those of the tools named in `ungated`.  `signal` is what `dualcontrol.adapters.langgraph`
    takes for a call: `risk`, `confidence`, `meta` …  List it before middleware that retries tools or handles their
    errors, so that all of these run inside the gate, once.
    """

    def __init__(self, loop: Loop, *, ungated: Collection[str] = (), **signal: Unpack[CallSignal]) -> None:
        super().__init__()
        self.gate = CallGate(loop, ungated=ungated, **signal)

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Let a tool call through the gate."""
        return self.gate.wrap(request, handler)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """The same for agents that run in coroutines."""
        return await self.gate.awrap(request, handler)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Refuse a name in `ungated` that is no tool of the agent: a misspelt one would be gated, against its word."""
        self._check(request.tools)
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """The same for agents that run in coroutines."""
        self._check(request.tools)
        return await handler(request)

    def _check(self, tools: Collection[Any]) -> None:
        names = [tool.get("name", "") if isinstance(tool, dict) else tool.name for tool in tools]
        if unknown := sorted(self.gate.ungated - set(names)):
            raise RequestError(
                f"ungated names {unknown[0]!r}, and the agent has no such tool; it has {', '.join(names)}",
                hint="Correct the name: a tool that is not named there is gated.",
            )


def rescue(agent: Any, thread: str, config: Mapping[str, Any] | None = None) -> Any:
    """Free a thread that an answer of the wrong number has stuck for ever in a batched review; returns what it gives.

    LangChain's own middleware keeps such an answer, and every right one after it fails as well.  The thread goes back
    to where the model had spoken: its calls are reviewed anew, by this gate where the agent has it by now.  Nothing
    that has run behind the gate runs again; what ran ungated in the same turn does.
    """
    held = dict((config or {}).get("configurable") or {})
    configured = {**(config or {}), "configurable": {**held, "thread_id": thread}}
    said = messages_of(agent.get_state(configured).values)
    done = {getattr(message, "tool_call_id", None) for message in said}
    last = next((message for message in reversed(said) if message.type == "ai"), None)
    if last is None or all(call["id"] in done for call in last.tool_calls):
        raise RequestError(f"thread {thread} waits for nothing", hint="Name the thread that every answer fails in.")
    return agent.invoke(None, agent.update_state(configured, {"messages": []}, as_node="model"))
