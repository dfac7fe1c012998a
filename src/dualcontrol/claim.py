"""A claim: one person's work on one review; each verb is a line over `step`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dualcontrol import commands as do
from dualcontrol.case import JSON, Case, Review
from dualcontrol.review.view import view

if TYPE_CHECKING:
    from dualcontrol.desk import Desk


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
