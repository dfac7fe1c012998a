"""A named run: its equal calls are numbered, so that a program that is started again finds the cases of each.

Calls are equal when loop, action, arguments and input are.  The n-th of them stands for the n-th case.  A call keeps
its number until it has come to an end; one that ended in an error gives it back, and the program's next try is the
same call.  What people refused stays refused: the same call is answered from the record, unless the program says that
it asks again.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import ContextVar, Token, copy_context
from typing import Literal, ParamSpec, TypeVar

from dualcontrol.case import JSON, Case
from dualcontrol.errors import RunChangedError, RunRequiredError
from dualcontrol.names import among, same
from dualcontrol.schema import plain_text

P = ParamSpec("P")
T = TypeVar("T")
Standing = Literal["in flight", "ended", "refused"]
# By desk, since a run of one desk says nothing of another's cases.
_runs: ContextVar[dict[int, Run] | None] = ContextVar("dualcontrol_runs", default=None)


class CallPlace:
    """One call's place among the equal calls of its run; outside a run it has none."""

    def __init__(self, run: Run | None = None, call: str = "", number: int = 0) -> None:
        self.run, self._call, self.number = run, call, number
        self._over = False

    @property
    def key(self) -> str | None:
        """The key of the case that the call stands for."""
        return None if self.run is None else f"run/{self.run.name}/{self._call}/{self.number}"

    def end(self, how: Literal["ended", "refused"]) -> None:
        """The call has come to an end; the next equal one is another, unless this one is answered from the record.

        That is so where people refused it, and where its effect failed: both stand until somebody asks again.
        """
        self._over = True
        if self.run is not None:
            self.run._settle(self._call, self.number, how)

    def give_back(self) -> None:
        """The call has come to no end: the next equal one is the same call again."""
        if self.run is not None and not self._over:
            self.run._settle(self._call, self.number, None)


NOWHERE = CallPlace()


