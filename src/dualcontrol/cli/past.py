"""Past cases as evidence for a threshold: those that a human was asked about, weighted, in the order of decisions.

A case that a human was asked about and nobody judged counts as wrong in the certificate, since slow answers are not
like quick ones; the curve and its intervals leave it out.  Where cases went that nobody could have been asked about,
those that people saw meanwhile are not like all: such a time is no evidence, and where there is no other, the cases
that nobody could be asked about count as wrong.  Which of the two it is hangs on settings, never on a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dualcontrol.case import JSON
from dualcontrol.cli.again import NO_GROUP, Past, Replayed
from dualcontrol.cli.reading import usage
from dualcontrol.cli.text import some
from dualcontrol.cli.whatif import Asked, Found, found, plain, weighted
from dualcontrol.route.binomial import needed
from dualcontrol.route.curve import Scored
from dualcontrol.route.promise import Offline, share

NONE = "no past case on which the threshold speaks was judged by a human, so nothing is known of its error"
PLACES = "blocked, or on autopilot without audits"
SHADOW = "went in the shadow, where nobody is asked, and are left out"
UNSEEN = (
    f"no judged case is of a time in which people could have been asked about every case; others went {PLACES}, so "
    "that nothing is known of their error"
)


class Seen(NamedTuple):
    """The judged cases, and the evidence: these, the `unanswered` and the `unseen`, both of which count as wrong.

    `left_out` are the cases that humans were asked about while they could not be asked about others.
    """

    judged: list[Scored]
    evidence: list[Scored]
    unanswered: int
    unseen: int
    left_out: int


def seen(replayed: Replayed, *, certifying: bool) -> Seen:
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
    return Seen(
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


def _row(case: Past, floors: Mapping[int, float]) -> Scored:
    """A case as evidence; that nobody could be asked about it is known for certain, and counts as wrong."""
    right = case.wrong == 0 and case.inclusion > 0.0
    return Scored(case.score, right, case.group, case.inclusion or 1.0, floors[case.control])


def what_if(replayed: Replayed, asked: Asked, group: str | None) -> Found:
    """What a threshold would have done to past cases; with nothing judged, nothing is known."""
    known = seen(replayed, certifying=asked.max_error is not None)
    if not known.judged and known.left_out:
        bare = what_if(replayed, asked._replace(max_error=None, threshold=None), group)
        why = UNSEEN if bare.n else NONE
        return bare._replace(offline=_refused(asked, why), reason=why)
    if group is not None and known.judged and all(row.group == NO_GROUP for row in known.judged):
        raise usage(f"no past case has {group!r}; --group takes segment, action, or a field of meta")
    if not known.judged:
        return nothing(asked)
    result = found(known.judged, asked, weighted(known.evidence, asked, guaranteed=replayed.reach.guaranteed))
    result = result._replace(groups=_with_unjudged(result.groups, known.evidence, asked))
    return result._replace(reason=result.reason + "".join(_as_wrong(known)) if asked.max_error else result.reason)


def _as_wrong(known: Seen) -> Iterator[str]:
    """Which cases the certificate counts as wrong though nobody said so."""
    if known.unanswered:
        yield f"; {known.unanswered} that nobody judged count as wrong"
    if known.unseen:
        yield f"; {known.unseen} that nobody could be asked about ({PLACES}) count as wrong, which audit = 0.05 ends"


def remarks(replayed: Replayed, asked: Asked) -> list[str]:
    """What whoever reads the figures of past cases should know of them, and why a guarantee may say otherwise."""
    return [*_left_out(replayed, asked), *(_own(replayed) if asked.max_error is not None else ())]


def _left_out(replayed: Replayed, asked: Asked) -> Iterator[str]:
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


def _with_unjudged(groups: dict[str, Found], evidence: Sequence[Scored], asked: Asked) -> dict[str, Found]:
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


def nothing(asked: Asked) -> Found:
    """What is known where no past case was judged."""
    refused = None if asked.max_error is None else _refused(asked, NONE)
    humans = asked.price.of(1.0, 0.0) if asked.price else None
    return Found(0, "betting", asked.confidence, None, refused, [], humans, {}, NONE)


def _refused(asked: Asked, why: str) -> Offline:
    labels = needed(asked.max_error or 0.5, asked.confidence)
    return Offline(None, 0.0, None, None, 0, 0, 0, labels, why, "betting")


def documented(replayed: Replayed, result: Found, asked: Asked) -> dict[str, JSON]:
    """Both halves as JSON: where cases would go, and what a threshold would have done."""
    unanswered = sum(case.seen and case.inclusion > 0.0 and case.wrong is None for case in replayed.past)
    return {**replayed.to_dict(), **plain(result), "unanswered": unanswered, "remarks": remarks(replayed, asked)}
