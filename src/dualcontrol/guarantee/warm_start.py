"""Warm start: what a new epoch begins with, of cases that people have labelled already.

For a new model these are its labels on cases that never train, a share drawn by HMAC whatever the label; for another
policy the cases that reach the threshold under it, routed again.  Labels keep the inclusion probabilities with which
they came in, and the least that any decision could have had then, so that any region is tested fairly.  Somebody may
have looked at them before: they have a part of delta of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from dualcontrol.case import JSON, Case, Route
from dualcontrol.control import Control
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import BatchRouted, Entry, EpochBegan, EvidenceCounted, Opened, Routed
from dualcontrol.guarantee.certificate import Label, chance_of, edges_of, first_of
from dualcontrol.guarantee.evidence import MISSING, PENDING, Counted, Segment, floors, label_of, overdue, versions
from dualcontrol.labels import mark
from dualcontrol.learn.serving import Served
from dualcontrol.learn.training import for_comparison, for_evidence
from dualcontrol.question import same_cases
from dualcontrol.review import adjudication
from dualcontrol.route.route import by_its_model, subject_of
from dualcontrol.route.route import route as routed
from dualcontrol.step import Steps

PAGE = 1_000
LEAST_PILOT = 30
BINS = 100
UNSEEN = ("/evidence", "/skipped")  # what training has said of rows that no model was fitted to or chosen by


class Start(NamedTuple):
    """What a new epoch begins with: cases that are evidence, and those that only choose where to begin.

    `share` is what these cases may spend of the part of delta that is kept for what was recorded before the epoch, and
    `missing` are the positions of those that nobody answered.  `why_not` says why recorded cases are no evidence.
    """

    evidence: list[Counted]
    pilot: list[Counted]
    floors: list[str]
    share: float = 1.0
    missing: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()  # which of the evidence people gave with the proposal before them
    why_not: str = ""

    def promise(self, max_error: float) -> dict[str, Any]:
        """Bins and first region by the burn-in; one exact test of the evidence if all of it was labelled for sure."""
        warm = {"warm": len(self.evidence), "warm_share": self.share} if self.evidence else {}
        if len(self.pilot) < LEAST_PILOT:
            return warm
        piloted = [Label(pos, float(score), wrong, float(chance)) for pos, score, wrong, chance, _, _ in self.pilot]
        edges = edges_of([label.score for label in piloted], BINS)
        promise: dict[str, Any] = {"edges": edges, "first": first_of(edges, piloted, max_error, None), **warm}
        certain = self.evidence and all(float(floor) == 1.0 for floor in self.floors)
        return promise | ({"launch": len(self.evidence)} if certain else {})


def start(steps: Steps, control: Control, name: str, segment: Segment, model: Served, tried: int = 1) -> Start:
    """What a model says of labelled cases that are older than its epoch, in the order of decisions.

    `tried` is its number among the models that were tried on them; each pays for the look.  Where a risk model scores,
    those cases have no score that the new epoch could count; those of another policy were other cases.  Nor are they
    counted where several belong together, since who was seen of a cluster is not looked up.
    """
    result, guarantee = Start([], [], [], chance_of(tried)), control.settings.guarantee
    if control.learned or (guarantee is not None and guarantee.largest > 1):
        return result
    positions = _unanswered(steps, control, name, segment) | _answered(steps, control, segment)
    entries = steps.store.queries.entries(f"loop/{control.loop_id}", values=False)
    least, policy = floors(entries, control, name), _asked_since(entries, control)
    rows: list[tuple[int, Route, JSON, JSON, bool, bool]] = []
    for case_id, (pos, trained) in positions.items():
        evidence = for_evidence(steps.secret, control, case_id) and not trained
        if not evidence and not for_comparison(steps.secret, control, case_id):
            continue
        try:
            case = steps.store.queries.case(case_id)
        except ReadOnlyError:
            continue
        # the certificate speaks for the case, and a model can be given its input; an erased one has none
        if case is None or case.route is None or case.route.shown:  # what people said of it is no evidence
            continue
        if case.route.score is None or case.origin != "live" or case.erased:
            continue
        if case.route.control < policy:
            continue
        if case.input is not None and control.certificate_for(case.segment) == name:
            # what is counted here was counted before: where nobody gave a second word, the first one stood
            truth = adjudication.truth(case, alone=True)
            rows.append((pos, case.route, case.input, truth, evidence, adjudication.blind(case)))
    rows.sort(key=itemgetter(0))
    scores = model.score_all([row[2] for row in rows]) if rows else []
    shown: list[int] = []
    for (pos, route, _, truth, evidence, blind), score in zip(rows, scores, strict=True):
        wrong = int(truth is None or mark(score.label) != mark(truth))
        label = (pos, repr(float(score.confidence)), wrong, repr(route.labelled), 0, 0)
        (result.evidence if evidence else result.pilot).append(label)
        if evidence:
            result.floors.append(repr(min(least.get(route.control, 1.0), route.labelled)))
            shown += [] if blind else [pos]
    return result._replace(shown=tuple(shown))


def coverage(began: EpochBegan, start: Start) -> float:
    """What these labels would certify at once, as a share of decisions."""
    trial = Segment(began, None)
    for label, floor in zip(start.evidence, start.floors, strict=True):
        trial.count(label, floor=floor)
    return trial.certificate.coverage


def _answered(steps: Steps, control: Control, segment: Segment) -> dict[str, tuple[int, bool]]:
    """Labelled decisions of the present stream, since its last alarm and counted by now; and whether a model knows it.

    The share that is evidence may have been smaller before, so that a case drawn for it now has trained a model then.
    """
    positions: dict[str, tuple[int, bool]] = {}
    after = 0
    while page := steps.store.queries.examples(control.loop_id, after=after, limit=PAGE):
        after = page[-1].id or 0
        for example in page:
            pos, used_by = example.pos, example.used_by
            if pos is not None and segment.since < pos <= segment.upto and example.inclusion > 0:
                trained = used_by is not None and not used_by.endswith(UNSEEN)
                positions[example.case_id] = (pos, trained or positions.get(example.case_id, (0, False))[1])
    return positions


def _unanswered(steps: Steps, control: Control, name: str, segment: Segment) -> dict[str, tuple[int, bool]]:
    """Decisions that were to be reviewed and were not: they count as errors here too, or silence would hide them."""
    positions: dict[str, tuple[int, bool]] = {}
    for entry in steps.store.queries.entries(f"loop/{control.loop_id}", values=False):
        for event in entry.events:
            if isinstance(event, EvidenceCounted) and event.segment == name:
                for pos in (pos for pos in event.missing if segment.since < pos <= segment.upto):
                    stream = steps.store.feed(pos - 1, 1, control.loop)[0].stream
                    positions[stream.removeprefix("case/")] = (pos, False)
    return positions


def _asked_since(entries: Sequence[Entry], control: Control) -> int:
    """The version of a loop's control since which the same cases reach the threshold."""
    pairs = pairwise(versions(entries, control))
    return max((now.version for was, now in pairs if not same_cases(was.settings, now.settings)), default=0)


