"""The ledger of a case as plain values; what is still blind stays closed."""

from __future__ import annotations

from typing import Any

import msgspec

from dualcontrol.case import JSON, Case
from dualcontrol.desk import Desk
from dualcontrol.events import Answered, Entry, Event, Opened, Passed, with_values
from dualcontrol.review.view import fields_of
from dualcontrol.web.shapes import blind


def ledger(
    desk: Desk, case: Case, meta: tuple[str, ...] | None = None, *, values: bool = True
) -> list[dict[str, JSON]]:  # fmt: skip
    """A case's entries in order; with `meta`, of the program's own data only these fields.

    Without `values`, with no more content than the case at hand holds.
    """
    closed = blind(case)
    entries = desk.store.queries.entries(f"case/{case.id}", values=values)
    filled = entries if values else [with_values(entry, case.content.values) for entry in entries]
    return [as_entry(entry, closed, meta) for entry in filled]


def as_entry(entry: Entry, closed: bool, meta: tuple[str, ...] | None = None) -> dict[str, JSON]:
    """One entry as plain values."""
    events = [as_event(event, closed, meta) for event in entry.events]
    return {
        "seq": entry.seq, "at": entry.at, "actor": entry.actor, "hash": entry.hash, "prev": entry.prev,
        "pos": entry.pos, "events": events,
    }  # fmt: skip


def as_event(event: Event, closed: bool, meta: tuple[str, ...] | None = None) -> dict[str, JSON]:
    """One event: its kind and fields, `content` by slot, `seals` for the commitments of the slots."""
    body: dict[str, Any] = msgspec.to_builtins(event, enc_hook=lambda content: content.seals)
    content = getattr(event, "content", None)
    if content is not None and content.seals:
        hidden = closed and isinstance(event, Answered | Opened)
        values = without_first(content.values) if closed and isinstance(event, Passed) else content.values
        if meta is not None and "meta" in values:
            values = {**values, "meta": fields_of(values["meta"] or {}, meta)}
        body |= {"content": {} if hidden else values, "seals": content.seals}
    if closed and isinstance(event, Answered):
        body = {k: v for k, v in body.items() if k not in ("verdict", "reasons", "confidence")}
    return body


def without_first(values: dict[str, JSON]) -> dict[str, JSON]:
    """What somebody said who passed, without the verdict they had committed to."""
    return {slot: {k: v for k, v in said.items() if k != "first"} for slot, said in values.items()}


def feed_row(entry: Entry) -> dict[str, JSON]:
    """One sequenced entry as the event stream tells it: ids and kinds, no content."""
    kind, _, name = entry.stream.partition("/")
    return {
        "pos": entry.pos or 0, "stream": entry.stream, "case_id": name if kind == "case" else None,
        "seq": entry.seq, "at": entry.at, "kinds": [type(event).__name__ for event in entry.events],
    }  # fmt: skip
