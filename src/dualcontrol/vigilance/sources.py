"""What probes are made of: settled cases whose truth is known, as they were or made wrong, and authored ones.

Known is what a person who did not see the proposal says too, or two people say alike; one person who saw it may have
repeated it.  A wrong probe is the model's own error, replayed, or a right proposal made wrong: another label, or an
action corrupted as the loop declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, ProbeKind
from dualcontrol.commands import Propose
from dualcontrol.control import Control, Corruption, LoopSettings
from dualcontrol.labels import mark
from dualcontrol.names import identity
from dualcontrol.probe import AnswerKey, key_of
from dualcontrol.review import adjudication, quorum


class Truth(NamedTuple):
    """Whether the proposal of a settled case was wrong, and what is right, where one value is.

    Not `sure` is that an action is right which one person approved: who commits to "happen" may stamp what comes.  Made
    wrong it is wrong all the same.
    """

    wrong: bool
    right: JSON = None
    sure: bool = True


def truth_of(case: Case, control: Control) -> Truth | None:
    """What is known of a settled live case; None where it rests on one person who saw the proposal."""
    if case.kind != "live" or case.erased or case.proposed is None or case.concluded is None:
        return None
    second = next((audit["wrong"] for audit in case.audits if audit["kind"] == "second"), None)
    first = case.settled.wrong if case.settled is not None else None
    audit = next((audit["wrong"] for audit in case.audits if audit["kind"] == "audit"), None)
    if first is None:
        first = audit
    elif second is None:  # people decided, and somebody else was asked again, blind
        second = audit
    if first is None or (second is not None and second != first):
        return None
    alike = case.settled is not None and _people(case, case.settled.answers) > 1
    if first == 1 and second is None and not alike:
        return None
    if first == 0 and not (alike or _blind(case)):
        return None
    right = adjudication.truth(case)
    if right is None and case.settled is not None and case.mode == "fallback":
        right = case.resolved_value()
    sure = first == 1 or alike or case.mode != "approval"
    return Truth(bool(first), case.proposed_value() if first == 0 else right, sure)


def _people(case: Case, answers: Sequence[str]) -> int:
    """How many people settled a case with answers that say the same."""
    settling = [case.answer(review_id) for review_id in answers]
    if len({quorum.shape(case, answer) for answer in settling}) != 1:
        return 0
    return len({identity(answer.actor.person) for answer in settling})


def _blind(case: Case) -> bool:
    """Whether somebody answered it without the proposal."""
    return any(review.blind and review.state == "answered" for review in case.reviews)


def worked_on(case: Case) -> set[str]:
    """Who knows a case: its reviewers, whose names are `identity`, and who proposed or wrote it."""
    key = key_of(case)
    people = [review.person for review in case.reviews] + [case.owner, case.submitter, key.author if key else None]
    return {identity(person) for person in people if person}


class Source(NamedTuple):
    """What a probe is made of: a case, the key to its answer, and its candidates with which of them is proposed."""

    case: Case
    wrong: bool
    how: ProbeKind
    right: JSON
    cue: str
    candidates: tuple[dict[str, JSON], ...]
    proposed: int


def made_of(case: Case, control: Control, wrong: bool, draw: float, other: Case | None = None) -> Source | None:
    """A probe made of a settled case, or of one that somebody wrote, wrong or right; None where it cannot be.

    `draw` in [0, 1) chooses among several ways; `other` is another case, whose values may be swapped in.
    """
    if case.kind == "probe":
        return authored(case, wrong, other)
    truth = truth_of(case, control)
    if truth is None or case.proposed is None or (truth.wrong and not wrong):
        return None
    rows = tuple(dict(row) for row in case.content.get("candidates", ()))
    if not wrong and not truth.sure:
        return None
    if not wrong:
        return Source(case, False, "replayed", truth.right, "", rows, case.proposed)
    if truth.wrong:
        cue = "the AI was wrong here, as people found who looked at it without the proposal"
        cue += "" if truth.right is None else f"; they say {_short(truth.right)}"
        return Source(case, True, "replayed", truth.right, cue, rows, case.proposed)
    return _with_other_label(case, control, rows, draw, other) or _corrupted(case, control, rows, draw, other)


def _with_other_label(
    case: Case, control: Control, rows: tuple[dict[str, JSON], ...], draw: float, other: Case | None
) -> Source | None:  # fmt: skip
    """A case of labels with another label proposed: the likeliest of the others, which takes over its score.

    It takes over the place too, and the id that goes with it, unless the program lists labels in an order of its own.
    """
    if case.mode != "labels" or case.proposed is None:
        return None
    right = rows[case.proposed]
    others = [index for index in range(len(rows)) if index != case.proposed]
    if others:
        likeliest = max(others, key=lambda index: float(rows[index].get("score") or 0.0))
        swapped = [dict(row) for row in rows]
        if right.get("score") is not None or rows[likeliest].get("score") is not None:
            swapped[case.proposed]["score"], swapped[likeliest]["score"] = (
                rows[likeliest].get("score"), right.get("score"),
            )  # fmt: skip
        order = list(range(len(rows)))
        if _by_score(rows) and (other is None or _by_score(other.content.get("candidates", ()))):
            order[case.proposed], order[likeliest] = likeliest, case.proposed
        numbered = all(row["id"] == f"c{place}" for place, row in enumerate(rows, 1))
        chosen = tuple(
            _without_none(swapped[index]) | ({"id": rows[place]["id"]} if numbered else {})
            for place, index in enumerate(order)
        )
        return _labelled(case, chosen, order.index(likeliest), right["value"])
    labels = [label for label in control.settings.labels or () if mark(label) != mark(right["value"])]
    if not labels:
        return None
    return _labelled(case, ({**right, "value": labels[int(draw * len(labels))]},), 0, right["value"])


def _by_score(rows: Sequence[Mapping[str, JSON]]) -> bool:
    """Whether candidates come in the order of their scores, as far as they have any."""
    scores = [float(row.get("score") or 0.0) for row in rows]
    return scores == sorted(scores, reverse=True)


def _labelled(case: Case, rows: tuple[dict[str, JSON], ...], proposed: int, right: JSON) -> Source:
    cue = f"the right label is {_short(right)}: the AI and a person who had not seen its label said so"
    return Source(case, True, "mutated", right, cue, rows, proposed)


def _without_none(row: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in row.items() if value is not None or name == "value"}


def _corrupted(
    case: Case, control: Control, rows: tuple[dict[str, JSON], ...], draw: float, other: Case | None
) -> Source | None:  # fmt: skip
    """An action made wrong by one of the loop's declared corruptions, where one of them applies."""
    probes, proposed = control.settings.probes, case.proposed
    if probes is None or proposed is None:
        return None
    ways = []
    for corruption in probes.corruptions:
        value = corrupted(rows[proposed].get("value"), corruption, other)
        if value is not UNTOUCHED:
            ways.append((corruption, value))
    if not ways:
        return None
    corruption, value = ways[int(draw * len(ways))]
    changed = tuple({**row, "value": value} if index == proposed else row for index, row in enumerate(rows))
    return Source(case, True, "mutated", case.proposed_value(), corruption.cue, changed, proposed)


