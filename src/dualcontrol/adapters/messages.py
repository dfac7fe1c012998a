"""Messages of LangChain as JSON: those before a call as history, and what a tool returned as the record keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
    message_to_dict,
    messages_from_dict,
)
from langgraph.types import Command, Send

from dualcontrol.case import JSON
from dualcontrol.gate.result import plain

LONGEST = 20  # messages of a history, the newest
LONGEST_TEXT = 10_000  # characters of one of them
# Under these keys stands what is not JSON itself, so that no object of a tool's own is taken for it.
MESSAGE, COMMAND, SEND = "langchain/message", "langgraph/command", "langgraph/send"


class Spoken(NamedTuple):
    """What was said around one tool call: the message that makes it, and those before."""

    before: list[BaseMessage]
    by: AIMessage | None

    @classmethod
    def around(cls, state: Any, call_id: str) -> Spoken:
        """Read from an agent's state, whatever holds its messages."""
        messages = convert_to_messages(messages_of(state))
        for place in range(len(messages) - 1, -1, -1):
            message = messages[place]
            if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
                return cls(messages[:place], message)
        return cls(messages, None)

    @property
    def asked(self) -> JSON:
        """What the AI was given last by a person."""
        last = next((m for m in reversed(self.before) if isinstance(m, HumanMessage)), None)
        return None if last is None else {"message": text_in(last)}

    @property
    def why(self) -> str | None:
        """What the AI said with the call."""
        return (text_in(self.by) or None) if self.by is not None else None

    @property
    def history(self) -> list[JSON]:
        """The messages before, the newest of them, as people read them."""
        return [_line(message) for message in self.before[-LONGEST:]]

    def earlier(self, name: str, args: JSON) -> list[tuple[str, str]]:
        """(message id, call id) of the same call made before in this turn: since a person spoke last."""
        found: list[tuple[str, str]] = []
        for message in reversed(self.before):
            if isinstance(message, HumanMessage):
                break
            for call in message.tool_calls if isinstance(message, AIMessage) else ():
                if (call["name"], call["args"]) == (name, args) and message.id and call["id"]:
                    found.append((message.id, call["id"]))
        return found


def messages_of(state: Any) -> Sequence[Any]:
    """The messages of a state: the list itself, or what stands in it under that name."""
    if isinstance(state, list | tuple):
        return state
    held = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    return held if isinstance(held, list | tuple) else []


def text_in(message: BaseMessage) -> str:
    """The text of a message: what is a picture or a file in it is named, not shown."""
    if isinstance(message.content, str):
        return message.content.strip()[:LONGEST_TEXT]
    parts = []
    for block in message.content:
        kind = block.get("type", "part") if isinstance(block, dict) else "text"
        text = block if isinstance(block, str) else block.get("text") or block.get("reasoning")
        if kind != "tool_use":
            parts.append(text if isinstance(text, str) else f"[{kind}]")
    return "\n".join(parts).strip()[:LONGEST_TEXT]


def _line(message: BaseMessage) -> dict[str, JSON]:
    line: dict[str, JSON] = {"by": message.type, "text": text_in(message)}
    if isinstance(message, AIMessage) and message.tool_calls:
        line["calls"] = [{"tool": call["name"], "args": call["args"]} for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        line |= {"tool": message.name, "status": message.status}
    return line


class Returned:
    """How what a tool returned is kept: a message, a command, or a list of both, and whatever JSON stands in them."""

    def kept(self, result: Any) -> tuple[bool, JSON]:
        """Whether it can be given back later, and its JSON."""
        try:
            return plain(_written(result))
        except TypeError:
            return False, None

    def read(self, value: JSON) -> Any:
        """What the tool returned."""
        return _read(value)


def _written(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        written = message_to_dict(value)
        if not plain(written["data"].get("artifact"))[0]:
            written["data"]["artifact"] = None  # for the program that ran it; no model reads it
        return {MESSAGE: written}
    if isinstance(value, Command):
        parts = {"graph": value.graph, "update": value.update, "resume": value.resume, "goto": value.goto}
        return {COMMAND: {name: _written(part) for name, part in parts.items()}}
    if isinstance(value, Send):
        return {SEND: [value.node, _written(value.arg)]}
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {_name(key): _written(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} is not kept")


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError("a key that is no text is not kept")
    return key


def _read(value: JSON) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {MESSAGE}:
        return messages_from_dict([value[MESSAGE]])[0]
    if set(value) == {COMMAND}:
        return Command(**{name: _read(part) for name, part in value[COMMAND].items()})
    if set(value) == {SEND}:
        node, arg = value[SEND]
        return Send(node, _read(arg))
    return {key: _read(item) for key, item in value.items()}
