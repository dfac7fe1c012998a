"""A claim: one person's work on one review; each verb is a line over `step`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dualcontrol import commands as do
from dualcontrol.case import JSON, Case, Rendering, Review
from dualcontrol.given import exact, stated
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
    ) -> Case:
        """Answer by the verdict's name, with its value.

        `reasons` are codes, `confidence` is the reviewer's own, `first` what was said before the proposal was shown; an
        approval or edit that `lasts` for a time is asked again when its effect has not begun by then.  With
        `expected_seq` the answer is refused when the case has moved on; `rendered` says how a page showed the case.

        Raises AnswerError and its kinds; nothing is written then.
        """
        return self._said(verdict, value, stated(locals()))

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
        return self._said("approve", None, stated(locals()))

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
        return self._said("edit", value, stated(locals()))

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
        return self._said("reject", None, stated(locals()))

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
        return self._said("respond", value, stated(locals()))

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
        return self._said("label", value, stated(locals()))

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
        return self._said("prefer", value, stated(locals()))

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
        return self._said("abstain", None, stated(locals()))

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
        return self._said("escalate", None if to is None else {"to": to}, stated(locals()))

    def _said(self, verdict: str, value: JSON, said: dict[str, Any]) -> Case:
        said = {name: given for name, given in said.items() if name not in ("verdict", "value", "to")}
        return self.desk._answer(self.case.id, self.id, verdict, value, person=self.person, **said)

    def release(self) -> Case:
        """Give it back."""
        return self.desk.steps.run(do.Release(case_id=self.case.id, claim_id=self.id))

    @exact
    def extend(self, time: str | float = "10m") -> Case:
        """Hold it for `time` from now on."""
        return self.desk.extend(self.id, time)
