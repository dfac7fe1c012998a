"""A warm start: what a new model would have said to cases that people have labelled already, and that never train.

The labels keep the inclusion probabilities with which they came in, and the least that any decision could have had
then, so that any region of the new score is tested fairly.  The share of cases that is evidence only is drawn by
HMAC, whatever the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from dualcontrol.case import JSON, Case
from dualcontrol.control import Control
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import EpochBegan, EvidenceCounted
from dualcontrol.guarantee.certificate import Label, edges_of
from dualcontrol.guarantee.evidence import Counted, Floors, Segment
from dualcontrol.labels import mark
from dualcontrol.learn.training import for_comparison, for_evidence
from dualcontrol.review import adjudication
from dualcontrol.step import Steps

PAGE = 1_000
LEAST_PILOT = 30
BINS = 100
UNSEEN = ("/evidence", "/skipped")  # what training has said of rows that no model was fitted to or chosen by


class Labelling(Protocol):
    """What a model says of one input."""

    @property
    def label(self) -> JSON:
        """The likeliest label."""
        ...

    @property
    def confidence(self) -> float:
        """Its probability."""
        ...


class Labeller(Protocol):
    """A model that labels inputs."""

    def score_all(self, inputs: Sequence[JSON]) -> Sequence[Labelling]:
        """What it says of each input."""
        ...


class _Known(NamedTuple):
    pos: int
    inclusion: float
    floor: float
    input: JSON
    truth: JSON
    evidence: bool


class Start(NamedTuple):
    """What a new model would have said: to cases that are evidence, and to those that only choose where to begin."""

    evidence: list[Counted]
    pilot: list[Counted]
    floors: list[str]

    @property
    def promise(self) -> dict[str, Any]:
        """Bins and first region by the pilot; one exact test of the evidence where all of it was labelled for sure."""
        given: dict[str, Any] = {}
        if len(self.pilot) >= LEAST_PILOT:
            piloted = [Label(pos, float(score), wrong, float(chance)) for pos, score, wrong, chance, _, _ in self.pilot]
            edges = edges_of([label.score for label in piloted], BINS)
            given |= {"edges": edges, "piloted": piloted}
        if given and self.evidence and all(float(floor) == 1.0 for floor in self.floors):
            given |= {"launch": len(self.evidence)}
        return given


def start(steps: Steps, control: Control, name: str, segment: Segment, model: Labeller) -> Start:
    """What a model says of labelled cases that are older than its epoch, in the order of decisions.

    Where a risk model scores, those cases have no score that the new epoch could count.
    """
    if control.learned:
        return Start([], [], [])
    known = sorted(_known(steps, control, name, segment), key=lambda one: one.pos)
    said = model.score_all([one.input for one in known]) if known else []
    found = Start([], [], [])
    for one, scored in zip(known, said, strict=True):
        wrong = int(one.truth is None or mark(scored.label) != mark(one.truth))
        label = (one.pos, repr(float(scored.confidence)), wrong, repr(one.inclusion), 0, 0)
        (found.evidence if one.evidence else found.pilot).append(label)
        if one.evidence:
            found.floors.append(repr(one.floor))
    return found


def coverage(began: EpochBegan, found: Start) -> float:
    """What these labels would certify at once, as a share of decisions."""
    trial = Segment(began, None)
    for label, floor in zip(found.evidence, found.floors, strict=True):
        trial.count(label, floor=floor)
    return trial.certificate.coverage


def _known(steps: Steps, control: Control, name: str, segment: Segment) -> Iterator[_Known]:
    found = _unanswered(steps, control, name, segment) | _answered(steps, control, segment)
    floors = Floors(steps.store.queries.entries(f"loop/{control.loop_id}", values=False), control, name)
    for case_id, (pos, trained) in found.items():
        evidence = for_evidence(steps.secret, control, case_id) and not trained
        if not evidence and not for_comparison(steps.secret, control, case_id):
            continue
        known = _case(steps, control, name, case_id, pos, evidence, floors)
        if known is not None:
            yield known


def _answered(steps: Steps, control: Control, segment: Segment) -> dict[str, tuple[int, bool]]:
    """Labelled decisions of the present stream, since its last alarm and counted by now; and whether a model knows it.

    The share that is evidence may have been smaller before, so that a case drawn for it now has trained a model then.
    """
    found: dict[str, tuple[int, bool]] = {}
    after = 0
    while page := steps.store.queries.examples(control.loop_id, after=after, limit=PAGE):
        after = page[-1].id or 0
        for one in page:
            if one.pos is not None and segment.since < one.pos <= segment.upto and one.inclusion > 0:
                trained = one.used_by is not None and not one.used_by.endswith(UNSEEN)
                found[one.case_id] = (one.pos, trained or found.get(one.case_id, (0, False))[1])
    return found


def _unanswered(steps: Steps, control: Control, name: str, segment: Segment) -> dict[str, tuple[int, bool]]:
    """Decisions that were to be reviewed and were not: they count as errors here too, or silence would hide them."""
    found: dict[str, tuple[int, bool]] = {}
    for entry in steps.store.queries.entries(f"loop/{control.loop_id}", values=False):
        for event in entry.events:
            if isinstance(event, EvidenceCounted) and event.segment == name:
                for pos in (pos for pos in event.missing if segment.since < pos <= segment.upto):
                    case = steps.store.feed(pos - 1, 1, control.loop)[0].stream
                    found[case.removeprefix("case/")] = (pos, False)
    return found


def _case(
    steps: Steps, control: Control, name: str, case_id: str, pos: int, evidence: bool, floors: Floors
) -> _Known | None:  # fmt: skip
    try:
        case = steps.store.queries.case(case_id)
    except ReadOnlyError:
        return None
    if case is None or case.route is None or not _fits(case, control, name):
        return None
    # what is counted here was counted before: where nobody gave a second word, the first one stood
    truth, floor = adjudication.truth(case, alone=True), min(floors.at(case.route.control), case.route.inclusion)
    return _Known(pos, case.route.inclusion, floor, case.input, truth, evidence)


def _fits(case: Case, control: Control, name: str) -> bool:
    """Whether the certificate speaks for a case, and its input can be given to a model; an erased one has none."""
    mine = case.route is not None and case.route.score is not None and case.origin == "live" and not case.erased
    return mine and case.input is not None and control.certificate_for(case.segment) == name
