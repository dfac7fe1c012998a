"""One stream's hash chain, entry by entry: a broken link is named by its number."""

from __future__ import annotations

import msgspec

from dualcontrol.doctor.finding import PROBLEM, Finding
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Entry, link
from dualcontrol.store import Queries

HINT = "Keep a copy of the database as it is, and compare this stream with a backup."
UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, TypeError, ReadOnlyError)


def chain(queries: Queries, stream: str) -> tuple[list[Entry], list[Finding]]:
    """The entries of a stream, and every place where its chain does not hold."""
    try:
        entries = queries.entries(stream, values=False)
    except UNREADABLE:
        return [], [_unreadable(queries, stream)]
    broken: list[Finding] = []
    number, before = 0, ""
    for entry in entries:
        number += 1
        if entry.stream != stream or entry.seq != number:
            broken.append(_found(stream, number, f"entry {number} of {stream} is missing or says that it is another"))
            number = entry.seq
        elif link(before, entry.body.encode()) != entry.hash:
            what = f"the hash of entry {number} of {stream} does not hold: it, or the one before, was changed"
            broken.append(_found(stream, number, what))
        before = entry.hash
    return entries, broken


def _unreadable(queries: Queries, stream: str) -> Finding:
    """The first entry of a stream that cannot be read."""
    number = 0
    while True:
        try:
            found = queries.entries(stream, after=number, limit=1, values=False)
        except UNREADABLE as error:
            why = str(error).partition("\n")[0]
            return _found(stream, number + 1, f"entry {number + 1} of {stream} cannot be read: {why}")
        if not found:
            return _found(stream, number, f"{stream} cannot be read after entry {number}")
        number += 1


def _found(stream: str, seq: int, what: str) -> Finding:
    case_id = stream.removeprefix("case/") if stream.startswith("case/") else ""
    return Finding("evidence", PROBLEM, what, HINT, case_id, seq)
