"""Rows for people: how one is made, whether anybody can take it, and the alarm where nobody can."""

from __future__ import annotations

from dualcontrol.case import Case, Review, ReviewKind, Route
from dualcontrol.control import Control, Env
from dualcontrol.errors import EscalationError
from dualcontrol.events import AlarmRaised, Event, ReviewOpened
from dualcontrol.review import blind, eligibility
from dualcontrol.review.worth import order_at

WAITING = ("open", "claimed")
TOO_FEW = "too_few_people"


def group_of(route: Route | None, control: Control) -> str:
    """The group that a route asks."""
    return (route.group if route else None) or control.settings.group


def arbiter_of(case: Case, control: Control) -> str | None:
    """The group that arbitrates a case, where one is named."""
    return (case.route.quorum.arbiter if case.route else None) or control.settings.quorum.arbiter


def row(
    case: Case, kind: ReviewKind, group: str, round_: int, control: Control, env: Env, *,
    excludes: tuple[str, ...] = (), about: str | None = None, after: str | None = None,
) -> ReviewOpened:  # fmt: skip
    """One row for one reviewer."""
    return ReviewOpened(
        review_id=env.new_id(), review=kind, group=group, round=round_, opened_at=env.now,
        order_at=order_at(case, kind, control, env.now), due_at=case.due_at, excludes=excludes, about=about,
        after=after, blind=blind.wanted(case, kind, about, control),
    )  # fmt: skip


def first(case: Case, control: Control, env: Env) -> list[Event]:
    """The rows a human route opens; the arbiter decides alone where the group has too few eligible people."""
    asked = case.route.quorum if case.route else control.settings.quorum
    rows = 1 if asked.ordered else asked.asked
    return seats(case, "decide", control, env, rows=rows, people=asked.asked, settling=asked.answers)


def seats(
    case: Case, kind: ReviewKind, control: Control, env: Env, *, rows: int, people: int, settling: int,
    about: str | None = None,
) -> list[Event]:  # fmt: skip
    """Rows in the group of the case's route: `people` are to take them, without `settling` of them none can settle.

    Where fewer are eligible the arbiter decides alone, if somebody can; an alarm says so either way.
    """
    group, round_, excludes = group_of(case.route, control), next_round(case), workers(case)
    found = left(case, group, control)
    if found is not None and found < settling and (above := _able_arbiter(case, group, control)):
        alone = row(case, "arbiter", above, round_, control, env, excludes=excludes, about=about)
        return [alone, alarm(alone, group, found, people, f"so group {above!r} decides alone", env)]
    opened = [row(case, kind, group, round_, control, env, excludes=excludes, about=about) for _ in range(rows)]
    if found is None or found >= people or not opened:
        return [*opened]
    return [*opened, alarm(opened[0], group, found, people, "and nobody else is named who could decide", env)]


def arbitration(case: Case, control: Control, env: Env) -> list[Event]:
    """The row of an arbiter, who is of the case's own group where none is named; an alarm if nobody can take it."""
    group = arbiter_of(case, control) or group_of(case.route, control)
    found = left(case, group, control)
    opened = row(case, "arbiter", group, next_round(case), control, env, excludes=workers(case))
    if found is None or found > 0:
        return [opened]
    return [opened, alarm(opened, group, found, 1, "and nobody else is named who could arbitrate", env)]


def alarm(opened: ReviewOpened, group: str, found: int, needed: int, so: str, env: Env) -> AlarmRaised:
    """Too few people are eligible; the sentence names groups and counts, never content."""
    reason = f"group {group!r} has {found} eligible of the {needed} that are needed, {so}"
    return AlarmRaised(code=TOO_FEW, reason=reason, at=env.now, review_id=opened.review_id)


def left(case: Case, group: str, control: Control) -> int | None:
    """How many people of a group could still take a row, beside those that its open rows will take."""
    holders = tuple(r.person for r in case.reviews if r.person)
    people = eligibility.available(case, group, control.settings, (*holders, *workers(case)))
    return None if people is None else max(people - len(_open(case, group)), 0)


def _able_arbiter(case: Case, group: str, control: Control) -> str | None:
    above = arbiter_of(case, control)
    if above is None or above == group:
        return None
    people = left(case, above, control)
    return above if people is None or people > 0 else None


def _open(case: Case, group: str) -> list[Review]:
    return [r for r in case.reviews if r.group == group and r.state == "open"]


def next_round(case: Case) -> int:
    """The round of a row that is opened now."""
    return 1 + max((r.round for r in case.reviews), default=0)


def workers(case: Case) -> tuple[str, ...]:
    """Who has answered or passed, the case itself or the one that it was settled with."""
    here = [r.person for r in case.reviews if r.person and r.state in ("answered", "passed")]
    return tuple(dict.fromkeys([*here, *(a.actor.person for a in case.answered)]))


def reopened(case: Case, review: Review, person: str, to: str | None, control: Control, env: Env) -> ReviewOpened:
    """The row that takes the place of a passed one: another person, and another group when escalated."""
    excludes = tuple(dict.fromkeys((*review.excludes, *workers(case), person)))
    groups = [to] if to else list(dict.fromkeys([review.group, arbiter_of(case, control) or review.group]))
    group = next((g for g in groups if _somebody(case, review, g, excludes, control)), None)
    if group is None:
        raise EscalationError(f"nobody else in {' or '.join(groups)} may take this review of case {case.id}")
    return row(
        case, review.kind, group, review.round, control, env, excludes=excludes, about=review.about, after=review.id
    )


def _somebody(case: Case, review: Review, group: str, excludes: tuple[str, ...], control: Control) -> bool:
    """Whether a group has a person left for one more row, beside those that its waiting rows will take."""
    people = eligibility.available(case, group, control.settings, excludes)
    waiting = [r for r in case.reviews if r.id != review.id and r.group == group and r.state in WAITING]
    return people is None or people > len(waiting)
