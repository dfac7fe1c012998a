"""Verdicts: what a reviewer may answer in each mode, and what follows from it; the one table that every door reads."""

from __future__ import annotations

from typing import Literal, NamedTuple

Mode = Literal["approval", "labels", "preference", "fallback"]
Verdict = Literal["approve", "edit", "reject", "respond", "label", "prefer", "abstain", "escalate"]

# The verdicts that are legal in each mode, in the order in which they are offered; those that pass are legal in all.
BY_MODE: dict[str, tuple[str, ...]] = {
    "approval": ("approve", "edit", "reject", "respond"),
    "labels": ("label", "approve"),
    "preference": ("prefer",),
    "fallback": ("respond", "edit"),
}
PASSING: tuple[str, ...] = ("abstain", "escalate")


class VerdictSpec(NamedTuple):
    """What one verdict means to the stages, to learning, and to those who show it.

    `value` is what it carries, None where it carries nothing.  `wrong` is when it says that the proposal was wrong;
    "compared" where its value is held against the proposal, None where it says nothing of that.  `example` is the kind
    of the row that it leaves for learning.  `needs_proposal` means that it cannot be given blind, `needs_reason` that a
    loop may require a rationale, `runs` that the action is done.

    `word` is what was done, `icon` and `tone` how a page marks it, `key` the key that gives it there.  `act` is how the
    page of the second act names it; None where a panel is opened before it can be sent.
    """

    word: str
    icon: str
    value: Literal["edited", "response", "label", "ranking", "group"] | None = None
    wrong: Literal["never", "always", "compared"] | None = None
    example: str | None = None
    needs_proposal: bool = False
    needs_reason: bool = False
    runs: bool = False
    act: str | None = None
    key: str = ""
    tone: Literal["good", "changed", "bad", "quiet"] = "quiet"


VERDICTS: dict[str, VerdictSpec] = {
    "approve": VerdictSpec(
        "Approved", "check", wrong="never", example="approval", needs_proposal=True, runs=True, act="approve",
        key="a", tone="good",
    ),
    "edit": VerdictSpec(
        "Edited", "pencil", value="edited", wrong="compared", example="edit", needs_proposal=True, needs_reason=True,
        runs=True, act="send the edit", key="e", tone="changed",
    ),
    "reject": VerdictSpec(
        "Rejected", "x", wrong="always", example="rejection", needs_reason=True, key="r", tone="bad"
    ),
    "respond": VerdictSpec(
        "Answered", "reply", value="response", wrong="compared", example="demonstration", act="send this answer",
        key="t",
    ),
    "label": VerdictSpec(
        "Labelled", "tag", value="label", wrong="compared", example="label", act="give this label"
    ),
    "prefer": VerdictSpec("Preferred", "scale", value="ranking", example="preference", act="send this order"),
    "abstain": VerdictSpec("Abstained", "skip", act="abstain", key="b"),
    "escalate": VerdictSpec("Escalated", "up", value="group", needs_reason=True, key="x"),
}  # fmt: skip
