"""Ports of the store, which all else writes and reads through; ``store.sql`` implements them for two databases.

Rules live above the port.  The store saves, takes, and finds; it knows no stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dualcontrol.case import JSON, Case, Example, ModelRow, Review, Value
from dualcontrol.control import Control
from dualcontrol.events import Entry
from dualcontrol.store.accounts import AccountBook

__all__ = [
    "MAX_PAYLOAD", "CaseRow", "Conflict", "Example", "InboxRow", "KeyRow", "KeyTaken", "ModelRow", "Page",
    "PersonTaken", "Queries", "SlotRow", "Store", "Stray", "Tx", "key_digest",
]  # fmt: skip
MAX_PAYLOAD = 1_048_576


def key_digest(key: str) -> str:
    """How a key is found again: SHA-256, since an index entry of PostgreSQL cannot hold 65,536 characters."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRow(Value, frozen=True, kw_only=True):
    """What a key stands for: its case and the HMAC of the content it was first used with."""

    case_id: str
    fingerprint: str
    erased: bool = False


class InboxRow(Value, frozen=True, kw_only=True):
    """One open or claimed review with what a list needs to show of its case."""

    review: Review
    loop: str
    mode: str
    action: str | None
    risk: str | None
    confidence: float | None
    reason: str
    on_timeout: str
    read_only: str | None = None  # why this version cannot work on it, where that is so
    alarms: tuple[str, ...] = ()


class CaseRow(Value, frozen=True, kw_only=True):
    """One case in a list."""

    id: str
    loop: str
    mode: str
    state: str
    kind: str
    action: str | None
    route: str
    audited: bool
    verdict: str | None
    by: str | None
    wrong: int | None
    effect: str
    confidence: float | None
    opened_at: int
    due_at: int | None
    closed_at: int | None


class SlotRow(Value, frozen=True, kw_only=True):
    """One stored slot of content: its commitment, and whether the stored bytes are what it commits to."""

    slot: str
    commitment: str
    sound: bool


class Stray(Value, frozen=True, kw_only=True):
    """A row that is not what its case makes it: the columns that differ; none where the row itself is missing."""

    review_id: str | None = None
    columns: tuple[str, ...] = ()


class Page(Value, frozen=True, kw_only=True):
    """A page of rows and the cursor of the next one (None at the end)."""

    rows: tuple[Any, ...]
    next: str | None = None


class Tx(Protocol):
    """One transaction: everything in it is written, or nothing."""

    @property
    def now(self) -> int:
        """The time by the database (or the injected clock), in microseconds, UTC; fixed within a transaction."""

    def find_key(self, loop_id: int, key: str) -> KeyRow | None:
        """The case that a key of this loop stands for; any text up to 65,536 characters."""

    def load(self, case_id: str, *, lock: bool = True, values: bool = True) -> Case | None:
        """The case with its content; no replay.  `lock` holds the row until commit (PostgreSQL).

        Without `values` its content has seals only: enough for steps that do not look at it.
        """

    def save(
        self, before: Case | None, after: Case, entry: Entry, *, fingerprint: str | None = None,
        likeness: str | None = None, cluster: str | None = None, examples: Sequence[Example] = (),
    ) -> Entry:  # fmt: skip
        """One guarded write of case row, changed reviews, payload rows, examples and the sealed entry.

        ``entry.seq`` must be ``before.seq + 1`` (1 for a new case) and ``after.seq == entry.seq``.
        Who waits for a case that gets its outcome is woken after the commit.
        With a `likeness` a new case is found by `alike`, with a `cluster` by `together`; erasing it takes both away.
        Raises `Conflict` when the row has moved on, `KeyTaken` when the key is another case's,
        `PersonTaken` when the person holds or answered another review of the case.
        """

    def alike(self, loop_id: int, likeness: str) -> str | None:
        """The oldest open case of this likeness that follows no other and that nobody holds or has answered.

        It is not locked: the caller loads it, and looks again.
        """

    def together(self, loop_id: int, cluster: str) -> str | None:
        """The newest case of a loop that belongs to a cluster of this hash; it is not locked."""

    def followers(self, case_id: str) -> list[str]:
        """The open followers of a case, by id."""

    def worked(self, person: str, since: int) -> list[str | float | None]:
        """The risk of each case that somebody, by `identity`, has answered since a time or holds, in all loops.

        What is decided and not closed yet, since its effect is to run, is not among them.
        """

    def take(self, person: str, pools: Sequence[tuple[int, str]], *, now: int) -> tuple[str, str] | None:
        """Lock and return (case id, review id) of the next open review this person may take, or None.

        `pools` are (loop id, group) pairs.  Order is `order_at`, then id.  Skips reviews that exclude the
        person, cases the person owns, already answered or holds, and rows other transactions have locked.
        The caller saves the claim.
        """

    def queue(
        self, person: str, pools: Sequence[tuple[int, str]], *, without: Container[str]
    ) -> Iterator[tuple[str, str]]:
        """What `take` would give, one after the other, each locked when it is given; cases in `without` are not."""

    def due(self, what: str, now: int, limit: int) -> list[tuple[str, str | None]]:
        """(case id, review id or None) whose time has come: ``lease``, ``case``, ``settle``, ``effect``, ``follow``.

        `lease`: claimed reviews past lease_until; `case`: open cases past due_at; `settle`: decided cases
        without outcome whose effective_at has passed; `effect`: started effects past their lease; `follow`: open
        cases whose leader has an outcome, and in the place of the review id that leader.
        """

    def control(self, loop: str) -> Control | None:
        """What governs a loop now, or None when nobody defined it."""

    def save_control(self, control: Control, entry: Entry, *, expected_version: int | None) -> Control:
        """Write a new version of a loop's control with its entry; None creates the loop and assigns loop_id.

        Raises `Conflict` when the version has moved on.
        """

    def last(self, stream: str) -> Entry | None:
        """The last entry of a stream that has no row of its own, without its content; None where it has none."""

    def append(self, entry: Entry, payloads: Mapping[str, JSON] | None = None) -> Entry:
        """An entry of a stream that has no row of its own besides its loop's head (batches, system)."""

    def erase(self, case: Case) -> int:
        """Delete every payload row of a case; its commitments stay in the ledger.  Returns how many."""

    def mark_used(self, loop_id: int, example_ids: Sequence[int], model: str) -> int:
        """Say which model learned from these examples."""

    def save_model(self, model: ModelRow) -> None:
        """Insert or update a model row."""

    def take_job(self, kinds: Sequence[str], owner: str, now: int, until: int) -> dict[str, JSON] | None:
        """Lease the next ready job of these kinds."""

    def add_job(self, kind: str, ref: str, run_at: int) -> str:
        """Queue a job; returns its id."""

    def finish_job(self, job_id: str, owner: str, result: str) -> bool:
        """End a job that `owner` still holds."""

    @property
    def accounts(self) -> AccountBook:
        """Accounts and what belongs to them, in this transaction."""


