"""The public façade: Desk, Loop and Claim; most methods are a line or two over `step`."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from inspect import Parameter, signature
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload
from weakref import WeakSet

from msgspec.structs import replace

from dualcontrol import changes
from dualcontrol import commands as do
from dualcontrol.accounts import Registry, SignIns, Tokens
from dualcontrol.aio import Aio
from dualcontrol.apply import overdue
from dualcontrol.batch import Batch, propose_batch
from dualcontrol.case import JSON, Actor, Case, Outcome, Quorum, Rendering, Review, microseconds, plain, scalar
from dualcontrol.commands import known_as
from dualcontrol.commands import person as named
from dualcontrol.control import (
    BY_TWO,
    READMIT,
    SUSPEND,
    Cap,
    Capacity,
    Control,
    Feedback,
    Guarantee,
    LoopSettings,
    Probes,
    Rule,
)
from dualcontrol.errors import (
    AnswerError,
    ArgumentError,
    ClaimError,
    NotRun,
    Paused,
    Pending,
    Rejected,
    RequestError,
    UnknownCaseError,
    UnknownLoopError,
)
from dualcontrol.events import Event
from dualcontrol.gate import OWNER, Gate, described, paused_inside
from dualcontrol.guarantee.breakdown import Breakdown, Breakdowns
from dualcontrol.guarantee.certifier import Certifier
from dualcontrol.guarantee.evidence import evidence
from dualcontrol.guarantee.one_look import OneLook, look_once
from dualcontrol.guarantee.relearn import Riskiness
from dualcontrol.guarantee.standing import Standing, standing
from dualcontrol.keys import fingerprint
from dualcontrol.learn.examples import TrainingRow, dataset
from dualcontrol.learn.export import Exported, export, mark
from dualcontrol.learn.risk import chance_of_being_right
from dualcontrol.learn.serving import check_one, current_model, stopped
from dualcontrol.names import nearest, same
from dualcontrol.overrides import ANY, change
from dualcontrol.propose import UNSET, command
from dualcontrol.review.view import view
from dualcontrol.run import NOWHERE, CallPlace, Older, Run, Runs
from dualcontrol.step import Proposed, Steps
from dualcontrol.stop import stop
from dualcontrol.store import Store
from dualcontrol.sweep import sweep
from dualcontrol.vigilance.draw import Prober
from dualcontrol.vigilance.standing import Oversight, oversight
from dualcontrol.vigilance.written import written
from dualcontrol.wait import Waiters

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
CENTURY = 36_525 * 86_400_000_000
# By desk and loop: what a context says of one desk's loop is nothing to another's of the same name.
_context: ContextVar[dict[tuple[int, str], dict[str, Any]] | None] = ContextVar("dualcontrol_context", default=None)

# Checks of what callers pass to the methods below: argument names, a case or its id, times.


def exact(verb: Callable[P, T]) -> Callable[P, T]:
    """A method that answers an unknown argument with the nearest name of one that it has."""
    kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, parameter in signature(verb).parameters.items() if parameter.kind in kinds]
    known = frozenset(names)

    @functools.wraps(verb)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if not kwargs.keys() <= known:
            settle = getattr(args[0], "_settle", None) if verb.__name__ == "loop" and len(args) > 1 else None
            if settle is not None:  # the keywords of a loop are settings, which name their nearest as in a file
                settle(args[1], **kwargs)
            unknown = next(name for name in kwargs if name not in known)
            near = nearest(unknown, names[1:])
            meant = f"did you mean {near!r}?" if near else f"it takes {', '.join(names[1:])}"
            message = f"{verb.__name__} has no argument {unknown!r:.80}; {meant}"
            raise ArgumentError(message, argument=unknown, nearest=near)
        return verb(*args, **kwargs)

    return checked


def unknown_loop(name: str, known: Sequence[str]) -> UnknownLoopError:
    """The error for a loop that nobody defined."""
    near = nearest(name, known)
    meant = f"did you mean {near!r}?" if near else f"known are: {', '.join(sorted(known)) or 'none'}"
    return UnknownLoopError(f"there is no loop {name[:80]!r}; {meant}", loop=name)


def stated(arguments: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """The arguments of a method, as `locals()` has them, that its caller gave; `without` names those left out."""
    dropped = ("self", *without)
    return {name: value for name, value in arguments.items() if value is not UNSET and name not in dropped}


def case_id_of(case: Case | str) -> str:
    """The id of a case that is given by itself or by its id."""
    return case.id if isinstance(case, Case) else known_as(case, UnknownCaseError, "a case")


def loop_name(loop: Loop | str | None) -> str | None:
    """The name of a loop that is given by itself or by its name; None stays None."""
    return loop.name if isinstance(loop, Loop) else loop if loop is None else known_as(loop, UnknownLoopError, "a loop")


def lasting(time: str | float | None) -> int | None:
    """A duration in microseconds, above 0 and at most a century; None stays None.  Raises RequestError."""
    try:
        duration = None if time is None else microseconds(scalar(time))
    except (TypeError, ValueError, OverflowError, AttributeError):
        duration = 0
    if duration is not None and not 0 < duration <= CENTURY:
        raise RequestError(f'a time is "90s", "15m", "8h" or a number of seconds above 0, not {time!r:.80}')
    return duration


def patience(timeout: Any) -> float | None:
    """How long a caller waits, in seconds; None waits without end.  Raises RequestError."""
    timeout = scalar(timeout)
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
        raise RequestError(f"timeout is a number of seconds, or None for no end, not {timeout!r:.80}")
    return None if timeout > CENTURY / 1_000_000 else timeout


__all__ = ["Claim", "Desk", "Loop"]


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
        self.runs = Runs()
        self._trainers: set[str] = set()
        self._begin()
        steps.scores.scorer = lambda control, proposal: chance_of_being_right(self, control, proposal)
        _DESKS.add(self)

    def _begin(self) -> None:
        """Make the parts that hold locks and threads; a forked process makes its own."""
        self._waiters = Waiters(self.steps)
        self.runs.renew()
        self.prober = Prober(self.steps, lambda args, key: changes.suggest_suspension(self, args, key))
        self.certifier = Certifier(self.steps, lambda control: current_model(self, control.loop), self.prober.blind)
        self.riskiness = Riskiness(self, self.certifier)

    @property
    def people(self) -> Registry:
        """Accounts, roles and groups."""
        return Registry(self.steps, lambda action, args, by: changes.propose(self, action, args, by))

    @property
    def tokens(self) -> Tokens:
        """What programs show in the place of people."""
        return Tokens(self.steps, self.people)

    @property
    def sign_ins(self) -> SignIns:
        """How people prove who they are, and their sessions."""
        return SignIns(self.steps, self.people)

    @property
    def aio(self) -> Aio:
        """The same verbs for async programs."""
        return Aio(self)

    @property
    def trainers(self) -> frozenset[str]:
        """The trainers that this program's own settings name, in its file or as keywords of `loop`."""
        loops = getattr(self.settings, "loops", None) or {}
        return frozenset(self._trainers | {loop.feedback.trainer for loop in loops.values() if loop.feedback})

    @exact
    def loop(
        self,
        name: str,
        *,
        mode: Literal["approval", "labels", "preference", "fallback"] | None = UNSET,
        threshold: float | None = UNSET,
        guarantee: Guarantee | Mapping[str, Any] | None = UNSET,
        risk_ceiling: str | float | None = UNSET,
        audit: float | None = UNSET,
        human_actions: Sequence[str] | None = UNSET,
        autopilot_actions: Sequence[str] | None = UNSET,
        block_actions: Sequence[str] | None = UNSET,
        rules: Sequence[Rule | Mapping[str, Any]] | None = UNSET,
        start: Literal["shadow", "suggest", "gate"] | None = UNSET,
        respond_within: str | float | None = UNSET,
        on_timeout: Literal["reject", "hold", "escalate", "autopilot"] | None = UNSET,
        capacity: Capacity | Mapping[str, Any] | None = UNSET,
        context: Literal["minimal", "standard", "full"] | Sequence[str] | None = UNSET,
        meta: Sequence[str] | None = UNSET,
        rationale: Literal["required", "optional"] | None = UNSET,
        markdown: Sequence[str] | None = UNSET,
        group: str | None = UNSET,
        quorum: Quorum | Mapping[str, Any] | None = UNSET,
        labels: Sequence[JSON] | None = UNSET,
        schema: Mapping[str, JSON] | None = UNSET,
        feedback: Feedback | Mapping[str, Any] | str | None = UNSET,
        lease: str | float | None = UNSET,
        undo: str | float | None = UNSET,
        dead_time: str | float | None = UNSET,
        approval_lasts: str | float | None = UNSET,
        on_unknown: Literal["ask", "retry"] | None = UNSET,
        effect_lease: str | float | None = UNSET,
        changes: Literal["one", "two"] | None = UNSET,
        probes: Probes | Mapping[str, Any] | None = UNSET,
        cap: Cap | Mapping[str, Any] | None = UNSET,
    ) -> Loop:
        """A loop by name, with its settings from the file, overridden by keywords, else as the database knows it.

        Each keyword is a setting of ``[loop.NAME]``, and None restores its default; times are seconds or text such as
        "15m".  What is stated is in force for every program from here on.  Raises SettingsError for a mistake and
        UnknownLoopError for a loop that nobody defined.
        """
        stated_settings = stated(locals(), "name")
        known_as(name, UnknownLoopError, "a loop")
        settings = self._settle(name, **stated_settings) if self._settle else None
        if settings is None:
            return Loop(self, self.governing(name))
        if settings.feedback is not None:
            self._trainers.add(settings.feedback.trainer)
        return Loop(self, self.steps.govern(settings))

    def loops(self) -> list[Control]:
        """What governs each loop now."""
        return self.store.queries.loops()

    def control(self, name: str) -> Control | None:
        """What governs a loop now, or None when nobody defined it."""
        known_as(name, UnknownLoopError, "a loop")
        return next((control for control in self.loops() if control.loop == name), None)

    def governing(self, name: str) -> Control:
        """What governs a loop now; raises UnknownLoopError, which names the nearest loop there is."""
        control = self.control(name)
        if control is None:
            raise unknown_loop(name, [known.loop for known in self.loops()])
        return control

    def run(self, name: str) -> AbstractContextManager[Run]:
        """Name a run, so that a restarted program finds the cases of its earlier calls again: see `dualcontrol.run`."""
        if not known_as(name, RequestError, "a run").strip():
            raise RequestError("a run is named by a text that can be seen")
        return self.runs.entered(Run(name, self.runs))

    def case(self, case_id: str) -> Case:
        """A case as it is now."""
        case = self.store.queries.case(known_as(case_id, UnknownCaseError, "a case"))
        if case is None:
            raise UnknownCaseError(f"there is no case {case_id}", case_id=case_id)
        return case

    def glance(self, case_id: str) -> tuple[Case, str]:
        """A case as lists show it: with input and candidates if they are small, and how a large input begins."""
        glanced = self.store.queries.glance(known_as(case_id, UnknownCaseError, "a case"))
        if glanced is None:
            raise UnknownCaseError(f"there is no case {case_id}", case_id=case_id)
        return glanced

    def events(self, case_id: str) -> list[Event]:
        """Everything that happened to a case, in order."""
        self.case(case_id)
        return [event for entry in self.store.queries.entries(f"case/{case_id}") for event in entry.events]

    @exact
    def claim(
        self, person: str, loop: str | Loop | None = None, *, case: Case | str | None = None,
        lease: str | float | None = None,
    ) -> Claim | None:  # fmt: skip
        """Take the next review for a person, or None when there is nothing they may do.

        With `case`, a review of that very case; an error says why they may not.
        """
        if case is not None:
            return self._held(self.steps.claim_case(case_id_of(case), person, lasting(lease)), person)
        name = loop_name(loop)
        names = [control.loop for control in self.loops()] if name is None else [name]
        return self.claim_in(person, names, lease=lease)

    def claim_in(self, person: str, loops: Sequence[str], *, lease: str | float | None = None) -> Claim | None:
        """Take the next review of several loops for a person, or None when there is nothing they may do."""
        claimed = self.steps.claim(person, loops, lasting(lease)) if loops else None
        return None if claimed is None else self._held(claimed, person)

    def _held(self, case: Case, person: str) -> Claim:
        mine = (review for review in case.reviews if review.state == "claimed" and same(review.person, person))
        return Claim(self, case, next(mine))

    def claimed(self, claim_id: str) -> Claim:
        """The claim that an id stands for."""
        case_id = self.steps.case_of_claim(known_as(claim_id, ClaimError, "a claim"))
        case = self.case(case_id) if case_id else None
        review = case.review_of_claim(claim_id) if case else None
        if case is None or review is None:
            raise ClaimError(f"claim {claim_id} is not held")
        return Claim(self, case, review)

    @exact
    def answer(
        self,
        claim_id: str,
        verdict: str,
        value: JSON = None,
        *,
        person: str | None = None,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        lasts: str | float | None = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
        actor: Actor | None = None,
    ) -> Case:
        """Answer the review of a claim by the verdict's name; `Claim.answer` explains the arguments."""
        return self._answer("", **stated(locals()))

    def _answer(
        self, case_id: str, claim_id: str, *, person: str | None = None, reasons: Sequence[str] = (),
        lasts: str | float | None = None, via: str = "python", authenticated: str = "none",
        actor: Actor | None = None, **answer: Any,
    ) -> Case:  # fmt: skip
        if not isinstance(reasons, list | tuple):
            raise AnswerError(f"reasons is a list of codes, not {reasons!r:.80}")
        actor = actor or Actor(person="" if person is None else person, via=via, authenticated=authenticated)
        command = do.GiveAnswer(
            case_id=case_id, claim_id=claim_id, actor=actor, reasons=tuple(reasons), lasts=lasting(lasts), **answer
        )
        after = self.steps.run(command)
        self._answered(after)
        return after

    def _answered(self, after: Case) -> None:
        """Count what an answer is evidence of, once it stands."""
        self.certifier.answered(after)
        self.riskiness.answered(after)
        self.prober.answered(after)
        changes.answered(self, after)

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
        mine = [answer.review_id for answer in self.case(case_id).answered if same(answer.actor.person, name)]
        if not mine:
            raise ClaimError(f"{person} has given no answer in case {case_id} that could be taken back")
        return self.steps.run(do.Retract(case_id=case_id, review_id=mine[-1], person=person))

    @exact
    def revoke(
        self, case_id: str, person: str, rationale: str | None = None, *, via: str = "python",
        authenticated: str = "none", actor: Actor | None = None,
    ) -> Case:  # fmt: skip
        """Take an approval back whose effect has not begun: the case counts as rejected from then on."""
        actor = actor or Actor(person=named(person), via=via, authenticated=authenticated)
        return self.steps.run(do.Revoke(case_id=case_id, actor=actor, rationale=rationale))

    @exact
    def withdraw(self, case_id: str, by: str = "program") -> Case:
        """Say that the program no longer wants an answer."""
        return self.steps.run(do.Withdraw(case_id=case_id, by=by))

    @exact
    def resolve_effect(self, case_id: str, *, happened: bool, by: str = "operator", result: JSON = None) -> Case:
        """Say whether an effect of unknown end happened; if not, it may be started again.

        So may one that failed before anything had run.
        """
        return self.steps.run(do.ResolveEffect(case_id=case_id, happened=happened, by=by, result=result))

    @exact
    def erase(self, case_id: str, by: str = "operator") -> Case:
        """Erase a case's content, and that of every probe that was made of it; the evidence stays."""
        case = self.store.queries.case(known_as(case_id, UnknownCaseError, "a case"))
        control = None if case is None else self.control(case.loop)
        for probe in [] if control is None else self.store.queries.probes_of(control.loop_id, case_id):
            self.steps.run(do.Erase(case_id=probe, by=by))
        return self.steps.run(do.Erase(case_id=case_id, by=by))

    @exact
    def stop(
        self, by: str, because: str, *, loop: str | Loop | None = None, via: str = "python",
        authenticated: str = "none", actor: Actor | None = None,
    ) -> list[Control]:  # fmt: skip
        """The emergency stop, of one loop or of all and every later one; returns what governs them now.

        Nothing goes to autopilot and no effect starts, not even an approved one, which stays ready; what has begun may
        end, and answers go on.  Stopping twice changes nothing.
        """
        actor = actor or Actor(person=by, via=via, authenticated=authenticated)
        return stop(self.steps, actor, because, loop_name(loop))

    @exact
    def resume(
        self, by: str, because: str, *, loop: str | Loop | None = None, via: str = "python",
        authenticated: str = "none", actor: Actor | None = None,
    ) -> list[Control]:  # fmt: skip
        """Open a stopped loop again, or without `loop` all that were stopped together; returns what governs them now.

        Raises NotStoppedError where nothing is stopped that way.
        """
        actor = actor or Actor(person=by, via=via, authenticated=authenticated)
        return changes.resume_stopped(self, actor, because, loop_name(loop))

    def sweep(self, seconds: float | None = None) -> int:
        """Do what is due: leases, response times, effective decisions, lost effects, uncounted evidence.

        With `seconds` no new transaction begins after that time.  Returns the number of cases acted on.
        """
        done = sweep(self.steps, seconds=seconds) + changes.run_all(self)
        self.certifier.run_all(self.loops())
        self.riskiness.run_all(self.loops())
        self.prober.ladder.run_all(self.loops())
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


