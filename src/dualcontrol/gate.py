"""The gate: a function that runs once, with the decided arguments, after autopilot or a human has let it.

One generator holds the whole trip; a sync and an async driver run it, so there is no second copy of it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python

from dualcontrol.case import JSON, Case, Outcome
from dualcontrol.commands import known_as
from dualcontrol.errors import (
    ContextError,
    EffectError,
    EffectTakenError,
    EffectUnknownError,
    PayloadError,
    Pending,
    ProposalError,
    Rejected,
    RequestError,
    ResultError,
    TimedOut,
)

OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
POLL = 0.05
LONGEST_ERROR = 10_000
Trip = Generator[Any, Any, Any]


class GatedLoop(Protocol):
    """What a gate needs of a loop."""

    name: str

    def enter(self, owner: str, **given: Any) -> tuple[Case, int | None]:
        """Open a case or find it again, and take its effect when that is ready."""
        ...

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the outcome or raise `Pending`."""
        ...

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for coroutines."""
        ...

    def start_effect(self, case_id: str, owner: str) -> int:
        """Take the effect; returns its fence."""
        ...

    def take(self, case_id: str, owner: str, action: str | None = None) -> tuple[Case, int | None]:
        """A decided case with its effect taken, when that is ready and of this action."""
        ...

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None,
    ) -> None:  # fmt: skip
        """Say how it ended."""
        ...

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due has been done."""
        ...


