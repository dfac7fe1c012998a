"""Answers and open reviews as lines of a file; an answer is applied, skipped as it is in force, or refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol import changes
from dualcontrol.case import ENCODER, JSON, Actor, Case, Review
from dualcontrol.commands import Expire, GiveAnswer, TakeClaim
from dualcontrol.control import Env, Facts
from dualcontrol.desk import Desk
from dualcontrol.errors import AnswerError, ConflictError, DualcontrolError, FileError, ImportRefusedError, StoreError
from dualcontrol.evolve import fold
from dualcontrol.layout import json_line, written
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

IDS = ("case_id", "review_id")
KNOWN_TEXTS = (*IDS, "verdict", "rationale", "shown", "person")
FIELDS = (*KNOWN_TEXTS, "value", "reasons", "confidence")
DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


class LineResult(NamedTuple):
    """What became of a line."""

    line: int
    became: str
    case_id: str = ""
    code: str = ""
    why: str = ""


def take(
    desk: Desk, line: int, row: dict[str, Any] | str | None, actor: Actor, rehearsed: dict[str, Case] | None
) -> LineResult:  # fmt: skip
    """Apply one line, or say why not; only a store that is down stops the whole file.

    With `rehearsed` nothing is written: there the cases are kept as the lines before would have left them.
    """
    case_id = str(row.get("case_id", "")) if isinstance(row, dict) else ""
    try:
        if isinstance(row, str):
            raise ImportRefusedError(row)
        if row is None:
            return LineResult(line, "empty")
        for name in IDS:
            if not row.get(name):
                raise ImportRefusedError(f"the line has no {name}")
        if answered(row):
            return LineResult(line, _applied(desk, row, actor, rehearsed), case_id)
        for name in IDS:  # where the line was cut off, its answer may be gone with the rest
            if not ID.fullmatch(str(row[name])):
                raise ImportRefusedError(f"the line has no answer, and its {name} is cut off or is none")
        return LineResult(line, "unanswered", case_id)
    except StoreError:
        raise
    except DualcontrolError as error:
        return LineResult(line, "refused", case_id, error.code, error.message)


def answered(row: dict[str, Any]) -> bool:
    """Whether a line says anything; without a verdict and a value it has no answer yet."""
    value = row.get("value")
    return bool(row.get("verdict")) or not (value is None or (isinstance(value, str) and not value.strip()))


def _read(row: dict[str, Any], actor: Actor) -> GiveAnswer:
    """The answer that a line holds, as it is written there and without a claim."""
    for name in KNOWN_TEXTS:
        if not isinstance(row.get(name) or "", str):
            raise ImportRefusedError(f"{name} is not a text")
    reasons = row.get("reasons") or ()
    if not isinstance(reasons, list | tuple) or not all(isinstance(code, str) for code in reasons):
        raise ImportRefusedError("reasons is not a list of texts")
    confidence = row.get("confidence")
    if confidence in (None, ""):
        confidence = None
    else:
        try:
            number = number_of(confidence) if isinstance(confidence, str) else confidence
            confidence = math.nan if number is None or isinstance(number, bool) else float(number)
        except (TypeError, ValueError):
            confidence = math.nan
        if not 0 <= confidence <= 1:
            raise ImportRefusedError("confidence is not a number from 0 to 1")
    return GiveAnswer(
        case_id=row["case_id"], claim_id="", verdict=row.get("verdict") or "label", value=row.get("value"),
        actor=actor, rationale=row.get("rationale") or None, reasons=tuple(reasons), confidence=confidence,
    )  # fmt: skip


def _applied(desk: Desk, row: dict[str, Any], actor: Actor, rehearsed: dict[str, Case] | None) -> str:
    """Claim and answer the review of a line, where that very answer is not in force: "applied" or "skipped"."""
    line, person, review_id = _read(row, actor), actor.person, row["review_id"]
    case = (rehearsed or {}).get(line.case_id) or desk.case(line.case_id)
    review = case.review(review_id)
    if review is None:
        raise ImportRefusedError(f"case {case.id} has no review {review_id}")
    if _in_force(desk, case, review, line):
        return "skipped"

    def command(case: Case, review: Review) -> GiveAnswer:
        if row.get("shown") and row["shown"] != digest(view(case, review, person)):
            raise ConflictError(
                f"what {person} would see of case {case.id} is not what the file shows",
                hint="Export again: the case has moved on, or the file was written for somebody else.",
            )
        return _answer(desk, case, review, line)

    if rehearsed is None:
        after = desk.steps.answer_case(case.id, person, command, review_id=review_id)
        desk.certifier.answered(after)
        desk.prober.answered(after)
        changes.answered(desk, after)
        return "applied"
    # a dry run: every check of claim and answer is made, nothing is written
    control = desk.control(case.loop)
    if control is None:
        raise ImportRefusedError(f"loop {case.loop!r} is gone")
    now = desk.steps.now()
    facts = Facts(followers=desk.steps.followers(case))
    env = Env(now=now, new_id=desk.steps.new_id, secret=desk.steps.secret, reroute=reroute, facts=facts)
    case = fold(case, lease.expire(case, Expire(case_id=case.id, review_id=review_id), control, env))
    review = case.review(review_id) or review
    if review.state != "claimed" or not same(review.person, person):
        claim = TakeClaim(case_id=case.id, review_id=review_id, person=person, claim_id=env.new_id(), until=now + 1)
        case = fold(case, lease.claim(case, claim, control, env))
    if (claimed := case.review(review_id)) is not None:
        case = desk.steps.after(case, answering.answer(case, command(case, claimed), control, env), control, env)
    rehearsed[case.id] = case
    return "applied"


def _answer(desk: Desk, case: Case, review: Review, line: GiveAnswer) -> GiveAnswer:
    """A line as the answer to a review: where its value is a text, the likeliest reading of it that fits."""
    line = replace(line, claim_id=review.claim_id or "")
    if not isinstance(line.value, str):
        return line
    control = desk.control(case.loop)
    proposed = [] if hidden(review) else [candidate.value for candidate in case.candidates]
    likely = [replace(line, value=value) for value in readings(line.verdict, line.value, control, proposed)]
    if len(likely) > 1 and control is not None:
        for answer in likely:
            with suppress(AnswerError):
                values.checked(case, review, answer, control)
                return answer
    return likely[0]


def _in_force(desk: Desk, case: Case, review: Review, line: GiveAnswer) -> bool:
    """Whether this person's very answer stands already."""
    if not same(review.person, line.actor.person) or review.state not in ("answered", "passed"):
        return False
    standing = next((answer for answer in case.answers if answer.review_id == review.id), None)
    if standing is None:
        return review.state == "passed" and line.verdict in PASSING
    control = desk.control(case.loop)
    answer = _answer(desk, case, review, line)
    verdict = "label" if line.verdict == "approve" and case.mode == "labels" else line.verdict
    if control is None or verdict != standing.verdict:
        return False
    value = values.checked(case, review, answer, control)
    return ENCODER.encode(value) == ENCODER.encode(standing.value)


