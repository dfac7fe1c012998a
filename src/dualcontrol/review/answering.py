"""An answer: checked whole before anything is touched, an edit routed again, abstain and escalate passed on."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from dualcontrol.case import JSON, PASSING, Candidate, Case, Content, Review, Route, Verdict
from dualcontrol.commands import Answer, Retract
from dualcontrol.control import Control, Env
from dualcontrol.errors import BlockedError, ClaimError, ConflictError, SettledError
from dualcontrol.events import Answered, Event, Passed, Rerouted, Retracted, real
from dualcontrol.review.lease import held
from dualcontrol.review.opening import reopened
from dualcontrol.review.values import checked
from dualcontrol.review.view import digest, edit_under_review, view


def answer(case: Case, command: Answer, control: Control, env: Env) -> list[Event]:
    """Take one reviewer's answer, or refuse it with an error that says what to do."""
    if command.expected_seq is not None and command.expected_seq != case.seq:
        raise ConflictError(f"case {case.id} has moved on: it is at {case.seq}, not {command.expected_seq}")
    review = held(case, command.claim_id, env.now)
    if not command.actor.person:
        command = replace(command, actor=replace(command.actor, person=review.person))
    if command.actor.person != review.person:
        raise ClaimError(f"claim {command.claim_id} is not {command.actor.person}'s")
    value = checked(case, review, command, control.settings)
    if command.verdict in PASSING:
        return _pass(case, review, command, value, control, env)
    return [
        _answered(case, review, command, value, env),
        *_routed_again(case, review, command, value, control, env),
    ]


def _answered(case: Case, review: Review, command: Answer, value: JSON, env: Env) -> Answered:
    said: dict[str, JSON] = {"value": value}
    edit = edit_under_review(case, review)
    if command.verdict == "approve" and edit is not None:
        said["approved"] = edit
    said |= {k: v for k, v in (("rationale", command.rationale), ("first", command.first)) if v is not None}
    verdict = "label" if command.verdict == "approve" and case.mode == "labels" else cast(Verdict, command.verdict)
    seconds = (env.now - (review.claimed_at or env.now)) / 1_000_000
    return Answered(
        review_id=review.id, actor=command.actor, verdict=verdict, at=env.now, reasons=command.reasons,
        confidence=real(command.confidence), shown=digest(view(case, review, command.actor.person)),
        presented=review.presented, seconds=real(seconds), content=Content({f"answer/{review.id}": said}),
    )  # fmt: skip


def _pass(case: Case, review: Review, command: Answer, value: JSON, control: Control, env: Env) -> list[Event]:
    to = value["to"] if value else None
    note = {f"answer/{review.id}": {"rationale": command.rationale}} if command.rationale else {}
    passed = Passed(
        review_id=review.id, actor=command.actor, verdict=cast(Verdict, command.verdict), at=env.now, to=to,
        shown=digest(view(case, review, command.actor.person)), content=Content(note),
    )  # fmt: skip
    return [passed, reopened(case, review, command.actor.person, to, control, env)]


def _routed_again(case: Case, review: Review, command: Answer, value: JSON, control: Control, env: Env) -> list[Event]:
    """An edit must not slip under a rule that the original would have hit."""
    if command.verdict != "edit" or env.reroute is None or review.kind == "audit":
        return []
    action, args = (value["action"], value["args"]) if case.action else (None, value)
    if action == case.action and not control.settings.rules:
        return []
    route = env.reroute(case, Candidate(id="edit", action=action, value=args), control)
    if route.to == "block":
        raise BlockedError(f"the edited action is blocked: {route.reason}", by=route.by)
    if case.route is None or not _asks_for_more(case.route, route):
        return []
    voters = 1 + len([r for r in case.reviews if r.state == "answered" and r.kind != "audit"])
    fresh = route.group not in {r.group for r in case.reviews}
    need = max(route.quorum.asked, voters + 1 if fresh else 0, case.route.quorum.asked)
    quorum = route.quorum if need == route.quorum.answers else replace(route.quorum, answers=need)
    return [Rerouted(by=route.by, reason=route.reason, group=route.group, quorum=quorum, risk=real(route.risk))]


def _asks_for_more(before: Route, after: Route) -> bool:
    if after.to != "human":
        return False
    more_people = after.quorum.asked > before.quorum.asked
    return more_people or (after.by.startswith("rule:") and after.by != before.by and after.group != before.group)


def retract(case: Case, command: Retract, control: Control, env: Env) -> list[Event]:
    """Take a decision back before it is effective; only who answered may."""
    if case.concluded is not None:
        raise SettledError(f"the decision of case {case.id} is effective already")
    given = next((a for a in case.answered if a.review_id == command.review_id), None)
    if given is None or given.actor.person != command.person:
        raise ClaimError(f"{command.person} has not given the answer of review {command.review_id}")
    return [Retracted(review_id=command.review_id, person=command.person)]
