"""The shapes of the Agent Inbox, both ways: what a paused graph asks there, and what it is answered.

A request is ``{action_request: {action, args}, config: {allow_accept, allow_edit, allow_respond, allow_ignore},
description}``, alone or as the one item of a list; an answer is ``{type: accept | edit | response | ignore, args}``, in
a list where the request was.  The shapes are JSON and need no framework.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from dualcontrol.case import JSON, Case
from dualcontrol.errors import AnswerValueError, Pending

EVERYTHING = {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True}


class Request(NamedTuple):
    """A request of a graph that was written for the Agent Inbox."""

    action: str
    args: dict[str, JSON]
    allowed: dict[str, bool]
    description: str | None
    listed: bool  # it came in a list, and so does its answer

    @classmethod
    def read(cls, value: JSON) -> Request | None:
        """The request that an interrupt holds; None where it holds something else."""
        listed = isinstance(value, list | tuple) and len(value) == 1
        asked = value[0] if listed else value
        wanted = asked.get("action_request") if isinstance(asked, Mapping) else None
        if not isinstance(wanted, Mapping) or not isinstance(wanted.get("action"), str):
            return None
        args, config, text = wanted.get("args"), asked.get("config"), asked.get("description")
        allowed = {word: bool((config or {}).get(word, False)) for word in EVERYTHING}
        return cls(wanted["action"], dict(args or {}), allowed, text if isinstance(text, str) else None, listed)

    def answer(self, case: Case) -> JSON:
        """What the graph is answered by the outcome of the case that was opened for it.

        Raises `AnswerValueError` where the graph takes no such answer, before it sees anything of it.
        """
        told = self._told(case)
        word = {"accept": "allow_accept", "edit": "allow_edit", "response": "allow_respond", "ignore": "allow_ignore"}
        if not self.allowed[word[str(told["type"])]]:
            takes = ", ".join(name for name, flag in word.items() if self.allowed[flag]) or "no answer at all"
            raise AnswerValueError(
                f"the graph that asked for case {case.id} takes {takes}, and it was answered with {told['type']}",
                case_id=case.id, hint="Nothing was resumed; ask again, or let the graph's `config` allow it.",
            )  # fmt: skip
        return [told] if self.listed else told

    def _told(self, case: Case) -> dict[str, JSON]:
        outcome = case.outcome
        if outcome is None:
            raise Pending(case.id)
        if outcome.verdict == "respond":
            return {"type": "response", "args": text_of(outcome.value)}
        if outcome.verdict == "reject":
            if self.allowed["allow_ignore"] or not self.allowed["allow_respond"]:
                return {"type": "ignore", "args": None}
            return {"type": "response", "args": f"Rejected: {outcome.rationale or 'no reason was given'}"}
        decided = case.resolved_value()
        if decided == case.proposed_value():
            return {"type": "accept", "args": None}
        return {"type": "edit", "args": {"action": decided["action"], "args": decided["args"]}}


def asked(case: Case, description: str | None = None) -> list[dict[str, JSON]]:
    """The request of a case as an interrupt shows it, with the id of the case that decides."""
    proposed = case.proposed_value()
    action, args = (proposed["action"], proposed["args"]) if case.action else (case.loop, {"proposal": proposed})
    return [
        {
            "action_request": {"action": action, "args": args},
            "config": dict(EVERYTHING),
            "description": description or case.rationale,
            "case_id": case.id,
            "loop": case.loop,
        }
    ]


def case_named(value: JSON) -> str | None:
    """The id of the case that an interrupt waits for; None where it names none."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    named = first.get("case_id") if isinstance(first, Mapping) else None
    return named if isinstance(named, str) else None


def text_of(value: JSON) -> str:
    """A response as text, as a model reads it."""
    if isinstance(value, dict) and set(value) == {"text"}:
        value = value["text"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
