"""Cases that wait for nobody: no person may take a review of theirs, and no response time will end them."""

from __future__ import annotations

from collections.abc import Iterator

from dualcontrol.case import Case, Review
from dualcontrol.control import LoopSettings
from dualcontrol.doctor.finding import WARNING, Finding
from dualcontrol.review.eligibility import available

MORE_PEOPLE = (
    "Add somebody to the group, or withdraw the case: `dualcontrol withdraw CASE`. "
    "For later cases set quorum.arbiter, or respond_within with on_timeout."
)
AGAIN = "Withdraw the case, `dualcontrol withdraw CASE`, and propose it again; a second one gets its reviews."


def stuck(case: Case, settings: LoopSettings) -> Iterator[Finding]:
    """A case that stays open for ever as things are, such as a dispute among all members of its group."""
    if case.state != "open" or case.kind != "live" or case.read_only or case.leader or ends_by_itself(case, settings):
        return
    waiting = [review for review in case.reviews if review.state in ("open", "claimed")]
    if not waiting:
        what = f"case {case.id} is open, and nobody is asked: it has no open review, and nothing is due"
        yield Finding("queue", WARNING, what, AGAIN, case.id)
    elif not any(review.state == "claimed" or somebody(case, review, settings) for review in waiting):
        groups = " or ".join(dict.fromkeys(review.group for review in waiting))
        what = (
            f"case {case.id} waits for an answer that nobody in {groups} may give: all have worked on it or proposed it"
        )
        yield Finding("queue", WARNING, what, MORE_PEOPLE, case.id)


def ends_by_itself(case: Case, settings: LoopSettings) -> bool:
    """Whether the end of the response time will do something about the case."""
    if case.due_at is None or case.route is None:
        return False
    if case.route.on_timeout == "escalate":
        arbiter = case.route.quorum.arbiter or settings.quorum.arbiter
        return arbiter is not None and available(case, arbiter, settings, workers(case)) != 0
    return case.route.on_timeout != "hold"


def somebody(case: Case, review: Review, settings: LoopSettings) -> bool:
    """Whether anybody may take this review now."""
    return available(case, review.group, settings, (*review.excludes, *workers(case))) != 0


def workers(case: Case) -> tuple[str, ...]:
    """Who has a review of the case already; nobody gets a second."""
    return tuple(review.person for review in case.reviews if review.person)
