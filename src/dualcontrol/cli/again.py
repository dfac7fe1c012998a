"""Past cases routed again by today's rules, in the head only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Route
from dualcontrol.certify.floors import Reach, reach
from dualcontrol.control import Control, Guarantee
from dualcontrol.desk import Desk
from dualcontrol.errors import ReadOnlyError, UnknownLoopError
from dualcontrol.review.adjudication import verdict
from dualcontrol.route.propose import route, subject_of

STEP = "threshold"  # what speaks where confidence is compared
FIELDS, NO_GROUP = ("segment", "action"), "none"


class Again(NamedTuple):
    """Cases that were routed one way and would be routed another, for one reason."""

    was: str
    now: str
    by: str
    cases: int
    reason: str
    example: str


class Past(NamedTuple):
    """A past case on which the threshold speaks: its score, whether the proposal was wrong (None: nobody said).

    `inclusion` is the probability with which a human saw it, `seen` whether one was asked; `control` and `epoch` are
    those in force then.  In the `shadow` nobody is.
    """

    score: float
    wrong: int | None
    inclusion: float
    seen: bool
    group: str
    control: int = 0
    epoch: int = 0
    shadow: bool = False


class Replayed(NamedTuple):
    """How many past cases would go the same way, and where the others would go; oldest first in `past`.

    `reach` says who could see them, and `unscored` counts those without a score of the risk model in force.  `own` are
    the thresholds that the loop's own guarantee has certified, by segment.
    """

    loop: str
    same: int
    skipped: int
    moves: tuple[Again, ...]
    past: tuple[Past, ...] = ()
    reach: Reach = Reach({}, False)
    unscored: int = 0
    own: Mapping[str, float] = {}
    guarantee: Guarantee | None = None

    @property
    def moved(self) -> int:
        """How many would be routed differently."""
        return sum(move.cases for move in self.moves)

    @property
    def cases(self) -> int:
        """How many were routed again."""
        return self.same + self.moved

    def to_dict(self) -> dict[str, JSON]:
        """The result as plain JSON values."""
        moves = [move._asdict() for move in self.moves]
        found = {"loop": self.loop, "cases": self.cases, "same": self.same, "moved": self.moved}
        return {**found, "skipped": self.skipped, "moves": moves}


def replayed(desk: Desk, loop: str, limit: int, done: Callable[[], None], group: str | None = None) -> Replayed:
    """Route the newest `limit` cases of a loop again, under the settings of this call; writes nothing."""
    stored = desk.control(loop)
    if stored is None:
        raise UnknownLoopError(f"the database knows no loop {loop!r}", loop=loop)
    control = _today(desk, stored)
    same, skipped, unscored = 0, 0, 0
    past: list[Past] = []
    moves: dict[tuple[str, str, str], Again] = {}
    for case in _cases(desk, loop, limit):
        done()
        if case is None or case.erased or case.route is None:
            skipped += 1
            continue
        spoken = judged(case, case.route, control, group)
        past += spoken or ()
        unscored += spoken is None
        now = routed(case, control)
        if now[0] == case.route.to:
            same += 1
            continue
        known = moves.get((case.route.to, *now[:2]))
        count = known.cases + 1 if known else 1
        moves[case.route.to, *now[:2]] = Again(case.route.to, now[0], now[1], count, now[2], case.id)
    most = tuple(sorted(moves.values(), key=lambda move: -move.cases))
    entries = desk.store.queries.entries(f"loop/{control.loop_id}", values=False)
    found = Replayed(loop, same, skipped, most, tuple(past[::-1]), reach(entries, control), unscored)
    guarantee = stored.settings.guarantee
    return found if guarantee is None else found._replace(own=stored.thresholds, guarantee=guarantee)


def judged(case: Case, route: Route, control: Control, group: str | None) -> list[Past] | None:
    """The case as evidence for a threshold, where today's rules leave it to one; None where it lacks today's score."""
    if not left_to_a_threshold(case, control):
        return []
    if control.learned and (route.score is None or route.scorer != control.scorer):
        return None
    score = route.score if control.learned else case.confidence
    asked = route.to == "human" or route.audited
    name = "" if group is None else group_of(case, group)
    wrong = verdict(case, control).wrong
    shadow = case.origin == "shadow"
    return [Past(float(score or 0.0), wrong, route.inclusion, asked, name, route.control, route.epoch, shadow)]


def left_to_a_threshold(case: Case, control: Control) -> bool:
    """Whether a score decides where the case goes, whatever the threshold is and whether autopilot is open."""
    settings = replace(control.settings, threshold=0.0, guarantee=None, start="gate")
    by = routed(case, replace(control, settings=settings, thresholds={}, closed={}))[1]
    return by == STEP or (control.learned and by == "no_signal")  # there the score is not the confidence


def group_of(case: Case, name: str) -> str:
    """The value of a case's segment, action, or field of `meta`; "none" where it has none."""
    value = getattr(case, name) if name in FIELDS else case.meta.get(name.removeprefix("meta."))
    return NO_GROUP if value is None else str(value)


def _today(desk: Desk, control: Control) -> Control:
    """What governs a loop now, with the settings of this call in place of those in force."""
    settings = desk.settings.loops.get(control.loop)
    return control if settings is None else replace(control, settings=settings)


def routed(case: Case, control: Control) -> tuple[str, str, str]:
    """Where a past case would go: route, what spoke, and why."""
    proposal = case.proposal
    action, value = (proposal.action, proposal.value) if proposal else (None, None)
    subject = subject_of(action, value, case.input, case.signal, case.meta, proposal is not None)
    if case.route is not None and case.route.scorer == control.scores_by:
        subject = subject._replace(score=case.route.score)
    found = route(subject, control, case.opened_at)
    return found.to, found.by, found.reason


def _cases(desk: Desk, loop: str, limit: int) -> Iterator[Case | None]:
    cursor: str | None = None
    left = limit
    while left > 0:
        page = desk.store.queries.cases(loop=loop, limit=min(left, 200), cursor=cursor)
        for row in page.rows:
            try:
                yield desk.case(row.id)
            except ReadOnlyError:  # a newer version wrote it: what it says cannot be routed here
                yield None
        left -= len(page.rows)
        cursor = page.next
        if cursor is None:
            return
