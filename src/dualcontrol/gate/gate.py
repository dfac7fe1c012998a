"""The gate itself: one generator holds the whole trip; a sync and an async driver run it, so it exists once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar

from dualcontrol.case import JSON, Case, Outcome
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
    StoppedError,
    StoreError,
    TimedOut,
)
from dualcontrol.gate.arguments import Arguments, same
from dualcontrol.gate.result import GO, Result, described, over, paused_inside
from dualcontrol.schema import means_same

# What a gate needs of its loop, and the name under which this process takes effects.


OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
UNBOUND: Any = object()
Trip = Generator[Any, Any, Any]


class GatedCall(Protocol):
    """A call that asks for a case: what it proposes, and its place among the equal calls of its run."""

    @property
    def note(self) -> str | None:
        """What its caller should know while the case is pending."""
        ...

    def end(self, how: Literal["ended", "refused"]) -> None:
        """It has come to an end."""
        ...

    def give_back(self) -> None:
        """It has come to no end: the next equal call is the same one."""
        ...


class GatedLoop(Protocol):
    """What a gate needs of a loop."""

    name: str

    def call(
        self, action: str, *, defaults: JSON, formerly: tuple[str, ...], run: str | None, **proposal: Any
    ) -> GatedCall:
        """A call with these arguments, at its place in the run of the caller; nothing is written."""
        ...

    def enter(self, owner: str, call: Any) -> tuple[Case, int | None]:
        """Open the case of a call or find it again, and take its effect where that is ready and as proposed."""
        ...

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the outcome or raise `Pending`."""
        ...

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for coroutines."""
        ...

    def start(
        self, case_id: str, owner: str, *, runs: JSON = None, asks: dict[str, JSON] | None = None
    ) -> tuple[Case, int | None]:
        """Take the effect: the case and its fence; no fence where the case went back to people."""
        ...

    def recall(self, case_id: str, reason: str) -> None:
        """Let people decide again about what cannot be run."""
        ...

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None, ran: bool = True,
    ) -> None:  # fmt: skip
        """Say how it ended."""
        ...

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due in it has been done."""
        ...


