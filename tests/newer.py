"""What a newer version of dualcontrol leaves in a database: written behind the program's back, hashes and all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import dualcontrol as dc
from dualcontrol.events import link

UNREADABLE, UNKNOWN = ('"origin":"live"', '"origin":"dreamt"'), ('"reviews"', '"read_only":"Blessed","reviews"')
HOW = {"its snapshot does not fit": UNREADABLE, "it holds an unknown event": UNKNOWN}


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection beside the program's own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            yield connection
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def written(desk: dc.Desk, case_id: str, how: str | None) -> None:
    """Add an event of an unknown kind to a case, as a newer version would; `how` names what becomes of its row."""
    last = desk.store.queries.entries(f"case/{case_id}")[-1]
    body: dict[str, Any] = {**json.loads(last.body), "seq": last.seq + 1, "actor": "newer", "events": [BLESSED]}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    digest = link(last.hash, text.encode())
    with connected(desk.store.url) as database:
        database.execute(
            "INSERT INTO entries (loop_id, stream, seq, at, actor, body, hash) SELECT loop_id, stream, seq + 1, at, "
            f"'newer', '{text}', '{digest}' FROM entries WHERE stream = 'case/{case_id}' AND seq = {last.seq}"
        )
        changes = [(f'"seq":{last.seq}', f'"seq":{last.seq + 1}'), *([HOW[how]] if how else [])]
        snapshot = "snapshot"
        for old, new in changes:
            snapshot = f"replace({snapshot}, '{old}', '{new}')"
        moved = f"UPDATE cases SET seq = seq + 1, head = '{digest}', snapshot = {snapshot} WHERE id = '{case_id}'"
        assert database.execute(moved).rowcount == 1


BLESSED = {"kind": "Blessed", "by": "a newer version"}


def mended(desk: dc.Desk, case_id: str) -> None:
    """Let the row fit again, as when the newer version has moved on with it."""
    snapshot = "snapshot"
    for old, new in HOW.values():
        snapshot = f"replace({snapshot}, '{new}', '{old}')"
    with connected(desk.store.url) as database:
        database.execute(f"UPDATE cases SET snapshot = {snapshot} WHERE id = '{case_id}'")