# Another policy: recorded cases are routed again under it, and those that reach the threshold now are evidence.
#
# A case that a rule kept with people was seen for certain and has an answer, so that it stands for the cases that come
# to the threshold once the rule is dropped.  Which cases are taken hangs on routes alone, never on a label: all of a
# window that reach the threshold now, up to the first whose answer is still awaited.  Where nobody could have seen some
# of them (blocked, or let run without audits), or where they have no score, the rest is not like all, and nothing is
# taken.


RECORDED = 10_000  # of the latest decisions that people may have seen are routed again
LOOK_BACK = 100_000  # positions of the feed that are looked through for them
NOBODY = "went where nobody could be asked about them (blocked, or let run without audits)"
POLICIES = 10  # may have been compared on what is recorded before one was chosen: each has a tenth of its part of delta


def recounted(steps: Steps, control: Control, name: str, segment: Segment) -> Start:
    """The cases that reach the threshold under a policy that is new, with the labels they have, in order of decisions.

    Missing answers count as errors; so do erased cases, since nobody can say any more where they would go.
    """
    guarantee = control.settings.guarantee

    def nothing(why: str) -> Start:
        return Start([], [], [], why_not=why)

    if guarantee is not None and guarantee.largest > 1:
        return nothing("where several cases count together it is not looked up who was seen of a cluster")
    heads, unseen = _recorded(steps, control, segment)
    if unseen:
        return nothing(f"rows of a batch {NOBODY}, and left no case that could be routed again")
    entries = steps.store.queries.entries(f"loop/{control.loop_id}", values=False)
    least, now = floors(entries, control, name), steps.now()
    labels: list[Counted] = []
    missing: list[int] = []
    minima: list[str] = []
    for pos, case_id in heads:
        try:
            case = steps.store.queries.case(case_id)
        except ReadOnlyError:
            return nothing("a newer version wrote some of the cases: what they say cannot be routed here")
        if case is None or case.route is None:
            return nothing("a case is not there any more")
        score = reaches(case, control, name, segment.model)
        if score is None:
            continue
        if score is UNKNOWN:
            return nothing("some cases that would reach the threshold have no score of the risk model")
        if case.route.labelled == 0.0:
            return nothing(f"some cases that would reach the threshold {NOBODY}, and the others are not like them")
        if case.route.shown:
            continue
        if guarantee is not None and guarantee.blind and not adjudication.blind(case):
            return nothing(
                "some cases that would reach the threshold were answered with the proposal shown, as where a rule kept "
                "them with people, which is no evidence"
            )
        label = MISSING if case.erased else label_of(case, control, alone=True)
        if label == PENDING:
            if not overdue(case.opened_at, control, now):
                break
            label = MISSING
        if label == MISSING:
            missing.append(pos)
        wrong = 1 if label == MISSING else int(label)
        labels.append((pos, repr(score), wrong, repr(case.route.labelled), 0, 0))
        minima.append(repr(min(least.get(case.route.control, 1.0), case.route.labelled)))
    return Start(labels, [], minima, 1.0 / POLICIES, tuple(missing))


