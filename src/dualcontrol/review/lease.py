"""Claim, release, extend, expire: a review is held for a time by the holder of its fencing token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec.structs import replace

from dualcontrol.case import ENCODER, Case, Review
from dualcontrol.commands import Expire, Extend, Release, TakeClaim
from dualcontrol.control import Control, Env
from dualcontrol.errors import CapError, ClaimError, SettledError, UnknownCaseError
from dualcontrol.events import Answered, Claimed, Event, Extended, LeaseExpired, Passed, Released, ReviewCancelled
from dualcontrol.names import same
from dualcontrol.people import may, refuse
from dualcontrol.review import comparison, view
from dualcontrol.review.view import passed_up, visible_answers


def claim(case: Case, command: TakeClaim, control: Control, env: Env) -> list[Event]:
    """Give an open review to a person until the lease ends, with the order in which they see the candidates."""
    review = case.review(command.review_id)
    if review is None:
        raise UnknownCaseError(f"case {case.id} has no review {command.review_id}")
    if review.state == "claimed":
        raise ClaimError(f"review {review.id} is held by {review.person} now")
    if review.state != "open":
        raise SettledError(f"review {review.id} is {review.state}")
    refuse(may(command.person, "claim", control, case, review.id))
    refuse(capped(case, command.person, control, env.facts.worked))
    by_step = view.by_step(case, review, command.person, control)
    review = replace(review, blind=True) if by_step else review
    return [
        Claimed(
            review_id=review.id, person=command.person, claim_id=command.claim_id, at=env.now, until=command.until,
            presented=presentation(case, review, command.person, control, env),
            seen=seen_by(case, review), followers=0 if review.beside else env.facts.followers,
            meta=meta_for(review, control), by_step=by_step,
        )
    ]  # fmt: skip


def capped(case: Case, person: str, control: Control, worked: Mapping[str, int] | None) -> CapError | None:
    """Why somebody takes no more cases of this risk for now, by the loop's cap; None where they may."""
    cap = control.settings.cap
    reached = None if cap is None or worked is None else cap.reached(risk_of(case), worked)
    if reached is None:
        return None
    what, bound = reached
    count = f"{bound} case{'' if bound == 1 else 's'}"
    return CapError(f"{person} has had {count} {what} in 24 hours, as many as loop {control.loop!r} allows one person",
                    bound=bound, what=what)  # fmt: skip


def risk_of(case: Case) -> str | float | None:
    """The risk that a case was routed at, else as it was proposed."""
    return case.route.risk if case.route is not None and case.route.risk is not None else case.risk


def presentation(case: Case, review: Review, person: str, control: Control, env: Env) -> tuple[str, ...]:
    """Candidate ids in the order shown: drawn by reviewer for a preference, else the caller's; blind, the loop's.

    Where two texts are compared it is the order of these.
    """
    if review.against is not None:
        return comparison.order(case, person, env)
    if view.hidden(review):
        # of the loop's labels; in none where only some of them are candidates: these few would tell what is likely
        by_label = {ENCODER.encode(c["value"]): c["id"] for c in case.content.get("candidates", ())}
        labels = [ENCODER.encode(label) for label in control.settings.labels or ()]
        return tuple(by_label[label] for label in labels) if all(label in by_label for label in labels) else ()
    ids = [c["id"] for c in case.content.get("candidates", ())]
    if case.mode == "preference":
        ids.sort(key=lambda i: env.draw(f"side/{person}/{i}", case.id))
    return tuple(ids)


def meta_for(review: Review, control: Control) -> tuple[str, ...]:
    """The fields of meta that a claim made now will show: those the loop names, none in a blind review."""
    return () if review.blind else control.settings.shown_meta


def seen_by(case: Case, review: Review) -> tuple[str, ...]:
    """The earlier reviews that a claim made now will show; later ones are not added.

    To an arbiter who commits first it shows them after that.
    """
    if review.kind == "arbiter" and view.commits_first(case, review):
        review = replace(review, blind=False)
    answers = (a.review_id for a in visible_answers(case, review))
    return (*answers, *(r.id for r in passed_up(case, review)))


def claimed_review(case: Case, claim_id: str, now: int) -> Review:
    """The review that a claim holds at this moment; `ClaimError` or `SettledError` says why it does not."""
    review = case.review_of_claim(claim_id)
    if review is None:
        raise ClaimError(f"claim {claim_id} was released or has expired; the review may be somebody else's by now")
    if review.state != "claimed":
        raise SettledError(f"the review of claim {claim_id} is {review.state} already", by=review.person)
    if review.lease_until is not None and review.lease_until <= now:
        raise ClaimError(f"claim {claim_id} has expired; claim again")
    return review


Ending = Literal["released", "expired", "answered", "cancelled", "another's"]


def ending(events: Iterable[Event], claim_id: str, now: int, person: str | None = None) -> Ending | None:
    """How a claim came to its end by the events of its case; None while it is held, or where it never was.

    Asked for a `person`, a claim that was never theirs is "another's", and nothing more is said of it.
    """
    claimed, until = None, 0
    for event in events:
        if isinstance(event, Claimed) and event.claim_id == claim_id:
            claimed, until = event, event.until
            if person is not None and not same(person, event.person):
                return "another's"
        elif claimed is not None and getattr(event, "review_id", None) == claimed.review_id:
            if (how := _ENDINGS.get(type(event))) is not None:
                return how
            until = event.until if isinstance(event, Extended) else until
    return "expired" if claimed is not None and until <= now else None


_ENDINGS: dict[type[Event], Ending] = {
    Released: "released", LeaseExpired: "expired", Answered: "answered", Passed: "answered",
    ReviewCancelled: "cancelled",
}  # fmt: skip


def release(case: Case, command: Release, control: Control, env: Env) -> list[Event]:
    """Give a held review back to the queue."""
    review = claimed_review(case, command.claim_id, env.now)
    return [Released(review_id=review.id, claim_id=command.claim_id)]


def extend(case: Case, command: Extend, control: Control, env: Env) -> list[Event]:
    """Give the holder more time; a lease is never shortened."""
    review = claimed_review(case, command.claim_id, env.now)
    until = env.now + command.time
    if until <= (review.lease_until or 0):
        return []
    return [Extended(review_id=review.id, claim_id=command.claim_id, until=until)]


def expire(case: Case, command: Expire, control: Control, env: Env) -> list[Event]:
    """Open a review again whose lease has run out; nothing happens when it has not."""
    review = case.review(command.review_id)
    if review is None or review.state != "claimed" or (review.lease_until or 0) > env.now:
        return []
    return [LeaseExpired(review_id=review.id, claim_id=review.claim_id or "", person=review.person or "")]
