"""A warm start: what a new model would have said to cases that people have labelled already, and that never train.

The labels keep the inclusion probabilities with which they came in, so that any region of the new score is tested
fairly; the share of cases that is evidence only is drawn by HMAC, whatever the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from dualcontrol.case import JSON, Case, Example
from dualcontrol.certify.segment import Counted, Segment
from dualcontrol.control import Control
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import EpochBegan
from dualcontrol.labels import mark
from dualcontrol.learn.training import for_comparison, for_evidence
from dualcontrol.review import adjudication
from dualcontrol.route.guarantee import Label, edges_of
from dualcontrol.step import Steps

PAGE = 1_000
LEAST_PILOT = 30
BINS = 100


class Scored(Protocol):
    """What a model says of one input."""

    @property
    def label(self) -> JSON:
        """The likeliest label."""
        ...

    @property
    def confidence(self) -> float:
        """Its probability."""
        ...


class Scorer(Protocol):
    """A model that labels inputs."""

    def score_all(self, inputs: Sequence[JSON]) -> Sequence[Scored]:
        """What it says of each input."""
        ...


class _Known(NamedTuple):
    pos: int
    inclusion: float
    input: JSON
    truth: JSON
    evidence: bool


class Start(NamedTuple):
    """What a new model would have said: to cases that are evidence, and to those that only choose where to begin."""

    evidence: list[Counted]
    pilot: list[Counted]

    @property
    def promise(self) -> dict[str, Any]:
        """Bins and first region by the pilot; one exact test of the evidence where all of it was labelled for sure."""
        given: dict[str, Any] = {}
        if len(self.pilot) >= LEAST_PILOT:
            piloted = [Label(pos, float(score), wrong, float(chance)) for pos, score, wrong, chance, _, _ in self.pilot]
            edges = edges_of([label.score for label in piloted], BINS)
            given |= {"edges": edges, "piloted": piloted}
        if given and self.evidence and all(float(label[3]) == 1.0 for label in self.evidence):
            given |= {"launch": len(self.evidence)}
        return given


def start(steps: Steps, control: Control, name: str, segment: Segment, model: Scorer) -> Start:
    """What a model says of labelled cases that are older than its epoch, in the order of decisions.

    Where a risk model scores, those cases have no score that the new epoch could count.
    """
    if control.learned:
        return Start([], [])
    known = sorted(_known(steps, control, name, segment), key=lambda one: one.pos)
    said = model.score_all([one.input for one in known]) if known else []
    found = Start([], [])
    for one, scored in zip(known, said, strict=True):
        wrong = int(mark(scored.label) != mark(one.truth))
        label = (one.pos, repr(float(scored.confidence)), wrong, repr(one.inclusion), 0, 0)
        (found.evidence if one.evidence else found.pilot).append(label)
    return found


def coverage(began: EpochBegan, found: Sequence[Counted]) -> float:
    """What these labels would certify at once, as a share of decisions."""
    trial = Segment(began, None)
    for label in found:
        trial.count(label)
    return trial.certificate.coverage


def _known(steps: Steps, control: Control, name: str, segment: Segment) -> Iterator[_Known]:
    seen: set[str] = set()
    for example in _examples(steps, control, segment):
        evidence = for_evidence(steps.secret, control, example.case_id)
        if example.case_id in seen or not (evidence or for_comparison(steps.secret, control, example.case_id)):
            continue
        seen.add(example.case_id)
        found = _case(steps, control, name, example, evidence)
        if found is not None:
            yield found


def _examples(steps: Steps, control: Control, segment: Segment) -> Iterator[Example]:
    """Labelled decisions of the present stream: since its last alarm, and counted by now."""
    after = 0
    while page := steps.store.queries.examples(control.loop_id, after=after, limit=PAGE):
        after = page[-1].id or 0
        yield from (e for e in page if e.pos is not None and segment.since < e.pos <= segment.upto and e.inclusion > 0)


def _case(steps: Steps, control: Control, name: str, example: Example, evidence: bool) -> _Known | None:
    try:
        case = steps.store.queries.case(example.case_id)
    except ReadOnlyError:
        return None
    if case is None or not _fits(case, control, name):
        return None
    return _Known(example.pos or 0, example.inclusion, case.input, adjudication.truth(case), evidence)


def _fits(case: Case, control: Control, name: str) -> bool:
    mine = case.route is not None and case.route.score is not None and case.origin == "live" and not case.erased
    if not mine or case.input is None or control.certificate_for(case.segment) != name:
        return False
    return adjudication.truth(case) is not None
