"""Stage 4, apply: a decision becomes an outcome, and its effect is started once.

The claim on an effect is one conditional step from ready to started, with a lease and a fencing token.  `start_effect`
alone takes it: what will run is held against what was recorded, and the case against the control in force now; what
would not run today goes back to people.  A lease that ran out without a result is unknown, never silently tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from dualcontrol import commands as do
from dualcontrol import events as ev
from dualcontrol import probe
from dualcontrol.case import JSON, By, Candidate, Case, Content, Route, microseconds, risk_number
from dualcontrol.control import Control, Env
from dualcontrol.errors import (
    EffectDiffersError,
    EffectError,
    EffectTakenError,
    EffectUnknownError,
    Rejected,
    SettledError,
    StoppedError,
)
from dualcontrol.events import Event, real
from dualcontrol.labels import Labels
from dualcontrol.names import distinct, same
from dualcontrol.people import may, refuse
from dualcontrol.schema import means_same
from dualcontrol.verdicts import VERDICTS, Verdict

DOING: tuple[str | None, ...] = (None, *(name for name, spec in VERDICTS.items() if spec.runs))
# Where a human was asked for want of confidence only, a declared timeout may let the proposal run.
UNDEMANDED = ("threshold", "no_signal")


def _by_route(case: Case, event: ev.Routed, control: Control, env: Env) -> list[Event]:
    """The outcome where the route alone brings one: autopilot, a block, or a rejection under load shedding."""
    route = case.route
    if route is None or case.concluded is not None:
        return []
    if route.relief == "reject":
        return [ev.TimedOut(how="reject", at=env.now), _concluded(case, "timeout", "reject", env)]
    if case.origin == "shadow" or route.to == "autopilot":
        return [_concluded(case, "autopilot", None, env)]
    return [_concluded(case, "autopilot", "reject", env)] if route.to == "block" else []


def _concluded(case: Case, by: By, verdict: Verdict | None, env: Env, reviewers: tuple[str, ...] = ()) -> ev.Concluded:
    effect: Literal["none", "ready"] = "ready" if case.wants_effect and verdict in DOING else "none"
    return ev.Concluded(by=by, at=env.now, verdict=verdict, reviewers=reviewers, effect=effect)


def overdue(case: Case, now: int) -> list[do.Command]:
    """The commands whose time has come for a case."""
    if case.erased or case.read_only:
        return []
    due: list[do.Command] = []
    if case.concluded is None and case.settled is not None and case.settled.effective_at <= now:
        due.append(do.Settle(case_id=case.id))
    if case.state == "open" and case.due_at is not None and case.due_at <= now:
        due.append(do.Timeout(case_id=case.id))
    if case.effect.state == "started" and (case.effect.until or 0) <= now:
        due.append(do.LoseEffect(case_id=case.id))
    return due


def settle(case: Case, command: do.Settle | ev.Decided, control: Control, env: Env) -> list[Event]:
    """Conclude a decision whose time to retract has passed; nothing happens before."""
    settled = case.settled
    if case.concluded is not None or settled is None or settled.effective_at > env.now:
        return []
    people = distinct(a.actor.person for a in case.answered if a.review_id in settled.answers)
    return [_concluded(case, "human", settled.verdict, env, people)]


def timeout(case: Case, command: do.Timeout, control: Control, env: Env) -> list[Event]:
    """Apply the loop's `on_timeout` to a case that nobody answered in time; nothing happens before it is due."""
    route = case.route
    if case.state != "open" or case.due_at is None or case.due_at > env.now or route is None or route.to != "human":
        return []
    if case.kind != "live":  # what nobody answered in time says nothing of anybody
        return [ev.TimedOut(how="hold", at=env.now), *probe.given_up(case, env)]
    how = route.on_timeout
    if how == "autopilot" and not _may_run_unseen(case, control):
        how = "reject"
    if how == "escalate" and not (route.quorum.arbiter or control.settings.quorum.arbiter):
        how = "hold"
    timed_out = ev.TimedOut(how=how, at=env.now)  # type: ignore[arg-type]
    if how not in ("reject", "autopilot"):
        return [timed_out]
    return [timed_out, _concluded(case, "timeout", "reject" if how == "reject" else None, env)]


