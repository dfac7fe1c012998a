"""What is recorded of a chunk: its counts and digests, and for a batch with a key the routes row by row.

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
    """The event of a chunk; with a `secret`, what its key stands for as well."""
    counts = routes.counts
    return BatchRouted(
        at=now, batch=name, chunk=chunk.number, rows=len(routes.to), autopilot=counts["autopilot"],
        human=counts["human"], blocked=counts["blocked"], audited=counts["audited"], control=routes.control.version,
        digest=_digest(routes), fingerprint=fingerprint(secret, chunk) if secret else "", unseen=routes.unseen,
        drawn=chunk.drawn,
    )  # fmt: skip


def _digest(routes: BatchRoutes) -> str:
    """SHA-256 over the routes by row: what was recorded of the rows that opened no case."""
    hashed = hashlib.sha256(json_text(list(routes.names)))
    for array in (routes.to.astype("<u1"), routes.by.astype("<u4"), routes.audited.astype("<u1")):
        hashed.update(array.tobytes())
    return hashed.hexdigest()


def fingerprint(secret: bytes, chunk: Chunk) -> str:
    """HMAC of a chunk's columns, whatever kind of array they came in."""
    columns = {name: _listed(values) for name, values in {**chunk.table, **chunk.aside}.items()}
    return hmac.digest(secret, json_text(columns), "sha256").hex()


def _listed(values: Any) -> list[Any]:
    for way in ("to_pylist", "tolist", "to_list"):
        if hasattr(values, way):
            return list(getattr(values, way)())
    return [cell.item() if isinstance(cell, np.generic) else cell for cell in values]


def content(part: Part) -> JSON:
    """The routes of a chunk as JSON: each array compressed."""
    packed = {
        name: base64.b64encode(zlib.compress(getattr(part, name).astype(kind).tobytes())).decode()
        for name, kind in KINDS.items()
    }
    return {**packed, "names": list(part.names), "rows_singly": part.rows_singly}


def known(steps: Steps, control: Control, name: str, chunks: list[Chunk]) -> dict[int, Part]:
    """The chunks of a keyed batch that are recorded already; `KeyConflictError` when they hold other rows."""
    found = _events(steps, control, name, values=False)
    if not found:
        return {}
    wanted = {chunk.number: chunk for chunk in chunks}
    for number, said in found.items():
        same = number in wanted and said.fingerprint in ("", fingerprint(steps.secret, wanted[number]))
        if not same or said.rows != len(next(iter({**wanted[number].table, **wanted[number].aside}.values()))):
            raise KeyConflictError(f"key {short(name)} belongs to a batch with other rows")
    found = _events(steps, control, name, values=True)
    return {number: _part(steps, control, said) for number, said in found.items()}


def _events(steps: Steps, control: Control, name: str, values: bool) -> dict[int, BatchRouted]:
    entries = steps.store.queries.entries(f"loop/{control.loop_id}", values=values)
    events = [e for entry in entries for e in entry.events if isinstance(e, BatchRouted)]
    return {e.chunk: e for e in events if e.batch == name}


def _part(steps: Steps, control: Control, said: BatchRouted) -> Part:
    kept = said.content.get(slot(said.batch, said.chunk))
    arrays: dict[str, Any] = {
        name: np.frombuffer(zlib.decompress(base64.b64decode(kept[name])), kind) for name, kind in KINDS.items()
    }
    arrays["audited"] = arrays["audited"].astype(np.bool_)
    counts = {"autopilot": said.autopilot, "human": said.human, "blocked": said.blocked, "audited": said.audited}
    cases = _cases(steps, control, said, np.flatnonzero((arrays["to"] == 1) | arrays["audited"]).tolist())
    return Part(**arrays, names=tuple(kept["names"]), counts=counts, rows_singly=kept["rows_singly"], cases=cases)


def _cases(steps: Steps, control: Control, said: BatchRouted, rows: list[int]) -> dict[int, str]:
    with steps.store.transaction(durable=False) as tx:
        keys = {row: tx.find_key(control.loop_id, row_key(said.batch, said.chunk, row)) for row in rows}
    return {row: key.case_id for row, key in keys.items() if key is not None}
