"""Desk, Loop, Claim: the façade; each verb is a line or two over `step`."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from dualcontrol import commands as do
from dualcontrol.aio import Aio
from dualcontrol.apply import overdue
from dualcontrol.batch import Batch, propose_batch
from dualcontrol.case import JSON, Actor, Case, Outcome, Review, microseconds
from dualcontrol.certify import Certifier, Riskiness, Standing, evidence, standing
from dualcontrol.commands import known_as
from dualcontrol.commands import person as named
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import (
    AnswerError,
    ClaimError,
    Paused,
    Pending,
    ProposalError,
    Rejected,
    RequestError,
    UnknownCaseError,
    UnknownLoopError,
)
from dualcontrol.events import Event
from dualcontrol.gate import OWNER, Gate, described, paused_inside
from dualcontrol.keys import fingerprint
from dualcontrol.learn.dataset import Row, dataset
from dualcontrol.learn.export import export, mark
from dualcontrol.learn.risk_serving import chance_of_being_right
from dualcontrol.learn.serving import current_model
from dualcontrol.propose import command
from dualcontrol.review.view import view
from dualcontrol.step import Steps
from dualcontrol.store import Store
from dualcontrol.sweep import sweep
from dualcontrol.wait import Waiters

CENTURY = 36_525 * 86_400_000_000
_run: ContextVar[Any] = ContextVar("dualcontrol_run", default=None)
_context: ContextVar[dict[str, dict[str, Any]] | None] = ContextVar("dualcontrol_context", default=None)


class _Run:
    """A named run: the n-th equal call in it stands for its own case."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: dict[str, int] = {}

    def key(self, loop: str, print_: str) -> str:
        count = self.seen[f"{loop}/{print_}"] = self.seen.get(f"{loop}/{print_}", 0) + 1
        return f"run/{self.name}/{loop}/{print_[:32]}/{count}"


