"""Who may review a case: a member of the group, not its proposer, and one person once."""

from __future__ import annotations

from dualcontrol.case import Case, Review
from dualcontrol.control import LoopSettings
from dualcontrol.errors import ClaimError, EligibilityError, SamePersonError, SettledError
from dualcontrol.names import among, identities, identity, same


def check(case: Case, review: Review, person: str, settings: LoopSettings) -> None:
    """Refuse a claim by someone who may not hold it; the error says why."""
    if not person or not person.strip():
        raise EligibilityError("a claim names the person who takes it")
    if review.state == "claimed":
        raise ClaimError(f"review {review.id} is held by {review.person} now")
    if review.state != "open":
        raise SettledError(f"review {review.id} is {review.state}")
    if same(case.owner, person):
        raise EligibilityError(f"{person} proposed case {case.id} and does not review it")
    members = settings.members(review.group)
    if members is not None and not among(person, members):
        raise EligibilityError(f"{person} is not a member of group {review.group!r}")
    if among(person, review.excludes) or any(same(r.person, person) for r in case.reviews if r.id != review.id):
        raise SamePersonError(f"{person} has already worked on case {case.id}")


def available(case: Case, group: str, settings: LoopSettings, excludes: tuple[str, ...]) -> int | None:
    """How many people could take a review of this group; None when the group is open to everybody."""
    members = settings.members(group)
    if members is None:
        return None
    out = identities(excludes) | ({identity(case.owner)} if case.owner else set())
    return len(identities(members) - out)
