"""The gate itself: one generator holds the whole trip; a sync and an async driver run it, so it exists once."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

from dualcontrol.case import JSON, Case
from dualcontrol.commands import known_as
from dualcontrol.errors import (
    ContextError,
    EffectError,
    EffectTakenError,
    Paused,
    PayloadError,
    Pending,
    ProposalError,
    RequestError,
)
from dualcontrol.gate.arguments import Arguments
from dualcontrol.gate.calls import Call, Decided
from dualcontrol.gate.ends import GO, described, over, paused_inside, plain
from dualcontrol.gate.port import OWNER, UNBOUND, GatedLoop, Trip
from dualcontrol.gate.steps import Nap, Record, Run, Wait, drive, drive_async

POLL = 0.05


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
        body = _body(fn)
        called = getattr(fn, "__name__", None) or _name(fn)
        self.action = known_as(called if action is None else action, ProposalError, "an action")
        _refuse_generators(self.action, body)
        self.body = body
        self.timeout = timeout
        self.context = context
        self.signal = signal
        self.signature = inspect.signature(fn)
        self.is_async = getattr(body, "is_async", False) is True or inspect.iscoroutinefunction(body)
        own = dict(vars(self))
        functools.update_wrapper(self, fn)
        vars(self).update(own)  # an attribute of the function named `loop` or `timeout` is not the gate's
        if self.is_async:
            _mark_coroutine(self)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = functools.partial(self._call, instance)
        functools.update_wrapper(bound, self.fn)
        return bound

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(UNBOUND, *args, **kwargs)

    def _call(self, bound_to: Any, /, *args: Any, **kwargs: Any) -> Any:
        trip = self._trip(Call(self, bound_to, args, kwargs))
        return drive_async(trip) if self.is_async else drive(trip)

    @functools.cache  # noqa: B019 - a gate lives as long as its function
    def arguments(self, bound: bool) -> Arguments:
        """What the function takes, but for the object that it is a method of."""
        return Arguments(self.action, self.body, list(self.signature.parameters.values())[int(bound) :])

    def schema(self, bound: bool) -> dict[str, JSON]:
        """JSON Schema of the arguments."""
        return self.arguments(bound).schema

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
        while fence is None and (end := over(case, self.action)) is GO:
            try:
                fence = yield functools.partial(self.loop.start_effect, case.id, OWNER)
            except EffectTakenError:
                yield Nap(POLL)
                case = yield functools.partial(self.loop.look, case.id)
        return end if fence is None else (yield from self._effect(call, case, fence))

    def _effect(self, call: Call | Decided, case: Case, fence: int) -> Trip:
        finish = functools.partial(self.loop.finish_effect, case.id, fence)
        try:
            result = yield Run(call, case.resolved_value()["args"])
        except Exception as error:
            yield Record(functools.partial(finish, succeeded=False, error=described(error)))
            raise
        except Paused as pause:
            refusal = paused_inside(case.id, pause)
            yield Record(functools.partial(finish, succeeded=False, error=described(refusal)))
            raise refusal from pause
        # Any other BaseException (KeyboardInterrupt, SystemExit, CancelledError) cut the function short at a place
        # that nobody knows: it is not recorded as failed, it stays started and is unknown when its lease has run out.
        if not self.is_async and inspect.isawaitable(result):
            refusal = _not_awaited(self.action, result)
            if inspect.iscoroutine(result):  # not begun, and now it never is; another awaitable may be at work: unknown
                result.close()
                yield Record(functools.partial(finish, succeeded=False, error=described(refusal)))
            raise refusal
        kept, value = plain(result)
        try:
            yield Record(functools.partial(finish, succeeded=True, result=value, kept=kept))
        except PayloadError:  # it ran: that is recorded whatever it returned
            yield Record(functools.partial(finish, succeeded=True, kept=False))
        return result


def _body(fn: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when it is called: behind a partial the function, behind an object its `__call__`."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    known = inspect.isroutine(fn) or inspect.isclass(fn) or isinstance(fn, Gate)
    return fn if known else getattr(fn, "__call__", fn)  # noqa: B004 - the method itself is wanted


def _name(fn: Any) -> str:
    return str(fn.func.__name__ if isinstance(fn, functools.partial) else type(fn).__name__)


def _refuse_generators(action: str, body: Callable[..., Any]) -> None:
    """A generator's body runs after the gate has recorded how it ended, and its result can be read only once."""
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise EffectError(
            f"{action} is a generator function: its body would run after its effect was recorded as done",
            hint="Return a list, or put the gate on the function inside it that acts.",
        )


def _not_awaited(action: str, result: Any) -> EffectError:
    """The error of a plain function that returned an awaitable, whose work a gate that is not awaited cannot see."""
    return EffectError(
        f"{action} is not a coroutine function, and it returned {type(result).__name__}, which nothing has awaited",
        hint="Write the gated function as `async def` and await inside it; then the gate is awaited as well.",
    )


def _mark_coroutine(gate: Any) -> None:
    """Let frameworks see that calling the gate gives a coroutine (3.12 has a way, 3.11 a marker)."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(gate)
    else:
        gate._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
