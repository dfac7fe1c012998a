"""Cases and steps for tests of the store, built from events alone: no stage is involved."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from dualcontrol.case import Actor, Case, Content
from dualcontrol.control import Control, LoopSettings
from dualcontrol.events import (
    Answered,
    Claimed,
    Concluded,
    Decided,
    Entry,
    Event,
    Opened,
    PolicyChanged,
    ReviewOpened,
    Routed,
)
from dualcontrol.evolve import fold
from dualcontrol.store import Store, Tx

CONTENT: dict[str, Any] = {
    "input": {"message": "Please refund order A-17", "customer": 2**60 + 1},
    "candidates": [{"id": "c1", "action": "refund", "value": {"order": "A-17", "amount": 420.0}}],
    "rationale": "The order never arrived.",
    "history": [{"role": "user", "text": "Where is my order? 😀"}],
    "meta": {"locale": "en"},
}


def new_id() -> str:
    """A fresh id."""
    return str(uuid.uuid4())


def define(store: Store, name: str = "refunds") -> Control:
    """A loop with default settings; returns its control."""
    with store.transaction() as tx:
        settings = LoopSettings(name=name)
        control = Control(loop=name, loop_id=0, version=1, settings=settings)
        changed = PolicyChanged(version=1, at=1, digest=settings.digest, settings="{}")
        return tx.save_control(
            control, Entry(stream="", seq=1, at=1, actor="test", events=(changed,)), expected_version=None
        )


def entry(case: Case, *events: Event, at: int = 2) -> Entry:
    """The next entry of a case."""
    return Entry(stream=f"case/{case.id}", seq=case.seq + 1, at=at, actor="test", events=events)


def opening(
    *,
    loop: str = "refunds",
    content: dict[str, Any] | None = None,
    groups: Sequence[str] = ("support",),
    order_at: int = 10,
    due_at: int | None = 1_000,
    excludes: tuple[str, ...] = (),
    **opened: Any,
) -> tuple[Case, Entry]:
    """A case as it is opened, one review a group, with its first entry; not saved."""
    case_id = new_id()
    first = Opened(
        case_id=case_id, loop=loop, mode="approval", at=order_at, action="refund", proposed=0, confidence="0.62",
        content=Content(CONTENT if content is None else content), **opened,
    )  # fmt: skip
    routed = Routed(
        to="human" if groups else "autopilot", by="threshold", reason="confidence 0.62 is below 0.9", control=1,
        inclusion="1.0", group="support", due_at=due_at,
    )  # fmt: skip
    reviews = [
        ReviewOpened(
            review_id=new_id(), review="decide", group=group, round=1, opened_at=order_at, order_at=order_at,
            due_at=due_at, excludes=excludes,
        )
        for group in groups
    ]  # fmt: skip
    events = (first, routed, *reviews)
    return fold(None, events, seq=1), Entry(stream=f"case/{case_id}", seq=1, at=order_at, actor="test", events=events)


def propose(store: Store, *, fingerprint: str = "f", likeness: str | None = None, **what: Any) -> Case:
    """Open a case and save it."""
    case, first = opening(**what)
    with store.transaction() as tx:
        tx.save(None, case, first, fingerprint=fingerprint, likeness=likeness)
    return case


def advance(tx: Tx, case_id: str, *events: Event, **save: Any) -> Case:
    """Load a case, fold these events, save; returns it as it is now."""
    before = tx.load(case_id)
    assert before is not None
    after = fold(before, events, seq=before.seq + 1)
    tx.save(before, after, entry(before, *events), **save)
    return after


def step(store: Store, case_id: str, *events: Event, **save: Any) -> Case:
    """`advance` in a transaction of its own."""
    with store.transaction() as tx:
        return advance(tx, case_id, *events, **save)


def claim(tx: Tx, case_id: str, review_id: str, person: str, *, until: int = 100, claim_id: str | None = None) -> Case:
    """Give a review to a person."""
    held = Claimed(review_id=review_id, person=person, claim_id=claim_id or new_id(), at=20, until=until)
    return advance(tx, case_id, held)


def answered(review_id: str, person: str, value: Any = None, verdict: Any = "edit") -> Answered:
    """What a person said."""
    said = {"value": value, "rationale": "too much"}
    content = Content({f"answer/{review_id}": said})
    return Answered(
        review_id=review_id, actor=Actor(person=person), verdict=verdict, at=30, shown="digest", content=content
    )


def decided(review_id: str, *, effective_at: int = 30, wrong: int | None = 1) -> Decided:
    """The answer settles the case."""
    return Decided(
        verdict="edit", answers=(review_id,), settled_by="unanimous", effective_at=effective_at, wrong=wrong,
        source=review_id,
    )  # fmt: skip


def concluded(person: str = "ana") -> Concluded:
    """The outcome stands."""
    return Concluded(by="human", at=40, verdict="edit", reviewers=(person,))