_DESKS: WeakSet[Desk] = WeakSet()


def _forked() -> None:
    for desk in list(_DESKS):
        desk._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


# A loop: propose, wait, gate, run effects, count, export.


class PlacedCall:
    """A call that proposes a case: its command, its place in a run, and its form in an older version of the program."""

    def __init__(
        self, command: do.Propose, fingerprint: str | None, place: CallPlace, older: Older | None,
        fields: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.command, self.fingerprint, self.place, self.older = command, fingerprint, place, older
        self.fields = fields  # as the caller stated them
        self.end = place.end  # it has ended
        self.give_back = place.give_back  # it has not ended: the next equal call is the same one
        self.note: str | None = None


class GateOptions(TypedDict, total=False):
    """The keywords of `Loop.gate`, for type checkers; they are explained there."""

    action: str | None
    timeout: float | None
    context: Callable[..., dict[str, Any]] | None
    formerly: str | Sequence[str]
    run: Literal["required"] | None
    confidence: float | Callable[..., float | None] | None
    risk: str | float | Callable[..., str | float | None] | None
    requires_approval: bool | Callable[..., bool]
    segment: str | Callable[..., str | None] | None
    input: JSON
    rationale: str | Callable[..., str | None] | None
    alternatives: Sequence[JSON] | Callable[..., Sequence[JSON]] | None
    history: JSON
    meta: dict[str, JSON] | Callable[..., dict[str, JSON]] | None
    source: dict[str, JSON] | Callable[..., dict[str, JSON]] | None
    key: str | Callable[..., str | None] | None
    owner: str | Callable[..., str | None] | None
    parent: str | Callable[..., str | None] | None
    again: bool


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
        replaces these where nothing is proposed (preference).  `confidence`, `scores` and `risk` are from 0 to 1, risk
        also a level.  The same `key` finds the same case again; inside `Desk.run` each call has a key of its own, and
        `again=True` asks again after a refusal.

        Raises ProposalError or a subclass (ContextError, SignalError, PayloadError, KeyConflictError); then nothing is
        written.
        """
        call = self._call(stated(locals()))
        try:
            case = self._opened(call).case
        except BaseException:
            call.give_back()
            raise
        call.end("ended")
        return case

    def call(
        self, action: str, *, defaults: dict[str, JSON], formerly: tuple[str, ...], run: str | None, **given: Any
    ) -> PlacedCall:  # fmt: skip
        """A gate's call at its place in the run of the caller; nothing is written."""
        if run == "required":
            self.desk.runs.required(action)
        elif self.desk.runs.current is None:
            self.desk.runs.warn_outside(action)
        older = Older(action=action, args=given["args"], defaults=defaults, formerly=formerly)
        return self._call({**given, "action": action, "effect": "ready"}, older, alternatives=[])

    def enter(self, owner: str, call: PlacedCall) -> tuple[Case, int | None]:
        """Open the case of a call or find it again, and start its effect if that is ready and as proposed."""
        proposed = call.command.candidates[0]
        runs = {"action": proposed["action"], "args": proposed["value"]}
        start = self._start(owner, proposed["action"], runs)
        run, older = call.place.run, call.older
        if run is not None and older is not None:  # an earlier version of the program may have opened it
            if self.name not in run.earlier:
                cases = self.desk.store.queries.of_run(self._control.loop_id, run.name)
                run.earlier[self.name] = dict.fromkeys(cases)
            earlier = run.earlier[self.name]
            known = self.desk.steps.case_of_key(self.name, call.command.key or "") if earlier else None
            for case_id in [] if known else list(earlier):
                case = self.desk.case(case_id)
                if older.is_same_call(case, call.command.input):
                    earlier.pop(case_id, None)
                    return self.look(case_id), None
                call.note = call.note or older.renamed(case, call.command.input)
            earlier.pop(known or "", None)
        return self._opened(call, start)[:2]

    def start(
        self, case_id: str, owner: str = OWNER, *, runs: JSON = None, asks: dict[str, JSON] | None = None
    ) -> tuple[Case, int | None]:  # fmt: skip
        """Start the effect of a decided case: the case and its fence; no fence where the case went back to people."""
        if asks is not None:  # checked as strictly as a proposal
            checked = command(self.settings, action="any", **asks)
            asks = {name: getattr(checked, name) for name in asks}
        case = self.desk.steps.run(replace(self._start(owner, None, runs), case_id=case_id, asks=asks))
        return case, case.effect.fence if case.effect.state == "started" else None

    def recall(self, case_id: str, reason: str) -> None:
        """Let people decide again about what cannot be run."""
        self.desk.steps.run(do.Recall(case_id=case_id, reason=reason))

    def _start(self, owner: str, action: str | None, runs: JSON = None) -> do.StartEffect:
        lease = microseconds(self.settings.effect_lease) or 0
        known_as(owner, RequestError, "who runs an effect")
        return do.StartEffect(case_id="", owner=owner, lease=lease, action=action, runs=runs)

    def propose_batch(self, columns: Mapping[str, Sequence[Any]], *, key: str | None = None) -> Batch:
        """Route rows in columns; cases are opened for those that a human sees: see `dualcontrol.batch`."""
        if self.name == BY_TWO:
            raise RequestError(f"the loop {BY_TWO!r} takes no proposals")
        return propose_batch(self.desk.steps, self.name, columns, key=key)

    def _call(self, stated_fields: dict[str, Any], older: Older | None = None, **otherwise: Any) -> PlacedCall:
        """The command of a call with the context around it, at its place among the equal calls of the current run."""
        run = self.desk.runs.current
        around = (_context.get() or {}).get((id(self.desk), self.name), {})
        fields = {**otherwise, **around, **stated_fields}
        again = fields.pop("again", False)
        if not isinstance(again, bool):
            raise RequestError(f"again is true or false, not {again!r:.80}")
        proposal = command(self.settings, **fields)
        if run is None or proposal.key is not None:
            return PlacedCall(proposal, None, NOWHERE, older, fields)
        content = self.fingerprint(proposal, fields)
        place = run.place(proposal.loop, content, again=again)
        return PlacedCall(replace(proposal, key=place.key, run=run.name), content, place, older, fields)

    def fingerprint(self, proposal: do.Propose, fields: Mapping[str, Any]) -> str:
        """What tells equal calls from others, and says nothing of their content: a keyed hash."""
        return fingerprint(self.desk.steps.secret, proposal)

    def _opened(self, call: PlacedCall, start: do.StartEffect | None = None) -> Proposed:
        """The case of a call, opened or found again; with `start` its effect is taken where that is ready."""
        return self.desk.steps.propose(call.command, start, call.fingerprint)

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the case has an outcome; raises `Pending` when the caller's timeout passes first."""
        if isinstance(case, Case) and case.outcome is not None:
            return case.outcome
        case_id = case_id_of(case)
        outcome = self.look(case_id).outcome
        if outcome is not None:
            return outcome
        timeout = patience(timeout)
        if (timeout is not None and timeout <= 0) or not self.desk._waiters.wait(case_id, timeout):
            raise Pending(case_id)
        return self._concluded(case_id)

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for a coroutine; no thread is held while it waits."""
        case_id = case_id_of(case)
        outcome = (await asyncio.to_thread(self.look, case_id)).outcome
        if outcome is not None:
            return outcome
        timeout = patience(timeout)
        if (timeout is not None and timeout <= 0) or not await self.desk._waiters.wait_async(case_id, timeout):
            raise Pending(case_id)
        return await asyncio.to_thread(self._concluded, case_id)

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
        """Propose and wait in one call: see `propose` and `wait`; `timeout` is how many seconds the caller waits."""
        call = self._call(stated(locals(), "timeout"))
        try:
            case = self._opened(call).case
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

        A proposal's own fields take precedence.
        """
        return self._within(stated(locals()))

    @contextmanager
    def _within(self, fields: dict[str, Any]) -> Iterator[None]:
        outer, here = _context.get() or {}, (id(self.desk), self.name)
        token = _context.set({**outer, here: {**outer.get(here, {}), **fields}})
        try:
            yield
        finally:
            _context.reset(token)

    @overload
    def gate(self, fn: Callable[P, R], /, **options: Unpack[GateOptions]) -> Gate[P, R]: ...

    @overload
    def gate(
        self, fn: None = None, /, **options: Unpack[GateOptions]
    ) -> Callable[[Callable[P, R]], Gate[P, R]]: ...  # fmt: skip

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
        """Gate a function: ``@loop.gate`` or ``@loop.gate(risk="high", timeout=900)``.

        It runs once, with the decided arguments, after autopilot or a human has approved it.  Callables are called
        with the arguments by name; `context` gives several fields at once.  `timeout` is how many seconds the caller
        waits: None waits without end, 0 raises Pending at once.  `formerly` are earlier names of the action;
        `run="required"` refuses calls outside `Desk.run`.

        Calls raise Pending, Rejected, TimedOut, EffectError, or what the function raises.
        """
        options = stated(locals(), "fn")
        patience(options.get("timeout"))
        if fn is None:
            return functools.partial(self.gate, **options)
        return Gate(self, fn, **options)

    @contextmanager
    def effect(self, case: Case | str) -> Iterator[JSON]:
        """Run the decided action yourself, once: yields its value, and records how the block ended."""
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
        """Start the effect of a decided case; returns the fence that is needed to finish it.

        `runs`, ``{action, args}``, is what the caller is about to run, if it knows; it is compared with the decision.
        Raises `Pending` where the case went back to people, because the control now in force requires them.
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
        """Report how a started effect ended; `ran` is false for a failure where certainly nothing happened."""
        command = do.FinishEffect(
            case_id=case_id, fence=fence, succeeded=succeeded, result=result, kept=kept, error=error, ran=ran
        )
        self.desk.steps.run(command)

    @exact
    def stop_autopilot(self, by: str, because: str, *, segment: str = "") -> Control:
        """Send everything to people from now on, in a segment or the whole loop (""); returns the new control.

        Autopilot effects that have not begun go to people too.  `by` is the person; only a person opens autopilot
        again, no new certificate and no new model.
        """
        person, why = named(by), known_as(because, RequestError, "why autopilot is stopped")
        if not why.strip():
            raise RequestError("say why autopilot is stopped: it stands in the reason of each route")
        known_as(segment, RequestError, "a segment")
        self.desk.steps.move(self.name, lambda now, at: [stopped(now, at, person, why, segment)], actor=person)
        return self.control

    @exact
    def open_autopilot(self, by: str, because: str = "", *, segment: str = "") -> Control:
        """Let autopilot act again where a person stopped it; returns the new control.

        Raises GuaranteeError where an alarm or a missing model file closed it: those end in other ways; and Pending
        where the loop takes changes by two.
        """
        person, why = named(by), known_as(because, RequestError, "why autopilot is opened")
        changes.open_autopilot(self.desk, self.name, person, why, known_as(segment, RequestError, "a segment"))
        if self.control.model is not None:  # its file may have gone while nothing was asked of it
            check_one(self.desk, self.control)
        return self.control

    @exact
    def override(
        self, key: str, value: JSON, by: str, *, approved_by: str | None = None, instead_of: JSON = UNSET
    ) -> Control:  # fmt: skip
        """Lay a value over a setting of the file, for every program from here on; returns the new control.

        `key` is a setting of ``[loop.NAME]`` or ``groups.NAME``, and None is its default; the value is checked as a
        file's is.  `by` is the person, `instead_of` the value that they saw in force: another one is not replaced.

        Raises SettingsError for a mistake, RequestError for what the file says, ConflictError for a value that changed,
        and Pending where the loop takes changes by two: its case has to be approved first.
        """
        wanted = change(key, by, value, approved_by, ANY if instead_of is UNSET else instead_of)
        return changes.override(self.desk, self.name, wanted)

    @exact
    def drop_override(self, key: str, by: str, *, approved_by: str | None = None) -> Control:
        """Let a setting be as the file says again; returns the new control.

        Raises NotFoundError where it is, and Pending as `override` does.
        """
        return changes.drop_override(self.desk, self.name, change(key, by, approved_by=approved_by))

    @exact
    def suspend(self, person: str, *, by: str, because: str) -> Control:
        """Let somebody take no more cases of this loop, by the word of a lead; returns the new control.

        Raises Pending where the loop takes changes by two, RoleError for who is no lead, EligibilityError for oneself.
        """
        return changes.move_person(self.desk, self.name, SUSPEND, person, by, because)

    @exact
    def readmit(self, person: str, *, by: str, because: str) -> Control:
        """Let somebody take cases again who was suspended, as `suspend` does; they begin below the ladder."""
        return changes.move_person(self.desk, self.name, READMIT, person, by, because)

    def certify(self) -> list[Event]:
        """Count the evidence that is due now, without waiting for the next answers; returns the events written."""
        return self.desk.certifier.run(self.name)

    def guarantee(self) -> list[Standing]:
        """The status of the loop's guarantee, in numbers and words, for each segment."""
        control = self.control
        return standing(control, self.desk.certifier.segments(control))

    @exact
    def add_probe(
        self,
        *,
        wrong: bool,
        by: str,
        right: JSON = None,
        cue: str = "",
        action: str = UNSET,
        args: JSON = UNSET,
        proposal: JSON = UNSET,
        input: JSON = UNSET,
        alternatives: Sequence[JSON] | None = UNSET,
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
        effect: Literal["none", "ready"] | None = UNSET,
    ) -> Case:
        """Write a test case, whose right answer is known: copies of it are asked of people, as any other case is.

        `wrong` says whether what it proposes is wrong, `right` what is right, `cue` what shows it, which is told right
        after the answer.  `by` wrote it, and is never asked it.  The rest is as for `propose`, and is to look as a live
        case does.  Returns the closed case that is copied; the very same probe is kept once.

        Raises ProposalError or a subclass; then nothing is written.
        """
        fields = stated(locals(), "wrong", "by", "right", "cue")
        kept = written(
            command(self.settings, **fields), self.settings, self.desk.steps.secret, wrong=wrong, right=plain(right),
            cue=cue, by=by,
        )  # fmt: skip
        return self.desk.steps.propose(kept, own=True).case

    def oversight(self, person: str | None = None) -> Oversight:
        """What the loop's probes say of its people; with `person`, what that person sees of it: their own figures."""
        control, prober = self.control, self.desk.prober
        steps = prober.ladder.standings(control)
        whole = oversight(control, prober.figures(control), steps, prober.drift(control))
        return whole if person is None else whole.own(named(person))

    def breakdown(self) -> list[Breakdown]:
        """How often autopilot is wrong in each class and group, with intervals that hold at every look."""
        return Breakdowns(self.desk.store).of(self.control)

    @exact
    def look_once(
        self, labels: int, *, max_error: float | None = None, confidence: float | None = None, segment: str = ""
    ) -> OneLook:  # fmt: skip
        """One decision at the first so many labels of this epoch, by an exact test; recorded, and never taken twice.

        Bound and confidence are the guarantee's unless given; autopilot does not act by it.  Raises GuaranteeError
        where there are too few labels, some were not certain to be seen, or they were looked at already.
        """
        self.certify()
        return look_once(
            self.desk.steps, self.control, scalar(labels), scalar(max_error), scalar(confidence),
            known_as(segment, RequestError, "a segment"),
        )  # fmt: skip

    def evidence(self, segment: str = "") -> list[dict[str, JSON]]:
        """The labels that the certificate of this epoch has counted, in order, as `Certificate.observe` takes them."""
        return evidence(self.desk.store.queries.entries(self.stream, values=False), segment)

    def examples(self, unused: bool = False) -> list[TrainingRow]:
        """Human decisions as training rows with their provenance; with `unused`, those that no model learned from."""
        unused = scalar(unused)
        if not isinstance(unused, bool):
            raise RequestError(f"unused is true or false, not {unused!r:.80}")
        return dataset(self.desk, self.name, unused=unused).rows

    def export(self, path: str | os.PathLike[str], *, format: str | None = None, unused: bool = False) -> Exported:
        """Write the examples to a .csv, .jsonl or .parquet file, by its ending; returns how many lines.

        Without a format everything is written; ``labels``, ``trl-preference`` and ``sft`` are formats for trainers.
        With ``feedback = "export"`` the examples in the file count as used from then on.
        """
        rows = self.examples(unused)
        lines = export(rows, path, format)
        mark(self.desk, self.name, rows, format, os.path.basename(os.fspath(path)))
        return lines

    def look(self, case_id: str) -> Case:
        """The case as it is now, after doing what is due in it."""
        case = self.desk.case(case_id)
        return self.desk.steps.caught_up(case_id) if overdue(case, self.desk.steps.now()) else case


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

    @exact
    def commit(self, should: str, to: JSON = None, *, rendered: Rendering | None = None) -> Claim:
        """Say whether a hidden action should happen ("happen" or "not") and to whom; from then on it is shown here."""
        self.case = self.desk.steps.run(
            do.Commit(case_id=self.case.id, claim_id=self.id, should=should, to=to, rendered=rendered)
        )
        self.review = self.case.review(self.review.id) or self.review
        return self

    @exact
    def answer(
        self,
        verdict: str,
        value: JSON = None,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        lasts: str | float | None = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
        rendered: Rendering | None = None,
        actor: Actor | None = None,
    ) -> Case:
        """Answer by the verdict's name, with its value.

        `reasons` are codes, `confidence` is the reviewer's own, `first` what was said before the proposal was shown; an
        approval or edit that `lasts` for a time is asked again when its effect has not begun by then.  With
        `expected_seq` the answer is refused when the case has moved on; `rendered` says how a page showed the case,
        `actor` who answers, where a door knows more of them than a name.

        Raises AnswerError and its kinds; nothing is written then.
        """
        return self._answer(verdict, value, locals())

    @exact
    def approve(
        self,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        lasts: str | float | None = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """The proposal is right; with `lasts`, for a time."""
        return self._answer("approve", None, locals())

    @exact
    def edit(
        self,
        value: JSON,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        lasts: str | float | None = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """The proposal is right when changed to this: the arguments, or ``{action, args}``."""
        return self._answer("edit", value, locals())

    @exact
    def reject(
        self,
        rationale: str | None = None,
        *,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """The proposal is wrong and nothing is to happen."""
        return self._answer("reject", None, locals())

    @exact
    def respond(
        self,
        value: JSON,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """Answer in the AI's place: a text, or JSON by the loop's schema."""
        return self._answer("respond", value, locals())

    @exact
    def label(
        self,
        value: JSON,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """The right label."""
        return self._answer("label", value, locals())

    @exact
    def prefer(
        self,
        value: JSON,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """The order of the candidates: an id, a list of ids, or ``{ranking, rejected, strength}``."""
        return self._answer("prefer", value, locals())

    @exact
    def abstain(
        self,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """Let somebody else decide."""
        return self._answer("abstain", None, locals())

    @exact
    def escalate(
        self,
        to: str | None = None,
        *,
        rationale: str | None = None,
        reasons: Sequence[str] = (),
        confidence: float | None = None,
        first: JSON = None,
        expected_seq: int | None = None,
        via: str = "python",
        authenticated: str = "none",
    ) -> Case:
        """Pass it to the group above, or to the one named."""
        return self._answer("escalate", None if to is None else {"to": to}, locals())

    def _answer(self, verdict: str, value: JSON, arguments: Mapping[str, Any]) -> Case:
        """Answer with the arguments of a method, as `locals()` has them."""
        answer = stated(arguments, "verdict", "value", "to")
        return self.desk._answer(self.case.id, self.id, verdict=verdict, value=value, person=self.person, **answer)

    def release(self) -> Case:
        """Give it back."""
        return self.desk.steps.run(do.Release(case_id=self.case.id, claim_id=self.id))

    @exact
    def extend(self, time: str | float = "10m") -> Case:
        """Hold it for `time` from now on."""
        return self.desk.extend(self.id, time)