def _may_run_unseen(case: Case, control: Control) -> bool:
    """Whether nothing demanded a human, nobody answered anything but approve, and autopilot is still open.

    Under a guarantee nothing may: what the certificate leaves out is not run because nobody had the time.  Nor may
    a label that the loop no longer has.
    """
    if case.proposed is None or case.route is None or case.route.by not in UNDEMANDED:
        return False
    labels = Labels.of(control.settings) if case.mode == "labels" else None
    if labels is not None and case.proposed_value() not in labels:
        return False
    if control.settings.guarantee is not None or control.closed_for(case.segment) is not None:
        return False
    return all(a.verdict == "approve" for a in case.answered) and not _above_ceiling(case, control)


def _above_ceiling(case: Case, control: Control) -> bool:
    risk = case.route.risk if case.route else None
    return risk is not None and risk_number(risk) > risk_number(control.settings.risk_ceiling)


def withdraw(case: Case, command: do.Withdraw, control: Control, env: Env) -> list[Event]:
    """The program no longer wants an answer; its open reviews are cancelled."""
    refuse(may(command.by, "withdraw", control, case))
    if case.concluded is not None:
        raise SettledError(f"case {case.id} is {case.state} already")
    return [ev.Withdrawn(by=command.by, at=env.now), _concluded(case, "withdrawn", "reject", env)]


def start_effect(case: Case, command: do.StartEffect, control: Control, env: Env) -> list[Event]:
    """Take the effect: the one conditional step from ready to started, under a new fence; or back to people.

    Nothing else starts an effect.  `EffectDiffersError` when what would run is not what was recorded, `Rejected`
    when it is blocked by now; where what is in force now asks for people who were not asked, the case is theirs again.
    While the loop is stopped it stays ready, whatever else holds.
    """
    _check_ready(case)
    if control.stopped is not None:
        stop = control.stopped
        raise StoppedError(
            f"the effect of case {case.id} was not started: {stop.words}",
            case_id=case.id, loop=case.loop, by=stop.by, because=stop.because, at=stop.at,
        )  # fmt: skip
    if command.runs is not None and not runs_as_decided(case, command.runs):
        raise EffectDiffersError(
            f"case {case.id} was decided on other arguments than those that would run now", case_id=case.id
        )
    recalled = _recalled(case, command, control, env)
    if recalled is not None:
        return [recalled]
    fence = case.effect.fence + 1
    return [ev.EffectStarted(fence=fence, owner=command.owner, at=env.now, until=env.now + command.lease)]


def _check_ready(case: Case) -> None:
    """Refuse a case whose effect cannot begin, whatever is in force."""
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


def runs_as_decided(case: Case, runs: JSON) -> bool:
    """Whether what a program is about to run, ``{action, args}``, is what the record of the case says."""
    decided, schema = case.resolved_value(), None
    if isinstance(decided, dict) and isinstance(runs, dict) and {*decided} == {*runs} == {"action", "args"}:
        schema = next((c.schema for c in case.candidates if c.action == decided["action"]), None)
        if not same(runs["action"], decided["action"]):
            return False
        decided, runs = decided["args"], runs["args"]
    return means_same(runs, decided, schema)


