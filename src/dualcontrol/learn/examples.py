"""Examples: a row for learning each time a human settles something, with its inclusion probability."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Answer, Case, Example, Value
from dualcontrol.control import Control, Env
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Audited, Concluded, Event
from dualcontrol.learn.trainers import DeskPort
from dualcontrol.verdicts import VERDICTS

KINDS = {name: spec.example for name, spec in VERDICTS.items() if spec.example is not None}


def rows(case: Case, events: Sequence[Event], control: Control, env: Env) -> list[Example]:
    """The example rows that these events make: one for a human decision, one for each audit."""
    made: list[Example] = []
    for event in events:
        if isinstance(event, Concluded) and event.by == "human" and case.settled is not None:
            made.append(_row(case, control, event.verdict or "", case.settled.wrong, env))
        elif isinstance(event, Audited) and event.verdict in KINDS:
            made.append(_row(case, control, event.verdict, event.wrong, env))
    return made


def _row(case: Case, control: Control, verdict: str, wrong: int | None, env: Env) -> Example:
    route = case.route
    return Example(
        case_id=case.id,
        loop_id=control.loop_id,
        epoch=route.epoch if route else 0,
        kind=KINDS.get(verdict, verdict),
        verdict=verdict,
        wrong=wrong,
        bin=route.bin if route else None,
        score=case.confidence,
        inclusion=route.inclusion if route else 1.0,
        at=env.now,
    )


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
    control = desk.control(loop)
    found = [] if control is None else list(_examples(desk, control.loop_id, unused))
    rows = [_read(desk, example) for example in found]
    kept = [row for row in rows if row is not None]
    return Dataset(kept, len(rows) - len(kept))


def _examples(desk: DeskPort, loop_id: int, unused: bool) -> Iterator[Example]:
    after = 0
    while page := desk.store.queries.examples(loop_id, unused=unused, after=after, limit=PAGE):
        yield from page
        after = page[-1].id or 0


def _read(desk: DeskPort, example: Example) -> TrainingRow | None:
    try:
        return _training_row(desk.case(example.case_id), example)
    except ReadOnlyError:  # this version cannot tell what it says
        return None


def _training_row(case: Case, example: Example) -> TrainingRow | None:
    answers = _meant(case, example)
    if not complete(case, example, answers):
        return None
    proposal, audit = case.proposal, _is_audit(case, answers)
    return TrainingRow(
        id=example.id or 0, case_id=case.id, loop=case.loop, mode=case.mode, kind=example.kind,
        verdict=example.verdict, input=case.input, value=_value(case, answers, audit),
        distribution=None if audit or case.decision is None else case.decision.distribution,
        proposal=case.proposed_value(), candidates=[_plain(c) for c in case.content.get("candidates", ())],
        rationale=answers[0].rationale, who=list(dict.fromkeys(a.actor.person for a in answers)), at=example.at,
        shown=[a.shown for a in answers], inclusion=example.inclusion, weight=1.0 / example.inclusion,
        wrong=example.wrong, audit=audit, origin=case.origin, epoch=example.epoch, score=example.score,
        source=proposal.source if proposal else None, meta=case.meta, used_by=example.used_by,
    )  # fmt: skip


def complete(case: Case, example: Example, answers: Sequence[Answer]) -> bool:
    """Whether a decision has its provenance: content, who, what they were shown, and a probability."""
    known = bool(answers) and all(a.actor.person and a.shown for a in answers)
    return known and not case.erased and 0.0 < example.inclusion <= 1.0


def _meant(case: Case, example: Example) -> tuple[Answer, ...]:
    """The answers that an example was made from: one review beside the outcome, or all that settled the case."""
    if case.erased:
        return ()
    settled = case.settled.answers if case.settled is not None else ()
    beside = [a for a in case.answers if a.review_id not in settled]
    audit = next((a for a in beside if a.at == example.at and a.verdict == example.verdict), None)
    if audit is not None:
        return (audit,)
    return tuple(a for a in case.answers if a.review_id in settled)


def _is_audit(case: Case, answers: Sequence[Answer]) -> bool:
    return case.settled is None or answers[0].review_id not in case.settled.answers


def _value(case: Case, answers: Sequence[Answer], audit: bool) -> JSON:
    """What the human said is right; an approval says that the proposal is, answers only collected say no one thing."""
    if not audit:
        collected = case.settled is not None and case.settled.settled_by == "collect" and len(answers) > 1
        return None if collected else case.resolved_value()
    return case.proposed_value() if answers[0].verdict == "approve" else answers[0].value


def _plain(candidate: JSON) -> JSON:
    return {key: item for key, item in candidate.items() if key != "schema"}


def labelled(rows: Iterable[TrainingRow]) -> list[TrainingRow]:
    """The rows that a trainer can learn a label from, each with that label as its value: they have an input as well."""
    found = [replace(row, value=label(row)) for row in rows if row.kind == "label" and row.input is not None]
    return [row for row in found if row.value is not None]


def label(row: TrainingRow) -> JSON:
    """The label of a row; of answers that were only collected, what most said, and None where no one label leads."""
    if row.value is not None or not row.distribution:
        return row.value
    first, *others = sorted(row.distribution, key=lambda said: -said["answers"])
    return None if others and others[0]["answers"] == first["answers"] else first["value"]
