"""What of an agent is not gated: the tools that a graph and its sub-graphs can run beside the desk.

It looks at what the graph is made of, not at what nodes do by themselves: a function that acts, or that invokes another
agent, is not seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from langgraph.prebuilt import ToolNode

from dualcontrol.adapters.langgraph import CallGate, GatedTool
from dualcontrol.errors import RequestError

DEEPEST = 12  # how far a gate is looked for in what wraps a node's calls


class Reachable(NamedTuple):
    """A tool that a node can run, and whether the gate stands before it."""

    node: str
    tool: str
    gated: bool


def tools_of(graph: Any, path: str = "") -> Iterator[Reachable]:
    """Every tool of a compiled graph and of the graphs inside it, by the path of its node."""
    for name, node in graph.nodes.items():
        here = f"{path}{name}"
        for part in _parts(node.bound):
            if isinstance(part, ToolNode):
                yield from _tools_in(part, here)
        inside = {id(inner): inner for inner in (*_parts(node.bound), *(getattr(node, "subgraphs", None) or ()))}
        for inner in inside.values():
            if hasattr(inner, "nodes") and hasattr(inner, "get_state"):
                yield from tools_of(inner, f"{here}/")


def check(graph: Any, *, ungated: Collection[str] = ()) -> list[Reachable]:
    """Refuse an agent that can run a tool beside the gate, unless it is named in `ungated`; returns those that are.

    Call it where the program starts.  A gate that cannot be found counts as none.  Raises RequestError, which names
    every such tool, and also a name in `ungated` that is no tool of the graph.
    """
    found = list(tools_of(graph))
    beside = [tool for tool in found if not tool.gated]
    if loose := [tool for tool in beside if tool.tool not in ungated]:
        names = ", ".join(f"{tool.tool} in {tool.node}" for tool in loose)
        raise RequestError(
            f"these tools can run beside the gate: {names}", hint="Gate them, or name them in `ungated`."
        )
    if unknown := sorted(set(ungated) - {tool.tool for tool in found}):
        raise RequestError(f"ungated names {unknown[0]!r}, and the graph has no such tool")
    return beside


def _tools_in(node: ToolNode, path: str) -> Iterator[Reachable]:
    wrap, awrap = getattr(node, "_wrap_tool_call", None), getattr(node, "_awrap_tool_call", None)
    # A run in coroutines takes the plain wrapper where there is no other; a plain run takes none but its own.
    gates = [_gate_in(wrap), _gate_in(wrap if awrap is None else awrap)]
    for name, tool in node.tools_by_name.items():
        wrapped = all(gate is not None and name not in gate.ungated for gate in gates)
        yield Reachable(path, name, wrapped or isinstance(tool, GatedTool))


def _parts(bound: Any) -> Iterator[Any]:
    """A node's runnable, and those that it is made of in a row."""
    yield bound
    for step in getattr(bound, "steps", None) or ():
        yield from _parts(step)


def _gate_in(wrapper: Any, depth: int = 0) -> CallGate | None:
    """The gate that a wrapper of calls leads to: what it is a method of, or what it closes over."""
    owner = getattr(wrapper, "__self__", None)
    for found in (wrapper, owner, getattr(owner, "gate", None)):
        if isinstance(found, CallGate):
            return found
    if depth >= DEEPEST or not (inspect.isfunction(wrapper) or inspect.ismethod(wrapper)):
        return None
    inside = inspect.unwrap(wrapper)
    held = [inside] if inside is not wrapper else list(inspect.getclosurevars(wrapper).nonlocals.values())
    return next((gate for each in held if (gate := _gate_in(each, depth + 1)) is not None), None)
