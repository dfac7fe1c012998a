"""How a gated call ends: what it returns or raises without running, and what is kept of a run."""

from __future__ import annotations

import inspect
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from dualcontrol.case import JSON, Case
from dualcontrol.errors import (
    EffectError,
    EffectUnknownError,
    ErasedError,
    Paused,
    Pending,
    Rejected,
    ResultError,
    TimedOut,
)
from dualcontrol.gate.arguments import Argument, jsonable, resolved
from dualcontrol.names import among

LONGEST_ERROR = 10_000
GO: Any = object()


class Result:
    """What a gated function returns: kept as JSON, and read back as the type that it is annotated with."""

    def __init__(self, body: Any, annotation: Any) -> None:
        kind = resolved(body, annotation)
        self._read = None if kind is Any else Argument(inspect.Parameter("result", _POSITIONAL), kind)

    def kept(self, result: Any) -> tuple[bool, JSON]:
        """Whether a result can be given back later, and its JSON; nothing that can be read only once is read."""
        kept, value = plain(result)
        return kept and (self._read is None or self._read.comes_back(result, value)), value

    def read(self, value: JSON) -> Any:
        """The result as it was returned first, as far as its annotation says what that was."""
        return value if self._read is None else self._read.read(value)


_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY


def over(case: Case, actions: tuple[str, ...], result: Result) -> Any:
    """What the gate returns or raises without running, or GO when the effect is still to be run."""
    outcome = case.outcome
    if outcome is None:
        raise Pending(case.id)
    if outcome.verdict == "reject":
        raise _refusal(case)
    if outcome.verdict == "respond":
        value = outcome.value
        return value["text"] if isinstance(value, dict) and set(value) == {"text"} else value
    if case.erased:
        raise ErasedError(f"the content of case {case.id} was erased; it is not run", case_id=case.id)
    if not among(case.decided_action(), actions):
        raise Rejected(
            f"case {case.id} was decided on another action, {case.decided_action()!r}, which this gate does not run",
            case_id=case.id, value=outcome.value,
            hint="If the function was renamed, say so: loop.gate(formerly=…). Else run it with loop.effect(case).",
        )  # fmt: skip
    state = case.effect.state
    if state == "succeeded":
        if not case.effect.kept:
            raise ResultError(f"the effect of case {case.id} ran; its result could not be kept as JSON")
        try:
            return result.read(case.content.get("result"))
        except ValidationError as error:
            kind = f"the effect of case {case.id} ran; its result is of another type by now"
            raise ResultError(f"{kind}: {error}") from error
    if state == "failed":
        raise EffectError(f"the effect of case {case.id} failed before: {case.content.get('error')}",
                          hint=FAILED if case.effect.ran else UNTOUCHED)  # fmt: skip
    if state == "unknown":
        raise EffectUnknownError(f"the effect of case {case.id} was started and never reported back", case_id=case.id)
    return GO


FAILED = "It may have done something. To ask anew, propose it under another key, or say again=True inside a run."
UNTOUCHED = "Nothing had run: `dualcontrol resolve CASE --did-not-happen` makes the approval ready again."


def _refusal(case: Case) -> Exception:
    outcome, case_id = case.outcome, case.id
    if outcome is None:
        return Rejected(f"case {case_id} is not decided")
    why = f": {outcome.rationale}" if outcome.rationale else ""
    details: dict[str, Any] = {
        "case_id": case_id,
        "rationale": outcome.rationale,
        "reviewers": list(outcome.reviewers),
    }
    if "revoked" in case.content.seals:
        return Rejected(f"{', '.join(outcome.reviewers)} took the approval of case {case_id} back{why}", **details)
    if outcome.by == "timeout":
        return TimedOut(f"nobody answered case {case_id} in time; it counts as rejected", **details)
    if outcome.by == "human":
        return Rejected(f"{', '.join(outcome.reviewers)} rejected case {case_id}{why}", **details)
    what = "was withdrawn" if outcome.by == "withdrawn" else "is blocked by a rule or an action list"
    return Rejected(f"case {case_id} {what}", **details)


def described(error: Exception) -> str:
    """An error as text that can be kept: the type, and as much of the message as a page shows."""
    try:
        message = str(error)
    except Exception as broken:  # it failed all the same, and that is what has to be recorded
        message = f"(its text cannot be read: {type(broken).__name__})"
    return f"{type(error).__name__}: {message}"[:LONGEST_ERROR].encode(errors="backslashreplace").decode()


def paused_inside(case_id: str, pause: Paused) -> EffectError:
    """The error of an effect that paused half-way: it cannot go on later, since an effect is run once."""
    return EffectError(
        f"the effect of case {case_id} paused inside itself, and an effect is not run twice: {pause}", case_id=case_id,
        hint="Call the inner gate before or after the outer one, or let it wait with timeout=None.",
    )  # fmt: skip


def plain(result: Any) -> tuple[bool, JSON]:
    """Whether a result can be kept as JSON, and how; nothing that can be read only once is read."""
    try:
        try:
            json.dumps(result, allow_nan=False)  # JSON types throughout: nothing in it is used up by reading
        except TypeError:
            if _reads_once(result):
                return False, None
            result = jsonable(result)
            json.dumps(result, allow_nan=False)
            return True, result
        return True, jsonable(result)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        return False, None


def _reads_once(value: Any) -> bool:
    """Whether a generator, cursor, file, coroutine or another one-way value stands somewhere in it."""
    if isinstance(value, Iterator) or inspect.isawaitable(value):
        return True
    if isinstance(value, Mapping):
        return any(map(_reads_once, value.values()))
    if isinstance(value, list | tuple | set | frozenset | deque):
        return any(map(_reads_once, value))
    names: Iterable[str] = ()
    if isinstance(value, BaseModel):
        names = (*type(value).model_fields, *(value.model_extra or ()))
    elif is_dataclass(value) and not isinstance(value, type):
        names = value.__dataclass_fields__
    return any(_reads_once(getattr(value, name, None)) for name in names)
