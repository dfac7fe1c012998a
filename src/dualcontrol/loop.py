"""A loop: propose, wait, gate, run effects, count, export; each verb is a line or two over `step`."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from msgspec.structs import replace

from dualcontrol import commands as do
from dualcontrol.apply import overdue
from dualcontrol.batch import Batch, propose_batch
from dualcontrol.case import JSON, Case, Outcome, microseconds, scalar
from dualcontrol.certify import Standing, evidence, standing
from dualcontrol.commands import known_as
from dualcontrol.commands import person as named
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import NotRun, Paused, Pending, Rejected, RequestError
from dualcontrol.events import Event
from dualcontrol.gate import OWNER, Gate, described, paused_inside
from dualcontrol.given import case_id_of, exact, patience, stated
from dualcontrol.keys import fingerprint
from dualcontrol.learn.dataset import Row, dataset
from dualcontrol.learn.export import Exported, export, mark
from dualcontrol.learn.serving import check_one, started, stopped
from dualcontrol.propose import UNSET, command
from dualcontrol.run import NOWHERE, Older, Place

if TYPE_CHECKING:
    from dualcontrol.desk import Desk

P = ParamSpec("P")
R = TypeVar("R")
# By desk and loop: what a context says of one desk's loop is nothing to another's of the same name.
_context: ContextVar[dict[tuple[int, str], dict[str, Any]] | None] = ContextVar("dualcontrol_context", default=None)


class Call:
    """A call that asks for a case: what it proposes, its place in a run, and how an older program may have asked it."""

    def __init__(self, made: do.Propose, print_: str | None, place: Place, older: Older | None = None) -> None:
        self.made, self.print_, self.place, self.older = made, print_, place, older
        self.note: str | None = None

    def end(self, how: Literal["ended", "refused"]) -> None:
        """It has come to an end."""
        self.place.end(how)

    def give_back(self) -> None:
        """It has come to no end: the next equal call is the same one."""
        self.place.give_back()


class Loop:
    """One AI task under human control."""

    def __init__(self, desk: Desk, control: Control) -> None:
        self.desk = desk
        self.name = control.loop
        self._control = control

    @property
    def stream(self) -> str:
        """The name of the loop's own stream in the ledger."""
        return f"loop/{self._control.loop_id}"

    @property
    def control(self) -> Control:
        """What governs this loop now."""
        return self.desk.control(self.name) or self._control

    @property
    def settings(self) -> LoopSettings:
        """The loop's settings as this program opened it."""
        return self._control.settings

    @exact
    def propose(
        self,
        *,
        action: str = UNSET,
        args: JSON = UNSET,
        proposal: JSON = UNSET,
        input: JSON = UNSET,
        alternatives: Sequence[JSON] | None = UNSET,
        candidates: Sequence[JSON] | None = UNSET,
        schema: dict[str, JSON] | None = UNSET,
        source: dict[str, JSON] | None = UNSET,
        confidence: float | None = UNSET,
        risk: str | float | None = UNSET,
        requires_approval: bool = UNSET,
        scores: Sequence[float] | Mapping[Any, float] | None = UNSET,
        segment: str | None = UNSET,
        rationale: str | None = UNSET,
        history: JSON = UNSET,
        meta: dict[str, JSON] | None = UNSET,
        key: str | None = UNSET,
        run: str | None = UNSET,
        owner: str | None = UNSET,
        parent: str | None = UNSET,
        origin: Literal["live", "import", "shadow"] = UNSET,
        effect: Literal["none", "ready"] | None = UNSET,
        again: bool = UNSET,
    ) -> Case:
        """Open a case for what the AI wants to do or say, and route it.

        `action` and `args`, or `proposal`, is what it wants; `alternatives` is what else it considered; `candidates`
        stands for all of these where nothing is proposed (preference).  `confidence`, `scores` and `risk` are from 0 to
        1, risk also a level.  The same `key` finds the same case again; inside `Desk.run` each call has a key of its
        own, and `again=True` asks anew what was refused.

        Raises ProposalError, and its kinds ContextError, SignalError, PayloadError and KeyConflictError; nothing is
        written then.
        """
        call = self._call(stated(locals()))
        try:
            case = self.desk.steps.propose(call.made, None, call.print_).case
        except BaseException:
            call.give_back()
            raise
        call.end("ended")
        return case

    def call(
        self, action: str, *, defaults: dict[str, JSON], formerly: tuple[str, ...], run: str | None, **given: Any
    ) -> Call:  # fmt: skip
        """A gate's call at its place in the run of the caller; nothing is written."""
        if run == "required":
            self.desk.runs.required(action)
        elif self.desk.runs.current is None:
            self.desk.runs.warn_outside(action)
        older = Older(action=action, args=given["args"], defaults=defaults, formerly=formerly)
        return self._call({**given, "action": action, "effect": "ready"}, older, alternatives=[])

    def enter(self, owner: str, call: Call) -> tuple[Case, int | None]:
        """Open the case of a call or find it again, and take its effect where that is ready and as proposed."""
        proposed = call.made.candidates[0]
        runs = {"action": proposed["action"], "args": proposed["value"]}
        start = self._start(owner, proposed["action"], runs)
        before = self._opened_before(call)
        return (self.look(before), None) if before else self.desk.steps.propose(call.made, start, call.print_)[:2]

    def _opened_before(self, call: Call) -> str | None:
        """The case that an earlier version of the program opened for this call, under another name or signature."""
        run, older = call.place.run, call.older
        if run is None or older is None:
            return None
        if self.name not in run.earlier:
            run.earlier[self.name] = dict.fromkeys(self.desk.store.queries.of_run(self._control.loop_id, run.name))
        earlier = run.earlier[self.name]
        known = self.desk.steps.case_of_key(self.name, call.made.key or "") if earlier else None
        for case_id in [] if known else list(earlier):
            case = self.desk.case(case_id)
            if older.is_same_call(case, call.made.input):
                earlier.pop(case_id, None)
                return case_id
            call.note = call.note or older.renamed(case, call.made.input)
        earlier.pop(known or "", None)
        return None

    def start(
        self, case_id: str, owner: str = OWNER, *, runs: JSON = None, asks: dict[str, JSON] | None = None
    ) -> tuple[Case, int | None]:  # fmt: skip
        """Take the effect of a decided case: the case and its fence; no fence where the case went back to people."""
        case = self.desk.steps.run(replace(self._start(owner, None, runs), case_id=case_id, asks=self._checked(asks)))
        return case, case.effect.fence if case.effect.state == "started" else None

    def recall(self, case_id: str, reason: str) -> None:
        """Let people decide again about what cannot be run."""
        self.desk.steps.run(do.Recall(case_id=case_id, reason=reason))

    def _start(self, owner: str, action: str | None, runs: JSON = None) -> do.StartEffect:
        lease = microseconds(self.settings.effect_lease) or 0
        known_as(owner, RequestError, "who runs an effect")
        return do.StartEffect(case_id="", owner=owner, lease=lease, action=action, runs=runs)

    def _checked(self, asks: dict[str, JSON] | None) -> dict[str, JSON] | None:
        """What a program says of the arguments that it is about to run, as strictly as what it proposes with."""
        if asks is None:
            return None
        made = command(self.settings, action="any", **asks)
        return {name: getattr(made, name) for name in asks}

    def propose_batch(self, columns: Mapping[str, Sequence[Any]], *, key: str | None = None) -> Batch:
        """Route rows in columns; cases are opened for those that a human sees: see `dualcontrol.batch`."""
        return propose_batch(self.desk.steps, self.name, columns, key=key)

    def _call(self, given: dict[str, Any], older: Older | None = None, **otherwise: Any) -> Call:
        """The command for what is given here, at its place among the equal calls of the run that the caller is in."""
        run = self.desk.runs.current
        here = (_context.get() or {}).get((id(self.desk), self.name), {})
        said = {**otherwise, **here, **given}
        again = said.pop("again", False)
        if not isinstance(again, bool):
            raise RequestError(f"again is true or false, not {again!r:.80}")
        made = command(self.settings, **said)
        if run is None or made.key is not None:
            return Call(made, None, NOWHERE, older)
        print_ = fingerprint(self.desk.steps.secret, made)
        place = run.place(made.loop, print_, again=again)
        return Call(replace(made, key=place.key, run=run.name), print_, place, older)

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the case has an outcome; raises `Pending` when the caller's patience ends first."""
        if isinstance(case, Case) and case.outcome is not None:
            return case.outcome
        return self.look(case_id_of(case)).outcome or self._waited(case_id_of(case), timeout)

    def _waited(self, case_id: str, timeout: float | None) -> Outcome:
        timeout = patience(timeout)
        if (timeout is not None and timeout <= 0) or not self.desk._waiters.wait(case_id, timeout):
            raise Pending(case_id)
        return self._concluded(case_id)

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for a coroutine; no thread is held while it waits."""
        found = (await asyncio.to_thread(self.look, case_id_of(case))).outcome
        if found is not None:
            return found
        timeout = patience(timeout)
        patient = timeout is None or timeout > 0
        if not (patient and await self.desk._waiters.wait_async(case_id_of(case), timeout)):
            raise Pending(case_id_of(case))
        return await asyncio.to_thread(self._concluded, case_id_of(case))

    def _concluded(self, case_id: str) -> Outcome:
        outcome = self.desk.case(case_id).outcome
        if outcome is None:
            raise Pending(case_id)
        return outcome

    @exact
    def ask(
        self,
        *,
        timeout: float | None = None,
        action: str = UNSET,
        args: JSON = UNSET,
        proposal: JSON = UNSET,
        input: JSON = UNSET,
        alternatives: Sequence[JSON] | None = UNSET,
        candidates: Sequence[JSON] | None = UNSET,
        schema: dict[str, JSON] | None = UNSET,
        source: dict[str, JSON] | None = UNSET,
        confidence: float | None = UNSET,
        risk: str | float | None = UNSET,
        requires_approval: bool = UNSET,
        scores: Sequence[float] | Mapping[Any, float] | None = UNSET,
        segment: str | None = UNSET,
        rationale: str | None = UNSET,
        history: JSON = UNSET,
        meta: dict[str, JSON] | None = UNSET,
        key: str | None = UNSET,
        run: str | None = UNSET,
        owner: str | None = UNSET,
        parent: str | None = UNSET,
        origin: Literal["live", "import", "shadow"] = UNSET,
        effect: Literal["none", "ready"] | None = UNSET,
        again: bool = UNSET,
    ) -> Outcome:
        """Propose and wait in one call: see `propose` and `wait`; `timeout` is the caller's patience in seconds."""
        given = stated(locals())
        call = self._call({name: value for name, value in given.items() if name != "timeout"})
        try:
            case = self.desk.steps.propose(call.made, None, call.print_).case
            outcome = self.wait(case, timeout)
        except BaseException:
            call.give_back()
            raise
        call.end("refused" if outcome.verdict == "reject" and outcome.by == "human" else "ended")
        return outcome

    @exact
    def context(
        self,
        *,
        input: JSON = UNSET,
        alternatives: Sequence[JSON] | None = UNSET,
        candidates: Sequence[JSON] | None = UNSET,
        schema: dict[str, JSON] | None = UNSET,
        source: dict[str, JSON] | None = UNSET,
        confidence: float | None = UNSET,
        risk: str | float | None = UNSET,
        requires_approval: bool = UNSET,
        scores: Sequence[float] | Mapping[Any, float] | None = UNSET,
        segment: str | None = UNSET,
        rationale: str | None = UNSET,
        history: JSON = UNSET,
        meta: dict[str, JSON] | None = UNSET,
        key: str | None = UNSET,
        run: str | None = UNSET,
        owner: str | None = UNSET,
        parent: str | None = UNSET,
        origin: Literal["live", "import", "shadow"] = UNSET,
        effect: Literal["none", "ready"] | None = UNSET,
        again: bool = UNSET,
    ) -> AbstractContextManager[None]:
        """Context (input, rationale, history, alternatives, meta …) for every proposal of this loop inside the block.

        What a proposal says by itself counts more.
        """
        return self._within(stated(locals()))

    @contextmanager
    def _within(self, given: dict[str, Any]) -> Iterator[None]:
        outer, here = _context.get() or {}, (id(self.desk), self.name)
        token = _context.set({**outer, here: {**outer.get(here, {}), **given}})
        try:
            yield
        finally:
            _context.reset(token)

    @overload
    def gate(self, fn: Callable[P, R], /) -> Gate[P, R]: ...

    @overload
    def gate(
        self,
        fn: None = None,
        /,
        *,
        action: str | None = None,
        timeout: float | None = None,
        context: Callable[..., dict[str, Any]] | None = None,
        formerly: str | Sequence[str] = (),
        run: Literal["required"] | None = None,
        confidence: float | Callable[..., float | None] | None = UNSET,
        risk: str | float | Callable[..., str | float | None] | None = UNSET,
        requires_approval: bool | Callable[..., bool] = UNSET,
        segment: str | Callable[..., str | None] | None = UNSET,
        input: JSON = UNSET,
        rationale: str | Callable[..., str | None] | None = UNSET,
        alternatives: Sequence[JSON] | Callable[..., Sequence[JSON]] | None = UNSET,
        history: JSON = UNSET,
        meta: dict[str, JSON] | Callable[..., dict[str, JSON]] | None = UNSET,
        source: dict[str, JSON] | Callable[..., dict[str, JSON]] | None = UNSET,
        key: str | Callable[..., str | None] | None = UNSET,
        owner: str | Callable[..., str | None] | None = UNSET,
        parent: str | Callable[..., str | None] | None = UNSET,
        again: bool = UNSET,
    ) -> Callable[[Callable[P, R]], Gate[P, R]]: ...

    @overload
    def gate(
        self,
        fn: Callable[P, R],
        /,
        *,
        action: str | None = None,
        timeout: float | None = None,
        context: Callable[..., dict[str, Any]] | None = None,
        formerly: str | Sequence[str] = (),
        run: Literal["required"] | None = None,
        confidence: float | Callable[..., float | None] | None = UNSET,
        risk: str | float | Callable[..., str | float | None] | None = UNSET,
        requires_approval: bool | Callable[..., bool] = UNSET,
        segment: str | Callable[..., str | None] | None = UNSET,
        input: JSON = UNSET,
        rationale: str | Callable[..., str | None] | None = UNSET,
        alternatives: Sequence[JSON] | Callable[..., Sequence[JSON]] | None = UNSET,
        history: JSON = UNSET,
        meta: dict[str, JSON] | Callable[..., dict[str, JSON]] | None = UNSET,
        source: dict[str, JSON] | Callable[..., dict[str, JSON]] | None = UNSET,
        key: str | Callable[..., str | None] | None = UNSET,
        owner: str | Callable[..., str | None] | None = UNSET,
        parent: str | Callable[..., str | None] | None = UNSET,
        again: bool = UNSET,
    ) -> Gate[P, R]: ...

    @exact
    def gate(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        action: str | None = None,
        timeout: float | None = None,
        context: Callable[..., dict[str, Any]] | None = None,
        formerly: str | Sequence[str] = (),
        run: Literal["required"] | None = None,
        confidence: float | Callable[..., float | None] | None = UNSET,
        risk: str | float | Callable[..., str | float | None] | None = UNSET,
        requires_approval: bool | Callable[..., bool] = UNSET,
        segment: str | Callable[..., str | None] | None = UNSET,
        input: JSON = UNSET,
        rationale: str | Callable[..., str | None] | None = UNSET,
        alternatives: Sequence[JSON] | Callable[..., Sequence[JSON]] | None = UNSET,
        history: JSON = UNSET,
        meta: dict[str, JSON] | Callable[..., dict[str, JSON]] | None = UNSET,
        source: dict[str, JSON] | Callable[..., dict[str, JSON]] | None = UNSET,
        key: str | Callable[..., str | None] | None = UNSET,
        owner: str | Callable[..., str | None] | None = UNSET,
        parent: str | Callable[..., str | None] | None = UNSET,
        again: bool = UNSET,
    ) -> Any:
        """Put a function behind this loop: ``@loop.gate`` or ``@loop.gate(risk="high", timeout=900)``.

        It runs once, with the decided arguments, after autopilot or a human has let it.  What is callable is called
        with the arguments by name; `context` gives several fields at once.  `timeout` is the caller's patience: None
        waits, 0 raises Pending at once.  `formerly` are names that the action had before; `run="required"` refuses
        calls outside `Desk.run`.

        Calls raise Pending, Rejected, TimedOut, EffectError, or what the function raises.
        """
        options = {name: value for name, value in stated(locals()).items() if name != "fn"}
        patience(options.get("timeout"))
        if fn is None:
            return functools.partial(self.gate, **options)
        return Gate(self, fn, **options)

    @contextmanager
    def effect(self, case: Case | str) -> Iterator[JSON]:
        """Run the decided action yourself, once: gives its value, and records how the block ended."""
        outcome = self.look(case_id_of(case)).outcome
        if outcome is not None and outcome.verdict in ("reject", "respond"):
            raise Rejected(f"case {outcome.case_id} was answered with {outcome.verdict}")
        started = self._started(case_id_of(case), OWNER)
        try:
            yield started.resolved_value()
        except Exception as error:
            ran = not isinstance(error, NotRun)
            self.finish_effect(started.id, started.effect.fence, succeeded=False, error=described(error), ran=ran)
            raise
        except Paused as pause:
            refusal = paused_inside(started.id, pause)
            self.finish_effect(started.id, started.effect.fence, succeeded=False, error=described(refusal))
            raise refusal from pause
        self.finish_effect(started.id, started.effect.fence, succeeded=True)

    def start_effect(self, case_id: str, owner: str = OWNER, *, runs: JSON = None) -> int:
        """Take the effect of a decided case; the fence returned is needed to finish it.

        `runs`, ``{action, args}``, is held against what was decided where the caller knows what it is about to run.
        Raises `Pending` where the case went back to people, because what is in force now asks for them.
        """
        return self._started(case_id, owner, runs).effect.fence

    def _started(self, case_id: str, owner: str, runs: JSON = None) -> Case:
        case, fence = self.start(case_id, owner, runs=runs)
        if fence is None:
            reason = case.route.reason if case.route else ""
            raise Pending(case.id, f"case {case.id} went back to people before its effect began: {reason}")
        return case

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None, ran: bool = True,
    ) -> None:  # fmt: skip
        """Say how a started effect ended; one that failed has not `ran` where it is certain that nothing happened."""
        self.desk.steps.run(
            do.FinishEffect(
                case_id=case_id, fence=fence, succeeded=succeeded, result=result, kept=kept, error=error, ran=ran
            )
        )  # fmt: skip

    @exact
    def stop_autopilot(self, by: str, because: str, *, segment: str = "") -> Control:
        """Send everything to people from here on, of a segment or of the whole loop (""); what governs it then.

        An effect that autopilot let run and that has not begun is theirs as well.  `by` is the person, who alone or
        whose like opens it again: neither a new certificate nor a new model does.
        """
        person, why = named(by), known_as(because, RequestError, "why autopilot is stopped")
        if not why.strip():
            raise RequestError("say why autopilot is stopped: it stands in the reason of each route")
        known_as(segment, RequestError, "a segment")
        self.desk.steps.move(self.name, lambda now, at: [stopped(now, at, person, why, segment)], actor=person)
        return self.control

    @exact
    def open_autopilot(self, by: str, because: str = "", *, segment: str = "") -> Control:
        """Let autopilot act again where a person had stopped it; what governs it then.

        Raises GuaranteeError where an alarm or the missing file of a model closed it: those end in other ways.
        """
        person, why = named(by), known_as(because, RequestError, "why autopilot is opened")
        self.desk.steps.move(self.name, lambda now, at: started(now, at, person, why, segment), actor=person)
        if self.control.model is not None:  # its file may have gone while nothing was asked of it
            check_one(self.desk, self.control)
        return self.control

    def certify(self) -> list[Event]:
        """Count the evidence that is due now, rather than with the next answers; the events that were written."""
        return self.desk.certifier.run(self.name)

    def guarantee(self) -> list[Standing]:
        """What the loop's guarantee stands at, in numbers and words, for each of its segments."""
        control = self.control
        return standing(control, self.desk.certifier.segments(control))

    def evidence(self, segment: str = "") -> list[dict[str, JSON]]:
        """The labels that the certificate of this epoch has counted, in order, as `Certificate.observe` takes them."""
        return evidence(self.desk.store.queries.entries(self.stream, values=False), segment)

    def examples(self, unused: bool = False) -> list[Row]:
        """Every human decision with what it was about and where it comes from; or those that no model learned from."""
        unused = scalar(unused)
        if not isinstance(unused, bool):
            raise RequestError(f"unused is true or false, not {unused!r:.80}")
        return dataset(self.desk, self.name, unused=unused).rows

    def export(self, path: str | os.PathLike[str], *, format: str | None = None, unused: bool = False) -> Exported:
        """Write the examples to a file; its ending (.csv, .jsonl, .parquet) says what kind, returns how many lines.

        Without a format everything is written; ``labels``, ``trl-preference`` and ``sft`` are what trainers read.
        With ``feedback = "export"`` the examples in the file count as used from then on.
        """
        rows = self.examples(unused)
        lines = export(rows, path, format)
        mark(self.desk, self.name, rows, format, os.path.basename(os.fspath(path)))
        return lines

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due in it has been done."""
        case = self.desk.case(case_id)
        return self.desk.steps.caught_up(case_id) if overdue(case, self.desk.steps.now()) else case
