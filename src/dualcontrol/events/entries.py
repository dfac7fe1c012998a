"""Ledger entries: canonical bytes, the hash chain, and reading what older versions wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from dualcontrol.case import ENCODER, JSON, Content, Value, decoder
from dualcontrol.control import Cause
from dualcontrol.events.event import Event, Unknown
from dualcontrol.events.of_case import CASE_EVENTS
from dualcontrol.events.of_loop import LOOP_EVENTS

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (*CASE_EVENTS, *LOOP_EVENTS)}
Raw = dict[str, Any]


def _with_cause(raw: Raw) -> Raw:
    """A closure that names its cause; one of an older version says it in its words alone."""
    return raw if "cause" in raw else raw | _given(Cause.of_words(raw["reason"]))


def _given(cause: Cause) -> Raw:
    return {"cause": cause.by} | ({} if cause.model is None else {"model": cause.model})


def _with_alarm(raw: Raw) -> Raw:
    """An epoch that names the alarm it begins after; one of an older version has the code for its reason."""
    return raw | {"cut": raw["reason"]} if raw["reason"] in ("drift", "scale") else raw


# What older versions wrote, by kind and version, and how it is read; a field that is there already is left alone.
UPCASTS: dict[tuple[str, int], Callable[[Raw], Raw]] = {
    ("AutopilotClosed", 1): _with_cause,
    ("EpochBegan", 1): _with_alarm,
}


class Entry(Value, frozen=True, kw_only=True):
    """One transaction's worth of events in one stream, chained by hash to the entry before it."""

    stream: str
    seq: int
    at: int
    actor: str
    events: tuple[Event, ...]
    body: str = ""
    prev: str = ""
    hash: str = ""
    pos: int | None = None


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int
    at: int
    actor: str
    events: list[Event]


class _RawBody(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int
    at: int
    actor: str
    events: list[dict[str, Any]]


_RAW = decoder(_RawBody)


def sealed(entry: Entry, prev: str) -> Entry:
    """The entry with its canonical body and its hash, chained to `prev` ("" for the first of a stream)."""
    body = ENCODER.encode(
        _Body(stream=entry.stream, seq=entry.seq, at=entry.at, actor=entry.actor, events=list(entry.events))
    )
    return replace(entry, body=body.decode(), prev=prev, hash=link(prev, body))


def link(prev: str, body: bytes) -> str:
    """The hash of an entry: SHA-256 over the previous hash in hex, a newline, and the body's bytes."""
    return hashlib.sha256(prev.encode() + b"\n" + body).hexdigest()


def opened(body: str, *, prev: str = "", digest: str = "", pos: int | None = None) -> Entry:
    """The entry that a stored body holds; kinds this program does not know come back as `Unknown`."""
    raw: _RawBody = _RAW.decode(body)
    events = tuple(_event(e) for e in raw.events)
    return Entry(
        stream=raw.stream, seq=raw.seq, at=raw.at, actor=raw.actor, events=events,
        body=body, prev=prev, hash=digest, pos=pos,
    )  # fmt: skip


def _event(raw: Raw) -> Event:
    name, version = raw.get("kind", ""), raw.get("v", 1)
    while (name, version) in UPCASTS:
        raw = UPCASTS[name, version](raw)
        version += 1
    kind = EVENTS.get(name)
    if kind is None:
        return Unknown(name=name)
    return kind.from_dict({k: v for k, v in raw.items() if k not in ("kind", "v")})


def with_values(entry: Entry, values: Mapping[str, JSON]) -> Entry:
    """The entry with the content of its slots put back, as far as it was not erased."""
    return replace(entry, events=tuple(_filled(e, values) for e in entry.events))


def _filled(event: Event, values: Mapping[str, JSON]) -> Event:
    content: Content | None = getattr(event, "content", None)
    if content is None or not content.seals:
        return event
    return replace(event, content=Content({s: values[s] for s in content.seals if s in values}, content.seals))