# Open reviews as rows of a file: what the reviewer may see, what may be answered, and empty fields for the answer.


CSV_COLUMNS = (
    "review_id", "case_id", "loop", "input", "proposal", "confidence_of_ai", "rationale_of_ai", "labels", "shown",
    "verdict", "value", "rationale",
)  # fmt: skip


def waiting(desk: Desk, pools: list[tuple[int, str]], person: str) -> list[InboxRow]:
    """Every open review that this person may take, in queue order."""
    page = desk.store.queries.inbox(pools, person=person, limit=200)
    rows = list(page.rows)
    while page.next is not None:
        page = desk.store.queries.inbox(pools, person=person, limit=200, cursor=page.next)
        rows += page.rows
    return [row for row in rows if row.review.state == "open"]


def row_of(case: Case, review: Review, person: str, desk: Desk) -> dict[str, JSON]:
    """One open review as a row; `shown` binds an answer to what stands in it."""
    control = desk.governing(case.loop)
    env = Env(now=desk.steps.now(), new_id=desk.steps.new_id, secret=desk.steps.secret)
    presented = presentation(case, review, person, control, env)
    followers = 0 if review.beside else desk.steps.followers(case)
    # as it would be shown to this person after the claim: candidates in order, how many ask the same
    claimed = replace(review, presented=presented, followers=followers, meta=meta_for(review, control))
    seen = view(case, claimed, person)
    labels = control.settings.labels
    return {
        "review_id": review.id, "case_id": case.id, "loop": case.loop, "mode": case.mode, "person": person,
        "verdicts": list(legal_in(case, review)), "labels": None if labels is None else list(labels),
        "view": seen, "shown": digest(seen), "verdict": None, "value": None, "rationale": None,
    }  # fmt: skip


def jsonl(rows: Iterable[dict[str, JSON]]) -> str:
    """The rows as JSON lines."""
    return "".join(json_line(row) + "\n" for row in rows)


def table_text(rows: Iterable[dict[str, JSON]]) -> str:
    """The rows as CSV; only labels fit into a table."""
    table = []
    for row in rows:
        if row["mode"] != "labels":
            raise FileError(f"CSV holds labels only, and loop {row['loop']!r} is in {row['mode']} mode; write .jsonl")
        seen, proposal = row["view"], row["view"]["proposal"]
        cells = row | {"input": seen["input"], "proposal": proposal["value"] if proposal else None}
        cells |= {"confidence_of_ai": seen["signal"].get("confidence"), "rationale_of_ai": seen["rationale"]}
        table.append([_cell(cells[name]) for name in CSV_COLUMNS])
    return csv_text(CSV_COLUMNS, table)


def _cell(value: JSON) -> str:
    if value is None:
        return ""
    return harmless(written(value)) if isinstance(value, str) else written(value)
