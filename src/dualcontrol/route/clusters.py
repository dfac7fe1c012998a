"""Clusters: cases of one question, run or conversation are one piece of evidence, the first few of them.

The guarantee is about cases, and counts what belongs together once (see `guarantee.certificate`).  How many belong
together at most has to be known before: what exceeds that goes to people, and is neither autopilot nor evidence.  The
place of a case is fixed when it is opened, by what was opened before it and by nothing that people answer.
"""

from __future__ import annotations

from msgspec.structs import replace

from dualcontrol.case import Case, Cluster, Route, microseconds
from dualcontrol.control import QUESTION, Control, Facts

BY = "cluster"


def placed(usual: Route, control: Control, now: int, facts: Facts) -> Route:
    """The route of a case that the score decided, with its place in its cluster; to people where there is none left.

    The id of a cluster's first case is filled in when that has one.
    """
    by, guarantee = control.settings.together, control.settings.guarantee
    if by is None or guarantee is None or usual.score is None:
        return usual
    if not facts.placed and guarantee.independent_by is None:  # of a batch, whose rows no other is settled with
        return usual
    if not facts.placed:
        why = "in a batch nobody looks up the question" if by == QUESTION else f"it has no {by}"
        return _to_people(usual, f"{why}, which tells the guarantee what belongs together")
    before = facts.before.route.cluster if facts.before is not None and facts.before.route is not None else None
    if before is None or now - before.at > (microseconds(guarantee.within) or 0):
        return replace(usual, cluster=Cluster(first="", at=now))
    if before.place < guarantee.largest:
        return replace(usual, cluster=replace(before, place=before.place + 1))
    same = "the same question" if by == QUESTION else f"the same {by}"
    several = f"the {guarantee.largest} cases" if guarantee.largest > 1 else "the one case"
    return _to_people(usual, f"it has {same} as {several} from {before.first} on, which the guarantee counts as one")


def apart(usual: Route, leader: Case | None) -> Route:
    """The route of a case that is settled with another: evidence only where both are of one cluster."""
    if usual.relief != "joined" or usual.cluster is None or leader is None:
        return usual
    with_it = None if leader.route is None else leader.route.cluster
    if with_it is not None and with_it.first == usual.cluster.first:
        return usual
    return replace(usual, score=None, scorer=None, bin=None, cluster=None)


def _to_people(usual: Route, why: str) -> Route:
    """The same to people, and no evidence."""
    reason = f"{usual.reason}; {why}" if usual.to == "human" else f"{why}, so a human decides"
    by = usual.by if usual.to == "human" else BY
    return replace(usual, to="human", by=by, reason=reason, inclusion=1.0, score=None, scorer=None, bin=None)