def _recalled(case: Case, command: do.StartEffect, control: Control, env: Env) -> ev.Recalled | None:
    """The event that recalls an outcome which no longer holds under the control in force; None where it holds.

    Routing is deterministic under one control, so only what has changed since is routed again; and what autopilot let
    run above the ceiling, which earlier versions did where none was declared.
    """
    settled, lasts, expired = case.settled, microseconds(control.settings.approval_lasts), None
    if settled is not None and lasts is not None and settled.effective_at + lasts <= env.now:
        expired = f"the approval is older than {control.settings.approval_lasts}, for which one of this loop lasts"
    elif settled is not None and settled.until is not None and settled.until <= env.now:
        expired = "the time that the approval was given for has passed"
    if case.route is None or case.concluded is None or env.reroute is None:
        return None
    if case.origin == "shadow" and control.settings.start == "shadow":
        return None
    unseen = case.concluded.by != "human"
    unchanged = case.route.control == control.version and _as_proposed(case)
    if expired is None and unchanged and not (unseen and _above_ceiling(case, control)):
        return None
    wanted = env.reroute(case, _decided_candidate(case), control, command.asks or {})
    if wanted.to == "block":
        raise Rejected(f"case {case.id} is blocked by now: {wanted.reason}", case_id=case.id, by=wanted.by)
    if expired is not None:
        return _back(case, wanted, control, env, by="expired", reason=expired, lapsed=True)
    if case.concluded.by == "human":
        return _back_to_more_people(case, wanted, control, env)
    declared = case.concluded.by == "timeout" and control.settings.on_timeout == "autopilot"
    if wanted.to == "autopilot" or (declared and wanted.by in UNDEMANDED and _may_run_unseen(case, control)):
        return None
    return _back(case, wanted, control, env, reason=f"{wanted.reason}; it was routed otherwise before")


def _as_proposed(case: Case) -> bool:
    """Whether the decided value is the proposed one."""
    return bool(case.resolved_value() == case.proposed_value())


def _decided_candidate(case: Case) -> Candidate:
    """What was decided, as a candidate that can be routed; unchanged, with the model that it comes from."""
    value, proposal = case.resolved_value(), case.proposal
    if proposal is not None and _as_proposed(case):
        return proposal
    if case.action is not None and isinstance(value, dict) and "action" in value:
        return Candidate(id="edit", action=value["action"], value=value["args"])
    return Candidate(id="edit", value=value)


def _back_to_more_people(case: Case, wanted: Route, control: Control, env: Env) -> ev.Recalled | None:
    """Recall a human decision that lacks what is demanded now: more or other people, or a decision at a higher risk."""
    if wanted.to != "human" or case.route is None or case.settled is None or env.outstanding is None:
        return None
    if env.outstanding(case, wanted, control):
        about = None if _as_proposed(case) else case.settled.source
        reason = f"{wanted.reason}; fewer or other people have agreed"
        return _back(case, wanted, control, env, reason=reason, about=about)
    before = case.settled.risk if case.settled.risk is not None else case.route.risk
    if risk_number(wanted.risk) <= risk_number(before):
        return None
    was = "without a risk" if before is None else f"at the risk {before}"
    reason = f"{wanted.reason}; the risk is {wanted.risk}, and it was decided {was}"
    return _back(case, wanted, control, env, reason=reason, lapsed=True)


def _back(
    case: Case, wanted: Route, control: Control, env: Env, *, reason: str, by: str | None = None, lapsed: bool = False,
    about: str | None = None,
) -> ev.Recalled:  # fmt: skip
    """The event that gives the case back to people, with the whole response time and the demands of the route."""
    within = None if wanted.due_at is None else wanted.due_at - case.opened_at
    return ev.Recalled(
        by=by or wanted.by, reason=reason, at=env.now, control=control.version, lapsed=lapsed, about=about,
        group=wanted.group, quorum=wanted.quorum, risk=real(wanted.risk), on_timeout=wanted.on_timeout,
        due_at=None if within is None else env.now + within,
    )  # fmt: skip


def recall(case: Case, command: do.Recall, control: Control, env: Env) -> list[Event]:
    """People are asked again about what the program cannot run; what they said so far does not count."""
    _check_ready(case)
    if case.settled is None or env.reroute is None:
        raise EffectError(f"case {case.id} was not decided by people", hint="Withdraw it and propose it again.")
    wanted = env.reroute(case, _decided_candidate(case), control, {})
    return [_back(case, wanted, control, env, by="program", reason=command.reason, lapsed=True)]


