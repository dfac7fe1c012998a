"""The review queue: opening rows, checking that somebody is eligible, and the order in which rows are taken."""

from __future__ import annotations

from dualcontrol.case import RELIEF_TIMES, Case, Review, ReviewKind, Route, is_high, risk_number
from dualcontrol.commands import Reseat
from dualcontrol.control import Control, Env
from dualcontrol.errors import EscalationError
from dualcontrol.events import AlarmRaised, Event, ReviewCancelled, ReviewOpened
from dualcontrol.people import arbiter_of, available
from dualcontrol.review import view

WAITING = ("open", "claimed")
TOO_FEW = "too_few_people"


def group_of(route: Route | None, control: Control) -> str:
    """The group that a route asks."""
    return (route.group if route else None) or control.settings.group


def row(
    case: Case, kind: ReviewKind, group: str, round_: int, control: Control, env: Env, *,
    excludes: tuple[str, ...] = (), about: str | None = None, after: str | None = None, against: str | None = None,
) -> ReviewOpened:  # fmt: skip
    """One row for one reviewer."""
    return ReviewOpened(
        review_id=env.new_id(), review=kind, group=group, round=round_, opened_at=env.now,
        order_at=order_at(case, kind, control, env.now), due_at=case.due_at, excludes=excludes, about=about,
        after=after, blind=view.wanted(case, kind, about, control), against=against,
    )  # fmt: skip


def first(case: Case, control: Control, env: Env) -> list[Event]:
    """The rows a human route opens; the arbiter decides alone where the group has too few eligible people."""
    asked = case.route.quorum if case.route else control.settings.quorum
    people = asked.asked
    rows = 1 if asked.ordered else people
    return seats(case, "decide", control, env, rows=rows, people=people, settling=asked.answers)


def seats(
    case: Case, kind: ReviewKind, control: Control, env: Env, *, rows: int, people: int, settling: int,
    about: str | None = None,
) -> list[Event]:  # fmt: skip
    """Rows in the group of the case's route: `people` are to take them, without `settling` of them none can settle.

    Where fewer are eligible the arbiter decides alone, if somebody can; an alarm says so either way.
    """
    group, round_, excludes = group_of(case.route, control), next_round(case), workers(case)
    eligible = left(case, group, control)
    short = eligible is not None and eligible < settling
    above = arbiter_of(case, control) if short else None
    if eligible is not None and above is not None and above != group:
        arbiters = left(case, above, control)
        if arbiters is None or arbiters > 0:
            alone = row(case, "arbiter", above, round_, control, env, excludes=excludes, about=about)
            return [alone, alarm(alone, group, eligible, people, f"so group {above!r} decides alone", env)]
    opened = [row(case, kind, group, round_, control, env, excludes=excludes, about=about) for _ in range(rows)]
    if eligible is None or eligible >= people or not opened:
        return [*opened]
    return [*opened, alarm(opened[0], group, eligible, people, "and nobody else is named who could decide", env)]


def arbitration(case: Case, control: Control, env: Env) -> list[Event]:
    """The row of an arbiter, who is of the case's own group where none is named; an alarm if nobody can take it."""
    group = arbiter_of(case, control) or group_of(case.route, control)
    eligible = left(case, group, control)
    opened = row(case, "arbiter", group, next_round(case), control, env, excludes=workers(case))
    if eligible is None or eligible > 0:
        return [opened]
    return [opened, alarm(opened, group, eligible, 1, "and nobody else is named who could arbitrate", env)]


def reseated(case: Case, command: Reseat, control: Control, env: Env) -> list[Event]:
    """What becomes of open reviews that nobody may take any more, since a group or its people changed.

    The arbiter decides alone, if somebody can; an alarm says so either way, once.
    """
    worked = workers(case)
    stranded = [
        review for review in case.reviews
        if review.state == "open" and not review.beside
        and available(case, review.group, control, (*review.excludes, *worked)) == 0
    ]  # fmt: skip
    if case.state != "open" or not stranded:
        return []
    review, above = stranded[0], arbiter_of(case, control)
    if above is not None and all(above != r.group for r in stranded) and left(case, above, control) != 0:
        cancelled = [ReviewCancelled(review_id=r.id, reason=f"nobody is left in group {r.group!r}") for r in stranded]
        alone = row(
            case, "arbiter", above, next_round(case), control, env, excludes=worked, about=review.about
        )  # fmt: skip
        return [*cancelled, alone, alarm(alone, review.group, 0, 1, f"so group {above!r} decides alone", env)]
    if any(known["review_id"] == review.id for known in case.alarms):
        return []
    reason = f"nobody is left in group {review.group!r}, and nobody else is named who could decide"
    return [AlarmRaised(code=TOO_FEW, reason=reason, at=env.now, review_id=review.id)]


