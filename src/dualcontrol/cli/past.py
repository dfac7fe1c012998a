"""Past cases as evidence for a threshold: those that a human was asked about, weighted, in the order of decisions.

A case that a human was asked about and nobody judged counts as wrong in the certificate, since slow answers are not
like quick ones; the curve and its intervals leave it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dualcontrol.case import JSON
from dualcontrol.cli.again import NO_GROUP, Past, Replayed
from dualcontrol.cli.reading import usage
from dualcontrol.cli.text import some
from dualcontrol.cli.whatif import Asked, Found, found, plain, weighted
from dualcontrol.route.binomial import needed
from dualcontrol.route.curve import Scored
from dualcontrol.route.promise import Offline

NONE = "no past case on which the threshold speaks was judged by a human, so nothing is known of its error"


class Seen(NamedTuple):
    """The judged cases, the same with those nobody judged counted as wrong, and how many there are of these."""

    judged: list[Scored]
    evidence: list[Scored]
    unanswered: int
    least: float


def seen(past: Sequence[Past]) -> Seen:
    """What past cases say; cases that no human could have seen (shadow) say nothing of what humans would find."""
    asked = [case for case in past if case.seen and case.inclusion > 0.0]
    rows = [(case.wrong, Scored(case.score, case.wrong == 0, case.group, case.inclusion)) for case in asked]
    judged = [row for wrong, row in rows if wrong is not None]
    evidence = [row for _, row in rows]  # not known to be right counts as wrong
    least = min((case.inclusion for case in past if case.inclusion > 0.0), default=1.0)
    return Seen(judged, evidence, len(evidence) - len(judged), least)


def what_if(replayed: Replayed, asked: Asked, group: str | None) -> Found:
    """What a threshold would have done to past cases; with nothing judged, nothing is known."""
    known = seen(replayed.past)
    if group is not None and known.judged and all(row.group == NO_GROUP for row in known.judged):
        raise usage(f"no past case has {group!r}; --group takes segment, action, or a field of meta")
    if not known.judged:
        return nothing(asked)
    result = found(known.judged, asked, weighted(known.evidence, asked, known.least))
    result = result._replace(groups=_with_unjudged(result.groups, known.evidence, asked))
    waiting = f"; {known.unanswered} that nobody judged count as wrong" if known.unanswered and asked.max_error else ""
    return result._replace(reason=result.reason + waiting)


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
    refused: Offline | None = None
    if asked.max_error is not None:
        labels = needed(asked.max_error, asked.confidence)
        refused = Offline(None, 0.0, None, None, 0, 0, 0, labels, NONE, "betting")
    humans = asked.price.of(1.0, 0.0) if asked.price else None
    return Found(0, "betting", asked.confidence, None, refused, [], humans, {}, NONE)


def documented(replayed: Replayed, result: Found) -> dict[str, JSON]:
    """Both halves as JSON: where cases would go, and what a threshold would have done."""
    unanswered = sum(case.seen and case.inclusion > 0.0 and case.wrong is None for case in replayed.past)
    return {**replayed.to_dict(), **plain(result), "unanswered": unanswered}
