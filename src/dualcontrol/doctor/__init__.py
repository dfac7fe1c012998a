"""The doctor: `examine` checks a whole database and returns findings; it writes nothing.

The database, the evidence, the sequencer, the loops and the accounts are checked one after the other;
``dualcontrol doctor`` prints the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dualcontrol.doctor.accounts import accounts
from dualcontrol.doctor.database import (
    OK,
    PROBLEM,
    RESTORE,
    WARNING,
    Finding,
    durability,
    guarded,
    integrity,
    sequencer,
)
from dualcontrol.doctor.ledger import Evidence
from dualcontrol.doctor.loops import loops
from dualcontrol.store import Store

__all__ = ["OK", "PROBLEM", "RESTORE", "WARNING", "Finding", "examine", "size"]


def size(store: Store) -> int:
    """About how many streams `examine` will read."""
    counts = (store.queries.counts(control.loop_id) for control in store.queries.loops())
    return sum(1 + count["open"] + count["decided"] + count["closed"] for count in counts)


def examine(
    store: Store, *, models: str | Path | None = None, secret: bytes | None = None,
    done: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:  # fmt: skip
    """All findings, problems and warnings as they come; one finding says "ok" for each sound part.

    `secret` is that of the programs, where it is not the database's own.  A part that is too damaged to be read is a
    finding, and stops no other.
    """
    evidence = Evidence(store, done, secret)
    yield from guarded("the database", integrity(store))
    yield from guarded("durability", durability(store))
    yield from guarded("the evidence", evidence.findings())
    yield from guarded("the sequencer", sequencer(store))
    yield from guarded("loops", loops(store, evidence.waiting, models))
    yield from guarded("accounts", accounts(store, evidence.unproven))