def alarm(opened: ReviewOpened, group: str, eligible: int, needed: int, consequence: str, env: Env) -> AlarmRaised:
    """The alarm that too few people are eligible; its text names groups and counts, never content."""
    reason = f"group {group!r} has {eligible} eligible of the {needed} that are needed, {consequence}"
    return AlarmRaised(code=TOO_FEW, reason=reason, at=env.now, review_id=opened.review_id)


def left(case: Case, group: str, control: Control) -> int | None:
    """How many people of a group could still take a row, beside those that its open rows will take."""
    holders = tuple(r.person for r in case.reviews if r.person)
    people = available(case, group, control, (*holders, *workers(case)))
    open_rows = sum(r.group == group and r.state == "open" for r in case.reviews)
    return None if people is None else max(people - open_rows, 0)


def next_round(case: Case) -> int:
    """The round of a row that is opened now."""
    return 1 + max((r.round for r in case.reviews), default=0)


def workers(case: Case) -> tuple[str, ...]:
    """Everybody who has answered or passed on this case or its leader."""
    here = [r.person for r in case.reviews if r.person and r.state in ("answered", "passed")]
    return tuple(dict.fromkeys([*here, *(a.actor.person for a in case.answered)]))


def reopened(case: Case, review: Review, person: str, to: str | None, control: Control, env: Env) -> ReviewOpened:
    """The row that replaces a passed one: for another person, in another group when escalated."""
    excludes = tuple(dict.fromkeys((*review.excludes, *workers(case), person)))
    groups = [to] if to else list(dict.fromkeys([review.group, arbiter_of(case, control) or review.group]))
    for group in groups:
        people = available(case, group, control, excludes)
        waiting = [r for r in case.reviews if r.id != review.id and r.group == group and r.state in WAITING]
        if people is None or people > len(waiting):  # beside those that its waiting rows will take
            return row(
                case, review.kind, group, review.round, control, env, excludes=excludes, about=review.about,
                after=review.id, against=review.against,
            )  # fmt: skip
    raise EscalationError(f"nobody else in {' or '.join(groups)} may take this review of case {case.id}")


# Queue order
#
# A review is worth the loss that it prevents, by the minute (Chow 1970), and more the longer it waits.  A place in the
# queue is fixed when the row opens: the moment at which it will be worth as much as a new one of which nothing is
# known.


HOUR = 3_600_000_000
AHEAD = 96  # response times by which a high risk goes ahead under load shedding: all that is not a day late
LEAST = 0.05  # no proposal counts as surer than this to be right, so that none waits for ever


def value(
    loss: float, p_wrong: float, miss_rate: float, minutes: float, age: float = 0.0, promise: float = 1.0
) -> float:
    """What a minute of review is worth: the loss it prevents (Chow 1970), growing with age so that nothing starves.

    A review pays where this is above the price of a minute; `age` and `promise` are in one unit.
    """
    return loss * p_wrong * (1.0 - miss_rate) / minutes * (1.0 + age / promise)


def order_at(case: Case, kind: ReviewKind, control: Control, now: int) -> int:
    """A place in the queue: a virtual deadline that comes sooner the more the review is worth.

    It is one response time after the moment when `value` has grown to 1, for all rows alike.

    Being virtual it ages, so that a long queue would hold up a new high risk: not while load is shed.
    """
    promise = control.settings.response_time or HOUR
    risk, relief = (case.route.risk, case.route.relief) if case.route else (None, None)
    score = case.confidence if case.route is None or case.route.score is None else case.route.score
    # The chance that the proposal is wrong, where the loop declares its capacity and the proposal's score says it.
    # Rows beside the outcome keep their place: what is drawn for evidence is not put off because it looks right.
    p_wrong = 1.0
    if control.settings.capacity is not None and score is not None and kind not in ("audit", "probe"):
        p_wrong = max(1.0 - score, LEAST)
    # In one loop the minutes that a review takes and the errors that it misses are the same for all; 1 is the worth of
    # a case of which nothing is known.
    worth = value(loss=max(4.0 * risk_number(risk), 1.0), p_wrong=p_wrong, miss_rate=0.0, minutes=1.0)
    place = now + int(promise * RELIEF_TIMES.get(relief, 1) / worth)
    return max(place - AHEAD * promise, 0) if control.relief and is_high(risk) else place