class Call:
    """One call's arguments: as JSON by name, and back into the function."""

    def __init__(self, gate: Gate, bound_to: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.gate = gate
        self.lead = () if bound_to is UNBOUND else (bound_to,)
        arguments = gate.signature.bind(*self.lead, *args, **kwargs)
        arguments.apply_defaults()
        self.bound = arguments
        skip = next(iter(arguments.arguments), None) if self.lead else None
        self.named = {k: v for k, v in arguments.arguments.items() if k != skip}
        self.as_json = self._as_json()

    def _as_json(self) -> dict[str, JSON]:
        """The arguments by name as JSON values, as they are now: what a caller changed meanwhile is not run."""
        try:
            plain: dict[str, JSON] = to_jsonable_python(self.named)
        except (PydanticSerializationError, ValueError) as error:
            raise PayloadError(f"an argument of {self.gate.action} is not JSON: {error}") from error
        return plain

    def run(self, args: dict[str, JSON]) -> Any:
        """Call the function with the decided arguments: the caller's own objects unless they were edited."""
        if args != self._as_json():
            self._take(args)
        return self.gate.fn(*self.bound.args, **self.bound.kwargs)

    def _take(self, args: dict[str, JSON]) -> None:
        model = self.gate.model(bool(self.lead)).model_validate(args)
        for name in self.named:
            if name in model.model_fields_set:
                self.bound.arguments[name] = getattr(model, name)
        for name, parameter in self.gate.signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL and name in self.bound.arguments:
                self.bound.arguments[name] = tuple(self.bound.arguments[name])


class Decided:
    """A call that is known from its record only: the arguments that were decided, and nothing of the caller's."""

    def __init__(self, gate: Gate, on: Any) -> None:
        self.gate = gate
        self.lead = () if on is UNBOUND else (on,)

    def run(self, args: dict[str, JSON]) -> Any:
        """Call the function with the decided arguments."""
        model = self.gate.model(bool(self.lead)).model_validate(args)
        positional: list[Any] = list(self.lead)
        named: dict[str, Any] = {}
        for name in type(model).model_fields:
            kind, value = self.gate.signature.parameters[name].kind, getattr(model, name)
            if kind is inspect.Parameter.VAR_POSITIONAL:
                positional += value
            elif kind is inspect.Parameter.VAR_KEYWORD:
                named |= value
            elif kind is inspect.Parameter.KEYWORD_ONLY:
                named[name] = value
            else:
                positional.append(value)
        return self.gate.fn(*positional, **named)


UNBOUND: Any = object()


def _mark_coroutine(gate: Any) -> None:
    """Let frameworks see that calling the gate gives a coroutine (3.12 has a way, 3.11 a marker)."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(gate)
    else:
        gate._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)


class Gate:
    """A function behind the loop; call it as before.  Works on functions, methods and coroutine functions."""

    def __init__(
        self,
        loop: GatedLoop,
        fn: Callable[..., Any],
        *,
        action: str | None = None,
        timeout: float | None = None,
        context: Callable[..., dict[str, Any]] | None = None,
        **signal: Any,
    ) -> None:
        if not callable(fn):
            raise RequestError(f"a gate is put before a function, not {fn!r:.80}")
        self.loop = loop
        self.fn = fn
        self.action = known_as(getattr(fn, "__name__", "") if action is None else action, ProposalError, "an action")
        self.timeout = timeout
        self.context = context
        self.signal = signal
        self.signature = inspect.signature(fn)
        self.is_async = inspect.iscoroutinefunction(fn)
        functools.update_wrapper(self, fn)
        if self.is_async:
            _mark_coroutine(self)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = functools.partial(self._call, instance)
        functools.update_wrapper(bound, self.fn)
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(UNBOUND, *args, **kwargs)

    def _call(self, bound_to: Any, /, *args: Any, **kwargs: Any) -> Any:
        trip = self._trip(Call(self, bound_to, args, kwargs))
        return drive_async(trip) if self.is_async else drive(trip)

    @functools.cache  # noqa: B019 - a gate lives as long as its function
    def model(self, bound: bool) -> type[BaseModel]:
        """A pydantic model of the arguments, from the annotations."""
        fields: dict[str, Any] = {}
        hints = inspect.get_annotations(self.fn, eval_str=False)
        for index, (name, parameter) in enumerate(self.signature.parameters.items()):
            if bound and index == 0:
                continue
            fields[name] = _field(parameter, _resolved(self.fn, hints.get(name, Any)))
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        return create_model(self.action, __config__=config, **fields)

    @functools.cache  # noqa: B019
    def schema(self, bound: bool) -> dict[str, JSON]:
        """JSON Schema of the arguments."""
        return self.model(bound).model_json_schema()

    def _given(self, call: Call) -> dict[str, Any]:
        given = {k: v(**call.named) if callable(v) else v for k, v in self.signal.items()}
        if self.context is not None:
            more = self.context(**call.named)
            if not isinstance(more, dict):
                raise ContextError(f"the context of {self.action} gave {more!r:.80}, not a dict of fields")
            given |= more
        return given

    def _trip(self, call: Call) -> Trip:
        proposal = {"action": self.action, "args": call.as_json, "schema": self.schema(bool(call.lead))}
        given = self._given(call)
        entered: tuple[Case, int | None] = yield functools.partial(self.loop.enter, OWNER, **proposal, **given)
        return (yield from self._finished(call, *entered))

    def resume(self, case: Case | str, *, on: Any = UNBOUND) -> Any:
        """Go on with a case that this gate opened, by its id and without its arguments: run it once, if let.

        For a worker, or a program that kept the id from `Pending`; `on` is the object where the gate is a method.
        """
        trip = self._resumed(case.id if isinstance(case, Case) else case, on)
        return drive_async(trip) if self.is_async else drive(trip)

    def _resumed(self, case_id: str, on: Any) -> Trip:
        taken: tuple[Case, int | None] = yield functools.partial(self.loop.take, case_id, OWNER, self.action)
        return (yield from self._finished(Decided(self, on), *taken))

    def _finished(self, call: Call | Decided, case: Case, fence: int | None) -> Trip:
        """Wait while undecided, take the effect unless somebody has it, run it, record how it ended."""
        if fence is None and case.concluded is None:
            if self.timeout is not None and self.timeout <= 0:
                raise Pending(case.id)
            yield Wait(self.loop, case, self.timeout)
            case = yield functools.partial(self.loop.look, case.id)
        while fence is None and (over := _over(case, self.action)) is GO:
            try:
                fence = yield functools.partial(self.loop.start_effect, case.id, OWNER)
            except EffectTakenError:
                yield Nap(POLL)
                case = yield functools.partial(self.loop.look, case.id)
        return over if fence is None else (yield from self._effect(call, case, fence))

    def _effect(self, call: Call | Decided, case: Case, fence: int) -> Trip:
        finish = functools.partial(self.loop.finish_effect, case.id, fence)
        try:
            result = yield Run(call, case.resolved_value()["args"])
        except Exception as error:
            yield functools.partial(finish, succeeded=False, error=described(error))
            raise
        kept, plain = _plain(result)
        try:
            yield functools.partial(finish, succeeded=True, result=plain, kept=kept)
        except PayloadError:  # it ran: that is recorded whatever it returned
            yield functools.partial(finish, succeeded=True, kept=False)
        return result


class Wait:
    """A step of the trip: wait for the outcome."""

    def __init__(self, loop: GatedLoop, case: Case, timeout: float | None) -> None:
        self.loop, self.case, self.timeout = loop, case, timeout


class Nap:
    """A step of the trip: let another program go on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Run:
    """A step of the trip: run the gated function."""

    def __init__(self, call: Call | Decided, args: dict[str, JSON]) -> None:
        self.call, self.args = call, args


def drive(trip: Trip) -> Any:
    """Run a trip in this thread."""
    return _drive(trip, _now)


def _now(step: Any) -> Any:
    if isinstance(step, Wait):
        return step.loop.wait(step.case, step.timeout)
    if isinstance(step, Nap):
        return time.sleep(step.seconds)
    return step.call.run(step.args) if isinstance(step, Run) else step()


def _drive(trip: Trip, do: Callable[[Any], Any]) -> Any:
    send: Callable[[Any], Any] = trip.send
    value: Any = None
    while True:
        try:
            step = send(value)
        except StopIteration as end:
            return end.value
        try:
            send, value = trip.send, do(step)
        except BaseException as error:
            send, value = trip.throw, error


async def drive_async(trip: Trip) -> Any:
    """Run a trip from a coroutine: database work in threads, waiting without one."""
    send: Callable[[Any], Any] = trip.send
    value: Any = None
    while True:
        try:
            step = send(value)
        except StopIteration as end:
            return end.value
        try:
            send, value = trip.send, await _soon(step)
        except BaseException as error:
            send, value = trip.throw, error


def _soon(step: Any) -> Awaitable[Any]:
    if isinstance(step, Wait):
        return step.loop.await_outcome(step.case, step.timeout)
    if isinstance(step, Nap):
        return asyncio.sleep(step.seconds)
    if isinstance(step, Run):
        awaitable: Awaitable[Any] = step.call.run(step.args)
        return awaitable
    return asyncio.to_thread(step)


GO: Any = object()


def _over(case: Case, action: str) -> Any:
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


def _plain(result: Any) -> tuple[bool, JSON]:
    """Whether a result can be kept as JSON, and how."""
    try:
        plain = to_jsonable_python(result)
        json.dumps(plain, allow_nan=False).encode()
        return True, plain
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        return False, None


def _field(parameter: inspect.Parameter, annotation: Any) -> Any:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return (list[annotation], Field(default_factory=list))
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return (dict[str, annotation], Field(default_factory=dict))
    return (annotation, ... if parameter.default is inspect.Parameter.empty else parameter.default)


def _resolved(fn: Callable[..., Any], annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(fn, "__globals__", {}))
    except Exception:
        return Any
