"""One line of a file of answers: applied, skipped because it is in force already, unanswered, or refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol.case import ENCODER, JSON, Actor, Case, Review
from dualcontrol.commands import Expire, GiveAnswer, TakeClaim
from dualcontrol.control import Control, Env, Facts, LoopSettings
from dualcontrol.desk import Desk
from dualcontrol.errors import (
    AnswerError,
    ConflictError,
    DualcontrolError,
    FileError,
    ImportRefusedError,
    StoreError,
)
from dualcontrol.evolve import fold
from dualcontrol.layout import written
from dualcontrol.learn.export import csv_text, harmless
from dualcontrol.names import same
from dualcontrol.review import answer as answering
from dualcontrol.review import lease, values
from dualcontrol.review.lease import meta_for, presentation
from dualcontrol.review.values import legal_in
from dualcontrol.review.view import digest, hidden, view
from dualcontrol.route import reroute
from dualcontrol.spelling import number_of, readings
from dualcontrol.store import InboxRow
from dualcontrol.verdicts import PASSING

KNOWN_TEXTS = ("case_id", "review_id", "verdict", "rationale", "shown", "person")
FIELDS = (*KNOWN_TEXTS, "value", "reasons", "confidence")
DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


class Said(NamedTuple):
    """What became of a line."""

    line: int
    became: str
    case_id: str = ""
    code: str = ""
    why: str = ""


class _Row(NamedTuple):
    """The fields of a line that count."""

    case_id: str
    review_id: str
    verdict: str
    value: JSON
    rationale: str | None
    reasons: tuple[str, ...]
    confidence: float | None
    shown: str | None


def take(
    desk: Desk, line: int, row: dict[str, Any] | str | None, actor: Actor, rehearsed: dict[str, Case] | None
) -> Said:  # fmt: skip
    """Apply one line, or say why not; only a store that is down stops the whole file.

    With `rehearsed` nothing is written: there the cases are kept as the lines before would have left them.
    """
    case_id = str(row.get("case_id", "")) if isinstance(row, dict) else ""
    try:
        if isinstance(row, str):
            raise ImportRefusedError(row)
        if row is None:
            return Said(line, "empty")
        for name in ("case_id", "review_id"):
            if not row.get(name):
                raise ImportRefusedError(f"the line has no {name}")
        if not answered(row):
            _check_ids(row)
            return Said(line, "unanswered", case_id)
        return Said(line, _taken(desk, _read(row), actor, rehearsed), case_id)
    except StoreError:
        raise
    except DualcontrolError as error:
        return Said(line, "refused", case_id, error.code, error.message)


def _check_ids(row: dict[str, Any]) -> None:
    """Refuse a line without an answer that was cut off: with the rest its answer may be gone."""
    for name in ("case_id", "review_id"):
        if not ID.fullmatch(str(row[name])):
            raise ImportRefusedError(f"the line has no answer, and its {name} is cut off or is none")


def answered(row: dict[str, Any]) -> bool:
    """Whether a line says anything; without a verdict and a value it has no answer yet."""
    value = row.get("value")
    return bool(row.get("verdict")) or not (value is None or (isinstance(value, str) and not value.strip()))


def _read(row: dict[str, Any]) -> _Row:
    for name in KNOWN_TEXTS:
        if not isinstance(row.get(name) or "", str):
            raise ImportRefusedError(f"{name} is not a text")
    reasons = row.get("reasons") or ()
    if not isinstance(reasons, list | tuple) or not all(isinstance(code, str) for code in reasons):
        raise ImportRefusedError("reasons is not a list of texts")
    return _Row(
        row["case_id"], row["review_id"], row.get("verdict") or "label", row.get("value"),
        row.get("rationale") or None, tuple(reasons), _confidence(row.get("confidence")), row.get("shown") or None,
    )  # fmt: skip


def _confidence(given: Any) -> float | None:
    """How sure the reviewer was; the AI's own confidence stands elsewhere."""
    if given in (None, ""):
        return None
    try:
        said = number_of(given) if isinstance(given, str) else given
        number = math.nan if said is None or isinstance(said, bool) else float(said)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ImportRefusedError("confidence is not a number from 0 to 1")
    return number


def _taken(desk: Desk, row: _Row, actor: Actor, rehearsed: dict[str, Case] | None) -> str:
    person = actor.person
    case = (rehearsed or {}).get(row.case_id) or desk.case(row.case_id)
    review = case.review(row.review_id)
    if review is None:
        raise ImportRefusedError(f"case {case.id} has no review {row.review_id}")
    if _in_force(desk, case, review, row, actor):
        return "skipped"

    def said(case: Case, held: Review) -> GiveAnswer:
        return _answer(desk, case, held, row, actor)

    if rehearsed is not None:
        rehearsed[case.id] = _rehearsed(desk, case, review, person, said)
    else:
        desk.certifier.answered(desk.steps.answer_case(case.id, person, said, review_id=review.id))
    return "applied"


def _answer(desk: Desk, case: Case, held: Review, row: _Row, actor: Actor) -> GiveAnswer:
    """The line as an answer; refused when the reviewer was shown something else than there is now."""
    if row.shown is not None and row.shown != digest(view(case, held, actor.person)):
        raise ConflictError(
            f"what {actor.person} would see of case {case.id} is not what the file shows",
            hint="Export again: the case has moved on, or the file was written for somebody else.",
        )
    made = GiveAnswer(
        case_id=case.id, claim_id=held.claim_id or "", verdict=row.verdict, value=row.value, actor=actor,
        rationale=row.rationale, reasons=row.reasons, confidence=row.confidence,
    )  # fmt: skip
    if not isinstance(row.value, str):
        return made
    control = desk.control(case.loop)
    proposed = [] if hidden(held) else [candidate.value for candidate in case.candidates]
    read = [replace(made, value=value) for value in readings(row.verdict, row.value, control, proposed)]
    if len(read) == 1 or control is None:
        return read[0]
    return next((answer for answer in read if _fits(case, held, answer, control.settings)), read[0])


