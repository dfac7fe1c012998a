"""An answer: checked whole before anything is touched, a blocked edit refused, abstain and escalate passed on."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from dualcontrol.case import JSON, PASSING, Case, Content, Review, Verdict
from dualcontrol.commands import Answer, Retract
from dualcontrol.control import Control, Env
from dualcontrol.errors import AnswerError, ClaimError, ConflictError, SettledError
from dualcontrol.events import Answered, Event, Passed, Retracted, real
from dualcontrol.names import same
from dualcontrol.review.committing import as_first
from dualcontrol.review.demand import rerouted
from dualcontrol.review.lease import held
from dualcontrol.review.seats import reopened
from dualcontrol.review.values import checked
from dualcontrol.review.view import digest, edit_under_review, view


def answer(case: Case, command: Answer, control: Control, env: Env) -> list[Event]:
    """Take one reviewer's answer, or refuse it with an error that says what to do."""
    if command.expected_seq is not None and command.expected_seq != case.seq:
        raise ConflictError(
            f"case {case.id} has moved on: it is at {case.seq}, not {command.expected_seq}",
            hint=f"Nothing was written; read the case again, and if the answer still holds, give it with {case.seq}.",
        )
    review = held(case, command.claim_id, env.now)
    if not command.actor.person:
        command = replace(command, actor=replace(command.actor, person=review.person))
    if not same(command.actor.person, review.person):
        raise ClaimError(f"claim {command.claim_id} is not {command.actor.person}'s")
    value = checked(case, review, command, control.settings)
    if command.lasts is not None and command.verdict not in ("approve", "edit"):
        raise AnswerError(f"only what approves an action lasts for a time; {command.verdict} does not")
    if command.verdict in PASSING:
        return _pass(case, review, command, value, control, env)
    if command.verdict == "edit" and not review.beside:
        rerouted(case, value, control, env)
    return [_answered(case, review, command, value, env)]


def _answered(case: Case, review: Review, command: Answer, value: JSON, env: Env) -> Answered:
    said: dict[str, JSON] = {"value": value}
    edit = edit_under_review(case, review)
    if command.verdict == "approve" and edit is not None:
        said["approved"] = edit
    said |= {
        k: v for k, v in (("rationale", command.rationale), ("first", _first(case, review, command))) if v is not None
    }
    verdict = "label" if command.verdict == "approve" and case.mode == "labels" else cast(Verdict, command.verdict)
    return Answered(
        review_id=review.id, actor=command.actor, verdict=verdict, at=env.now, reasons=command.reasons,
        confidence=real(command.confidence), shown=digest(view(case, review, command.actor.person), command.rendered),
        presented=review.presented, seconds=_seconds(review, env), content=Content({f"answer/{review.id}": said}),
        until=None if command.lasts is None else env.now + command.lasts,
    )  # fmt: skip


def _pass(case: Case, review: Review, command: Answer, value: JSON, control: Control, env: Env) -> list[Event]:
    to = value["to"] if value else None
    said = {"value": value, "rationale": command.rationale, "first": _first(case, review, command)}
    note = {k: v for k, v in said.items() if v is not None}
    passed = Passed(
        review_id=review.id, actor=command.actor, verdict=cast(Verdict, command.verdict), at=env.now, to=to,
        reasons=command.reasons, confidence=real(command.confidence), presented=review.presented,
        seconds=_seconds(review, env), shown=digest(view(case, review, command.actor.person), command.rendered),
        content=Content({f"answer/{review.id}": note} if note else {}),
    )  # fmt: skip
    return [passed, reopened(case, review, command.actor.person, to, control, env)]


def _first(case: Case, review: Review, command: Answer) -> JSON:
    """What was said before the proposal was shown: the commitment of this review, else what the answer brings."""
    return as_first(case, review) if review.blind else command.first


def _seconds(review: Review, env: Env) -> str | None:
    """How long the reviewer held it."""
    return real((env.now - (review.claimed_at or env.now)) / 1_000_000)


def retract(case: Case, command: Retract, control: Control, env: Env) -> list[Event]:
    """Take a decision back before it is effective; only who answered may."""
    if case.concluded is not None:
        raise SettledError(f"the decision of case {case.id} is effective already")
    given = next((a for a in case.answered if a.review_id == command.review_id), None)
    if given is None or not same(given.actor.person, command.person):
        raise ClaimError(f"{command.person} has not given the answer of review {command.review_id}")
    return [Retracted(review_id=command.review_id, person=command.person)]
