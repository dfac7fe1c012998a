"""Values to rows: what each column of a case and its reviews says, derived from the Case alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from dualcontrol.case import ENCODER, SNAPSHOT, Case, Content, Review, decoder
from dualcontrol.control import Control
from dualcontrol.errors import LedgerError, ReadOnlyError
from dualcontrol.events import Entry, caused, real
from dualcontrol.names import distinct, identity
from dualcontrol.store import Example, KeyRow
from dualcontrol.store.sql.seal import Sealed, commitment, lines, value_of

Row = tuple[Any, ...]

decode_case = decoder(Case).decode
decode_control = decoder(Control).decode
_encode = ENCODER.encode
encode_case = SNAPSHOT.encode


def fixed_columns(case: Case, loop_id: int) -> Row:
    """The columns of a case that never change: see `hot.CASE_FIXED`."""
    return (
        case.id, loop_id, case.kind, case.origin, case.action, case.segment, case.confidence, case.parent,
        case.leader, case.run, case.opened_at,
    )  # fmt: skip


def moving_columns(case: Case, head: str, snapshot: str) -> Row:
    """The columns of a case that an event may change: see `hot.CASE_MOVING`."""
    effect, settled, concluded = case.effect, case.settled, case.concluded
    effective_at = settled.effective_at if settled is not None else None
    verdict = settled.verdict if settled is not None else None
    by = None
    if concluded is not None:
        verdict, by = concluded.verdict, concluded.by
    return (
        case.state, case.seq, head, *_route_columns(case), verdict, by, _wrong(case), case.due_at, effective_at,
        case.closed_at, effect.state, effect.fence, effect.owner, effect.until, snapshot,
    )  # fmt: skip


def only_reviews(before: Case, after: Case) -> bool:
    """Whether nothing but reviews has changed, so that no column but the snapshot tells of it."""
    return replace(before, seq=after.seq, reviews=after.reviews) == after


def _route_columns(case: Case) -> Row:
    route = case.route
    if route is None:
        return (real(case.risk), "", None, None, None, 1.0, False)
    risk = case.risk if route.risk is None else route.risk
    return (real(risk), route.to, route.control, route.epoch, route.bin, route.inclusion, route.audited)


def _wrong(case: Case) -> int | None:
    """Whether the proposal was wrong: by the decision, else by the last audit that said so."""
    if case.settled is not None:
        return case.settled.wrong
    judged = [a["wrong"] for a in case.audits if a.get("wrong") is not None]
    return judged[-1] if judged else None


def review_fixed(review: Review, case: Case, loop_id: int) -> Row:
    """The columns of a review that never change: see `hot.REVIEW_FIXED`."""
    excluded = lines(map(identity, distinct(review.excludes)))
    return (review.id, loop_id, case.id, review.kind, review.opened_at, excluded, _key(case.owner))


def _key(person: str | None) -> str | None:
    """Columns hold what two spellings of a name have in common, so that an index tells persons apart, not spellings."""
    return None if person is None else identity(person)


def review_moving(review: Review, case: Case) -> Row:
    """The columns of a review that an event may change: see `hot.REVIEW_MOVING`."""
    return (
        review.group, review.round, review.state, review.order_at, review.due_at, _key(review.person), review.claim_id,
        review.lease_until, review.claimed_at, review.answered_at,
        _encode(review.presented).decode() if review.presented else "", _shown(review, case),
    )  # fmt: skip


def review_ending(old: Review, new: Review, case: Case) -> Row | None:
    """The columns that change when the holder of a review is done with it; None when others change as well.

    A statement that leaves person, pool and order alone leaves their indexes alone.
    """
    if replace(new, state=old.state, lease_until=old.lease_until, answered_at=old.answered_at) != old:
        return None
    return (new.state, new.lease_until, new.answered_at, _shown(new, case))


def _shown(review: Review, case: Case) -> str:
    if review.state != "answered":
        return ""
    return next((a.shown for a in case.answered if a.review_id == review.id), "")


def changed_reviews(before: Case | None, after: Case) -> Iterator[tuple[Review | None, Review]]:
    """(old, new) of every review that the events opened or changed."""
    if before is None:
        for review in after.reviews:
            yield None, review
        return
    if after.reviews is before.reviews:
        return
    known = {r.id: r for r in before.reviews}
    for review in after.reviews:
        old = known.get(review.id)
        if old is not review and old != review:
            yield old, review


def payload_row(owner: str, sealed: list[Sealed]) -> Row:
    """Slots that are written for the first time, one row after the other."""
    row: list[Any] = []
    for s in sealed:
        row += (owner, s.slot, 0, s.body, s.size, s.salt, s.commitment)
    return tuple(row)


def rewritten_rows(owner: str, sealed: list[Sealed]) -> list[Row]:
    """Rows for slots that may have been written before; the statement counts up their number."""
    return [(owner, s.slot, owner, s.slot, s.body, s.size, s.salt, s.commitment) for s in sealed]


def key_of(row: Row | None) -> KeyRow | None:
    """What a key stands for, by its row."""
    return None if row is None else KeyRow(case_id=row[0], fingerprint=row[1], erased=bool(row[2]))


def entry_row(entry: Entry, loop_id: int | None) -> Row:
    """An entry as its row."""
    return (loop_id, entry.stream, entry.seq, entry.at, entry.actor, entry.body, entry.hash)


def example_row(example: Example) -> Row:
    """An example as its row; id and position are given by the database."""
    e = example
    return (
        e.loop_id, e.epoch, e.case_id, e.kind, e.verdict, e.wrong, e.bin, e.score, e.inclusion, e.at, e.cap, e.used_by
    )  # fmt: skip


def contents_of(entry: Entry) -> list[Content]:
    """The contents that an entry's events carry."""
    found = []
    for event in entry.events:
        content: Content | None = getattr(event, "content", None)
        if content is not None and content.values:
            found.append(content)
    return found