class Run:
    """A named run of one desk; made by `Desk.run`.

    Threads do not inherit it: hand them `bind(function)`, or give work to `executor(pool)`.
    """

    def __init__(self, name: str, runs: Runs) -> None:
        self.name = name
        self._runs = runs
        self._lock = threading.Lock()
        self._calls: dict[str, dict[int, Standing]] = {}
        self._refused: dict[str, set[int]] = {}
        self.earlier: dict[str, dict[str, None]] = {}  # by loop: cases of before that no call has come back to yet

    def place(self, loop: str, print_: str, *, again: bool = False) -> CallPlace:
        """The place of a call that begins now: the first number that is nobody's, with `again` past all refused."""
        call = f"{loop}/{print_[:32]}"
        with self._lock:
            numbers = self._calls.setdefault(call, {})
            taken = numbers.keys() if again else {n for n, standing in numbers.items() if standing != "refused"}
            number = next(n for n in range(1, len(numbers) + 2) if n not in taken)
            numbers[number] = "in flight"
        return CallPlace(self, call, number)

    def _settle(self, call: str, number: int, how: Literal["ended", "refused"] | None) -> None:
        with self._lock:
            refused = self._refused.setdefault(call, set())
            if how == "refused":
                refused.add(number)
            if how is not None:
                self._calls[call][number] = how
            elif number in refused:
                self._calls[call][number] = "refused"
            else:
                self._calls[call].pop(number, None)

    def bind(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function carrying this run, and what else is set here, into whichever thread calls it."""
        here = copy_context()
        here.run(self._runs.enter, self)

        def bound(*args: P.args, **kwargs: P.kwargs) -> T:
            # A context can be entered once at a time, and a bound function may be called by many threads at once.
            return here.copy().run(function, *args, **kwargs)

        bound.__name__ = getattr(function, "__name__", "bound")
        return bound

    def executor(self, pool: Executor) -> Executor:
        """A pool of threads whose work belongs to this run; shutting it down shuts the pool down."""
        return _Carrying(self, pool)


class _Carrying(Executor):
    def __init__(self, run: Run, pool: Executor) -> None:
        self._run, self._pool = run, pool

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._pool.submit(self._run.bind(fn), *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Older:
    """What a call looks like to a later version of its program: the same call under another name or signature."""

    def __init__(
        self, *, action: str, args: dict[str, JSON], defaults: dict[str, JSON], formerly: tuple[str, ...]
    ) -> None:  # fmt: skip
        self._action, self._args, self._defaults, self._formerly = action, args, defaults, formerly

    def is_same_call(self, case: Case, content: JSON) -> bool:
        """Whether a case of before was opened by this very call.

        `RunChangedError` where it was, with other parameters, and its effect has not begun: nobody was asked about
        what would run now.
        """
        if not self._may_be(case, content) or not among(case.action, (self._action, *self._formerly)):
            return False
        before = case.candidates[0].value
        added = [f"{name}={self._args[name]!r:.40}" for name in self._args if name not in before]
        removed = [name for name in before if name not in self._args]
        if not added and not removed:
            return not same(case.action, self._action)
        if case.effect.state in ("none", "ready"):
            how = ", ".join([*(f"with {part}" for part in added), *(f"without {name}" for name in removed)])
            raise RunChangedError(
                f"case {case.id} of this run was opened for {case.action}({', '.join(before)}); {self._action} is "
                f"called {how} by now, which nobody was asked about", case_id=case.id,
            )  # fmt: skip
        return True

    def renamed(self, case: Case, content: JSON) -> str | None:
        """What a caller should know of a case with the same arguments that no call has come back to."""
        if not self._may_be(case, content) or {*case.candidates[0].value} != {*self._args}:
            return None
        return (
            f"case {case.id} of this run was opened for {case.action} with the same arguments, and no call has come "
            f"back to it: if {self._action} is its new name, say formerly={case.action!r} at the gate"
        )

    def _may_be(self, case: Case, content: JSON) -> bool:
        """Whether a case asks for the same arguments, but for such as are at their default or gone."""
        outcome, proposal = case.concluded, case.proposal
        over = outcome is not None and (outcome.verdict == "reject" or outcome.by in ("timeout", "withdrawn"))
        if over or proposal is None or not isinstance(proposal.value, dict) or case.input != content:
            return False
        before = proposal.value
        return all(self._defaults.get(n, ...) == v for n, v in self._args.items() if n not in before) and all(
            plain_text(before[name]) == plain_text(value) for name, value in self._args.items() if name in before
        )


class Runs:
    """The runs of one desk: the one that a call belongs to, and those that are open in the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Run, str]] = {}  # with the thread that opened it
        self._warned: set[str] = set()

    def renew(self) -> None:
        """Begin with locks of one's own: those that a forked process inherits may be held by nobody any more."""
        self._lock = threading.Lock()
        for run, _ in self._open.values():
            run._lock = threading.Lock()

    @property
    def current(self) -> Run | None:
        """The run that the caller is in."""
        return (_runs.get() or {}).get(id(self))

    def enter(self, run: Run) -> Token[dict[int, Run] | None]:
        """Let a run be the current one of this context."""
        return _runs.set({**(_runs.get() or {}), id(self): run})

    @contextmanager
    def entered(self, run: Run) -> Iterator[Run]:
        """Be in a run; an inner one of the same desk stands for the outer one meanwhile."""
        token = self.enter(run)
        with self._lock:
            self._open[id(run)] = (run, threading.current_thread().name)
        try:
            yield run
        finally:
            with self._lock:
                self._open.pop(id(run), None)
            _runs.reset(token)

    def required(self, action: str) -> None:
        """Refuse a call that belongs to no run."""
        if self.current is None:
            raise RunRequiredError(f"{action} is called outside a run, in thread {threading.current_thread().name!r}")

    def warn_outside(self, action: str) -> None:
        """Say once for each thread that it calls a gate outside the run that another thread is in."""
        here = threading.current_thread().name
        with self._lock:
            open_elsewhere = [run.name for run, thread in self._open.values() if thread != here]
            if not open_elsewhere or here in self._warned:
                return
            self._warned.add(here)
        warnings.warn(
            f"thread {here!r} calls {action} outside any run while run {open_elsewhere[0]!r} is open: if it works for "
            "that run, hand it run.bind(function) or run.executor(pool), or a restart will ask its calls anew",
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
