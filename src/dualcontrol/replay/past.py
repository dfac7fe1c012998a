"""Past cases routed again by today's rules, as a dry run, and as evidence for a threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Route
from dualcontrol.control import RISK, Control, Guarantee
from dualcontrol.desk import Desk
from dualcontrol.errors import FileError, ReadOnlyError, UnknownLoopError
from dualcontrol.guarantee.binomial import needed
from dualcontrol.guarantee.curve import ScoredRow
from dualcontrol.guarantee.evidence import Reach, reach
from dualcontrol.guarantee.offline import Offline, share
from dualcontrol.layout import some
from dualcontrol.replay.live import METHOD, Recorded, recorded
from dualcontrol.replay.whatif import Method, Options, ThresholdResult, allowing, plain, threshold_result, weighted
from dualcontrol.review.adjudication import verdict
from dualcontrol.route.route import learned_of, route, subject_of

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

    `inclusion` is the probability with which a human was asked so that the answer is evidence, `seen` whether one was;
    `control` and `epoch` are those in force then.  In the `shadow` nobody is.
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
    the thresholds that the loop's own guarantee has certified, by segment, and `recorded` the labels that it counted.
    Where two orders count, all of this is of confidence, and `learned` has the thresholds of the other where it acts.
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
    recorded: tuple[Recorded, ...] = ()
    learned: Mapping[str, float] = {}

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
        counts = {"cases": self.cases, "same": self.same, "moved": self.moved, "skipped": self.skipped}
        return {"loop": self.loop, **counts, "moves": moves}


def replayed(desk: Desk, loop: str, limit: int, done: Callable[[], None], group: str | None = None) -> Replayed:
    """Route the newest `limit` cases of a loop again, under the settings of this call; writes nothing."""
    stored = desk.control(loop)
    if stored is None:
        raise UnknownLoopError(f"the database knows no loop {loop!r}", loop=loop)
    settings = desk.settings.loops.get(loop)
    control = stored if settings is None else replace(stored, settings=settings)
    anything = replace(control.settings, threshold=0.0, guarantee=None, start="gate")
    bare = replace(control, settings=anything, thresholds={}, closed={})
    same, skipped, unscored = 0, 0, 0
    past: list[Past] = []
    moves: dict[tuple[str, str, str], Rerouting] = {}
    for case in _cases(desk, loop, limit):
        done()
        if case is None or case.erased or case.route is None:
            skipped += 1
            continue
        # whether a score decides where it goes, whatever the threshold is and whether autopilot is open
        decided = routed(case, bare)[1]
        if decided == STEP or (control.learned and decided == "no_signal"):  # there the score is not the confidence
            if control.learned and (case.route.score is None or case.route.scorer != control.scorer):
                unscored += 1
            else:
                past.append(_past(case, case.route, control, group))
        to, by, reason = routed(case, control)
        if to == case.route.to:
            same += 1
            continue
        before = moves.get((case.route.to, to, by))
        count = before.cases + 1 if before else 1
        moves[case.route.to, to, by] = Rerouting(case.route.to, to, by, count, reason, case.id)
    most = tuple(sorted(moves.values(), key=lambda move: -move.cases))
    entries = desk.store.queries.entries(f"loop/{control.loop_id}", values=False)
    guarantee = stored.settings.guarantee
    return Replayed(
        loop, same, skipped, most, tuple(past[::-1]), reach(entries, control), unscored,
        {} if guarantee is None else by_score(stored), guarantee, recorded(desk, stored, control),
        {} if guarantee is None else by_chance(stored),
    )  # fmt: skip


def by_score(control: Control) -> dict[str, float]:
    """The thresholds in force on the score that this replay tests: of two orders those of confidence."""
    return {name: at for name, at in control.thresholds.items() if control.learned or control.acting(name) != RISK}


def by_chance(control: Control) -> dict[str, float]:
    """The thresholds in force on the other score: of two orders those of the learned one, where it acts."""
    return {name: at for name, at in control.thresholds.items() if name not in by_score(control)}


def _past(case: Case, route: Route, control: Control, group: str | None) -> Past:
    """A case as evidence for a threshold; `group` is a field of it or of its `meta`, "none" where it has none."""
    value: JSON = ""
    if group is not None:
        value = getattr(case, group) if group in FIELDS else case.meta.get(group.removeprefix("meta."))
    return Past(
        score=float((route.score if control.learned else case.confidence) or 0.0), wrong=verdict(case, control).wrong,
        inclusion=route.labelled, seen=(route.to == "human" and not route.shown) or route.audited,
        group=NO_GROUP if value is None else str(value), control=route.control, epoch=route.epoch,
        shadow=case.origin == "shadow",
    )  # fmt: skip


def routed(case: Case, control: Control) -> tuple[str, str, str]:
    """Where a past case would go: route, what spoke, and why."""
    proposal = case.proposal
    action, value = (proposal.action, proposal.value) if proposal else (None, None)
    subject = subject_of(action, value, case.input, case.signal, case.meta, proposal is not None)
    if case.route is not None:
        subject = subject._replace(score=learned_of(case.route, control))
    routing = route(subject, control, case.opened_at)
    return routing.to, routing.by, routing.reason


def _cases(desk: Desk, loop: str, limit: int) -> Iterator[Case | None]:
    cursor, left = None, limit
    while left > 0:
        page = desk.store.queries.cases(loop=loop, limit=min(left, 200), cursor=cursor)
        for row in page.rows:
            try:
                yield desk.case(row.id)
            except ReadOnlyError:  # a newer version wrote it: what it says cannot be routed here
                yield None
        left, cursor = (left - len(page.rows) if page.next else 0), page.next


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
    """Past cases as evidence; those in the shadow are none, since nobody was asked."""
    live = [case for case in replayed.past if not case.shadow]
    # with what least probability a human saw any case that could be seen, by version; and where some could not be
    declared = {case.control: replayed.reach.least.get(case.control, 1.0) for case in live}
    blind = {version for version, least in declared.items() if least == 0.0}
    blind |= {case.control for case in live if case.inclusion == 0.0}
    floors = {version: least or 1.0 for version, least in declared.items()}
    for case in live:
        floors[case.control] = min(floors[case.control], case.inclusion or 1.0)

    def row(case: Past) -> ScoredRow:
        """A case as evidence; that nobody could be asked about it is known for certain, and counts as wrong."""
        right = case.wrong == 0 and case.inclusion > 0.0
        return ScoredRow(case.score, right, case.group, case.inclusion or 1.0, floors[case.control])

    left_out = blind if certifying and blind < floors.keys() else set()
    counted = [case for case in live if case.control not in left_out]
    reviewed = [case for case in counted if case.seen and case.inclusion > 0.0]
    judged = [row(case) for case in reviewed if case.wrong is not None]
    evidence, unseen = reviewed, 0  # not known to be right counts as wrong
    if certifying and not left_out:
        unseen = sum(case.inclusion == 0.0 for case in counted)
        evidence = [case for case in counted if case.seen or case.inclusion == 0.0]
    return PastEvidence(
        judged, [row(case) for case in evidence], len(reviewed) - len(judged), unseen,
        sum(case.seen and case.inclusion > 0.0 for case in live if case.control in left_out),
    )  # fmt: skip


def past_result(replayed: Replayed, options: Options, group: str | None) -> ThresholdResult:
    """What a threshold would have done to past cases; with nothing judged, nothing is known.

    Under a guarantee a threshold is chosen as the live certificate chooses it, by the labels that it counts.
    """
    chooses = options.max_error is not None and options.threshold is None
    live = replayed.recorded if chooses else ()
    past = seen(replayed, certifying=options.max_error is not None and not live)
    if not past.judged and past.left_out:
        bare = past_result(replayed, options._replace(max_error=None, threshold=None), group)
        why = UNSEEN if bare.n else NONE
        return bare._replace(offline=_refused(options, why), reason=why)
    if group is not None and past.judged and all(row.group == NO_GROUP for row in past.judged):
        raise FileError(f"no past case has {group!r}; --group takes segment, action, or a field of meta")
    none = next((record.why_not for record in live if record.why_not), NONE)
    nothing = ThresholdResult(
        0, "betting", options.confidence, None, None if options.max_error is None else _refused(options, none), [],
        options.price.of(1.0, 0.0) if options.price else None, {}, none,
    )  # fmt: skip
    if not past.judged:
        return nothing
    by_bets = weighted(past.evidence, options, guaranteed=replayed.reach.guaranteed)
    result = _as_live(replayed, past, options, by_bets) if live else threshold_result(
        past.judged, options, allowing(by_bets, missed(replayed, options))
    )  # fmt: skip
    if options.grouped:  # of a group of which nobody has judged a case nothing is known
        groups = dict(result.groups)
        for name, count in Counter(row.group for row in past.evidence).items():
            silence = f"nobody judged any of {some(count, 'case')}: nothing is known of its error"
            groups.setdefault(name, nothing._replace(reason=silence))
        result = result._replace(groups=dict(sorted(groups.items())))
    reason = result.reason
    if options.max_error and past.unanswered and not live:
        reason += f"; {past.unanswered} that nobody judged count as wrong"
    if options.max_error and past.unseen:
        reason += f"; {past.unseen} that nobody could be asked about ({PLACES}) count as wrong, which audit = 0.05 ends"
    return result._replace(reason=reason)


def _as_live(replayed: Replayed, past: PastEvidence, options: Options, by_bets: Method) -> ThresholdResult:
    """What the live certificate of each segment makes of the labels that it counts."""
    bounds = allowing(by_bets, missed(replayed, options)).bounds
    found = {
        record.segment: record.offline(options.max_error or 0.5, options.confidence, options.miss_rate)
        for record in replayed.recorded
    }  # fmt: skip
    if len(found) == 1:
        (only,) = found.values()
        return threshold_result(past.judged, options, Method(METHOD, bounds, lambda *given, **more: only))
    bare = threshold_result(past.judged, options._replace(max_error=None), Method(METHOD, bounds, by_bets.test))
    return bare._replace(segments=found, reason=SEPARATE)


SEPARATE = "each segment has a certificate of its own, and they share the chance of being wrong"


def missed(replayed: Replayed, options: Options) -> float:
    """The share of errors that people are taken to let pass: as asked for, else as the guarantee takes it."""
    if options.miss_rate is not None:
        return options.miss_rate
    return replayed.guarantee.missed if replayed.guarantee is not None else 0.0


def _refused(options: Options, why: str) -> Offline:
    labels = needed(options.max_error or 0.5, options.confidence)
    return Offline(None, 0.0, None, None, 0, 0, 0, labels, why, "betting")


def remarks(replayed: Replayed, options: Options) -> list[str]:
    """Remarks on the figures of past cases: what is left out, and why the loop's guarantee may differ."""
    remarks = []
    shadow = sum(case.shadow for case in replayed.past)
    if shadow:
        remarks.append(f"{some(shadow, 'case')} {SHADOW}")
    unseen = sum(case.inclusion == 0.0 and not case.shadow for case in replayed.past)
    past = seen(replayed, certifying=options.max_error is not None)
    if unseen and not past.unseen:
        remarks.append(f"{some(unseen, 'case')} that nobody could be asked about ({PLACES}) are left out")
    if past.left_out:
        remarks.append(
            f"{some(past.left_out, 'case')} that humans were asked about meanwhile are no evidence for a certificate "
            "either, since they are not like all"
        )
    if replayed.unscored:
        remarks.append(f"{some(replayed.unscored, 'case')} without a score of the risk model in force are left out")
    if options.max_error is None:
        return remarks
    guarantee = replayed.guarantee
    if guarantee is None:
        return [*remarks, NO_LIVE, *([] if options.miss_rate is not None else [UNALLOWED])]
    epochs = len({case.epoch for case in replayed.past if case.seen})
    if epochs > 1:
        remarks.append(f"the errors are of {epochs} epochs, of which the loop's own guarantee counts the last only")
    if replayed.learned:
        where = _places(replayed.learned)
        remarks.append(
            "two orders count the same answers, and here they are put in that of confidence; the loop acts by the "
            f"learned chance of being right, from {where} on, as its guarantee has certified it"
        )
    if options.threshold is None and replayed.recorded:
        return [*remarks, *_live(replayed, guarantee, options)]
    return [*remarks, *_own(replayed, guarantee)]


