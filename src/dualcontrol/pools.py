"""The pools of reviews, seen from one person: which pools are theirs, and which review of a case they mean."""

from __future__ import annotations

from msgspec.structs import replace

from dualcontrol.case import Case, Review
from dualcontrol.control import Control
from dualcontrol.errors import SettledError
from dualcontrol.names import among, same
from dualcontrol.review.blind import REASON, Seen, bare
from dualcontrol.store import CaseRow, InboxRow


def case_of_claim(claim_id: str) -> str:
    """The case that a claim id names; "" when it names none."""
    return str(claim_id).rpartition(".")[0]


def pools_of(person: str, control: Control) -> list[tuple[int, str]]:
    """The pools of a loop that a person may take reviews from: open groups, and groups they belong to."""
    settings = control.settings
    mine = [g for g in settings.pools() if settings.members(g) is None or among(person, settings.groups[g])]
    return [(control.loop_id, group) for group in mine]


def as_listed(row: InboxRow) -> InboxRow:
    """A line of the inbox as anybody may see it: nothing in that of a blind review tells of the proposal."""
    if not row.review.blind:
        return row
    return replace(row, review=bare(row.review), action=None, risk=None, confidence=None, reason=REASON)


def listed_as(row: CaseRow, seen: Seen) -> CaseRow:
    """A line of the list of cases as somebody may see it to whom the case looks like this."""
    if not seen.kept:
        return row
    case = seen.case
    return replace(
        row, state=case.state, action=None, verdict=None, by=None, wrong=None, confidence=None, closed_at=None,
        effect=case.effect.state,
    )  # fmt: skip


def meant_review(case: Case, person: str, control: Control, review_id: str | None = None) -> Review:
    """The review of a case that a person means: the one named, held, or next in the queue for their groups."""
    groups = {group for _, group in pools_of(person, control)}
    places = ("open", "claimed", "answered", "passed", "cancelled")
    wanted = [r for r in case.reviews if review_id in (None, r.id)]
    if not wanted:
        why = f"it is settled with case {case.leader}" if case.leader else "it was not routed to a human"
        missing = f"no review {review_id}" if review_id else f"no review: {why}"
        raise SettledError(f"case {case.id} has {missing}")
    mine = [r for r in wanted if r.state == "claimed" and same(r.person, person)]
    return (mine or sorted(wanted, key=lambda r: (places.index(r.state), r.group not in groups, r.order_at, r.id)))[0]
