"""Open reviews as rows of a file: what the reviewer may see, what may be answered, and empty fields for the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Review
from dualcontrol.cli.opening import governing
from dualcontrol.cli.reading import usage
from dualcontrol.cli.text import written
from dualcontrol.control import Control, Env
from dualcontrol.desk import Desk
from dualcontrol.learn.export import csv_text, harmless
from dualcontrol.review.lease import meta_for, presentation
from dualcontrol.review.values import legal_in
from dualcontrol.review.view import digest, view
from dualcontrol.store import InboxRow

CSV_COLUMNS = (
    "review_id", "case_id", "loop", "input", "proposal", "confidence_of_ai", "rationale_of_ai", "labels", "shown",
    "verdict", "value", "rationale",
)  # fmt: skip
ANSWER = {"verdict": None, "value": None, "rationale": None}


def waiting(desk: Desk, pools: list[tuple[int, str]], person: str) -> Iterator[InboxRow]:
    """Every open review that this person may take, in queue order."""
    cursor: str | None = None
    while True:
        page = desk.store.queries.inbox(pools, person=person, limit=200, cursor=cursor)
        yield from (row for row in page.rows if row.review.state == "open")
        cursor = page.next
        if cursor is None:
            return


def as_claimed(case: Case, review: Review, person: str, control: Control, desk: Desk) -> Review:
    """The review as it would be shown to this person after the claim: candidates in order, how many ask the same."""
    env = Env(now=desk.steps.now(), new_id=desk.steps.new_id, secret=desk.steps.secret)
    followers = 0 if review.beside else desk.steps.followers(case)
    presented = presentation(case, review, person, control, env)
    return replace(review, presented=presented, followers=followers, meta=meta_for(review, control))


def row_of(case: Case, review: Review, person: str, desk: Desk) -> dict[str, JSON]:
    """One open review as a row; `shown` binds an answer to what stands in it."""
    control = governing(desk, case.loop)
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
            raise usage(f"CSV holds labels only, and loop {row['loop']!r} is in {row['mode']} mode; write .jsonl")
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
