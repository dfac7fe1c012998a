"""The ledger of a case for readers: entries with their events as plain values; what is still blind stays closed."""

from __future__ import annotations

from typing import Any

import msgspec

from dualcontrol.case import Case
from dualcontrol.desk import Desk
from dualcontrol.events import Answered, Event, Opened, Passed, with_values
from dualcontrol.names import same
from dualcontrol.probe import event_as_seen
from dualcontrol.review.view import fields_of
from dualcontrol.web.shapes import EntryReply, blind


def ledger(
    desk: Desk, case: Case, person: str, meta: tuple[str, ...] | None = None, *, values: bool = True
) -> list[EntryReply]:  # fmt: skip
    """A case's entries in order, as this person may read them; with `meta`, of the program's data only these fields.

    An event has its kind and fields, `content` by slot, and `seals` for the commitments of the slots.  Without
    `values`, with no more content than the case at hand holds.
    """
    closed = blind(case)
    rows = []
    for stored in desk.store.queries.entries(f"case/{case.id}", values=values):
        entry = stored if values else with_values(stored, case.content.values)
        events = []
        for event in (event_as_seen(event, case) for event in entry.events):
            body: dict[str, Any] = msgspec.to_builtins(event, enc_hook=lambda content: content.seals)
            if "claim_id" in body and not own_claim(event, entry.actor, person):
                del body["claim_id"]  # a fencing token is its holder's alone, and so is their step of the ladder
                body.pop("by_step", None)
            content = getattr(event, "content", None)
            if content is not None and content.seals:
                slots = content.values
                if closed and isinstance(event, Answered | Opened):
                    slots = {}
                elif closed and isinstance(event, Passed):  # without the verdict to which this person had committed
                    slots = {slot: {k: v for k, v in answer.items() if k != "first"} for slot, answer in slots.items()}
                if meta is not None and "meta" in slots:
                    slots = {**slots, "meta": fields_of(slots["meta"] or {}, meta)}
                body |= {"content": slots, "seals": content.seals}
            if closed and isinstance(event, Answered):
                body = {k: v for k, v in body.items() if k not in ("verdict", "reasons", "confidence")}
            events.append(body)
        rows.append(EntryReply(
            seq=entry.seq, at=entry.at, actor=entry.actor, proof=entry.proof, hash=entry.hash, prev=entry.prev,
            pos=entry.pos, events=events,
        ))  # fmt: skip
    return rows


def own_claim(event: Event, actor: str, person: str) -> bool:
    """Whether an event is about a claim of this person."""
    return same(getattr(event, "person", actor), person)
