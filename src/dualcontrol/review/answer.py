"""Answers: validated whole before anything is written, blocked edits refused, abstentions and escalations passed on."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from dualcontrol import probe
from dualcontrol.case import JSON, Case, Content, Review, risk_number
from dualcontrol.commands import Commit, GiveAnswer, Retract
from dualcontrol.control import Control, Env
from dualcontrol.errors import AnswerError, AnswerValueError, CommitError, ConflictError, SettledError
from dualcontrol.events import Answered, Committed, Event, Passed, Retracted, real
from dualcontrol.people import may, proof_lacking, refuse
from dualcontrol.review.edits import rerouted
from dualcontrol.review.lease import claimed_review
from dualcontrol.review.rows import reopened
from dualcontrol.review.values import canonical, checked
from dualcontrol.review.view import commits_first, committed, digest, edit_under_review, hidden, view
from dualcontrol.verdicts import PASSING, VERDICTS, Verdict


def answer(case: Case, command: GiveAnswer, control: Control, env: Env) -> list[Event]:
    """Take one reviewer's answer, or refuse it with an error that says what to do."""
    if command.expected_seq is not None and command.expected_seq != case.seq:
        raise ConflictError(
            f"case {case.id} has moved on: it is at {case.seq}, not {command.expected_seq}",
            hint=f"Nothing was written; read the case again, and if the answer still holds, give it with {case.seq}.",
        )
    review = claimed_review(case, command.claim_id, env.now)
    if not command.actor.person:
        command = replace(command, actor=replace(command.actor, person=review.person))
    refuse(may(command.actor.person, "answer", control, case, review.id))
    lets_happen = command.verdict not in (*PASSING, "reject") and not review.beside
    if lets_happen:
        risk = max((case.risk, case.route.risk if case.route else None), key=risk_number)
        refuse(proof_lacking(command.actor, risk, env.now))
    value = checked(case, review, command, control)
    if command.lasts is not None and not VERDICTS[command.verdict].runs:
        raise AnswerError(f"only what approves an action lasts for a time; {command.verdict} does not")
    if command.verdict == "edit" and not review.beside:
        rerouted(case, value, control, env)
    # what was answered before the proposal was shown: the commitment of this review, else what the answer brings
    first = as_first(case, review) if review.blind else command.first
    optional = {k: v for k, v in (("rationale", command.rationale), ("first", first)) if v is not None}
    shown = digest(view(case, review, command.actor.person), command.rendered)
    seconds = real((env.now - (review.claimed_at or env.now)) / 1_000_000)
    slot, verdict = f"answer/{review.id}", cast(Verdict, command.verdict)
    if verdict in PASSING:
        to = value["to"] if value else None
        content = ({} if value is None else {"value": value}) | optional
        passed = Passed(
            review_id=review.id, actor=command.actor, verdict=verdict, at=env.now, to=to, reasons=command.reasons,
            confidence=real(command.confidence), presented=review.presented, seconds=seconds, shown=shown,
            content=Content({slot: content} if content else {}),
        )  # fmt: skip
        if case.kind != "live":  # asked of nobody else
            return [passed, *probe.over(case, review, env, rejected=None)]
        return [passed, reopened(case, review, command.actor.person, to, control, env)]
    edit = edit_under_review(case, review) if verdict == "approve" else None
    content = {"value": value} | ({} if edit is None else {"approved": edit}) | optional
    return [
        Answered(
            review_id=review.id, actor=command.actor, at=env.now, reasons=command.reasons, shown=shown,
            verdict="label" if verdict == "approve" and case.mode == "labels" else verdict,
            confidence=real(command.confidence), presented=review.presented, seconds=seconds,
            content=Content({slot: content}), until=None if command.lasts is None else env.now + command.lasts,
        )
    ]  # fmt: skip


def retract(case: Case, command: Retract, control: Control, env: Env) -> list[Event]:
    """Take a decision back before it is effective; only who answered may."""
    if case.concluded is not None or case.scored is not None:  # the answer of a test case was told already
        raise SettledError(f"the decision of case {case.id} is effective already")
    refuse(may(command.person, "retract", control, case, command.review_id))
    return [Retracted(review_id=command.review_id, person=command.person)]


# Commit first: whether an action should happen and to whom is said before it is seen.
#
# A number or a label can be given blind; whether a refund of 420 is right can be judged only by who sees it.  So the
# reviewer binds themselves first, and what they said stays beside their answer.


AS_VERDICT = {"happen": "approve", "not": "reject"}


def commit(case: Case, command: Commit, control: Control, env: Env) -> list[Event]:
    """Bind the holder to a first answer, and show the proposal from here on; idempotent."""
    review = claimed_review(case, command.claim_id, env.now)
    refuse(may(str(review.person), "answer", control, case, review.id))
    if not commits_first(case, review):
        hint = "Answer it: the proposal is in its view, or the label or response is given without."
        raise CommitError("this review asks for no commitment", hint=hint)
    first = {"should": command.should, "to": command.to}
    canonical(first)
    if command.should not in AS_VERDICT:
        raise AnswerValueError(f'should is "happen" or "not", not {command.should!r:.80}')
    if not hidden(review):
        if canonical(first) != canonical(committed(case, review)):
            hint = "Look at the proposal and answer; the answer may differ from what was said first."
            raise CommitError("this review holds a commitment already, which is not changed", hint=hint)
        return []
    shown = digest(view(case, review, str(review.person)), command.rendered)
    content = Content({f"first/{review.id}": first})
    return [Committed(review_id=review.id, person=str(review.person), at=env.now, shown=shown, content=content)]


def as_first(case: Case, review: Review) -> JSON:
    """What was committed, in the form in which an answer carries it; None where nothing was."""
    first = committed(case, review)
    return None if first is None else {"verdict": AS_VERDICT[first["should"]], "value": first["to"]}
