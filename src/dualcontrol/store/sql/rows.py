"""Mapping of values to rows: what each column of a case and its reviews says, derived from the Case alone."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from dualcontrol.case import ENCODER, JSON, SNAPSHOT, Case, Content, Review, decoder
from dualcontrol.control import Control
from dualcontrol.errors import LedgerError, PayloadError, PayloadTooLargeError, ReadOnlyError
from dualcontrol.events import Entry, real
from dualcontrol.evolve import caused
from dualcontrol.names import distinct, identity, own_pool
from dualcontrol.store import MAX_PAYLOAD, KeyRow

Row = tuple[Any, ...]

decode_case = decoder(Case).decode
decode_control = decoder(Control).decode
encode_case = SNAPSHOT.encode


def case_row(case: Case, loop_id: int, head: str, snapshot: str) -> Row:
    """A case as its row, but for its likeness: the columns that never change come first."""
    fixed = (
        case.id, loop_id, case.kind, case.origin, case.action, case.segment, case.confidence, case.parent,
        case.leader, case.run, case.opened_at,
    )  # fmt: skip
    return fixed + moving_columns(case, head, snapshot)


def moving_columns(case: Case, head: str, snapshot: str) -> Row:
    """The columns of a case that an event may change: see `statements.CASE_MOVING`."""
    effect, route, settled, concluded = case.effect, case.route, case.settled, case.concluded
    if route is None:
        routed: Row = (real(case.risk), "", None, None, None, 1.0, False)
    else:
        risk = case.risk if route.risk is None else route.risk
        routed = (real(risk), route.to, route.control, route.epoch, route.bin, route.inclusion, route.audited)
    verdict, by, effective_at = None, None, None
    if settled is not None:
        verdict, wrong, effective_at = settled.verdict, settled.wrong, settled.effective_at
    else:  # by the last audit that said so
        wrong = next((a["wrong"] for a in reversed(case.audits) if a.get("wrong") is not None), None)
    if concluded is not None:
        verdict, by = concluded.verdict, concluded.by
    return (
        case.state, case.seq, head, *routed, verdict, by, wrong, case.due_at, effective_at, case.closed_at,
        effect.state, effect.fence, effect.owner, effect.until, snapshot,
    )  # fmt: skip


def review_row(review: Review, case: Case, loop_id: int) -> Row:
    """A review as its row: the columns that never change come first."""
    excluded = lines(map(identity, distinct(review.excludes))) if review.excludes else ""
    fixed = (review.id, loop_id, case.id, review.kind, review.opened_at, excluded, _key(case.owner))
    return fixed + review_moving(review, case)


def _key(person: str | None) -> str | None:
    """Columns hold what two spellings of a name have in common, so that an index tells persons apart, not spellings."""
    return None if person is None else identity(person)


def review_moving(review: Review, case: Case) -> Row:
    """The columns of a review that an event may change: see `statements.REVIEW_MOVING`."""
    return (
        review.group if review.addressee is None else own_pool(review.addressee), review.round, review.state,
        review.order_at, review.due_at, _key(review.person), review.claim_id,
        review.lease_until, review.claimed_at, review.answered_at,
        ENCODER.encode(review.presented).decode() if review.presented else "", _shown(review, case),
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


def rewritten_rows(owner: str, sealed: list[Sealed]) -> list[Row]:
    """Rows for slots that may have been written before; the statement counts up their number."""
    return [(owner, s.slot, owner, s.slot, s.body, s.size, s.salt, s.commitment) for s in sealed]


def key_of(row: Row | None) -> KeyRow | None:
    """What a key stands for, by its row."""
    return None if row is None else KeyRow(case_id=row[0], fingerprint=row[1], erased=bool(row[2]))


def bodies_of(case: Case, rows: list[Row], *, check: bool = False) -> dict[str, str]:
    """The stored text of a case's slots: of each slot the row that its seal commits to.

    With `check`, raises `LedgerError` where the text is not what the seal commits to, so that nobody decides on it.
    """
    seals = case.content.seals
    bodies = {}
    for slot, seal, body, salt in rows:
        if seals.get(slot) != seal or body is None:
            continue
        if check and commitment(slot, bytes(salt), body.encode()) != seal:
            raise LedgerError(f"{slot} of case {case.id} is not what was sealed", case_id=case.id, slot=slot)
        bodies[slot] = body
    return bodies


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


@lru_cache(maxsize=128)
def control_of(text: str, loop_id: int, seq: int) -> Control:
    """The control that a loop's row holds; id and sequence number are the row's.

    A control is read with every answer and changes seldom, so the latest are kept.
    """
    control: Control = decode_control(text)
    return caused(replace(control, loop_id=loop_id, seq=seq))


# Content to payload rows: the exact text that is stored, and its commitment, one salt a slot


DOMAIN = b"dualcontrol-payload-v1\x00"
MAX_DEPTH = 200
SALT_BYTES = 16
LARGE = 100_000

_encode = msgspec.json.Encoder().encode  # names in the caller's order: people are shown them so
_decode = msgspec.json.Decoder().decode


class Sealed(NamedTuple):
    """One slot as a row: what is written, and what the ledger says of it."""

    slot: str
    body: str
    size: int
    salt: bytes
    commitment: str


def seal(entry: Entry, salt: Callable[[int], bytes], kept: Content | None = None) -> list[Sealed]:
    """Seal every slot that an entry's events carry, and return the rows to write.

    In place the events' ``seals`` are set, and their values become copies, so that what a caller changes later stays
    out; both go into the content that is `kept`, where that has the slot.
    """
    contents = [getattr(event, "content", None) for event in entry.events]
    filled: list[Content] = [content for content in contents if content is not None and content.values]
    if not filled:
        return []
    salts = salt(SALT_BYTES * sum([len(content.values) for content in filled]))
    rows = []
    for content in filled:
        for slot, value in content.values.items():
            body, copy = text_of(slot, value)
            salt_of_slot, salts = salts[:SALT_BYTES], salts[SALT_BYTES:]
            content.values[slot], content.seals[slot] = copy, commitment(slot, salt_of_slot, body)
            rows.append(Sealed(slot, body.decode(), len(body), salt_of_slot, content.seals[slot]))
            if kept is not None and slot in kept.values:
                kept.values[slot], kept.seals[slot] = copy, content.seals[slot]
    return rows


def commitment(slot: str, salt: bytes, body: bytes) -> str:
    """What the ledger keeps of a slot: SHA-256 over domain, slot, salt and the stored bytes, in hex."""
    return sha256(DOMAIN + slot.encode() + b"\x00" + salt + body).hexdigest()


def value_of(body: str | bytes) -> JSON:
    """The value that a stored body holds, types kept."""
    if len(body) < LARGE or not gc.isenabled():
        return _decode(body)
    gc.disable()  # what is read is all alive: looking for garbage meanwhile takes six times as long and finds none
    try:
        return _decode(body)
    finally:
        gc.enable()


def text_of(slot: str, value: JSON) -> tuple[bytes, JSON]:
    """A value as JSON text, and as it comes back from it; refuses what does not come back as it went in."""
    try:
        body = _encode(value)
        copy = value_of(body)
        same = copy == value and body.count(b"[") + body.count(b"{") <= MAX_DEPTH
    except (TypeError, ValueError, OverflowError, RecursionError):
        same, body, copy = False, b"", None
    if not same:
        body = _encode(_plain(value, slot, 0))
        copy = value_of(body)
    if len(body) > MAX_PAYLOAD:
        raise PayloadTooLargeError(f"{slot} is {len(body):,} bytes of JSON; at most {MAX_PAYLOAD:,} fit", slot=slot)
    return body, copy


def _plain(value: JSON, path: str, depth: int) -> JSON:
    """The value with tuples as lists; raises `PayloadError` naming the place of what is not JSON."""
    if depth > MAX_DEPTH:
        raise PayloadError(f"{path} is nested more than {MAX_DEPTH} levels deep", path=path)
    if value is None or isinstance(value, bool | int | float | str):
        return _scalar(value, path)
    if isinstance(value, dict):
        plain = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise PayloadError(f"{path} has the key {key!r}; keys of JSON objects are text", path=path)
            _scalar(key, path)
            plain[str(key)] = _plain(item, f"{path}.{key}", depth + 1)
        return plain
    if isinstance(value, list | tuple):
        return [_plain(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise PayloadError(f"{path} is a {type(value).__name__}, which is not a JSON value", path=path)


def _scalar(value: Any, path: str) -> JSON:
    """A scalar of JSON's own types (subclasses become the type itself)."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PayloadError(f"{path} holds a lone surrogate, which UTF-8 cannot carry", path=path) from None
        return str.__str__(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise PayloadError(f"{path} is {value!r}, which JSON cannot write", path=path)
    if value is None or isinstance(value, bool):
        return value
    return float(value) if isinstance(value, float) else int(value)


def lines(people: Iterable[str]) -> str:
    """People as JSON text with one name a line ("" for nobody), so that SQL can look for one exactly."""
    names = list(people)
    return json.dumps(names, indent=0) if names else ""


def line(person: str) -> str:
    """How one person's line begins in `lines`; no other line begins so."""
    return "\n" + json.dumps(person)
