"""Warm start: the labels of a new model on cases that people have labelled already, and that never train.

The labels keep the inclusion probabilities with which they came in, and the least that any decision could have had
then, so that any region of the new score is tested fairly.  The share of cases that is evidence only is drawn by
HMAC, whatever the label.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

from dualcontrol.case import JSON, Route
from dualcontrol.control import Control
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import EpochBegan, EvidenceCounted
from dualcontrol.guarantee.certificate import Label, edges_of, first_of
from dualcontrol.guarantee.evidence import Counted, Segment, floors
from dualcontrol.labels import mark
from dualcontrol.learn.serving import Served
from dualcontrol.learn.training import for_comparison, for_evidence
from dualcontrol.review import adjudication
from dualcontrol.step import Steps

PAGE = 1_000
LEAST_PILOT = 30
BINS = 100
UNSEEN = ("/evidence", "/skipped")  # what training has said of rows that no model was fitted to or chosen by


class Start(NamedTuple):
    """What a new model would have said: to cases that are evidence, and to those that only choose where to begin."""

    evidence: list[Counted]
    pilot: list[Counted]
    floors: list[str]
    shown: list[int]  # which of the evidence people gave with the proposal before them

    def promise(self, max_error: float) -> dict[str, Any]:
        """Bins and first region by the burn-in; one exact test of the evidence if all of it was labelled for sure."""
        if len(self.pilot) < LEAST_PILOT:
            return {}
        piloted = [Label(pos, float(score), wrong, float(chance)) for pos, score, wrong, chance, _, _ in self.pilot]
        edges = edges_of([label.score for label in piloted], BINS)
        promise: dict[str, Any] = {"edges": edges, "first": first_of(edges, piloted, max_error, None)}
        certain = self.evidence and all(float(floor) == 1.0 for floor in self.floors)
        return promise | ({"launch": len(self.evidence)} if certain else {})


def start(steps: Steps, control: Control, name: str, segment: Segment, model: Served) -> Start:
    """What a model says of labelled cases that are older than its epoch, in the order of decisions.

    Where a risk model scores, those cases have no score that the new epoch could count.
    """
    result = Start([], [], [], [])
    if control.learned:
        return result
    positions = _unanswered(steps, control, name, segment) | _answered(steps, control, segment)
    entries = steps.store.queries.entries(f"loop/{control.loop_id}", values=False)
    least = floors(entries, control, name)
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
        if case.input is not None and control.certificate_for(case.segment) == name:
            # what is counted here was counted before: where nobody gave a second word, the first one stood
            truth = adjudication.truth(case, alone=True)
            rows.append((pos, case.route, case.input, truth, evidence, adjudication.blind(case)))
    rows.sort(key=itemgetter(0))
    scores = model.score_all([row[2] for row in rows]) if rows else []
    for (pos, route, _, truth, evidence, blind), score in zip(rows, scores, strict=True):
        wrong = int(truth is None or mark(score.label) != mark(truth))
        label = (pos, repr(float(score.confidence)), wrong, repr(route.labelled), 0, 0)
        (result.evidence if evidence else result.pilot).append(label)
        if evidence:
            result.floors.append(repr(min(least.get(route.control, 1.0), route.labelled)))
            result.shown.extend([] if blind else [pos])
    return result


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