def revoke(case: Case, command: do.Revoke, control: Control, env: Env) -> list[Event]:
    """Take an approval back: from now on the case counts as rejected.  Too late once its effect has begun."""
    refuse(may(command.actor.person, "revoke", control, case))
    if case.concluded is None:
        raise SettledError(f"case {case.id} is not decided yet", hint="Reject it, or withdraw it.")
    if case.effect.state != "ready":
        state = case.effect.state
        why = "has no effect to hold back" if state == "none" else f"has an effect that is {state} already"
        raise SettledError(f"case {case.id} {why}", state=state)
    content = Content({"revoked": {"rationale": command.rationale}})
    return [ev.Revoked(actor=command.actor, at=env.now, content=content)]


def finish_effect(case: Case, command: do.FinishEffect, control: Control, env: Env) -> list[Event]:
    """Record how the effect ended; only the fence in force may, also after its lease ran out.

    Idempotent: reported again because the reply was lost, the end that is recorded stands.
    """
    if case.effect.fence == command.fence and case.effect.state == ("succeeded" if command.succeeded else "failed"):
        return []
    if case.effect.state not in ("started", "unknown") or case.effect.fence != command.fence:
        raise EffectTakenError(f"fence {command.fence} does not hold the effect of case {case.id}")
    result = {"result": command.result} if command.succeeded else {"error": command.error or ""}
    content = Content() if case.erased else Content(result)
    if command.succeeded:
        kept = command.kept and not case.erased
        return [ev.EffectSucceeded(fence=command.fence, at=env.now, kept=kept, content=content)]
    return [ev.EffectFailed(fence=command.fence, at=env.now, ran=command.ran, content=content)]


def lose_effect(case: Case, command: do.LoseEffect, control: Control, env: Env) -> list[Event]:
    """The lease ran out without a result: unknown; ready again only where the loop says effects are idempotent."""
    effect = case.effect
    if effect.state != "started" or (effect.until or 0) > env.now:
        return []
    lost = ev.EffectLost(fence=effect.fence, at=env.now)
    if control.settings.on_unknown == "retry":
        return [lost, ev.EffectResolved(fence=effect.fence, at=env.now, happened=False, by="retry")]
    return [lost]


def resolve_effect(case: Case, command: do.ResolveEffect, control: Control, env: Env) -> list[Event]:
    """Resolve an unknown effect: it happened (closed with the result given) or it did not (ready to start again).

    One that failed before anything had run can be made ready again as well.
    """
    refuse(may(command.by, "resolve", control, case))
    untouched = case.effect.state == "failed" and not case.effect.ran and not command.happened
    if case.effect.state != "unknown" and not untouched:
        raise EffectTakenError(f"the effect of case {case.id} is {case.effect.state}, not unknown")
    content = Content({"result": command.result}) if command.happened and not case.erased else Content()
    resolved = ev.EffectResolved(
        fence=case.effect.fence, at=env.now, happened=command.happened, by=command.by, content=content
    )
    return [resolved]


def erase(case: Case, command: do.Erase, control: Control, env: Env) -> list[Event]:
    """Forget what people wrote; what happened stays provable.  A case without an outcome is withdrawn with it."""
    refuse(may(command.by, "erase", control, case))
    if case.erased:
        return []
    withdrawn = [] if case.concluded else withdraw(case, do.Withdraw(case_id=case.id, by=command.by), control, env)
    return [*withdrawn, ev.Erased(at=env.now, by=command.by)]


HANDLERS: dict[Any, Callable[..., list[Event]]] = {
    do.Settle: settle,
    do.Timeout: timeout,
    do.Withdraw: withdraw,
    do.StartEffect: start_effect,
    do.Recall: recall,
    do.Revoke: revoke,
    do.FinishEffect: finish_effect,
    do.LoseEffect: lose_effect,
    do.ResolveEffect: resolve_effect,
    do.Erase: erase,
}

# The outcome that a route or an effective decision brings.
REACTIONS: dict[type[Event], Callable[[Case, Any, Control, Env], list[Event]]] = {
    ev.Routed: _by_route,
    ev.Decided: settle,
}
