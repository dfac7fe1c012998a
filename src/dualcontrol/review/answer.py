"""An answer: checked whole before anything is touched, a blocked edit refused, abstain and escalate passed on."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from dualcontrol.case import JSON, PASSING, Case, Content, Review, Verdict
from dualcontrol.commands import Commit, GiveAnswer, Retract
from dualcontrol.control import Control, Env
from dualcontrol.errors import AnswerError, AnswerValueError, ClaimError, CommitError, ConflictError, SettledError
from dualcontrol.events import Answered, Committed, Event, Passed, Retracted, real
from dualcontrol.names import same
from dualcontrol.review.edits import rerouted
from dualcontrol.review.lease import held
from dualcontrol.review.rows import reopened
from dualcontrol.review.values import canonical, checked
from dualcontrol.review.view import commits_first, committed, digest, edit_under_review, hidden, view


def answer(case: Case, command: GiveAnswer, control: Control, env: Env) -> list[Event]:
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


def _answered(case: Case, review: Review, command: GiveAnswer, value: JSON, env: Env) -> Answered:
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


def _pass(case: Case, review: Review, command: GiveAnswer, value: JSON, control: Control, env: Env) -> list[Event]:
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


def _first(case: Case, review: Review, command: GiveAnswer) -> JSON:
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


# Commit first: whether an action should happen and to whom is said before it is seen.
#
# A number or a label can be given blind; whether a refund of 420 is right can be judged only by who sees it.  So the
# reviewer binds themselves first, and what they said stays beside their answer.


AS_VERDICT = {"happen": "approve", "not": "reject"}


def commit(case: Case, command: Commit, control: Control, env: Env) -> list[Event]:
    """Bind the holder to a first answer, and show the proposal from here on; said again, it stands as it is."""
    review = held(case, command.claim_id, env.now)
    if not commits_first(case, review):
        hint = "Answer it: the proposal is in its view, or the label or response is given without."
        raise CommitError("this review asks for no commitment", hint=hint)
    first = {"should": command.should, "to": command.to}
    canonical(first)
    if command.should not in AS_VERDICT:
        raise AnswerValueError(f'should is "happen" or "not", not {command.should!r:.80}')
    if not hidden(review):
        return _again(case, review, first)
    seen = digest(view(case, review, str(review.person)), command.rendered)
    content = Content({f"first/{review.id}": first})
    return [Committed(review_id=review.id, person=str(review.person), at=env.now, shown=seen, content=content)]


def _again(case: Case, review: Review, first: JSON) -> list[Event]:
    if canonical(first) != canonical(committed(case, review)):
        hint = "Look at the proposal and answer; the answer may differ from what was said first."
        raise CommitError("this review holds a commitment already, which is not changed", hint=hint)
    return []


def as_first(case: Case, review: Review) -> JSON:
    """What was committed, in the form in which an answer carries it; None where nothing was."""
    said = committed(case, review)
    return None if said is None else {"verdict": AS_VERDICT[said["should"]], "value": said["to"]}