UNTOUCHED: Any = object()


def corrupted(value: JSON, corruption: Corruption, other: Case | None) -> JSON:
    """A value with one field made wrong; `UNTOUCHED` where it does not have that field, or would stay as it is."""
    path = corruption.field.split(".")
    old = _at(value, path)
    if old is UNTOUCHED:
        return UNTOUCHED
    new: JSON = corruption.to
    if corruption.times is not None or corruption.plus is not None:
        if isinstance(old, bool) or not isinstance(old, int | float):
            return UNTOUCHED
        number = old * (1.0 if corruption.times is None else corruption.times) + (corruption.plus or 0.0)
        new = int(number) if isinstance(old, int) and float(number).is_integer() else round(number, 6)
    elif corruption.swap:
        rows = () if other is None else other.content.get("candidates", ())
        new = UNTOUCHED if other is None or other.proposed is None else _at(rows[other.proposed].get("value"), path)
    return UNTOUCHED if new is UNTOUCHED or new == old else _replaced(value, path, new)


def _at(value: JSON, path: Sequence[str]) -> JSON:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return UNTOUCHED
        value = value[part]
    return value


def _replaced(value: JSON, path: Sequence[str], new: JSON) -> JSON:
    if not path:
        return new
    return {**value, path[0]: _replaced(value[path[0]], path[1:], new)}


def _short(value: JSON) -> str:
    text = value if isinstance(value, str) else mark(value).decode(errors="replace")
    return repr(text[:60]) if isinstance(value, str) else text[:60]


def authored(case: Case, wrong: bool, like: Case | None = None) -> Source | None:
    """A copy of a probe that somebody wrote, as of the program that proposed the case that it is to be `like`.

    None where its content was erased, or it is not of the kind that is asked for.
    """
    key, proposed = key_of(case), case.proposed
    if key is None or key.wrong != wrong or proposed is None or case.erased:
        return None
    rows = tuple(dict(row) for row in case.content.get("candidates", ()))
    if like is not None and like.submitter is not None:
        case = replace(case, owner=like.owner, submitter=like.submitter)
    return Source(case, key.wrong, "authored", key.right, key.cue, rows, proposed)


def _has_effect(case: Case) -> bool:
    """Whether a program takes the effect of a case like this; of an authored one its key says so."""
    key = key_of(case)
    return case.wants_effect if key is None else key.effect


def level_of(settings: LoopSettings) -> str:
    """How much context a loop asks for: the name of its level, or the fields."""
    context = settings.context
    return context if isinstance(context, str) else ", ".join(context)[:80]


def proposal(source: Source, control: Control, person: str, weight: float = 1.0, *, blind: bool = False) -> Propose:
    """The command that opens a probe of this source for one person."""
    case = source.case
    key = AnswerKey(
        person=person, wrong=source.wrong, how=source.how, right=source.right, source=case.id, run=case.run,
        cue=source.cue, weight=weight, blind=blind, effect=_has_effect(case), level=level_of(control.settings),
    )  # fmt: skip
    scores = [row.get("score") for row in source.candidates] if case.content.get("scores") is not None else None
    return Propose(
        loop=control.loop, kind="probe", input=case.input, candidates=source.candidates, proposed=source.proposed,
        given=("alternatives",), confidence=case.confidence, risk=case.risk,
        requires_approval=case.requires_approval, scores=scores, segment=case.segment, rationale=case.rationale,
        history=case.history, meta=case.content.get("meta"), owner=case.owner, submitter=case.submitter,
        parent=case.id, answer_key=key.content(),
    )  # fmt: skip
