"""A gate before one call of a framework's tool: its arguments are JSON by the tool's own schema.

A gated function says by its annotations what it takes; a tool says it by a JSON Schema, and the model gives JSON.
The trip is that of every gate.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Protocol

from dualcontrol.case import JSON, Case, plain
from dualcontrol.errors import EffectError, PayloadError, RunChangedError
from dualcontrol.gate.arguments import NOT_RUN, Arguments
from dualcontrol.gate.gate import UNBOUND, Gate, GatedLoop, RecordedCall, Trip
from dualcontrol.keys import json_text
from dualcontrol.schema import violation

# The words of a schema: what nobody decides by, what holds schemas by names of the tool's own, what holds values.
ASIDE = frozenset(("title", "description", "examples", "deprecated"))
NAMED = frozenset(("properties", "patternProperties", "$defs", "definitions"))
VALUES = frozenset(("default", "const", "enum", "required"))


class KeptResult(Protocol):
    """How the results of a tool are kept as JSON, and read back."""

    def kept(self, result: Any) -> tuple[bool, JSON]:
        """Whether a result can be given back later, and its JSON."""
        ...

    def read(self, value: JSON) -> Any:
        """The result as it was returned first."""
        ...


class ToolArguments(Arguments):
    """The arguments of a tool: an object that fits its schema, and nothing beside it."""

    def __init__(self, action: str, schema: Mapping[str, JSON]) -> None:
        super().__init__(action, inspect.unwrap, ())
        self._declared = closed(schema)

    @property
    def schema(self) -> dict[str, JSON]:
        """JSON Schema of the arguments, as the tool declares it."""
        return self._declared

    def as_json(self, values: Mapping[str, Any]) -> dict[str, JSON]:
        """The arguments as plain JSON; `PayloadError` for what JSON cannot say."""
        written: dict[str, JSON] = plain(dict(values))
        json_text(written)
        return written

    def unfit(self, args: JSON) -> str | None:
        """How these arguments are not what the tool takes; None where they are."""
        if not isinstance(args, dict):
            return f"{args!r:.80} is not an object of arguments by name"
        try:
            found = violation(self.as_json(args), self.schema)
        except PayloadError as error:
            return error.message
        return None if found is None else f"{'.'.join(map(str, found.path)) or 'the arguments'}: {found.message}"

    def values(self, own: Mapping[str, Any], decided: JSON) -> dict[str, Any]:
        """What was decided, if the tool takes it; a copy, since the tool may change it."""
        if (why := self.unfit(decided)) is not None:
            raise EffectError(f"{self.action} does not take what was decided: {why}", hint=NOT_RUN)
        copied: dict[str, Any] = deepcopy(decided)
        return copied

    def call(self, lead: tuple[Any, ...], values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """All arguments as one object, as `ToolGate` runs it."""
        return [values], {}


class ToolGate(Gate[..., Any]):
    """A gate before one call of a tool, made for that call: `run` takes the decided arguments as one object.

    `key` tells the call from every other of the loop, so that however often it comes back it is one case and runs once.
    """

    def __init__(
        self, loop: GatedLoop, run: Callable[[dict[str, Any]], Any], *, action: str, schema: Mapping[str, JSON],
        result: KeptResult, key: str, formerly: Sequence[str] = (), timeout: float | None = 0, **signal: Any,
    ) -> None:  # fmt: skip
        super().__init__(loop, run, action=action, timeout=timeout, formerly=tuple(formerly), key=key, **signal)
        self.result = result  # type: ignore[assignment]
        self._arguments = ToolArguments(self.action, schema)

    def arguments(self, bound: bool) -> ToolArguments:  # type: ignore[override]
        """What the tool takes."""
        return self._arguments

    def trip(self, args: dict[str, Any]) -> Trip:
        """The way of a call with these arguments through the gate, for a driver."""
        return self._trip(ToolCall(self, args))  # type: ignore[arg-type]


class ToolCall(RecordedCall):
    """One call's arguments as the model gave them: what runs is what was decided, read from the record."""

    def __init__(self, gate: ToolGate, args: dict[str, Any]) -> None:
        super().__init__(gate, UNBOUND)
        self.named = self.as_json = gate.arguments(False).as_json(args)


def closed(schema: Mapping[str, JSON]) -> dict[str, JSON]:
    """A schema of arguments that takes none but those it names, unless it says that it does."""
    return {"type": "object", "properties": {}, "additionalProperties": False, **schema}


def check_unchanged(case: Case, action: str, schema: Mapping[str, JSON] | None) -> None:
    """Refuse to go on with a case whose tool is another one by now; None stands for a tool that is gone.

    What has run, or was refused, is answered from the record whatever became of the tool.
    """
    proposal = case.proposal
    if proposal is None or case.effect.state not in ("none", "ready") or (case.closed_at is not None):
        return
    if schema is None:
        how = ["it is gone or has another name"]
    else:
        how = differences(proposal.schema or {}, closed(schema))
    if how:
        raise RunChangedError(
            f"case {case.id} was opened for the tool {action!r}, which is another one by now: {'; '.join(how)}",
            case_id=case.id,
        )


def differences(before: Mapping[str, JSON], now: Mapping[str, JSON]) -> list[str]:
    """In what two schemas of arguments differ, in words; titles and descriptions aside."""
    old, new = bare(before), bare(now)
    was, has = old.pop("properties", {}), new.pop("properties", {})
    told = [f"{name} is new" for name in has if name not in was]
    told += [f"{name} is gone" for name in was if name not in has]
    told += [f"{name} takes other values" for name in was if name in has and was[name] != has[name]]
    return told or (["its arguments are declared otherwise"] if old != new else [])


def bare(schema: JSON) -> Any:
    """A schema without what nobody decides by."""
    if isinstance(schema, list):
        return [bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for word, part in schema.items():
        if word in NAMED and isinstance(part, dict):  # its keys are names of the tool's own, "title" among them
            kept[word] = {name: bare(each) for name, each in part.items()}
        elif word not in ASIDE:
            kept[word] = part if word in VALUES else bare(part)
    return kept