def _fits(case: Case, held: Review, answer: GiveAnswer, settings: LoopSettings) -> bool:
    try:
        values.checked(case, held, answer, settings)
    except AnswerError:
        return False
    return True


def _in_force(desk: Desk, case: Case, review: Review, row: _Row, actor: Actor) -> bool:
    """Whether this person's very answer stands already."""
    if not same(review.person, actor.person) or review.state not in ("answered", "passed"):
        return False
    given = next((a for a in case.answers if a.review_id == review.id), None)
    if given is None:
        return review.state == "passed" and row.verdict in PASSING
    control = desk.control(case.loop)
    again = _answer(desk, case, review, row._replace(shown=None), actor)
    verdict = "label" if row.verdict == "approve" and case.mode == "labels" else row.verdict
    if control is None or verdict != given.verdict:
        return False
    value = values.checked(case, review, again, control.settings)
    return ENCODER.encode(value) == ENCODER.encode(given.value)


def _rehearsed(desk: Desk, case: Case, review: Review, person: str, said: Callable[[Case, Review], GiveAnswer]) -> Case:
    """Claim and answer in the head only: every check is made, nothing is written; gives the case as it would be."""
    control = desk.control(case.loop)
    if control is None:
        raise ImportRefusedError(f"loop {case.loop!r} is gone")
    now = desk.steps.now()
    facts = Facts(followers=desk.steps.followers(case))
    env = Env(now=now, new_id=desk.steps.new_id, secret=desk.steps.secret, reroute=reroute, facts=facts)
    case = fold(case, lease.expire(case, Expire(case_id=case.id, review_id=review.id), control, env))
    meant = case.review(review.id) or review
    if meant.state != "claimed" or not same(meant.person, person):
        claim = TakeClaim(case_id=case.id, review_id=review.id, person=person, claim_id=env.new_id(), until=now + 1)
        case = fold(case, lease.claim(case, claim, control, env))
    held = case.review(review.id)
    if held is None:
        return case
    return desk.steps.after(case, answering.answer(case, said(case, held), control, env), control, env)


# Open reviews as rows of a file: what the reviewer may see, what may be answered, and empty fields for the answer.


CSV_COLUMNS = (
    "review_id", "case_id", "loop", "input", "proposal", "confidence_of_ai", "rationale_of_ai", "labels", "shown",
    "verdict", "value", "rationale",
)  # fmt: skip
ANSWER = {"verdict": None, "value": None, "rationale": None}


def waiting(desk: Desk, pools: list[tuple[int, str]], person: str) -> list[InboxRow]:
    """Every open review that this person may take, in queue order."""
    page = desk.store.queries.inbox(pools, person=person, limit=200)
    rows = list(page.rows)
    while page.next is not None:
        page = desk.store.queries.inbox(pools, person=person, limit=200, cursor=page.next)
        rows += page.rows
    return [row for row in rows if row.review.state == "open"]


def as_claimed(case: Case, review: Review, person: str, control: Control, desk: Desk) -> Review:
    """The review as it would be shown to this person after the claim: candidates in order, how many ask the same."""
    env = Env(now=desk.steps.now(), new_id=desk.steps.new_id, secret=desk.steps.secret)
    followers = 0 if review.beside else desk.steps.followers(case)
    presented = presentation(case, review, person, control, env)
    return replace(review, presented=presented, followers=followers, meta=meta_for(review, control))


def row_of(case: Case, review: Review, person: str, desk: Desk) -> dict[str, JSON]:
    """One open review as a row; `shown` binds an answer to what stands in it."""
    control = desk.governing(case.loop)
    seen = view(case, as_claimed(case, review, person, control, desk), person)
    return {
        "review_id": review.id,
        "case_id": case.id,
        "loop": case.loop,
        "mode": case.mode,
        "person": person,
        "verdicts": list(legal_in(case, review)),
        "labels": list(control.settings.labels) if control.settings.labels is not None else None,
        "view": seen,
        "shown": digest(seen),
        **ANSWER,
    }


def jsonl(rows: Iterable[dict[str, JSON]]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table_text(rows: Iterable[dict[str, JSON]]) -> str:
    """The rows as CSV; only labels fit into a table."""
    cells = []
    for row in rows:
        if row["mode"] != "labels":
            raise FileError(f"CSV holds labels only, and loop {row['loop']!r} is in {row['mode']} mode; write .jsonl")
        flat = _flat(row)
        cells.append([flat.get(name, "") for name in CSV_COLUMNS])
    return csv_text(CSV_COLUMNS, cells)


def _flat(row: dict[str, JSON]) -> dict[str, str]:
    seen = row["view"]
    proposal = seen["proposal"]
    cells = {name: row[name] for name in ("review_id", "case_id", "loop", "shown", "labels")} | {
        "input": seen["input"],
        "proposal": proposal["value"] if proposal else None,
        "confidence_of_ai": seen["signal"].get("confidence"),
        "rationale_of_ai": seen["rationale"],
    }
    return {name: _cell(value) for name, value in cells.items() if value is not None}


def _cell(value: JSON) -> str:
    return harmless(written(value)) if isinstance(value, str) else written(value)
