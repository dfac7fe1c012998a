"""Past cases routed again by today's rules, in the head only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Route
from dualcontrol.control import Control, Guarantee
from dualcontrol.desk import Desk
from dualcontrol.errors import FileError, ReadOnlyError, UnknownLoopError
from dualcontrol.guarantee.binomial import needed
from dualcontrol.guarantee.curve import ScoredRow
from dualcontrol.guarantee.evidence import Reach, reach
from dualcontrol.guarantee.offline import Offline, share
from dualcontrol.layout import some
from dualcontrol.replay.whatif import Options, ThresholdResult, found, plain, weighted
from dualcontrol.review.adjudication import verdict
from dualcontrol.route.route import route, subject_of

STEP = "threshold"  # what speaks where confidence is compared
FIELDS, NO_GROUP = ("segment", "action"), "none"


class Rerouting(NamedTuple):
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
    moves: tuple[Rerouting, ...]
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
    moves: dict[tuple[str, str, str], Rerouting] = {}
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
        moves[case.route.to, *now[:2]] = Rerouting(case.route.to, now[0], now[1], count, now[2], case.id)
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


# Past cases as evidence for a threshold: those that a human was asked about, weighted, in the order of decisions.
#
# A case that a human was asked about and nobody judged counts as wrong in the certificate, since slow answers are not
# like quick ones; the curve and its intervals leave it out.  Where cases went that nobody could have been asked about,
# those that people saw meanwhile are not like all: such a time is no evidence, and where there is no other, the cases
# that nobody could be asked about count as wrong.  Which of the two it is hangs on settings, never on a label.


NONE = "no past case on which the threshold speaks was judged by a human, so nothing is known of its error"
PLACES = "blocked, or on autopilot without audits"
SHADOW = "went in the shadow, where nobody is asked, and are left out"
UNSEEN = (
    f"no judged case is of a time in which people could have been asked about every case; others went {PLACES}, so "
    "that nothing is known of their error"
)


class PastEvidence(NamedTuple):
    """The judged cases, and the evidence: these, the `unanswered` and the `unseen`, both of which count as wrong.

    `left_out` are the cases that humans were asked about while they could not be asked about others.
    """

    judged: list[ScoredRow]
    evidence: list[ScoredRow]
    unanswered: int
    unseen: int
    left_out: int


def seen(replayed: Replayed, *, certifying: bool) -> PastEvidence:
    """What past cases say; cases in the shadow say nothing of what humans would find."""
    live = [case for case in replayed.past if not case.shadow]
    floors, blind = _floors(live, replayed)
    left_out = blind if certifying and blind < floors.keys() else set()
    counted = [case for case in live if case.control not in left_out]
    asked = [(case, _row(case, floors)) for case in counted if case.seen and case.inclusion > 0.0]
    evidence = [row for _, row in asked]  # not known to be right counts as wrong
    unseen = 0
    if certifying and not left_out:
        unseen = sum(case.inclusion == 0.0 for case in counted)
        evidence = [_row(case, floors) for case in counted if case.seen or case.inclusion == 0.0]
    judged = [row for case, row in asked if case.wrong is not None]
    return PastEvidence(
        judged, evidence, len(asked) - len(judged), unseen,
        sum(case.seen and case.inclusion > 0.0 for case in live if case.control in left_out),
    )  # fmt: skip


def _floors(live: Sequence[Past], replayed: Replayed) -> tuple[dict[int, float], set[int]]:
    """With what least probability a human saw any case that could be seen, by version; and where some could not be."""
    declared = {case.control: replayed.reach.least.get(case.control, 1.0) for case in live}
    blind = {version for version, least in declared.items() if least == 0.0}
    blind |= {case.control for case in live if case.inclusion == 0.0}
    floors = {version: least or 1.0 for version, least in declared.items()}
    for case in live:
        floors[case.control] = min(floors[case.control], case.inclusion or 1.0)
    return floors, blind


def _row(case: Past, floors: Mapping[int, float]) -> ScoredRow:
    """A case as evidence; that nobody could be asked about it is known for certain, and counts as wrong."""
    right = case.wrong == 0 and case.inclusion > 0.0
    return ScoredRow(case.score, right, case.group, case.inclusion or 1.0, floors[case.control])


def what_if(replayed: Replayed, asked: Options, group: str | None) -> ThresholdResult:
    """What a threshold would have done to past cases; with nothing judged, nothing is known."""
    known = seen(replayed, certifying=asked.max_error is not None)
    if not known.judged and known.left_out:
        bare = what_if(replayed, asked._replace(max_error=None, threshold=None), group)
        why = UNSEEN if bare.n else NONE
        return bare._replace(offline=_refused(asked, why), reason=why)
    if group is not None and known.judged and all(row.group == NO_GROUP for row in known.judged):
        raise FileError(f"no past case has {group!r}; --group takes segment, action, or a field of meta")
    if not known.judged:
        return nothing(asked)
    result = found(known.judged, asked, weighted(known.evidence, asked, guaranteed=replayed.reach.guaranteed))
    result = result._replace(groups=_with_unjudged(result.groups, known.evidence, asked))
    return result._replace(reason=result.reason + "".join(_as_wrong(known)) if asked.max_error else result.reason)


def _as_wrong(known: PastEvidence) -> Iterator[str]:
    """Which cases the certificate counts as wrong though nobody said so."""
    if known.unanswered:
        yield f"; {known.unanswered} that nobody judged count as wrong"
    if known.unseen:
        yield f"; {known.unseen} that nobody could be asked about ({PLACES}) count as wrong, which audit = 0.05 ends"


def remarks(replayed: Replayed, asked: Options) -> list[str]:
    """What whoever reads the figures of past cases should know of them, and why a guarantee may say otherwise."""
    return [*_left_out(replayed, asked), *(_own(replayed) if asked.max_error is not None else ())]


def _left_out(replayed: Replayed, asked: Options) -> Iterator[str]:
    shadow = sum(case.shadow for case in replayed.past)
    if shadow:
        yield f"{some(shadow, 'case')} {SHADOW}"
    unseen = sum(case.inclusion == 0.0 and not case.shadow for case in replayed.past)
    known = seen(replayed, certifying=asked.max_error is not None)
    if unseen and not known.unseen:
        yield f"{some(unseen, 'case')} that nobody could be asked about ({PLACES}) are left out"
    if known.left_out:
        yield (
            f"{some(known.left_out, 'case')} that humans were asked about meanwhile are no evidence for a certificate "
            "either, since they are not like all"
        )
    if replayed.unscored:
        yield f"{some(replayed.unscored, 'case')} without a score of the risk model in force are left out"


def _own(replayed: Replayed) -> Iterator[str]:
    """How this certificate differs from the one that the loop acts by."""
    epochs = len({case.epoch for case in replayed.past if case.seen})
    if epochs > 1:
        yield f"the cases are of {epochs} epochs, of which the loop's own guarantee counts the last only"
    guarantee = replayed.guarantee
    if guarantee is None:
        return
    if guarantee.missed:
        yield (
            f"the loop's own guarantee takes {share(guarantee.missed)} of errors to be missed by reviewers, and asks "
            "for that much more; here only those count that somebody found"
        )
    if replayed.own:
        where = ", ".join(f"{at:.4g}" + (f" ({name})" if name else "") for name, at in sorted(replayed.own.items()))
        yield (
            f"the loop's own guarantee has certified {where} for an error of at most {share(guarantee.max_error)}, and "
            "acts by that: it looks at answers as they come, from scores on that its first answers chose, and here all "
            "past cases are tested once, from scores on of their own, so that the two are seldom quite the same"
        )


def _with_unjudged(
    groups: dict[str, ThresholdResult], evidence: Sequence[ScoredRow], asked: Options
) -> dict[str, ThresholdResult]:
    """The groups, and those of which nobody has judged a case: of these nothing is known."""
    if not asked.grouped:
        return groups
    counts = Counter(row.group for row in evidence)
    none = nothing(asked)
    silent = {
        name: none._replace(reason=f"nobody judged any of {some(count, 'case')}: nothing is known of its error")
        for name, count in counts.items()
        if name not in groups
    }
    return dict(sorted({**groups, **silent}.items()))


def nothing(asked: Options) -> ThresholdResult:
    """What is known where no past case was judged."""
    refused = None if asked.max_error is None else _refused(asked, NONE)
    humans = asked.price.of(1.0, 0.0) if asked.price else None
    return ThresholdResult(0, "betting", asked.confidence, None, refused, [], humans, {}, NONE)


def _refused(asked: Options, why: str) -> Offline:
    labels = needed(asked.max_error or 0.5, asked.confidence)
    return Offline(None, 0.0, None, None, 0, 0, 0, labels, why, "betting")


def documented(replayed: Replayed, result: ThresholdResult, asked: Options) -> dict[str, JSON]:
    """Both halves as JSON: where cases would go, and what a threshold would have done."""
    unanswered = sum(case.seen and case.inclusion > 0.0 and case.wrong is None for case in replayed.past)
    return {**replayed.to_dict(), **plain(result), "unanswered": unanswered, "remarks": remarks(replayed, asked)}
