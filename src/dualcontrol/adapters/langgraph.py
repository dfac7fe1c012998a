"""LangGraph behind the desk: a decision inside a node, gated tools, and threads that go on when people have decided.

The graph parks with `interrupt`, and the desk decides: what a resume brings is never an approval.  However a thread is
resumed, by whom and how often, the gate looks the case up, runs the tool once under the effect's lease, and gives every
other resume the recorded result.  A call is known by thread, message and call id, so that it is one case for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TypedDict, Unpack, get_type_hints

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as as_tool
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.func import task
from langgraph.prebuilt.tool_node import ToolCallRequest, ToolRuntime
from langgraph.types import Command, interrupt
from pydantic import BaseModel, ConfigDict

from dualcontrol.adapters import agent_inbox
from dualcontrol.adapters.messages import Returned, Spoken
from dualcontrol.adapters.resumer import Resumed, Resumer
from dualcontrol.case import JSON, Case, Outcome
from dualcontrol.commands import action_name
from dualcontrol.desk import Loop
from dualcontrol.errors import (
    ArgumentError,
    EffectError,
    EffectUnknownError,
    Pending,
    Rejected,
    RequestError,
    ResultError,
    StoppedError,
    TimedOut,
)
from dualcontrol.gate.gate import Trip, drive, drive_async
from dualcontrol.gate.tool import ToolArguments, ToolGate, check_unchanged, closed
from dualcontrol.keys import json_text, short
from dualcontrol.propose import command
from dualcontrol.schema import bound

__all__ = ["CallGate", "GatedTool", "Resumed", "Resumer", "ask", "ask_async", "gated"]

RESULT = Returned()
# Said to the model, in the place of a result.
AGAIN = "Do not make the same call again unless the user asks for it."


# Where a call stands: the thread, and the task in it.


def thread_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """The thread of a run and the place in it, as its configuration says; raises RequestError outside a thread."""
    held = config.get("configurable") or {}
    thread = held.get("thread_id")
    if not thread:
        raise RequestError(
            "this runs outside a thread, so that nothing could go on after a pause",
            hint='Compile the graph with a checkpointer, and invoke it with {"configurable": {"thread_id": …}}.',
        )
    return str(thread), str(held.get("checkpoint_ns") or "")


def known(loop: Loop, key: str) -> Case | None:
    """The case that a key stands for as it is now, or None."""
    case_id = loop.desk.steps.case_of_key(loop.name, key)
    return None if case_id is None else loop.look(case_id)


# A decision inside a node.


class Question(TypedDict, total=False):
    """What a node asks: the fields of `Loop.propose`."""

    action: str
    args: JSON
    proposal: JSON
    schema: dict[str, JSON] | None
    input: JSON
    rationale: str | None
    history: JSON
    alternatives: Sequence[JSON] | None
    candidates: Sequence[JSON] | None
    confidence: float | None
    scores: Sequence[float] | Mapping[Any, float] | None
    risk: str | float | None
    requires_approval: bool
    segment: str | None
    meta: dict[str, JSON] | None
    effect: Literal["none", "ready"] | None


def ask(
    loop: Loop, *, key: str | None = None, description: str | None = None, **question: Unpack[Question]
) -> Outcome:  # fmt: skip
    """Ask the desk inside a node, and park the thread until people or autopilot have decided; returns the outcome.

    The same question in the same task is the same case, however often the node runs; `key` tells two of them apart.  To
    act on it once, use ``with loop.effect(outcome.case_id) as value``.  `description` is what an inbox shows.

    Raises ProposalError or a subclass; then nothing is written.
    """
    case = _opened(loop, key, question)
    while case.outcome is None:
        case = loop.look(_parked(loop, case, description).result())
    return case.outcome


async def ask_async(
    loop: Loop, *, key: str | None = None, description: str | None = None, **question: Unpack[Question]
) -> Outcome:  # fmt: skip
    """The same inside a node that is a coroutine."""
    case = await asyncio.to_thread(_opened, loop, key, question)
    while case.outcome is None:
        case_id: str = await _parked(loop, case, description)
        case = await asyncio.to_thread(loop.look, case_id)
    return case.outcome


def _opened(loop: Loop, key: str | None, question: Question) -> Case:
    thread, place = thread_of(get_config())
    # A keyed hash: what is asked stands in the content of the case alone, where it can be erased.
    named = key if key is not None else loop.fingerprint(command(loop.settings, **question), question)
    return loop.propose(key=f"langgraph/{thread}/{place}/{named}", run=thread, **question)


def _park(loop: Loop, case: Case, description: str | None) -> str:
    """Park until the case is decided; what a resume brings is no decision, the desk has it or not.

    A task of its own, so that the interrupts of the node around it keep their places.
    """
    while case.outcome is None:
        interrupt(agent_inbox.asked(case, description))
        case = loop.look(case.id)
    return case.id


_parked: Any = task(name="dualcontrol")(_park)


# Gated tools.


class CallSignal(TypedDict, total=False):
    """What a gate says of each call: fields of `Loop.gate`, as values or as functions of the arguments by name."""

    confidence: float | Callable[..., float | None] | None
    risk: str | float | Callable[..., str | float | None] | None
    requires_approval: bool | Callable[..., bool]
    segment: str | Callable[..., str | None] | None
    input: JSON
    rationale: str | Callable[..., str | None] | None
    history: JSON
    meta: dict[str, JSON]
    source: dict[str, JSON] | Callable[..., dict[str, JSON]] | None
    owner: str | Callable[..., str | None] | None
    parent: str | Callable[..., str | None] | None
    context: Callable[..., dict[str, Any]] | None
    timeout: float | None


class CallGate:
    """The gate before the tool calls of a graph.

    ``ToolNode(tools, wrap_tool_call=gate.wrap, awrap_tool_call=gate.awrap)`` gates every call, but those of the tools
    named in `ungated`.  What routing looks at is given as for `Loop.gate`; what was said around the call is the case's
    input, rationale and history where nothing else is given.  `timeout` is how many seconds a call waits before the
    thread parks.
    """

    def __init__(self, loop: Loop, *, ungated: Collection[str] = (), **signal: Unpack[CallSignal]) -> None:
        if isinstance(ungated, str):
            raise RequestError(f"ungated is a list of names of tools, not {ungated!r:.80}")
        if unknown := sorted(signal.keys() - CallSignal.__annotations__.keys()):
            raise ArgumentError(f"a gate takes {', '.join(CallSignal.__annotations__)}, not {unknown[0]!r:.80}")
        self.loop = loop
        self.ungated = frozenset(ungated)
        self.signal = signal

    def wrap(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Let a call through the gate; `handler` runs the tool."""
        if request.tool_call["name"] in self.ungated:
            return handler(request)
        call = PlacedToolCall(self, request)
        with self.loop.context(run=call.thread):
            return drive(call.trip(lambda args: call.ended(handler(call.with_args(args)), args)))

    async def awrap(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """The same for a graph that runs in coroutines."""
        if request.tool_call["name"] in self.ungated:
            return await handler(request)
        call = PlacedToolCall(self, request)

        async def run(args: dict[str, Any]) -> Any:
            return call.ended(await handler(call.with_args(args)), args)

        with self.loop.context(run=call.thread):
            return await drive_async(call.trip(run))


class ToolFailed(Exception):
    """The tool ran and answered with an error, which the model is to read."""

    def __init__(self, message: ToolMessage) -> None:
        super().__init__(str(message.content))
        self.message = message


class PlacedToolCall:
    """One call that a model made: its place in the thread, what was said around it, and its way through the gate."""

    def __init__(self, gate: CallGate, request: ToolCallRequest) -> None:
        self.gate, self.request = gate, request
        self.name, self.args = action_name(request.tool_call["name"]), request.tool_call["args"]
        self.call_id = request.tool_call["id"] or ""
        if not self.call_id:
            raise RequestError(
                f"the call of {self.name} has no id, so that it could not be told from another",
                hint="Use a chat model that gives its tool calls ids, and call the tool through a graph.",
            )
        config = request.runtime.config if request.runtime is not None else get_config()
        self.thread, self.place = thread_of(config)
        self.spoken = Spoken.around(request.state, self.call_id)
        by = self.spoken.by
        self.key = self._key((by.id if by is not None else None) or self.place, self.call_id)

    def _key(self, message_id: str, call_id: str) -> str:
        return f"langgraph/{self.thread}/{message_id}/{call_id}"

    @property
    def schema(self) -> dict[str, JSON] | None:
        """JSON Schema of the arguments that the model gives; None where there is no such tool."""
        return None if self.request.tool is None else schema_of(self.request.tool)

    def with_args(self, args: dict[str, Any]) -> ToolCallRequest:
        """The request with the decided arguments, about to run."""
        _use_up()
        return self.request.override(tool_call={**self.request.tool_call, "args": args})

    def ended(self, result: Any, args: dict[str, Any]) -> Any:
        """What the tool returned, told as what it is: an error is one, and the model reads what people changed."""
        if isinstance(result, ToolMessage) and result.status == "error":
            raise ToolFailed(result)
        schema = closed(self.schema or {})
        if isinstance(result, ToolMessage) and isinstance(result.content, str) and args != bound(self.args, schema):
            changed = json_text(args).decode()
            note = f"A reviewer changed the arguments before it ran, to {changed}. This is intended."
            return result.model_copy(update={"content": f"{note}\n{result.content}"})
        return result

    def trip(self, run: Callable[[dict[str, Any]], Any]) -> Trip:
        """Through the gate, parked by `interrupt` while the desk has not decided; gives what the model is to read."""
        schema = self.schema
        before: Case | None = yield lambda: known(self.gate.loop, self.key)
        if before is not None:
            check_unchanged(before, self.name, schema)
        elif schema is not None and (why := ToolArguments(self.name, schema).unfit(self.args)) is not None:
            return self.told(f"Nothing was run: {self.name} does not take these arguments. {why}")
        elif (refused := (yield self._refused)) is not None:
            return refused
        if schema is None and before is None:
            return self.told(f"Nothing was run: there is no tool {short(self.name)}.")
        gate = ToolGate(
            self.gate.loop, run, action=self.name, schema=schema or {}, result=RESULT, key=self.key, **self._stated()
        )
        while True:
            try:
                return self._read((yield from gate.trip(self.args)))
            except Pending as pause:
                case: Case = yield lambda pause=pause: self.gate.loop.look(pause.case_id)
                interrupt(agent_inbox.asked(case))
            except ToolFailed as failed:
                return failed.message
            except GraphInterrupt as inner:
                raise _paused_inside(self.name) from inner
            except (Rejected, TimedOut, EffectError) as end:
                return self._end(end)

    def _stated(self) -> dict[str, Any]:
        """The fields of the proposal: the gate's own, and what was said around the call where it does not say them."""
        around: dict[str, Any] = {
            "input": self.spoken.asked, "rationale": self.spoken.why, "history": self.spoken.history,
            "meta": {"framework": "langgraph", "thread": self.thread, "call": self.call_id},
        }  # fmt: skip
        meta = {**(self.gate.signal.get("meta") or {}), **around["meta"]}
        return {**{k: v for k, v in around.items() if v is not None}, **self.gate.signal, "meta": meta}

    def _refused(self) -> ToolMessage | None:
        """What the model reads that makes a call again which people have refused in this turn."""
        for message_id, call_id in self.spoken.earlier(self.name, self.args):
            case = known(self.gate.loop, self._key(message_id, call_id))
            outcome = None if case is None else case.outcome
            if outcome is not None and outcome.verdict == "reject" and outcome.by == "human":
                why = f": {outcome.rationale}" if outcome.rationale else "."
                return self.told(f"This very call was rejected before by {', '.join(outcome.reviewers)}{why} {AGAIN}")
        return None

    def _read(self, result: Any) -> Any:
        """What was returned, or what somebody answered in the tool's place."""
        several = isinstance(result, list) and all(isinstance(item, ToolMessage | Command) for item in result)
        if isinstance(result, ToolMessage | Command) or (several and result):
            return result
        return self.told(agent_inbox.text_of(result), status="success")

    def _end(self, end: Rejected | TimedOut | EffectError) -> ToolMessage:
        """An end without a run, as the model reads it; raised where a person has to do something first."""
        if isinstance(end, EffectUnknownError | StoppedError | ResultError):
            raise end
        if isinstance(end, Rejected | TimedOut):
            return self.told(f"Nothing was run. {end.message}. {AGAIN}")
        if type(end) is not EffectError:
            raise end
        return self.told(f"{end.message}. It was not run again.")

    def told(self, text: str, status: str = "error") -> ToolMessage:
        """A message in the place of the tool's own."""
        return ToolMessage(text, name=self.name, tool_call_id=self.call_id, status=status)


def _use_up() -> None:
    """Use up what resumes brought for the gate's pauses, so that no `interrupt` of the tool takes it for an answer."""
    with suppress(GraphInterrupt):
        while True:
            interrupt(None)


def _paused_inside(name: str) -> EffectError:
    return EffectError(
        f"{name} called interrupt inside itself, and an approved tool is not run twice",
        hint="Ask before the tool or after it: a gated tool runs in one go.",
    )


def schema_of(tool: BaseTool) -> dict[str, JSON]:
    """JSON Schema of what the model gives a tool: without what the graph injects."""
    declared: Any = tool.tool_call_schema
    if isinstance(declared, dict):
        return dict(declared)
    schema: dict[str, JSON] = declared.model_json_schema() if issubclass(declared, BaseModel) else declared.schema()
    return schema


class GatedTool(BaseTool):
    """A tool behind the gate, for any `ToolNode` or agent; made by `gated`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: BaseTool
    gate: Any
    func: Any  # what `ToolNode` reads the injected arguments from
    runtime_name: str
    own_runtime: bool

    def invoke(self, input: Any, config: Any = None, **options: Any) -> Any:
        """Let a tool call through the gate."""
        request, injected = self._request(input)
        return self.gate.wrap(request, lambda asked: self.inner.invoke(_with(asked, injected), config, **options))

    async def ainvoke(self, input: Any, config: Any = None, **options: Any) -> Any:
        """The same for coroutines."""
        request, injected = self._request(input)

        async def run(asked: ToolCallRequest) -> Any:
            return await self.inner.ainvoke(_with(asked, injected), config, **options)

        return await self.gate.awrap(request, run)

    def _request(self, input: Any) -> tuple[ToolCallRequest, dict[str, Any]]:
        """A tool call as the gate takes it, and beside it what the graph injected."""
        if not isinstance(input, Mapping) or input.get("type") != "tool_call":
            raise RequestError(
                f"the gated tool {self.name!r} was called with bare arguments",
                hint="Let a ToolNode or an agent call it, or give it a tool call with its id.",
            )
        args = {name: value for name, value in input["args"].items() if name not in self._injected()}
        injected = {name: value for name, value in input["args"].items() if name not in args}
        runtime = injected.get(self.runtime_name)
        if not self.own_runtime:
            injected.pop(self.runtime_name, None)
        call = {"name": self.name, "args": args, "id": input.get("id"), "type": "tool_call"}
        state = runtime.state if runtime is not None else None
        return ToolCallRequest(tool_call=call, tool=self.inner, state=state, runtime=runtime), injected

    def _injected(self) -> set[str]:
        """The names of what a graph brings, of which a model says nothing."""
        names = {*self.func.__annotations__, *self.inner.get_input_schema().model_fields}
        return names - {*schema_of(self.inner).get("properties", {})}

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        raise RequestError(f"the gated tool {self.name!r} is called with a tool call")


def _with(asked: ToolCallRequest, injected: Mapping[str, Any]) -> dict[str, Any]:
    return {**asked.tool_call, "args": {**asked.tool_call["args"], **injected}, "type": "tool_call"}


def gated(loop: Loop, tools: Iterable[BaseTool | Callable[..., Any]], **signal: Unpack[CallSignal]) -> list[BaseTool]:
    """Tools behind the gate of a loop, for a `ToolNode` or an agent; `signal` as for `CallGate`.

    A plain function is made a tool of its name.  Raises RequestError for two of one name, of which a graph would take
    the last.
    """
    gate = CallGate(loop, **signal)
    made = [_gated(gate, tool) for tool in tools]
    twice([tool.name for tool in made])
    return made


def twice(names: Sequence[str]) -> None:
    """Refuse two tools of one name."""
    if found := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f"two tools have the name {found!r}", hint="Give each a name of its own.")


def _gated(gate: CallGate, tool: BaseTool | Callable[..., Any]) -> BaseTool:
    inner: BaseTool = tool if isinstance(tool, BaseTool) else as_tool(tool)
    body = getattr(inner, "func", None) or getattr(inner, "coroutine", None)
    hints = dict(get_type_hints(body, include_extras=True)) if body is not None else {}
    hints.pop("return", None)
    name = next((name for name, hint in hints.items() if _is_runtime(hint)), None)

    def func() -> None:
        """Carries the annotations by which the graph injects what the tool asks for, and the gate's runtime."""

    func.__annotations__ = {**hints, name or "runtime": hints.get(name or "runtime", ToolRuntime)}
    return GatedTool(
        name=inner.name, description=inner.description, args_schema=inner.args_schema, inner=inner, gate=gate,
        func=func, runtime_name=name or "runtime", own_runtime=name is not None,
        response_format=inner.response_format, return_direct=inner.return_direct,
    )  # fmt: skip


def _is_runtime(hint: Any) -> bool:
    return hint is ToolRuntime or getattr(hint, "__origin__", None) is ToolRuntime