class Desk:
    """All loops over one database; made by `dualcontrol.open`."""

    def __init__(
        self,
        store: Store,
        steps: Steps,
        settle: Callable[..., LoopSettings | None] | None = None,
        settings: Any = None,
    ) -> None:
        self.store = store
        self.steps = steps
        self.settings = settings
        self._settle = settle
        self._waiters = Waiters(steps)
        self.certifier = Certifier(steps, lambda control: current_model(self, control.loop))
        self.riskiness = Riskiness(self, self.certifier)
        steps.scores.scorer = lambda control, made: chance_of_being_right(self, control, made)

    @property
    def aio(self) -> Aio:
        """The same verbs for async programs."""
        return Aio(self)

    def loop(self, name: str, **settings: Any) -> Loop:
        """A loop by name, with its settings from the file, overridden by keywords, else as the database knows it."""
        known_as(name, UnknownLoopError, "a loop")
        wanted = self._settle(name, **settings) if self._settle else None
        control = self.steps.govern(wanted) if wanted is not None else self.control(name)
        if control is None:
            known = ", ".join(c.loop for c in self.loops()) or "none"
            raise UnknownLoopError(f"there is no loop {name!r}; known are: {known}", loop=name)
        return Loop(self, control)

    def loops(self) -> list[Control]:
        """What governs each loop now."""
        return self.store.queries.loops()

    def control(self, name: str) -> Control | None:
        """What governs a loop now, or None when nobody defined it."""
        known_as(name, UnknownLoopError, "a loop")
        return next((c for c in self.loops() if c.loop == name), None)

    @contextmanager
    def run(self, name: str) -> Iterator[None]:
        """Name a run, so that a restarted program finds the cases of its earlier calls again."""
        token = _run.set(_Run(known_as(name, RequestError, "a run")))
        try:
            yield
        finally:
            _run.reset(token)

    def case(self, case_id: str) -> Case:
        """A case as it is now."""
        case = self.store.queries.case(known_as(case_id, UnknownCaseError, "a case"))
        if case is None:
            raise UnknownCaseError(f"there is no case {case_id}", case_id=case_id)
        return case

    def events(self, case_id: str) -> list[Event]:
        """Everything that happened to a case, in order."""
        self.case(case_id)
        return [event for entry in self.store.queries.entries(f"case/{case_id}") for event in entry.events]

    def claim(
        self, person: str, loop: str | Loop | None = None, *, case: Case | str | None = None,
        lease: str | float | None = None,
    ) -> Claim | None:  # fmt: skip
        """Take the next review for a person, or None when there is nothing they may do.

        With `case`, a review of that very case; an error says why they may not.
        """
        if case is not None:
            found = self.steps.claim_case(_id(case), person, lasting(lease))
            return Claim(self, found, next(r for r in found.reviews if r.person == person and r.state == "claimed"))
        names = [c.loop for c in self.loops()] if loop is None else [_name(loop)]
        case = self.steps.claim(person, names, lasting(lease))
        if case is None:
            return None
        return Claim(self, case, next(r for r in case.reviews if r.person == person and r.state == "claimed"))

    def claimed(self, claim_id: str) -> Claim:
        """The claim that an id stands for."""
        case_id = self.steps.case_of_claim(known_as(claim_id, ClaimError, "a claim"))
        case = self.case(case_id) if case_id else None
        review = case.review_of_claim(claim_id) if case else None
        if case is None or review is None:
            raise ClaimError(f"claim {claim_id} is not held")
        return Claim(self, case, review)

    def answer(self, claim_id: str, verdict: str, value: JSON = None, **said: Any) -> Case:
        """Answer the review of a claim by the verdict's name; see `Claim` for what may be said."""
        return self._answer("", claim_id, verdict, value, **said)

    def _answer(
        self, case_id: str, claim_id: str, verdict: str, value: JSON = None, *, person: str | None = None,
        rationale: str | None = None, reasons: Sequence[str] = (), confidence: float | None = None,
        first: JSON = None, via: str = "python", authenticated: str = "none", expected_seq: int | None = None,
    ) -> Case:  # fmt: skip
        after = self.steps.run(
            do.Answer(
                case_id=case_id, claim_id=claim_id, verdict=verdict, value=value, rationale=rationale,
                reasons=_codes(reasons), confidence=confidence, first=first, expected_seq=expected_seq,
                actor=Actor(person="" if person is None else person, via=via, authenticated=authenticated),
            )
        )  # fmt: skip
        self.certifier.answered(after)
        self.riskiness.answered(after)
        return after

    def commit(self, claim_id: str, should: str, to: JSON = None) -> Claim:
        """Say whether a hidden action should happen ("happen" or "not") and to whom; the claim then shows it."""
        self.steps.run(do.Commit(case_id="", claim_id=claim_id, should=should, to=to))
        return self.claimed(claim_id)

    def release(self, claim_id: str) -> Case:
        """Give a claimed review back."""
        return self.steps.run(do.Release(case_id="", claim_id=claim_id))

    def extend(self, claim_id: str, time: str | float) -> Case:
        """Hold a claim for `time` from now on."""
        return self.steps.run(do.Extend(case_id="", claim_id=claim_id, time=lasting(time) or 0))

    def retract(self, case_id: str, person: str) -> Case:
        """Take one's decision back before it is effective."""
        name = named(person)
        mine = [a.review_id for a in self.case(case_id).answered if a.actor.person == name]
        if not mine:
            raise ClaimError(f"{person} has given no answer in case {case_id} that could be taken back")
        return self.steps.run(do.Retract(case_id=case_id, review_id=mine[-1], person=person))

    def withdraw(self, case_id: str, by: str = "program") -> Case:
        """Say that the program no longer wants an answer."""
        return self.steps.run(do.Withdraw(case_id=case_id, by=by))

    def resolve_effect(self, case_id: str, *, happened: bool, by: str = "operator", result: JSON = None) -> Case:
        """Say whether an effect of unknown end happened; if not, it may be started again."""
        return self.steps.run(do.ResolveEffect(case_id=case_id, happened=happened, by=by, result=result))

    def erase(self, case_id: str, by: str = "operator") -> Case:
        """Erase what people wrote in a case; the evidence stays."""
        return self.steps.run(do.Erase(case_id=case_id, by=by))

    def sweep(self) -> int:
        """Do what is due: leases, response times, effective decisions, lost effects, evidence that was not counted."""
        done = sweep(self.steps)
        self.certifier.run_all(self.loops())
        self.riskiness.run_all(self.loops())
        return done

    def objection(self, control: Control, model: Any) -> str | None:
        """Why a better model should not take over yet: autopilot would lose what is certified."""
        return self.certifier.objection(control, model)

    def close(self) -> None:
        """Stop listening and give the database connections back."""
        self._waiters.close()
        self.store.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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

    def propose(self, **given: Any) -> Case:
        """Open a case; see `dualcontrol.propose.command` for what may be given."""
        made, print_ = self._command(given)
        return self.desk.steps.propose(made, None, print_)[0]

    def enter(self, owner: str, /, **given: Any) -> tuple[Case, int | None]:
        """Open a case or find it again, and take its effect when that is ready: the case and the fence."""
        start = self._start(owner, given.get("action"))
        made, print_ = self._command({**given, "effect": "ready"}, alternatives=[])
        return self.desk.steps.propose(made, start, print_)

    def take(self, case_id: str, owner: str, action: str | None = None) -> tuple[Case, int | None]:
        """A decided case with its effect taken, when that is ready and of this action: the case and the fence."""
        return self.desk.steps.take(known_as(case_id, UnknownCaseError, "a case"), self._start(owner, action))

    def _start(self, owner: str, action: str | None) -> do.StartEffect:
        lease = microseconds(self.settings.effect_lease) or 0
        known_as(owner, RequestError, "who runs an effect")
        if action is not None:
            known_as(action, ProposalError, "an action")
        return do.StartEffect(case_id="", owner=owner, lease=lease, action=action)

    def propose_batch(self, columns: Mapping[str, Sequence[Any]], *, key: str | None = None) -> Batch:
        """Route rows in columns; cases are opened for those that a human sees: see `dualcontrol.batch`."""
        return propose_batch(self.desk.steps, self.name, columns, key=key)

    def _command(self, given: dict[str, Any], **otherwise: Any) -> tuple[do.Propose, str | None]:
        run = _run.get()
        here = (_context.get() or {}).get(self.name, {})
        made = command(self.settings, **{**otherwise, **here, **given})
        if run is None or made.key is not None:
            return made, None
        print_ = fingerprint(self.desk.steps.secret, made)
        return replace(made, key=run.key(made.loop, print_), run=run.name), print_

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the case has an outcome; raises `Pending` when the caller's patience ends first."""
        if isinstance(case, Case) and case.outcome is not None:
            return case.outcome
        return self.look(_id(case)).outcome or self._waited(_id(case), timeout)

    def _waited(self, case_id: str, timeout: float | None) -> Outcome:
        timeout = patience(timeout)
        if (timeout is not None and timeout <= 0) or not self.desk._waiters.wait(case_id, timeout):
            raise Pending(case_id)
        return self._concluded(case_id)

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for a coroutine; no thread is held while it waits."""
        found = (await asyncio.to_thread(self.look, _id(case))).outcome
        if found is not None:
            return found
        timeout = patience(timeout)
        patient = timeout is None or timeout > 0
        if not (patient and await self.desk._waiters.wait_async(_id(case), timeout)):
            raise Pending(_id(case))
        return await asyncio.to_thread(self._concluded, _id(case))

    def _concluded(self, case_id: str) -> Outcome:
        outcome = self.desk.case(case_id).outcome
        if outcome is None:
            raise Pending(case_id)
        return outcome

    def ask(self, *, timeout: float | None = None, **given: Any) -> Outcome:
        """Propose and wait in one call."""
        return self.wait(self.propose(**given), timeout)

    @contextmanager
    def context(self, **given: Any) -> Iterator[None]:
        """Context (input, rationale, history, alternatives, meta …) for every proposal inside the block."""
        outer = _context.get() or {}
        token = _context.set({**outer, self.name: {**outer.get(self.name, {}), **given}})
        try:
            yield
        finally:
            _context.reset(token)

    def gate(self, fn: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Put a function behind this loop: ``@loop.gate`` or ``@loop.gate(risk="high", timeout=900)``."""
        patience(options.get("timeout"))
        if fn is None:
            return functools.partial(self.gate, **options)
        return Gate(self, fn, **options)

    @contextmanager
    def effect(self, case: Case | str) -> Iterator[JSON]:
        """Run the decided action yourself, once: gives its value, and records how the block ended."""
        outcome = self.look(_id(case)).outcome
        if outcome is not None and outcome.verdict in ("reject", "respond"):
            raise Rejected(f"case {outcome.case_id} was answered with {outcome.verdict}")
        started = self._started(_id(case), OWNER)
        try:
            yield started.resolved_value()
        except Exception as error:
            self.finish_effect(started.id, started.effect.fence, succeeded=False, error=described(error))
            raise
        except Paused as pause:
            refusal = paused_inside(started.id, pause)
            self.finish_effect(started.id, started.effect.fence, succeeded=False, error=described(refusal))
            raise refusal from pause
        self.finish_effect(started.id, started.effect.fence, succeeded=True)

    def start_effect(self, case_id: str, owner: str = OWNER) -> int:
        """Take the effect of a decided case; the fence returned is needed to finish it."""
        return self._started(case_id, owner).effect.fence

    def _started(self, case_id: str, owner: str) -> Case:
        lease = microseconds(self.settings.effect_lease) or 0
        return self.desk.steps.run(do.StartEffect(case_id=case_id, owner=owner, lease=lease))

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None,
    ) -> None:  # fmt: skip
        """Say how a started effect ended."""
        self.desk.steps.run(
            do.FinishEffect(case_id=case_id, fence=fence, succeeded=succeeded, result=result, kept=kept, error=error)
        )

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
        if not isinstance(unused, bool):
            raise RequestError(f"unused is true or false, not {unused!r:.80}")
        return dataset(self.desk, self.name, unused=unused).rows

    def export(self, path: str | os.PathLike[str], *, format: str = "jsonl", unused: bool = False) -> int:
        """Write the examples as ``jsonl``, ``labels``, ``trl-preference`` or ``sft``; returns how many lines.

        With ``feedback = "export"`` those in the file count as used from then on.
        """
        rows = self.examples(unused)
        lines = export(rows, path, format)
        mark(self.desk, self.name, rows, format, os.path.basename(os.fspath(path)))
        return lines

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due in it has been done."""
        case = self.desk.case(case_id)
        if overdue(case, self.desk.steps.now()):
            self.desk.sweep()
            case = self.desk.case(case_id)
        return case


class Claim:
    """A review held by one person for a time; `id` is the fencing token."""

    def __init__(self, desk: Desk, case: Case, review: Review) -> None:
        self.desk = desk
        self.case = case
        self.review = review
        self.id: str = review.claim_id or ""
        self.person: str = review.person or ""

    @property
    def view(self) -> dict[str, JSON]:
        """What this reviewer may see."""
        return view(self.case, self.review, self.person)

    def commit(self, should: str, to: JSON = None) -> Claim:
        """Say whether a hidden action should happen ("happen" or "not") and to whom; from then on it is shown here."""
        self.case = self.desk.steps.run(do.Commit(case_id=self.case.id, claim_id=self.id, should=should, to=to))
        self.review = self.case.review(self.review.id) or self.review
        return self

    def answer(self, verdict: str, value: JSON = None, **said: Any) -> Case:
        """Answer by the verdict's name."""
        return self.desk._answer(self.case.id, self.id, verdict, value, person=self.person, **said)

    def approve(self, **said: Any) -> Case:
        """The proposal is right."""
        return self.answer("approve", **said)

    def edit(self, value: JSON, **said: Any) -> Case:
        """The proposal is right when changed to this: the arguments, or ``{action, args}``."""
        return self.answer("edit", value, **said)

    def reject(self, rationale: str | None = None, **said: Any) -> Case:
        """The proposal is wrong and nothing is to happen."""
        return self.answer("reject", rationale=rationale, **said)

    def respond(self, value: JSON, **said: Any) -> Case:
        """Answer in the AI's place: a text, or JSON by the loop's schema."""
        return self.answer("respond", value, **said)

    def label(self, value: JSON, **said: Any) -> Case:
        """The right label."""
        return self.answer("label", value, **said)

    def prefer(self, value: JSON, **said: Any) -> Case:
        """The order of the candidates: an id, a list of ids, or ``{ranking, rejected, strength}``."""
        return self.answer("prefer", value, **said)

    def abstain(self, **said: Any) -> Case:
        """Let somebody else decide."""
        return self.answer("abstain", **said)

    def escalate(self, to: str | None = None, **said: Any) -> Case:
        """Pass it to the group above."""
        return self.answer("escalate", None if to is None else {"to": to}, **said)

    def release(self) -> Case:
        """Give it back."""
        return self.desk.steps.run(do.Release(case_id=self.case.id, claim_id=self.id))

    def extend(self, time: str | float = "10m") -> Case:
        """Hold it for `time` from now on."""
        return self.desk.extend(self.id, time)


def _id(case: Case | str) -> str:
    return case.id if isinstance(case, Case) else known_as(case, UnknownCaseError, "a case")


def _name(loop: Loop | str) -> str:
    return loop.name if isinstance(loop, Loop) else known_as(loop, UnknownLoopError, "a loop")


def lasting(time: str | float | None) -> int | None:
    """A time somebody asks for, in microseconds: longer than nothing, at most a century; None stays None."""
    try:
        wanted = None if time is None else microseconds(time)
    except (TypeError, ValueError, OverflowError, AttributeError):
        wanted = 0
    if wanted is not None and not 0 < wanted <= CENTURY:
        raise RequestError(f'a time is "90s", "15m", "8h" or a number of seconds above 0, not {time!r:.80}')
    return wanted


def patience(timeout: Any) -> float | None:
    """How long a caller waits, in seconds; None is for as long as it takes."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
        raise RequestError(f"timeout is a number of seconds, or None for no end, not {timeout!r:.80}")
    return None if timeout > CENTURY / 1_000_000 else timeout


def _codes(reasons: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(reasons, list | tuple):
        raise AnswerError(f"reasons is a list of codes, not {reasons!r:.80}")
    return tuple(reasons)