NO_LIVE = (
    "the loop has no guarantee, so that nobody was asked blind: people saw the proposals, a live certificate would "
    "count none of these answers, and here they are tested once"
)
UNALLOWED = "errors that people let pass are not allowed for; --miss-rate 0.1 takes every tenth to be missed"


def _live(replayed: Replayed, guarantee: Guarantee, options: Options) -> Iterator[str]:
    """What the labels were that were tested, and how that compares with what the guarantee has certified."""
    for record in replayed.recorded:
        if record.changed and not record.why_not:
            yield (
                f"by today's rules other cases reach the threshold ({record.changed}): past ones were routed again, "
                "and counted with the part of the chance of being wrong that a new epoch keeps for them"
            )
    same = (options.max_error, options.confidence) == (guarantee.max_error, guarantee.confidence)
    if same and options.miss_rate is None and replayed.own and not any(r.changed for r in replayed.recorded):
        yield "this is what the loop's own guarantee has certified, by the same answers"
    else:
        yield from _own(replayed, guarantee)


def _own(replayed: Replayed, guarantee: Guarantee) -> Iterator[str]:
    if replayed.own:
        yield (
            f"the loop's own guarantee has certified {_places(replayed.own)} for an error of at most "
            f"{share(guarantee.max_error)}, and acts by that"
        )


def _places(thresholds: Mapping[str, float]) -> str:
    return ", ".join(f"{at:.4g}" + (f" ({name})" if name else "") for name, at in sorted(thresholds.items()))


def documented(replayed: Replayed, result: ThresholdResult, options: Options) -> dict[str, JSON]:
    """Both halves as JSON: where cases would go, and what a threshold would have done."""
    unanswered = sum(case.seen and case.inclusion > 0.0 and case.wrong is None for case in replayed.past)
    return {**replayed.to_dict(), **plain(result), "unanswered": unanswered, "remarks": remarks(replayed, options)}
