"""How a gated call ends: what it returns or raises without running, and what is kept of a run."""

from __future__ import annotations

import inspect
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from dualcontrol.case import JSON, Case, Outcome, encode_content
from dualcontrol.case import plain as as_own
from dualcontrol.errors import EffectError, EffectUnknownError, Paused, Pending, Rejected, ResultError, TimedOut

LONGEST_ERROR = 10_000
GO: Any = object()


def over(case: Case, action: str) -> Any:
    """What the gate returns or raises without running, or GO when the effect is still to be run."""
    outcome = case.outcome
    if outcome is None:
        raise Pending(case.id)
    if outcome.verdict == "reject":
        raise _refusal(outcome)
    if outcome.verdict == "respond":
        value = outcome.value
        return value["text"] if isinstance(value, dict) and set(value) == {"text"} else value
    if case.decided_action() != action:
        raise Rejected(
            f"case {case.id} was decided on another action, {case.decided_action()!r}, which this gate does not run",
            case_id=case.id, value=outcome.value,
        )  # fmt: skip
    state = case.effect.state
    if state == "succeeded":
        return _kept_result(case)
    if state == "failed":
        raise EffectError(f"the effect of case {case.id} failed before: {case.content.get('error')}",
                          hint="Propose it under another key to try again.")  # fmt: skip
    if state == "unknown":
        raise EffectUnknownError(f"the effect of case {case.id} was started and never reported back", case_id=case.id)
    return GO


def _refusal(outcome: Outcome) -> Exception:
    why = f": {outcome.rationale}" if outcome.rationale else ""
    case_id = outcome.case_id
    details: dict[str, Any] = {
        "case_id": outcome.case_id,
        "rationale": outcome.rationale,
        "reviewers": list(outcome.reviewers),
    }
    if outcome.by == "timeout":
        return TimedOut(f"nobody answered case {case_id} in time; it counts as rejected", **details)
    if outcome.by == "human":
        return Rejected(f"{', '.join(outcome.reviewers)} rejected case {case_id}{why}", **details)
    what = "was withdrawn" if outcome.by == "withdrawn" else "is blocked by a rule or an action list"
    return Rejected(f"case {case_id} {what}", **details)


def _kept_result(case: Case) -> JSON:
    if not case.effect.kept:
        raise ResultError(f"the effect of case {case.id} ran; its result was not JSON and was not kept")
    return case.content.get("result")


def described(error: Exception) -> str:
    """An error as text that can be kept: the type, and as much of the message as a page shows."""
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR].encode(errors="backslashreplace").decode()


def paused_inside(case_id: str, pause: Paused) -> EffectError:
    """The error of an effect that paused half-way: it cannot go on later, since an effect is run once."""
    return EffectError(
        f"the effect of case {case_id} paused inside itself, and an effect is not run twice: {pause}", case_id=case_id,
        hint="Call the inner gate before or after the outer one, or let it wait with timeout=None.",
    )  # fmt: skip


def plain(result: Any) -> tuple[bool, JSON]:
    """Whether a result can be kept as JSON, and how; nothing that can be read only once is read."""
    try:
        if not _is_json(result):
            if _reads_once(result):
                return False, None
            result = to_jsonable_python(as_own(result), fallback=encode_content)
            json.dumps(result, allow_nan=False)
            return True, result
        return True, to_jsonable_python(result, fallback=encode_content)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        return False, None


def _is_json(result: Any) -> bool:
    """Whether it is made of JSON types throughout, so that nothing in it is used up by reading."""
    try:
        json.dumps(result, allow_nan=False)
    except TypeError:
        return False
    return True


def _reads_once(value: Any) -> bool:
    """Whether a generator, cursor, file, coroutine or another one-way value stands somewhere in it."""
    if isinstance(value, Iterator) or inspect.isawaitable(value):
        return True
    if isinstance(value, Mapping):
        return any(map(_reads_once, value.values()))
    if isinstance(value, list | tuple | set | frozenset | deque):
        return any(map(_reads_once, value))
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return any(_reads_once(getattr(value, name, None)) for name in _fields(value))
    return False


def _fields(value: Any) -> list[str]:
    if isinstance(value, BaseModel):
        return [*type(value).model_fields, *(value.model_extra or ())]
    return list(value.__dataclass_fields__)
