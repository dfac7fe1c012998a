"""The desk: the façade, with loops and claims; each verb is a line or two over `step`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal
from weakref import WeakSet

from dualcontrol import commands as do
from dualcontrol.aio import Aio
from dualcontrol.case import JSON, Actor, Case, Quorum, Rendering
from dualcontrol.certify import Certifier, Riskiness
from dualcontrol.claim import Claim
from dualcontrol.commands import known_as
from dualcontrol.commands import person as named
from dualcontrol.control import Capacity, Control, Feedback, Guarantee, LoopSettings, Rule
from dualcontrol.errors import ClaimError, RequestError, UnknownCaseError, UnknownLoopError
from dualcontrol.events import Event
from dualcontrol.given import case_id_of, codes, exact, lasting, stated
from dualcontrol.learn.risk_serving import chance_of_being_right
from dualcontrol.learn.serving import current_model
from dualcontrol.loop import Loop
from dualcontrol.names import same
from dualcontrol.propose import UNSET
from dualcontrol.run import Run, Runs
from dualcontrol.step import Steps
from dualcontrol.store import Store
from dualcontrol.sweep import sweep
from dualcontrol.wait import Waiters

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
        steps.scores.scorer = lambda control, made: chance_of_being_right(self, control, made)
        _DESKS.add(self)

    def _begin(self) -> None:
        """What holds locks and threads: a forked process begins with its own, whoever held the inherited ones."""
        self._waiters = Waiters(self.steps)
        self.runs.renew()
        self.certifier = Certifier(self.steps, lambda control: current_model(self, control.loop))
        self.riskiness = Riskiness(self, self.certifier)

    @property
    def aio(self) -> Aio:
        """The same verbs for async programs."""
        return Aio(self)

    @property
    def trainers(self) -> frozenset[str]:
        """The trainers that this program's own settings name, in its file or as keywords of `loop`."""
        given = getattr(self.settings, "loops", None) or {}
        return frozenset(self._trainers | {one.feedback.trainer for one in given.values() if one.feedback is not None})

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
    ) -> Loop:
        """A loop by name, with its settings from the file, overridden by keywords, else as the database knows it.

        Each keyword is a setting of ``[loop.NAME]``, and None restores its default; times are seconds or text such as
        "15m".  What is stated is in force for every program from here on.  Raises SettingsError for a mistake and
        UnknownLoopError for a loop that nobody defined.
        """
        settings = {key: value for key, value in stated(locals()).items() if key != "name"}
        known_as(name, UnknownLoopError, "a loop")
        wanted = self._settle(name, **settings) if self._settle else None
        if wanted is not None and wanted.feedback is not None:
            self._trainers.add(wanted.feedback.trainer)
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
        found = self.store.queries.glance(known_as(case_id, UnknownCaseError, "a case"))
        if found is None:
            raise UnknownCaseError(f"there is no case {case_id}", case_id=case_id)
        return found

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
            found = self.steps.claim_case(case_id_of(case), person, lasting(lease))
            return Claim(self, found, next(r for r in found.reviews if same(r.person, person) and r.state == "claimed"))
        names = [c.loop for c in self.loops()] if loop is None else [_name(loop)]
        case = self.steps.claim(person, names, lasting(lease))
        if case is None:
            return None
        return Claim(self, case, next(r for r in case.reviews if same(r.person, person) and r.state == "claimed"))

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
    ) -> Case:
        """Answer the review of a claim by the verdict's name; `Claim.answer` says what may be said."""
        given = stated(locals())
        return self._answer("", **given)

    def _answer(
        self, case_id: str, claim_id: str, verdict: str, value: JSON = None, *, person: str | None = None,
        rationale: str | None = None, reasons: Sequence[str] = (), confidence: float | None = None,
        first: JSON = None, via: str = "python", authenticated: str = "none", expected_seq: int | None = None,
        rendered: Rendering | None = None,
        lasts: str | float | None = None,
    ) -> Case:  # fmt: skip
        after = self.steps.run(
            do.Answer(
                case_id=case_id, claim_id=claim_id, verdict=verdict, value=value, rationale=rationale,
                reasons=codes(reasons), confidence=confidence, first=first, expected_seq=expected_seq,
                lasts=lasting(lasts),
                actor=Actor(person="" if person is None else person, via=via, authenticated=authenticated),
                rendered=rendered,
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
        mine = [a.review_id for a in self.case(case_id).answered if same(a.actor.person, name)]
        if not mine:
            raise ClaimError(f"{person} has given no answer in case {case_id} that could be taken back")
        return self.steps.run(do.Retract(case_id=case_id, review_id=mine[-1], person=person))

    @exact
    def revoke(
        self, case_id: str, person: str, rationale: str | None = None, *, via: str = "python",
        authenticated: str = "none",
    ) -> Case:  # fmt: skip
        """Take an approval back whose effect has not begun: the case counts as rejected from then on."""
        actor = Actor(person=named(person), via=via, authenticated=authenticated)
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

    def erase(self, case_id: str, by: str = "operator") -> Case:
        """Erase what people wrote in a case; the evidence stays."""
        return self.steps.run(do.Erase(case_id=case_id, by=by))

    def sweep(self, seconds: float | None = None) -> int:
        """Do what is due: leases, response times, effective decisions, lost effects, evidence that was not counted.

        With `seconds` no new transaction is begun after so long.  Returns for how many cases something was done.
        """
        done = sweep(self.steps, seconds=seconds)
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


_DESKS: WeakSet[Desk] = WeakSet()


def _forked() -> None:
    for desk in list(_DESKS):
        desk._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _name(loop: Loop | str) -> str:
    return loop.name if isinstance(loop, Loop) else known_as(loop, UnknownLoopError, "a loop")