UNKNOWN = float("nan")  # the score of a case that would reach the threshold if it had one


def reaches(case: Case, control: Control, name: str, model: str | None) -> float | None:
    """The score with which a recorded case reaches the threshold of a certificate under this control; None if not so.

    `UNKNOWN` where it would, and has no score; of proposals by another model than the certificate's nothing is said.
    """
    route, proposal = case.route, case.proposal
    if route is None or control.certificate_for(case.segment) != name:
        return None
    if case.erased:  # nobody knows where it would go
        known = case.confidence if route.score is None and not control.learned else route.score
        return None if known is None else float(known)
    action, value = (proposal.action, proposal.value) if proposal else (None, None)
    subject = subject_of(action, value, case.input, case.signal, case.meta, proposal is not None)
    if control.learned:
        if route.score is not None and route.scorer != control.scores_by:
            return None
        subject = subject._replace(score=1.0 if route.score is None else route.score)
    ruling = routed(subject, control, case.opened_at)
    if ruling.score is None or proposal is None:
        return None
    if by_its_model(ruling, proposal.to_dict(), subject, control).model != model:
        return None
    return UNKNOWN if control.learned and route.score is None else float(ruling.score)


def _recorded(steps: Steps, control: Control, segment: Segment) -> tuple[list[tuple[int, str]], bool]:
    """The latest decisions since the last alarm that people may have seen, or that nobody could see; in order.

    True with them where rows of a batch, which leave no case, went where nobody could see them.
    """
    heads: deque[tuple[int, str]] = deque(maxlen=RECORDED)
    read, unseen = max(segment.since, segment.upto - LOOK_BACK), False
    while entries := steps.store.feed(read, PAGE, control.loop):
        for entry in entries:
            read = entry.pos or read
            if read > segment.upto:
                return list(heads), unseen
            if entry.stream.startswith("case/") and entry.seq == 1:
                opened = entry.events[0]
                route = next((event for event in entry.events if isinstance(event, Routed)), None)
                live = isinstance(opened, Opened) and (opened.origin, opened.case_kind) == ("live", "live")
                looked_at = route is not None and (
                    route.to == "human" or route.audited or float(route.inclusion) == 0.0
                )
                if live and looked_at:
                    heads.append((read, entry.stream.removeprefix("case/")))
                continue
            for batch in (event for event in entry.events if isinstance(event, BatchRouted)):
                let_run = batch.autopilot - batch.audited - sum(batch.unseen.values())
                unseen = unseen or batch.blocked > 0 or let_run > 0
    return list(heads), unseen