P = ParamSpec("P")
R = TypeVar("R")
POLL = 0.05
STANDSTILL = 1.0  # seconds between two looks at a loop that is stopped
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
        named = fn.func if isinstance(fn, functools.partial) else fn
        name = getattr(fn, "__name__", None) or getattr(named, "__name__", type(fn).__name__)
        self.action = action_name(name if action is None else action)
        self.formerly = tuple(map(action_name, (formerly,) if isinstance(formerly, str) else formerly))
        if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
            raise EffectError(
                f"{self.action} is a generator function: its body would run after its effect was recorded as done",
                hint="Return a list, or put the gate on the function inside it that acts.",
            )
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
        if self.is_async:  # let frameworks see that calling the gate gives a coroutine
            mark = getattr(inspect, "markcoroutinefunction", None)
            if mark is not None:  # Python 3.12
                mark(self)
            else:
                vars(self)["_is_coroutine"] = getattr(asyncio.coroutines, "_is_coroutine", None)

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
        trip = self._trip(CurrentCall(self, bound_to, args, kwargs))
        return drive_async(trip) if self.is_async else drive(trip)

    @functools.cache  # noqa: B019 - a gate lives as long as its function
    def arguments(self, bound: bool) -> Arguments:
        """What the function takes, but for the object that it is a method of."""
        return Arguments(self.action, self.body, list(self.signature.parameters.values())[int(bound) :])

    def schema(self, bound: bool) -> dict[str, JSON]:
        """JSON Schema of the arguments."""
        return self.arguments(bound).schema

    def _stated(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the gate says of a call with these arguments: signal, context and the rest of the proposal."""
        stated = {k: v(**values) if callable(v) else v for k, v in self.signal.items()}
        if self.context is not None:
            more = self.context(**values)
            if not isinstance(more, dict):
                raise ContextError(f"the context of {self.action} gave {more!r:.80}, not a dict of fields")
            stated |= more
        return stated

    def _trip(self, call: CurrentCall) -> Trip:
        place = self.loop.call(
            self.action, defaults=call.arguments.defaults, formerly=self.formerly, run=self.run, args=call.as_json,
            schema=self.schema(bool(call.lead)), **self._stated(call.named),
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
        return (yield from self._finished(RecordedCall(self, on), case, None, None))

    def _finished(
        self, call: CurrentCall | RecordedCall, case: Case, fence: int | None, place: GatedCall | None
    ) -> Trip:
        """Wait while undecided or stopped, take the effect unless somebody has it, run it, record how it ended."""
        prepared: PreparedCall | None = None
        begun = time.monotonic()
        while fence is None:
            if case.concluded is None:
                if self.timeout is not None and self.timeout <= 0:
                    raise Pending(case.id, note=place.note if place else None)
                yield AwaitOutcome(self.loop, case, self.timeout)
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
            except StoppedError as stop:  # decided, and waiting for a person all the same
                left = STANDSTILL if self.timeout is None else self.timeout - (time.monotonic() - begun)
                if left <= 0:
                    raise Pending(case.id, note=stop.message) from stop
                yield Nap(min(left, STANDSTILL))
                case = yield functools.partial(self.loop.look, case.id)
        if prepared is None:  # taken with the proposal
            prepared = call.as_decided(case.resolved_value()["args"])
        try:
            return (yield from self._effect(prepared, case, fence))
        except Exception as error:
            if place is not None and not isinstance(error, StoreError):  # it failed, and that is on record
                place.end("refused")
            raise

    def _taken(self, call: CurrentCall | RecordedCall, case: Case) -> Trip:
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
        asks = None
        if edited:  # what routing may look at and the program says by a function of the arguments
            by_function = {name for name, value in self.signal.items() if callable(value)}
            stated = self._stated(prepared.values)
            asks = {k: v for k, v in stated.items() if k in ROUTED and (k in by_function or k not in self.signal)}
        runs = {"action": decided["action"], "args": prepared.as_json}
        start = functools.partial(self.loop.start, case.id, OWNER, runs=runs, asks=asks)
        taken: tuple[Case, int | None] = yield start
        return prepared, *taken

    def _effect(self, prepared: PreparedCall, case: Case, fence: int) -> Trip:
        finish = functools.partial(self.loop.finish_effect, case.id, fence)
        try:
            result = yield RunFunction(prepared)
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
            refusal = EffectError(
                f"{self.action} is not a coroutine function, and it returned {type(result).__name__}, which nothing "
                "has awaited",
                hint="Write the gated function as `async def` and await inside it; then the gate is awaited as well.",
            )
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


# A call of a gated function, with the caller's own arguments at hand or known from its record only.


class CurrentCall:
    """One call's arguments, as the caller gave them: by name, and as JSON."""

    def __init__(self, gate: Gate[Any, Any], bound_to: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.gate = gate
        self.lead = () if bound_to is UNBOUND else (bound_to,)
        arguments = gate.signature.bind(*self.lead, *args, **kwargs)
        arguments.apply_defaults()
        skip = next(iter(arguments.arguments), None) if self.lead else None
        self.named = {k: v for k, v in arguments.arguments.items() if k != skip}
        self.arguments = gate.arguments(bool(self.lead))
        self.as_json = self.arguments.as_json(self.named)
        self.arguments.check(self.named, self.as_json)

    def as_decided(self, decided: JSON) -> PreparedCall:
        """The call as its caller made it, where that is what was decided to the letter; else as was decided."""
        if not same(decided, self.as_json):
            return self.prepared(decided)
        return PreparedCall(self, self.named, decided, self.named, self.as_json)

    def prepared(self, decided: JSON) -> PreparedCall:
        """The call with the decided arguments: the caller's own objects unless they were edited, or changed since."""
        now = self.arguments.as_json(self.named)
        known = decided if isinstance(decided, dict) else {}
        own = {name: v for name, v in self.named.items() if name in known and same(known[name], now[name])}
        values = self.arguments.values(own, decided)
        return PreparedCall(self, own, decided, values, self.arguments.as_json(values))


class RecordedCall:
    """A call that is known from its record only: the arguments that were decided, and nothing of the caller's."""

    def __init__(self, gate: Gate[Any, Any], on: Any) -> None:
        self.gate = gate
        self.lead = () if on is UNBOUND else (on,)
        self.arguments = gate.arguments(bool(self.lead))

    def as_decided(self, decided: JSON) -> PreparedCall:
        """The call with the decided arguments."""
        return self.prepared(decided)

    def prepared(self, decided: JSON) -> PreparedCall:
        """The call with the decided arguments."""
        values = self.arguments.values({}, decided)
        return PreparedCall(self, {}, decided, values, self.arguments.as_json(values))


class PreparedCall:
    """A call that is ready to run: its values by name, and as the JSON that is held against the record."""

    def __init__(
        self,
        call: CurrentCall | RecordedCall,
        own: dict[str, Any],
        decided: JSON,
        values: dict[str, Any],
        as_json: dict[str, JSON],
    ) -> None:
        self._call, self._own, self._decided = call, own, decided
        self.values, self.as_json = values, as_json

    def run(self) -> Any:
        """Call the function; what its caller changed while the effect was being taken is read from the record."""
        call, values = self._call, self.values
        try:
            now = call.arguments.as_json(self._own) if self._own else {}
            if not all(same(value, self.as_json[name]) for name, value in now.items()):
                values = call.prepared(self._decided).values
        except (EffectError, PayloadError) as error:
            raise NotRun(f"the arguments have changed since they were decided: {error.message}") from error
        positional, named = call.arguments.call(call.lead, values)
        return call.gate.fn(*positional, **named)


# The steps of a trip that are not one database call, and the two drivers: in this thread, or from a coroutine.


class AwaitOutcome:
    """A step of the trip: wait for the outcome."""

    def __init__(self, loop: GatedLoop, case: Case, timeout: float | None) -> None:
        self.loop, self.case, self.timeout = loop, case, timeout


class Nap:
    """A step of the trip: let another program go on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class RunFunction:
    """A step of the trip: run the gated function."""

    def __init__(self, prepared: PreparedCall) -> None:
        self.prepared = prepared


class Record:
    """A step of the trip: write how the effect ended, also when the caller is cancelled meanwhile."""

    def __init__(self, write: Callable[[], None]) -> None:
        self.write = write

    def __call__(self) -> None:
        """Write it."""
        self.write()


def drive(trip: Trip) -> Any:
    """Run a trip in this thread."""
    send: Callable[[Any], Any] = trip.send
    value: Any = None
    while True:
        try:
            step = send(value)
        except StopIteration as end:
            return end.value
        try:
            send, value = trip.send, _now(step)
        except BaseException as error:
            send, value = trip.throw, error


def _now(step: Any) -> Any:
    if isinstance(step, AwaitOutcome):
        return step.loop.wait(step.case, step.timeout)
    if isinstance(step, Nap):
        return time.sleep(step.seconds)
    return step.prepared.run() if isinstance(step, RunFunction) else step()


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
    if isinstance(step, AwaitOutcome):
        return step.loop.await_outcome(step.case, step.timeout)
    if isinstance(step, Nap):
        return asyncio.sleep(step.seconds)
    if isinstance(step, RunFunction):
        awaitable: Awaitable[Any] = step.prepared.run()
        return awaitable
    return _uncut(step) if isinstance(step, Record) else asyncio.to_thread(step)


async def _uncut(step: Record) -> None:
    """Write to the end, then let the cancellation pass: what the function did is known and must not get lost."""
    writing = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise
