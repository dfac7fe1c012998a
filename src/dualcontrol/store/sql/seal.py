"""Content to payload rows: the exact text that is stored, and its commitment, one salt a slot."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from dualcontrol.case import JSON, Content
from dualcontrol.errors import PayloadError, PayloadTooLargeError
from dualcontrol.store import MAX_PAYLOAD

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


def seal(contents: Iterable[Content], salt: Callable[[int], bytes]) -> list[Sealed]:
    """Seal every slot of these contents and return the rows to write.

    In place their ``seals`` are set, and their values become copies, so that what a caller changes later stays out.
    """
    found = [c for c in contents if c.values]
    if not found:
        return []
    drawn = salt(SALT_BYTES * sum(len(c.values) for c in found))
    rows, at = [], 0
    for content in found:
        for slot, value in content.values.items():
            row, content.values[slot] = _sealed(slot, value, drawn[at : at + SALT_BYTES])
            content.seals[slot] = row.commitment
            rows.append(row)
            at += SALT_BYTES
    return rows


def _sealed(slot: str, value: JSON, salt: bytes) -> tuple[Sealed, JSON]:
    body, copy = text_of(slot, value)
    digest = commitment(slot, salt, body)
    return Sealed(slot, body.decode(), len(body), salt, digest), copy


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
        same = copy == value and not _deep(body)
    except (TypeError, ValueError, OverflowError, RecursionError):
        same, body, copy = False, b"", None
    if not same:
        body = _encode(_plain(value, slot, 0))
        copy = value_of(body)
    if len(body) > MAX_PAYLOAD:
        raise PayloadTooLargeError(f"{slot} is {len(body):,} bytes of JSON; at most {MAX_PAYLOAD:,} fit", slot=slot)
    return body, copy


def _deep(body: bytes) -> bool:
    return body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _plain(value: JSON, path: str, depth: int) -> JSON:
    """The value with tuples as lists; raises `PayloadError` naming the place of what is not JSON."""
    if depth > MAX_DEPTH:
        raise PayloadError(f"{path} is nested more than {MAX_DEPTH} levels deep", path=path)
    if value is None or isinstance(value, bool | int | float | str):
        return _scalar(value, path)
    if isinstance(value, dict):
        return {_name(k, path): _plain(v, f"{path}.{k}", depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise PayloadError(f"{path} is a {type(value).__name__}, which is not a JSON value", path=path)


def _name(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise PayloadError(f"{path} has the key {key!r}; keys of JSON objects are text", path=path)
    _scalar(key, path)
    return str(key)


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
    listed = list(people)
    return json.dumps(listed, indent=0) if listed else ""


def line(person: str) -> str:
    """How one person's line begins in `lines`; no other line begins so."""
    return "\n" + json.dumps(person)
