"""The record of a chunk, the rows of a batch that are written together: counts, digests, and routes where it has a key.

The same call again with that key must find what was decided then, whatever governs the loop now.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.batch.columns import Array
from dualcontrol.batch.routes import BatchRoutes
from dualcontrol.case import JSON
from dualcontrol.control import Control
from dualcontrol.errors import KeyConflictError
from dualcontrol.events import BatchRouted
from dualcontrol.keys import json_text, short
from dualcontrol.step import Steps

KINDS = {"to": "<u1", "by": "<u4", "audited": "<u1", "inclusion": "<f8"}


class Chunk(NamedTuple):
    """Rows of a batch that are written together; `start` is the number of the first.

    Audits are drawn by `drawn`, an id of our own: whoever chooses the key of a batch does not choose its audits.
    """

    number: int
    start: int
    table: dict[str, Any]
    aside: dict[str, Any]
    drawn: str


class Part(NamedTuple):
    """What became of a chunk, as it was decided when it was written."""

    to: Array
    by: Array
    names: tuple[str, ...]
    audited: Array
    inclusion: Array
    counts: dict[str, int]
    rows_singly: int
    cases: dict[int, str]


def row_key(name: str, number: int, row: int) -> str:
    """The key of the case that a row opens."""
    return f"batch/{name}/{number}/{row}"


def slot(name: str, number: int) -> str:
    """Where the routes of a chunk are kept."""
    return f"routes/{hashlib.sha256(name.encode()).hexdigest()[:32]}/{number}"


def part(routes: BatchRoutes, cases: dict[int, str]) -> Part:
    """What became of a chunk that is being written."""
    return Part(
        routes.to, routes.by, tuple(routes.names), routes.audited, routes.inclusion, routes.counts,
        routes.rows_singly, cases,
    )  # fmt: skip


def event(now: int, name: str, chunk: Chunk, routes: BatchRoutes, secret: bytes | None) -> BatchRouted:
    """The event of a chunk; with a `secret`, what its key stands for as well.

    Its digest is SHA-256 over the routes by row: what is recorded of the rows that opened no case.
    """
    digest = hashlib.sha256(json_text(list(routes.names)))
    for array in (routes.to.astype("<u1"), routes.by.astype("<u4"), routes.audited.astype("<u1")):
        digest.update(array.tobytes())
    counts = routes.counts
    return BatchRouted(
        at=now, batch=name, chunk=chunk.number, rows=len(routes.to), autopilot=counts["autopilot"],
        human=counts["human"], blocked=counts["blocked"], audited=counts["audited"], control=routes.control.version,
        digest=digest.hexdigest(), fingerprint=fingerprint(secret, chunk) if secret else "", unseen=routes.unseen,
        drawn=chunk.drawn,
    )  # fmt: skip


def fingerprint(secret: bytes, chunk: Chunk) -> str:
    """HMAC of a chunk's columns, whatever kind of array they came in."""
    columns: dict[str, list[Any]] = {}
    for name, values in {**chunk.table, **chunk.aside}.items():
        way = next((way for way in ("to_pylist", "tolist", "to_list") if hasattr(values, way)), None)
        cells = values if way is None else getattr(values, way)()
        columns[name] = [cell.item() if way is None and isinstance(cell, np.generic) else cell for cell in cells]
    return hmac.digest(secret, json_text(columns), "sha256").hex()


def content(part: Part) -> JSON:
    """The routes of a chunk as JSON: each array compressed."""
    packed = {
        name: base64.b64encode(zlib.compress(getattr(part, name).astype(kind).tobytes())).decode()
        for name, kind in KINDS.items()
    }
    return {**packed, "names": list(part.names), "rows_singly": part.rows_singly}


def known(steps: Steps, control: Control, name: str, chunks: list[Chunk]) -> dict[int, Part]:
    """The chunks of a keyed batch that are recorded already; `KeyConflictError` when they hold other rows."""

    def events(*, values: bool) -> dict[int, BatchRouted]:
        entries = steps.store.queries.entries(f"loop/{control.loop_id}", values=values)
        routed = [event for entry in entries for event in entry.events if isinstance(event, BatchRouted)]
        return {event.chunk: event for event in routed if event.batch == name}

    recorded = events(values=False)
    if not recorded:
        return {}
    wanted = {chunk.number: chunk for chunk in chunks}
    for number, event in recorded.items():
        same = number in wanted and event.fingerprint in ("", fingerprint(steps.secret, wanted[number]))
        if not same or event.rows != len(next(iter({**wanted[number].table, **wanted[number].aside}.values()))):
            raise KeyConflictError(f"key {short(name)} belongs to a batch with other rows")
    return {number: _part(steps, control, event) for number, event in events(values=True).items()}


def _part(steps: Steps, control: Control, event: BatchRouted) -> Part:
    """What became of a chunk, from its event and the routes kept with it."""
    packed = event.content.get(slot(event.batch, event.chunk))
    arrays: dict[str, Any] = {
        name: np.frombuffer(zlib.decompress(base64.b64decode(packed[name])), kind) for name, kind in KINDS.items()
    }
    arrays["audited"] = arrays["audited"].astype(np.bool_)
    with steps.store.transaction(durable=False) as tx:
        rows = np.flatnonzero((arrays["to"] == 1) | arrays["audited"]).tolist()
        keys = {row: tx.find_key(control.loop_id, row_key(event.batch, event.chunk, row)) for row in rows}
    return Part(
        **arrays, names=tuple(packed["names"]), rows_singly=packed["rows_singly"],
        counts={name: getattr(event, name) for name in ("autopilot", "human", "blocked", "audited")},
        cases={row: key.case_id for row, key in keys.items() if key is not None},
    )  # fmt: skip
