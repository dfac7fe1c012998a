"""People and groups of a loop: who belongs to which, and the one question of who may do what.

Stages and doors ask `may`, and compare no name with a group themselves: whoever is to be told apart by more than a name
and a group is told apart here.
"""

from __future__ import annotations

from typing import Literal

from dualcontrol.case import Case
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import ClaimError, DualcontrolError, EligibilityError, EscalationError, SamePersonError
from dualcontrol.names import among, identities, identity, same

Verb = Literal["claim", "answer", "escalate", "retract", "revoke", "withdraw", "resolve", "erase"]


def may(
    person: str, verb: Verb, settings: LoopSettings, case: Case, review_id: str = "", *, group: str | None = None
) -> DualcontrolError | None:
    """Why a person may not do this in a case, as the error to raise; None where they may.

    `review_id` is the review that is meant, `group` the one that it is escalated to.  What state a case and a review
    have to be in is asked by the stages.  Revoking, withdrawing, resolving and erasing is open to whoever asks.
    """
    review = case.review(review_id)
    if verb == "retract":
        answer = next((a for a in case.answered if a.review_id == review_id), None)
        if answer is None or not same(answer.actor.person, person):
            return ClaimError(f"{person} has not given the answer of review {review_id}")
    elif verb == "escalate" and group is not None:
        if group == arbiter_of(case, settings) and among(person, settings.members(group) or ()):
            return EscalationError(f"{person} is of group {group!r}, and nobody is above it")
    elif verb == "answer" and review is not None:
        if not same(person, review.person):
            return ClaimError(f"claim {review.claim_id} is not {person}'s")
    elif verb == "claim" and review is not None:
        if not person or not person.strip():
            return EligibilityError("a claim names the person who takes it")
        if same(case.owner, person):
            return EligibilityError(f"{person} proposed case {case.id} and does not review it")
        if not belongs(person, review.group, settings):
            return EligibilityError(f"{person} is not a member of group {review.group!r}")
        if among(person, review.excludes) or any(same(r.person, person) for r in case.reviews if r.id != review.id):
            return SamePersonError(f"{person} has already worked on case {case.id}")
    return None


def refuse(reason: DualcontrolError | None) -> None:
    """Raise the reason of `may`, where there is one."""
    if reason is not None:
        raise reason


def belongs(person: str | None, group: str, settings: LoopSettings) -> bool:
    """Whether a person may speak for a group: everybody for one that is open, else its members."""
    members = settings.members(group)
    return members is None or among(person, members)


def pools_of(person: str | None, control: Control) -> list[tuple[int, str]]:
    """The pools of a loop that a person may take reviews from: open groups, and groups they belong to; else all."""
    settings = control.settings
    return [
        (control.loop_id, group) for group in settings.pools() if person is None or belongs(person, group, settings)
    ]


def arbiter_of(case: Case, settings: LoopSettings) -> str | None:
    """The group that arbitrates a case, where one is named."""
    return (case.route.quorum.arbiter if case.route else None) or settings.quorum.arbiter


def available(case: Case, group: str, settings: LoopSettings, excludes: tuple[str, ...]) -> int | None:
    """How many people could take a review of this group; None when the group is open to everybody."""
    members = settings.members(group)
    if members is None:
        return None
    out = identities(excludes) | ({identity(case.owner)} if case.owner else set())
    return len(identities(members) - out)