class Queries(Protocol):
    """The read side: SQL only, cursor-paged, never inside a write transaction."""

    def case(self, case_id: str, *, recent: bool = False) -> Case | None:
        """A case with its content; with `recent` as this process last wrote or read it, if it did."""

    def glance(self, case_id: str) -> tuple[Case, str] | None:
        """A case with the input and candidates that a list may show, and how its input begins where it is large."""

    def cases(
        self, *, loop: str | None = None, state: str | None = None, kind: str | None = "live",
        limit: int = 50, cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Cases, newest first, as `CaseRow`s."""

    def inbox(
        self, pools: Sequence[tuple[int, str]], *, person: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Open reviews, and those the person holds, in queue order, as `InboxRow`s."""

    def entries(self, stream: str, *, after: int = 0, limit: int | None = None, values: bool = True) -> list[Entry]:
        """The entries of a stream in order, content put back where it was not erased."""

    def slots(self, stream: str) -> list[SlotRow]:
        """Every stored slot of a stream's content, its bytes checked against its commitment."""

    def unplaced(self) -> tuple[int, int | None]:
        """How many entries the sequencer has not given a position yet, and when the oldest of them was written."""

    def now(self) -> int:
        """The time by the database (or the injected clock), in microseconds, UTC."""

    def key_row(self, loop_id: int, key: str) -> KeyRow | None:
        """What a key of a loop stands for."""

    def key_count(self) -> int:
        """How many rows there are for keys."""

    def key_rows(self) -> Iterator[tuple[int, str, str]]:
        """(loop id, digest of the key, case id) of every row for a key."""

    def streams(self) -> Iterator[str]:
        """Every stream that has entries."""

    def strays(self, case: Case, loop_id: int, head: str) -> list[Stray]:
        """Rows of a case and of its reviews that are not what the case, folded from its entries, makes them."""

    def review_count(self) -> int:
        """How many rows there are for reviews."""

    def review_ids(self) -> Iterator[tuple[str, str]]:
        """(review id, case id) of every row for a review."""

    def misplaced(self) -> tuple[str, int] | None:
        """(stream, seq) of the first entry whose position is missing or not its own; None when all are dense."""

    def loops(self) -> list[Control]:
        """Every loop's control."""

    def loop_columns(self, loop_id: int) -> dict[str, JSON]:
        """Name, mode, version, seq and head of a loop, as its columns say."""

    def examples(
        self, loop_id: int, *, unused: bool = False, after: int = 0, limit: int | None = None
    ) -> list[Example]:
        """Examples of a loop in the order they were made (by id)."""

    def arrivals(self, loop_id: int, since: int) -> list[tuple[str, str | float | None, int, int]]:
        """(route, risk, cases, audited) of the live cases a loop opened since a time."""

    def repeats(self, loop_id: int, since: int) -> list[tuple[str, str | float | None, int, int | None]]:
        """(likeness, risk, opened at, taken at) of live cases since a time, in order, of each likeness met twice.

        Taken is when somebody first took one of its reviews, None while nobody has.
        """

    def sizes(self, loop_id: int, segment: str, since: int) -> tuple[int, int]:
        """How many cases of a segment ("": of the loop) people were to see since a time, the newest 2,000.

        With it the sum of the squared sizes of the clusters among them.
        """

    def following(self, case_id: str) -> int:
        """How many open followers a case has."""

    def probes(self, loop_id: int, since: int, known: Mapping[str, int] | None = None) -> Iterator[Case]:
        """The probes and training cases of a loop closed since a time, with their content, the oldest first.

        Without those that are `known` as they are, by id and the number of their last entry.
        """

    def probes_of(self, loop_id: int, case_id: str) -> list[str]:
        """The probes that were made of a case and still have their content."""

    def probes_waiting(self, loop_id: int) -> dict[str, int]:
        """How many probes of a loop wait for an answer, by the names under which `counts` has live cases."""

    def probes_opened(self, loop_id: int, since: int) -> int:
        """How many probes of a loop were opened since a time."""

    def handling(self, loop_id: int, since: int, limit: int) -> list[tuple[str, float]]:
        """(reviewer, seconds held) of what was answered or passed, in the newest cases that people saw.

        The reviewer is the name's `identity`, the same for all spellings.
        """

    def times(self, loop_id: int, since: int, limit: int) -> list[tuple[str, int, int]]:
        """(reviewer, claimed at, answered at) of what was answered in the newest cases that people saw, in order.

        Of cases that were opened since a time; the reviewer is the name's `identity`.
        """

    def named(self, beginning: str, limit: int = 10) -> list[tuple[str, str]]:
        """(case id, review id or "") of cases and reviews by the beginning of their id."""

    def of_run(self, loop_id: int, run: str) -> list[str]:
        """The cases that calls of a named run have opened in a loop, in their order."""

    def counts(self, loop_id: int) -> dict[str, int]:
        """open, claimed, decided, closed, human, autopilot, audited, unfed, overdue: how much of each there is."""

    def unfed(self) -> dict[str, int]:
        """Answers not yet used for learning, by loop name."""

    def models(self, loop_id: int) -> list[ModelRow]:
        """Models of a loop, newest first."""

    def accounts(self) -> AbstractContextManager[AccountBook]:
        """Accounts and what belongs to them, in one consistent view; nothing is written through it."""

    def route_rows(self, loop_id: int) -> list[dict[str, JSON]]:
        """One small row a case, in opening order: id, route, audited, inclusion, wrong, verdict, by, control, score."""


class Store(Protocol):
    """A database that keeps cases; made by `store.sql.open_store`."""

    url: str
    durability: str
    queries: Queries

    def transaction(self, durable: bool = True, starts: bool | None = None) -> AbstractContextManager[Tx]:
        """A write transaction; commits when the block ends, rolls back when it raises.

        `durable` commits at the configured level; False may be lost by a power cut (claims).  With `starts` something
        may start to run by what it reads: it and those with ``starts=False``, which stop what runs, never overlap.
        """

    def secret(self) -> bytes:
        """The database's own secret for draws and fingerprints, made at creation."""

    def sequence(self, limit: int = 1000) -> int:
        """Give the next entries their dense position; returns how many."""

    def feed(self, after_pos: int, limit: int = 100, loop: str | None = None) -> list[Entry]:
        """Sequenced entries after a position, in order of `pos`."""

    def settled(self, case_ids: Sequence[str]) -> dict[str, bool]:
        """Which of these cases have an outcome."""

    def listen(self, timeout: float) -> list[str] | None:
        """Wait for hints at most `timeout` seconds; None says that hints may have been lost."""

    def integrity(self) -> list[str]:
        """What the database itself says is wrong with it (empty when sound)."""

    def describe(self) -> dict[str, JSON]:
        """Dialect, version, schema revision and the durability settings as read back."""

    def backup(self, path: str) -> None:
        """A consistent copy of the database to a file."""

    def close(self) -> None:
        """Give every connection back."""


class Conflict(Exception):
    """The row has moved on since it was loaded."""


class KeyTaken(Exception):
    """The key belongs to another case by now."""


class PersonTaken(Exception):
    """The person already holds or answered another review of this case."""
