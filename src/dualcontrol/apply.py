"""Stage 4, apply: a decision becomes an outcome, and its effect is started once.

The claim on an effect is one conditional step from ready to started, with a lease and a fencing token.  A lease
that ran out without a result is unknown, never silently tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from dualcontrol.case import By, Case, Content, Verdict, risk_number
from dualcontrol.commands import (
    Command,
    Erase,
    FinishEffect,
    LoseEffect,
    ResolveEffect,
    Settle,
    StartEffect,
    Timeout,
    Withdraw,
)
from dualcontrol.control import Control, Env
from dualcontrol.errors import EffectError, EffectTakenError, EffectUnknownError, Rejected, SettledError
from dualcontrol.events import (
    Concluded,
    Decided,
    EffectFailed,
    EffectLost,
    EffectResolved,
    EffectStarted,
    EffectSucceeded,
    Erased,
    Event,
    Routed,
    TimedOut,
    Withdrawn,
)

DOING: tuple[Verdict | None, ...] = (None, "approve", "edit")
# Where a human was asked for want of confidence only, a declared timeout may let the proposal run.
UNDEMANDED = ("threshold", "no_signal")


def _by_route(case: Case, event: Routed, control: Control, env: Env) -> list[Event]:
    if case.route is None or case.concluded is not None:
        return []
    if case.route.relief == "reject":
        return [TimedOut(how="reject", at=env.now), _concluded(case, "timeout", "reject", env)]
    if case.origin == "shadow" or case.route.to == "autopilot":
        return [_concluded(case, "autopilot", None, env)]
    if case.route.to == "block":
        return [_concluded(case, "autopilot", "reject", env)]
    return []


def _by_decision(case: Case, event: Decided, control: Control, env: Env) -> list[Event]:
    return [_by_human(case, env)] if event.effective_at <= env.now else []


def _by_human(case: Case, env: Env) -> Concluded:
    if case.settled is None:
        raise ValueError("no decision to conclude")
    people = tuple(dict.fromkeys(a.actor.person for a in case.answered if a.review_id in case.settled.answers))
    return _concluded(case, "human", case.settled.verdict, env, people)


def _concluded(case: Case, by: By, verdict: Verdict | None, env: Env, reviewers: tuple[str, ...] = ()) -> Concluded:
    effect: Literal["none", "ready"] = "ready" if case.wants_effect and verdict in DOING else "none"
    return Concluded(by=by, at=env.now, verdict=verdict, reviewers=reviewers, effect=effect)


def overdue(case: Case, now: int) -> list[Command]:
    """The commands whose time has come for a case."""
    if case.erased or case.read_only:
        return []
    due: list[Command] = []
    if case.concluded is None and case.settled is not None and case.settled.effective_at <= now:
        due.append(Settle(case_id=case.id))
    if case.state == "open" and case.due_at is not None and case.due_at <= now:
        due.append(Timeout(case_id=case.id))
    if case.effect.state == "started" and (case.effect.until or 0) <= now:
        due.append(LoseEffect(case_id=case.id))
    return due


def settle(case: Case, command: Settle, control: Control, env: Env) -> list[Event]:
    """Conclude a decision whose time to retract has passed; nothing happens before."""
    if case.concluded is not None or case.settled is None or case.settled.effective_at > env.now:
        return []
    return [_by_human(case, env)]


def timeout(case: Case, command: Timeout, control: Control, env: Env) -> list[Event]:
    """What the loop declared for a case nobody answered in time; nothing happens when it is not due."""
    if case.state != "open" or case.due_at is None or case.due_at > env.now or case.route is None:
        return []
    if case.route.to != "human":
        return []
    how = _declared(case, control)
    passed = TimedOut(how=how, at=env.now)
    if how == "reject":
        return [passed, _concluded(case, "timeout", "reject", env)]
    if how == "autopilot":
        return [passed, _concluded(case, "timeout", None, env)]
    return [passed]


def _declared(case: Case, control: Control) -> Literal["reject", "hold", "escalate", "autopilot"]:
    how = case.route.on_timeout if case.route else "hold"
    if how == "autopilot" and not _may_run_unseen(case, control):
        return "reject"
    if how == "escalate" and not _arbiter(case, control):
        return "hold"
    return how  # type: ignore[return-value]


def _may_run_unseen(case: Case, control: Control) -> bool:
    """Nothing demanded a human, nobody said anything but approve, and autopilot is not closed by now.

    Under a guarantee nothing does: what the certificate leaves out is not run because nobody had the time.
    """
    if case.proposed is None or case.route is None or case.route.by not in UNDEMANDED:
        return False
    if control.settings.guarantee is not None:
        return False
    if any(a.verdict != "approve" for a in case.answered) or control.closed_for(case.segment) is not None:
        return False
    return not _above_ceiling(case, control)


def _arbiter(case: Case, control: Control) -> str | None:
    return (case.route.quorum.arbiter if case.route else None) or control.settings.quorum.arbiter


def _above_ceiling(case: Case, control: Control) -> bool:
    ceiling = control.settings.risk_ceiling
    risk = case.route.risk if case.route else None
    return ceiling is not None and risk is not None and risk_number(risk) > risk_number(ceiling)


def withdraw(case: Case, command: Withdraw, control: Control, env: Env) -> list[Event]:
    """The program no longer wants an answer; its open reviews are cancelled."""
    if case.concluded is not None:
        raise SettledError(f"case {case.id} is {case.state} already")
    return [Withdrawn(by=command.by, at=env.now), _concluded(case, "withdrawn", "reject", env)]


def start_effect(case: Case, command: StartEffect, control: Control, env: Env) -> list[Event]:
    """Take the effect: the one conditional step from ready to started, under a new fence."""
    state = case.effect.state
    if state == "unknown":
        raise EffectUnknownError(f"the effect of case {case.id} was started and never reported back", case_id=case.id)
    if state in ("started", "succeeded", "failed"):
        raise EffectTakenError(f"the effect of case {case.id} is {state} already", state=state)
    if case.concluded is None:
        raise EffectError(f"case {case.id} is not decided yet", hint="Wait for its outcome first.")
    if case.concluded.verdict not in DOING:
        raise Rejected(f"case {case.id} was answered with {case.concluded.verdict}; there is no effect to run")
    if state == "none":
        raise EffectError(f"case {case.id} was proposed without an effect", hint='Propose it with effect="ready".')
    closed = control.closed_for(case.segment) if case.concluded.by == "autopilot" else None
    if closed:
        raise EffectError(f"autopilot was closed before the effect of case {case.id} began: {closed}",
                          hint="Propose it again; a human will see it.")  # fmt: skip
    fence = case.effect.fence + 1
    return [EffectStarted(fence=fence, owner=command.owner, at=env.now, until=env.now + command.lease)]


def finish_effect(case: Case, command: FinishEffect, control: Control, env: Env) -> list[Event]:
    """Record how the effect ended; only the fence in force may, also after its lease ran out.

    Said again, because the reply was lost, the end that is recorded stands.
    """
    if case.effect.fence == command.fence and case.effect.state == ("succeeded" if command.succeeded else "failed"):
        return []
    if case.effect.state not in ("started", "unknown") or case.effect.fence != command.fence:
        raise EffectTakenError(f"fence {command.fence} does not hold the effect of case {case.id}")
    said = {"result": command.result} if command.succeeded else {"error": command.error or ""}
    content = Content() if case.erased else Content(said)
    if command.succeeded:
        kept = command.kept and not case.erased
        return [EffectSucceeded(fence=command.fence, at=env.now, kept=kept, content=content)]
    return [EffectFailed(fence=command.fence, at=env.now, content=content)]


def lose_effect(case: Case, command: LoseEffect, control: Control, env: Env) -> list[Event]:
    """The lease ran out without a result: unknown; ready again only where the loop says effects are idempotent."""
    effect = case.effect
    if effect.state != "started" or (effect.until or 0) > env.now:
        return []
    lost = EffectLost(fence=effect.fence, at=env.now)
    if control.settings.on_unknown == "retry":
        return [lost, EffectResolved(fence=effect.fence, at=env.now, happened=False, by="retry")]
    return [lost]


def resolve_effect(case: Case, command: ResolveEffect, control: Control, env: Env) -> list[Event]:
    """Somebody looked: it happened (closed with the result they give) or it did not (ready to start again)."""
    if case.effect.state != "unknown":
        raise EffectTakenError(f"the effect of case {case.id} is {case.effect.state}, not unknown")
    content = Content({"result": command.result}) if command.happened and not case.erased else Content()
    return [
        EffectResolved(fence=case.effect.fence, at=env.now, happened=command.happened, by=command.by, content=content)
    ]


def erase(case: Case, command: Erase, control: Control, env: Env) -> list[Event]:
    """Forget what people wrote; what happened stays provable.  A case without an outcome is withdrawn with it."""
    if case.erased:
        return []
    over = [] if case.concluded else withdraw(case, Withdraw(case_id=case.id, by=command.by), control, env)
    return [*over, Erased(at=env.now, by=command.by)]


HANDLERS: dict[Any, Callable[..., list[Event]]] = {
    Settle: settle,
    Timeout: timeout,
    Withdraw: withdraw,
    StartEffect: start_effect,
    FinishEffect: finish_effect,
    LoseEffect: lose_effect,
    ResolveEffect: resolve_effect,
    Erase: erase,
}

# The outcome that a route or an effective decision brings.
REACTIONS: dict[type[Event], Callable[[Case, Any, Control, Env], list[Event]]] = {
    Routed: _by_route,
    Decided: _by_decision,
}
