"""Training examples: one for each human decision, with its inclusion probability, and the data set of a loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Example, Value
from dualcontrol.control import Control, Env
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Audited, Concluded, Event
from dualcontrol.learn.trainers import DeskPort
from dualcontrol.verdicts import VERDICTS

KINDS = {name: spec.example for name, spec in VERDICTS.items() if spec.example is not None}

JUDGEMENT = "judgement"  # of a proposal and a person's answer, side by side


def rows(case: Case, events: Sequence[Event], control: Control, env: Env) -> list[Example]:
    """The example rows that these events make: one for a human decision, one for each audit."""
    verdicts: list[tuple[str, str, int | None]] = []
    for event in events:
        if isinstance(event, Concluded) and event.by == "human" and case.settled is not None:
            verdicts.append((KINDS.get(event.verdict or "", ""), event.verdict or "", case.settled.wrong))
        elif isinstance(event, Audited) and event.verdict in KINDS and not _asked_again(case, event):
            review = case.review(event.review_id)
            kind = JUDGEMENT if review is not None and review.against else KINDS[event.verdict]
            verdicts.append((kind, event.verdict, event.wrong))
    route = case.route
    return [
        Example(
            case_id=case.id, loop_id=control.loop_id, epoch=route.epoch if route else 0,
            kind=kind or verdict, verdict=verdict, wrong=wrong, bin=route.bin if route else None,
            score=case.confidence, inclusion=route.inclusion if route else 1.0, at=env.now,
        )
        for kind, verdict, wrong in verdicts
    ]  # fmt: skip


def _asked_again(case: Case, event: Audited) -> bool:
    """Whether this is what somebody said of a case that people had decided: one example of it is there already."""
    return event.review == "audit" and case.route is not None and case.route.shown


# The data set: every example with what it was about and where it comes from.
#
# No decision is used without its provenance: a row says who answered, when, what they were shown, and with what
# probability a human saw the case at all.  What lacks any of it (its content was erased, or a newer version wrote it)
# is left out and counted.


PAGE = 1_000


class TrainingRow(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One human decision as a training row, with its provenance.

    `weight` is one over the inclusion probability (Horvitz and Thompson 1952): with it, what humans happened to
    see stands for all cases.  `distribution` is what each of several answers said; where they were only collected it
    stands alone, and `value` is None.
    """

    id: int
    case_id: str
    loop: str
    mode: str
    kind: str
    verdict: str
    input: JSON
    value: JSON
    distribution: list[JSON] | None = None
    proposal: JSON = None
    candidates: list[JSON] = []
    rationale: str | None = None
    who: list[str]
    at: int
    shown: list[str]
    inclusion: float
    weight: float
    wrong: int | None = None
    audit: bool = False
    origin: str = "live"
    epoch: int = 0
    score: float | None = None
    source: JSON = None
    meta: JSON = None
    used_by: str | None = None


class Dataset(NamedTuple):
    """Rows that may be used, and how many examples may not."""

    rows: list[TrainingRow]
    left_out: int


def dataset(desk: DeskPort, loop: str, *, unused: bool = False) -> Dataset:
    """Every example of a loop with its content and provenance, in the order they were made."""
    control, after = desk.control(loop), 0
    rows: list[TrainingRow | None] = []
    page: Sequence[Example]
    while control is not None and (
        page := desk.store.queries.examples(control.loop_id, unused=unused, after=after, limit=PAGE)
    ):
        for example in page:
            try:
                rows.append(_training_row(desk.case(example.case_id), example))
            except ReadOnlyError:  # a newer version wrote the case
                rows.append(None)
        after = page[-1].id or 0
    usable = [row for row in rows if row is not None]
    return Dataset(usable, len(rows) - len(usable))


def _training_row(case: Case, example: Example) -> TrainingRow | None:
    """An example with its content; None where content, person, what was shown, or the probability is missing.

    It was made from one review beside the outcome (an audit), or from all the answers that settled the case.  An
    approval says that the proposal is right; answers that were only collected say no one thing.
    """
    settled = case.settled.answers if case.settled is not None else ()
    beside = [
        a for a in case.answers if a.review_id not in settled and (a.at, a.verdict) == (example.at, example.verdict)
    ]
    answers = beside[:1] or [a for a in case.answers if a.review_id in settled]
    complete = answers and all(a.actor.person and a.shown for a in answers) and 0.0 < example.inclusion <= 1.0
    if case.erased or not complete:
        return None
    proposal, first, distribution = case.proposal, answers[0], None
    if beside:
        value = case.proposed_value() if first.verdict == "approve" else first.value
        value = first.by_side if example.kind == JUDGEMENT else value
    else:
        collected = case.settled is not None and case.settled.settled_by == "collect" and len(answers) > 1
        value = None if collected else case.resolved_value()
        distribution = case.decision.distribution if case.decision is not None else None
    candidates = [{k: item for k, item in c.items() if k != "schema"} for c in case.content.get("candidates", ())]
    return TrainingRow(
        id=example.id or 0, case_id=case.id, loop=case.loop, mode=case.mode, kind=example.kind,
        verdict=example.verdict, input=case.input, value=value, distribution=distribution,
        proposal=case.proposed_value(), candidates=candidates, rationale=first.rationale,
        who=list(dict.fromkeys(a.actor.person for a in answers)), at=example.at, shown=[a.shown for a in answers],
        inclusion=example.inclusion, weight=1.0 / example.inclusion, wrong=example.wrong, audit=bool(beside),
        origin=case.origin, epoch=example.epoch, score=example.score,
        source=proposal.source if proposal else None, meta=case.meta, used_by=example.used_by,
    )  # fmt: skip


def labelled(rows: Iterable[TrainingRow]) -> list[TrainingRow]:
    """The rows that a trainer can learn a label from, each with that label as its value: they have an input as well."""
    valued = [replace(row, value=label(row)) for row in rows if row.kind == "label" and row.input is not None]
    return [row for row in valued if row.value is not None]


def label(row: TrainingRow) -> JSON:
    """The label of a row; of answers that were only collected, what most said, and None where no one label leads."""
    if row.value is not None or not row.distribution:
        return row.value
    first, *others = sorted(row.distribution, key=lambda share: -share["answers"])
    return None if others and others[0]["answers"] == first["answers"] else first["value"]
