"""The ledger of a case for readers: entries with their events as plain values; what is still blind stays closed."""

from __future__ import annotations

from typing import Any

import msgspec

from dualcontrol.case import JSON, Case
from dualcontrol.desk import Desk
from dualcontrol.events import Answered, Event, Opened, Passed, with_values
from dualcontrol.review.view import fields_of
from dualcontrol.web.shapes import EntryReply, blind


def ledger(
    desk: Desk, case: Case, meta: tuple[str, ...] | None = None, *, values: bool = True
) -> list[EntryReply]:  # fmt: skip
    """A case's entries in order; with `meta`, of the program's own data only these fields.

    Without `values`, with no more content than the case at hand holds.
    """
    closed = blind(case)
    entries = desk.store.queries.entries(f"case/{case.id}", values=values)
    return [
        EntryReply(
            seq=entry.seq, at=entry.at, actor=entry.actor, hash=entry.hash, prev=entry.prev, pos=entry.pos,
            events=[_as_event(event, closed, meta) for event in entry.events],
        )
        for entry in (entries if values else [with_values(entry, case.content.values) for entry in entries])
    ]  # fmt: skip


def _as_event(event: Event, closed: bool, meta: tuple[str, ...] | None) -> dict[str, JSON]:
    """One event: its kind and fields, `content` by slot, `seals` for the commitments of the slots."""
    body: dict[str, Any] = msgspec.to_builtins(event, enc_hook=lambda content: content.seals)
    content = getattr(event, "content", None)
    if content is not None and content.seals:
        values = content.values
        if closed and isinstance(event, Answered | Opened):
            values = {}
        elif closed and isinstance(event, Passed):  # without the verdict to which this person had committed
            values = {slot: {k: v for k, v in answer.items() if k != "first"} for slot, answer in values.items()}
        if meta is not None and "meta" in values:
            values = {**values, "meta": fields_of(values["meta"] or {}, meta)}
        body |= {"content": values, "seals": content.seals}
    if closed and isinstance(event, Answered):
        body = {k: v for k, v in body.items() if k not in ("verdict", "reasons", "confidence")}
    return body
