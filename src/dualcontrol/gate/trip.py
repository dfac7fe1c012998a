"""The gate itself: one generator holds the whole trip; a sync and an async driver run it, so it exists once."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from dualcontrol.case import JSON, Case
from dualcontrol.commands import action_name
from dualcontrol.errors import (
    ContextError,
    EffectDiffersError,
    EffectError,
    EffectTakenError,
    NotRun,
    Paused,
    PayloadError,
    Pending,
    Rejected,
    RequestError,
    StoreError,
    TimedOut,
)
from dualcontrol.gate.arguments import Arguments
from dualcontrol.gate.calls import Made, Prepared, Recorded
from dualcontrol.gate.ends import GO, Result, described, over, paused_inside
from dualcontrol.gate.port import OWNER, UNBOUND, Call, GatedLoop, Trip
from dualcontrol.gate.steps import Nap, Record, Run, Wait, drive, drive_async
from dualcontrol.schema import means_same

P = ParamSpec("P")
R = TypeVar("R")
POLL = 0.05
ROUTED = ("confidence", "risk", "requires_approval", "segment", "input", "meta")  # what routing looks at, but the args


class Gate(Generic[P, R]):
    """A function behind the loop; call it as before.  Works on functions, methods and coroutine functions.

    `formerly` are names that the action had before: what was decided under one of them is found again.
    """

    def __init__(
        self,
        loop: GatedLoop,
        fn: Callable[P, R],
        *,
        action: str | None = None,
        timeout: float | None = None,
        context: Callable[..., dict[str, Any]] | None = None,
        formerly: str | Sequence[str] = (),
        run: Literal["required"] | None = None,
        **signal: Any,
    ) -> None:
        if not callable(fn):
            raise RequestError(f"a gate is put before a function, not {fn!r:.80}")
        if run not in (None, "required"):
            raise RequestError(f'run is "required" or left out, not {run!r:.80}')
        self.loop = loop
        self.fn = fn
        body = _body(fn)
        called = getattr(fn, "__name__", None) or _name(fn)
        self.action = action_name(called if action is None else action)
        self.formerly = tuple(map(action_name, (formerly,) if isinstance(formerly, str) else formerly))
        _refuse_generators(self.action, body)
        self.body = body
        self.timeout = timeout
        self.context = context
        self.run = run
        self.signal = signal
        self.signature = inspect.signature(fn)
        self.result = Result(body, self.signature.return_annotation)
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

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._call(UNBOUND, *args, **kwargs)
        return result

    def _call(self, bound_to: Any, /, *args: Any, **kwargs: Any) -> Any:
        trip = self._trip(Made(self, bound_to, args, kwargs))
        return drive_async(trip) if self.is_async else drive(trip)

    @functools.cache  # noqa: B019 - a gate lives as long as its function
    def arguments(self, bound: bool) -> Arguments:
        """What the function takes, but for the object that it is a method of."""
        return Arguments(self.action, self.body, list(self.signature.parameters.values())[int(bound) :])

    def schema(self, bound: bool) -> dict[str, JSON]:
        """JSON Schema of the arguments."""
        return self.arguments(bound).schema

    def _given(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the gate says of a call with these arguments: signal, context and the rest of the proposal."""
        given = {k: v(**values) if callable(v) else v for k, v in self.signal.items()}
        if self.context is not None:
            more = self.context(**values)
            if not isinstance(more, dict):
                raise ContextError(f"the context of {self.action} gave {more!r:.80}, not a dict of fields")
            given |= more
        return given

    def _asks(self, values: dict[str, Any]) -> dict[str, Any]:
        """What routing may look at of this, where the program says it by a function of the arguments."""
        by_function = {name for name, value in self.signal.items() if callable(value)}
        given = self._given(values)
        return {k: v for k, v in given.items() if k in ROUTED and (k in by_function or k not in self.signal)}

    def _trip(self, call: Made) -> Trip:
        place = self.loop.call(
            self.action, defaults=call.arguments.defaults, formerly=self.formerly, run=self.run, args=call.as_json,
            schema=self.schema(bool(call.lead)), **self._given(call.named),
        )  # fmt: skip
        try:
            entered: tuple[Case, int | None] = yield functools.partial(self.loop.enter, OWNER, place)
            result = yield from self._finished(call, *entered, place)
        except TimedOut:
            place.end("ended")
            raise
        except Rejected:
            place.end("refused")
            raise
        except BaseException:
            place.give_back()
            raise
        place.end("ended")
        return result

    def resume(self, case: Case | str, *, on: Any = UNBOUND) -> Any:
        """Go on with a case that this gate opened, by its id and without its arguments: run it once, if let.

        For a worker, or a program that kept the id from `Pending`; `on` is the object where the gate is a method.
        """
        trip = self._resumed(case.id if isinstance(case, Case) else case, on)
        return drive_async(trip) if self.is_async else drive(trip)

    def _resumed(self, case_id: str, on: Any) -> Trip:
        case: Case = yield functools.partial(self.loop.look, case_id)
        return (yield from self._finished(Recorded(self, on), case, None, None))

    def _finished(self, call: Made | Recorded, case: Case, fence: int | None, place: Call | None) -> Trip:
        """Wait while undecided, take the effect unless somebody has it, run it, record how it ended."""
        prepared: Prepared | None = None
        while fence is None:
            if case.concluded is None:
                if self.timeout is not None and self.timeout <= 0:
                    raise Pending(case.id, note=place.note if place else None)
                yield Wait(self.loop, case, self.timeout)
                case = yield functools.partial(self.loop.look, case.id)
                continue
            if place is not None and case.effect.state in ("succeeded", "failed"):
                place.end("ended" if case.effect.state == "succeeded" else "refused")
            end = over(case, (self.action, *self.formerly), self.result)
            if end is not GO:
                return end
            try:
                prepared, case, fence = yield from self._taken(call, case)
            except EffectTakenError:
                yield Nap(POLL)
                case = yield functools.partial(self.loop.look, case.id)
        if prepared is None:  # taken with the proposal
            prepared = call.as_decided(case.resolved_value()["args"])
        try:
            return (yield from self._effect(prepared, case, fence))
        except Exception as error:
            if place is not None and not isinstance(error, StoreError):  # it failed, and that is on record
                place.end("refused")
            raise

    def _taken(self, call: Made | Recorded, case: Case) -> Trip:
        """Bind what was decided, and take the effect for exactly that.

        What people decided and the program cannot run is theirs again; the error says why nothing was run.
        """
        decided = case.resolved_value()
        edited = decided != case.proposed_value()
        try:
            prepared = call.prepared(decided["args"])
            if names := _differing(decided["args"], prepared.as_json, self.schema(bool(call.lead))):
                raise EffectDiffersError(
                    f"case {case.id} was decided on other values of {names} than {self.action} would run with",
                    case_id=case.id,
                )
        except EffectError as error:
            if edited:
                reason = f"{self.action} cannot run what was decided: {error.message}"
                yield functools.partial(self.loop.recall, case.id, "the program cannot take the decided arguments")
                hint = "Nothing was run, and people are asked again."
                raise type(error)(reason, hint=hint, case_id=case.id) from error
            raise
        asks = self._asks(prepared.values) if edited else None
        runs = {"action": decided["action"], "args": prepared.as_json}
        start = functools.partial(self.loop.start, case.id, OWNER, runs=runs, asks=asks)
        taken: tuple[Case, int | None] = yield start
        return prepared, *taken

    def _effect(self, prepared: Prepared, case: Case, fence: int) -> Trip:
        finish = functools.partial(self.loop.finish_effect, case.id, fence)
        try:
            result = yield Run(prepared)
        except Exception as error:
            ran = not isinstance(error, NotRun)
            yield Record(functools.partial(finish, succeeded=False, error=described(error), ran=ran))
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
                yield Record(functools.partial(finish, succeeded=False, error=described(refusal), ran=False))
            raise refusal
        kept, value = self.result.kept(result)
        try:
            yield Record(functools.partial(finish, succeeded=True, result=value, kept=kept))
        except PayloadError:  # it ran: that is recorded whatever it returned
            yield Record(functools.partial(finish, succeeded=True, kept=False))
        return result


def _differing(decided: dict[str, JSON], runs: dict[str, JSON], schema: dict[str, JSON]) -> str:
    """The names of the arguments that would run with another value than was decided, as text."""
    parts = {n: {**schema, "properties": {n: part}} for n, part in schema.get("properties", {}).items()}
    names = [n for n in {**decided, **runs} if n not in decided or n not in runs]
    both = [n for n in decided if n in runs]
    names += [n for n in both if not means_same({n: decided[n]}, {n: runs[n]}, parts.get(n))]
    return ", ".join(names)


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
