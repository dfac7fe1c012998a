"""A chat model that follows a script, for tests and examples; `dualcontrol.testing.scripted_model` makes one.

What it says depends on nothing but how often it has spoken in the conversation, so that a program that is started again
goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from dualcontrol.errors import RequestError


class ScriptedModel(BaseChatModel):
    """Says one turn after the other, the last one again and again: a text, ``(text, (tool, args), …)``, a message."""

    turns: Sequence[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> ScriptedModel:
        """The same model: it calls the tools of its script, whatever it is offered."""
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        spoken = sum(isinstance(message, AIMessage) for message in messages)
        turn = self.turns[min(spoken, len(self.turns) - 1)]
        return ChatResult(generations=[ChatGeneration(message=_message(turn, spoken))])


def _message(turn: Any, spoken: int) -> AIMessage:
    if isinstance(turn, str):
        return AIMessage(turn)
    if isinstance(turn, AIMessage):
        copied: AIMessage = turn.model_copy(update={"id": None})  # said again, it is another message
        return copied
    if not isinstance(turn, tuple) or not turn or not isinstance(turn[0], str):
        raise RequestError(
            f"a turn is a text, a message, or a tuple of a text and of calls (tool, args), not {turn!r:.80}"
        )
    calls = [{"name": name, "args": args, "id": f"call-{spoken}-{n}"} for n, (name, args) in enumerate(turn[1:])]
    return AIMessage(turn[0], tool_calls=calls)