def bodies_of(case: Case, rows: list[Row]) -> dict[str, str]:
    """The stored text of a case's slots: of each slot the row that its seal commits to."""
    seals = case.content.seals
    return {slot: body for slot, seal, body, _ in rows if seals.get(slot) == seal and body is not None}


def check_bodies(case: Case, rows: list[Row]) -> None:
    """Raise `LedgerError` where stored text is not what its seal commits to, so that nobody decides on or runs it."""
    for slot, seal, body, salt in rows:
        current = case.content.seals.get(slot) == seal and body is not None
        if current and commitment(slot, bytes(salt), body.encode()) != seal:
            raise LedgerError(f"{slot} of case {case.id} is not what was sealed", case_id=case.id, slot=slot)


def fill(case: Case, bodies: dict[str, str]) -> None:
    """Put the values of its slots into a case."""
    case.content.values.update((slot, value_of(body)) for slot, body in bodies.items())


def case_of(snapshot: str, rows: list[Row]) -> Case:
    """The case that a snapshot and its payload rows make up."""
    case: Case = decode_case(snapshot)
    fill(case, bodies_of(case, rows))
    return case


def unreadable(case_id: str, error: msgspec.DecodeError) -> ReadOnlyError:
    """Why a case cannot be read: JSON that does not fit is a newer version's, what is not JSON is damaged."""
    if isinstance(error, msgspec.ValidationError):
        return ReadOnlyError(f"case {case_id} was written by a newer version: {error}", case_id=case_id)
    hint = "Run `dualcontrol doctor`, and compare the case with a backup."
    return ReadOnlyError(f"the record of case {case_id} is damaged: {error}", hint=hint, case_id=case_id)


def control_of(text: str, loop_id: int, seq: int) -> Control:
    """The control that a loop's row holds; id and sequence number are the row's."""
    control: Control = decode_control(text)
    return caused(msgspec.structs.replace(control, loop_id=loop_id, seq=seq))
