"""Commit first: whether an action should happen and to whom is said before it is seen.

A number or a label can be given blind; whether a refund of 420 is right can be judged only by who sees it.  So the
reviewer binds themselves first, and what they said stays beside their answer.
"""

from __future__ import annotations

from dualcontrol.case import JSON, Case, Content, Review
from dualcontrol.commands import Commit
from dualcontrol.control import Control, Env
from dualcontrol.errors import AnswerValueError, CommitError
from dualcontrol.events import Committed, Event
from dualcontrol.review.blind import commits_first, committed, hidden
from dualcontrol.review.lease import held
from dualcontrol.review.values import canonical
from dualcontrol.review.view import digest, view

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
