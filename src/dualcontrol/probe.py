"""Probes: cases whose right answer is known, asked of one person as any other case is, to measure what people miss.

The answer key is content of the case, so that the ledger commits to it before anybody answers (a salted hash), and
whoever has the salt can check it after.  A probe ends with its answer: no decision, no effect, no example, no audit
follows.  Until then `concealed` takes out of a case whatever tells it from a live one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Content, ProbeKind, Review
from dualcontrol.control import Env
from dualcontrol.events import Event, Opened, ProbeScored, ReviewCancelled, ReviewOpened

SLOT = "answer_key"
WAITING = ("open", "claimed")


class AnswerKey(NamedTuple):
    """What is right: whether the proposal is `wrong`, how it came to be, for whom, and what shows it.

    `right` is the right value, where one is known; `source` the case that it was made of, with its `run`; `effect`
    whether a program takes one; `author` who wrote it, where somebody did.  `cue` is what the reviewer is told after
    the answer; `level` how much context its loop asks for; `weight` what the answer counts for in the loop's rate, and
    `blind` whether it is asked without the proposal, where some are.
    """

    person: str
    wrong: bool
    how: ProbeKind
    right: JSON = None
    source: str | None = None
    run: str | None = None
    cue: str = ""
    weight: float = 1.0
    blind: bool = False
    effect: bool = True
    author: str = ""
    level: str = ""

    def content(self) -> dict[str, JSON]:
        """The key as content of a case."""
        return self._asdict()


def key_of(case: Case) -> AnswerKey | None:
    """The answer key of a probe; None where it was erased, or the case is none."""
    value: dict[str, Any] | None = case.content.get(SLOT)
    return None if value is None else AnswerKey(**{k: v for k, v in value.items() if k in AnswerKey._fields})


def scored(case: Case, review: Review | None, env: Env, *, rejected: bool | None) -> ProbeScored:
    """The probe's end: its key beside what was answered; without a key there is nothing to compare."""
    key = key_of(case) or AnswerKey(person="", wrong=False, how="authored")
    return ProbeScored(
        review_id="" if review is None else review.id, at=env.now, wrong=key.wrong, how=key.how,
        rejected=rejected if key.person else None, blind=review is not None and review.blind, weight=repr(key.weight),
    )  # fmt: skip


def over(case: Case, review: Review | None, env: Env, *, rejected: bool | None) -> list[Event]:
    """The probe's end with the answer of a review, or without one: its other rows are needed no more."""
    waiting = [r for r in case.reviews if r.state in WAITING and r is not review]
    cancelled: list[Event] = [ReviewCancelled(review_id=r.id, reason="over") for r in waiting]
    return [*cancelled, scored(case, review, env, rejected=rejected)]


def given_up(case: Case, env: Env) -> list[Event]:
    """The end of a probe that nobody answered."""
    first = case.reviews[0] if case.reviews else None
    ended = scored(case, first, env, rejected=None)
    return [*over(case, None, env, rejected=None)[:-1], ended]


# Concealment: what tells a probe from a live case, until it is over.


def is_concealed(case: Case) -> bool:
    """Whether a case is a probe that is still to be answered, which nobody is to know."""
    waits = case.concluded is None or case.concluded.by == "autopilot"
    return case.kind == "probe" and case.scored is None and waits


def concealed(case: Case) -> Case:
    """The case as a live one would look, where it is a probe that is still to be answered; no key before an answer."""
    key = key_of(case)
    if case.scored is None and SLOT in case.content.seals | case.content.values:
        case = replace(case, content=without_key(case.content))
    if not is_concealed(case):
        return case
    return replace(
        case, kind="live", reviews=tuple(map(unaddressed, case.reviews)), parent=None,
        wants_effect=case.mode == "approval" and (key is None or key.effect),
    )  # fmt: skip


def without_key(content: Content) -> Content:
    """Content without the answer key, and without what commits to it."""
    return Content(
        {slot: value for slot, value in content.values.items() if slot != SLOT},
        {slot: seal for slot, seal in content.seals.items() if slot != SLOT},
    )


def unaddressed(review: Review) -> Review:
    """A row without the name of the one person whom it is meant for."""
    return review if review.addressee is None else replace(review, addressee=None)


def anonymous(case: Case) -> Case:
    """A case that waits for people without what is its program's own, since no probe has a key or a run of its own."""
    waits = any(review.state in WAITING for review in case.reviews)
    return replace(case, key=None, run=None, parent=None) if waits else case


def event_as_seen(event: Event, case: Case) -> Event:
    """An event of a case as somebody may see it who sees the case so: it names nothing that the case does not."""
    if isinstance(event, Opened):
        return replace(
            event, case_kind=case.kind, key=case.key, run=case.run, parent=case.parent,
            effect="ready" if case.wants_effect else "none",
            content=event.content if case.scored is not None else without_key(event.content),
        )  # fmt: skip
    return replace(event, addressee=None) if isinstance(event, ReviewOpened) and case.kind == "live" else event
