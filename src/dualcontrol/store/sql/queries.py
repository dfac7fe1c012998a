"""The read side: SQL only, cursor-paged, never inside a write transaction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from dualcontrol.case import JSON, Case, Content, Example, ModelRow, Review
from dualcontrol.control import Control
from dualcontrol.errors import NotFoundError
from dualcontrol.events import Entry, opened, unreal, with_values
from dualcontrol.names import identity
from dualcontrol.store import CaseRow, InboxRow, KeyRow, Page, SlotRow, Stray, key_digest
from dualcontrol.store.sql import rows, statements
from dualcontrol.store.sql.dialect import Session
from dualcontrol.store.sql.rows import commitment, line, value_of
from dualcontrol.store.sql.statements import FIRST, rendered
from dualcontrol.store.sql.tx import Shared

Reading = Callable[..., AbstractContextManager[Session]]
MANY = 2**31 - 1
CHUNK = 500
SMALL, BEGINS = 65_536, 4_096  # bytes of a slot that a list reads whole, and characters of a larger one
UNREADABLE = "a newer version wrote it, or its record is damaged: this version cannot read it"
NO_CONTENT = Content()


class PreparedStatement(NamedTuple):
    """A compiled construct and the order in which its parameters come."""

    text: str
    order: tuple[str, ...]

    def arguments(self, given: dict[str, Any]) -> list[Any]:
        """The parameters in the order of the text."""
        return [given[name] for name in self.order]


class SqlQueries:
    """Reads for pages, search, statistics and learning."""

    def __init__(self, shared: Shared, reading: Reading) -> None:
        self._shared, self._reading = shared, reading
        self._prepared: dict[Hashable, PreparedStatement] = {}

    def _rows(self, session: Session, build: Callable[..., Any], *shape: Hashable, **given: Any) -> list[Any]:
        """Rows of a construct that `build(*shape)` makes; compiled once a shape."""
        prepared = self._prepared.get((build, shape))
        if prepared is None:
            prepared = PreparedStatement(*rendered(self._shared.dialect.sql, build(*shape)))
            self._prepared[build, shape] = prepared
        return session.all(prepared.text, prepared.arguments(given))

    # cases

    def case(self, case_id: str) -> Case | None:
        """A case with its content."""
        hot, kept = self._shared.hot, self._shared.recent.get(case_id)
        if kept is not None:
            with self._reading(True) as session:
                row = session.one(hot.case, (case_id,))
            if row is not None and kept.tells(row[1], row[2]):
                return kept.revived(True)
        with self._reading() as session:
            row, slots = session.two(hot.case, hot.payloads, (case_id,))
        try:
            return None if row is None else rows.case_of(row[2], slots)
        except msgspec.DecodeError as error:
            raise rows.unreadable(case_id, error) from error

    def glance(self, case_id: str) -> tuple[Case, str] | None:
        """A case with the input and candidates that a list may show, and how its input begins where it is large."""
        with self._reading() as session:
            row = session.one(self._shared.hot.case, (case_id,))
            found = self._rows(session, statements.glance, owner=case_id, most=SMALL, begins=BEGINS) if row else []
        if row is None:
            return None
        try:
            case = rows.case_of(row[2], [slot[:4] for slot in found if slot[4] <= SMALL])
        except msgspec.DecodeError as error:
            raise rows.unreadable(case_id, error) from error
        large = {seal: body for slot, seal, body, _, size in found if size > SMALL and slot == "input"}
        return case, large.get(case.content.seals.get("input", "")) or ""

    def cases(
        self, *, loop: str | None = None, state: str | None = None, kind: str | None = "live",
        limit: int = 50, cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Cases, newest first, as `CaseRow`s; the state "decided" is of all that people have decided, closed or not."""
        at, last = _position(cursor)
        shape = (loop is not None, state is not None, state == "decided", kind is not None, cursor is not None)
        given = {"loop": loop, "state": state, "kind": kind, "at": at, "last": last, "rows": limit + 1}
        with self._reading() as session:
            found = self._rows(session, statements.list_cases, *shape, **given)
        listed = [_case_row(row) for row in found[:limit]]
        return _page(listed, len(found) > limit, lambda row: (row.opened_at, row.id))

    def settled(self, case_ids: Sequence[str]) -> dict[str, bool]:
        """Which of these cases have an outcome."""
        found: dict[str, bool] = {}
        with self._reading() as session:
            for start in range(0, len(case_ids), CHUNK):
                chunk = list(case_ids[start : start + CHUNK])
                size = 1 << (len(chunk) - 1).bit_length()
                padded = chunk + chunk[-1:] * (size - len(chunk))
                given = {f"id{i}": case_id for i, case_id in enumerate(padded)}
                found |= {row[0]: row[1] is not None for row in self._rows(session, statements.settled, size, **given)}
        return found

    def route_rows(self, loop_id: int) -> list[dict[str, JSON]]:
        """One small row a case, in opening order."""
        with self._reading() as session:
            found = self._rows(session, statements.route_rows, loop_id=loop_id)
        return [dict(zip(statements.ROUTE_ROW, (*row[:2], bool(row[2]), *row[3:]), strict=True)) for row in found]

    def arrivals(self, loop_id: int, since: int) -> list[tuple[str, str | float | None, int, int]]:
        """(route, risk, cases, audited) of the live cases a loop opened since a time."""
        with self._reading() as session:
            found = self._rows(session, statements.arrivals, loop_id=loop_id, since=since)
        return [(route, unreal(risk), int(cases), int(audited or 0)) for route, risk, cases, audited in found]

    def repeats(self, loop_id: int, since: int) -> list[tuple[str, str | float | None, int, int | None]]:
        """(likeness, risk, opened at, taken at) of the cases since a time that ask what another of them asks."""
        with self._reading() as session:
            found = self._rows(session, statements.repeats, loop_id=loop_id, since=since)
        return [(asked, unreal(risk), opened_at, taken_at) for asked, risk, opened_at, taken_at in found]

    def following(self, case_id: str) -> int:
        """How many open cases wait with this one."""
        with self._reading() as session:
            ((count,),) = self._rows(session, statements.following, case_id=case_id)
        return int(count)

    def named(self, beginning: str, limit: int = 10) -> list[tuple[str, str]]:
        """(case id, review id or "") of every case, and every review, whose id begins so."""
        with self._reading() as session:
            given = {"like": f"{beginning}%", "rows": limit}
            cases = [(row[0], "") for row in self._rows(session, statements.cases_named, **given)]
            return cases + [(row[1], row[0]) for row in self._rows(session, statements.reviews_named, **given)]

    def of_run(self, loop_id: int, run: str) -> list[str]:
        """The cases that calls of a named run have opened in a loop, in their order."""
        with self._reading() as session:
            return [row[0] for row in self._rows(session, statements.of_run, loop_id=loop_id, run=run)]

    def handling(self, loop_id: int, since: int, limit: int) -> list[float]:
        """How many seconds reviewers held what they answered or passed, in the newest cases that people saw."""
        with self._reading() as session:
            found = self._rows(session, statements.handling, loop_id=loop_id, since=since, rows=limit)
        return [int(held) / 1_000_000 for (held,) in found if held is not None]

    def counts(self, loop_id: int) -> dict[str, int]:
        """How much of each there is: see the port."""
        with self._reading() as session:
            (found,) = self._rows(session, statements.case_counts, loop_id=loop_id, now=session.now)
            (claimed,) = self._rows(session, statements.claimed_count, loop_id=loop_id)
            (unfed,) = self._rows(session, statements.unfed_count, loop_id=loop_id)
        counted = dict(zip(statements.COUNTED, (int(n or 0) for n in found), strict=True))
        return {**counted, "claimed": claimed[0], "unfed": unfed[0]}

    # reviews

    def inbox(
        self, pools: Sequence[tuple[int, str]], *, person: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Open reviews that the person may take, and those the person holds, in queue order."""
        at, last = _position(cursor)
        key = identity(person or "")
        given = {"at": at, "last": last, "person": key, "line": line(key), "rows": limit + 1}
        with self._reading() as session:
            found = [
                row
                for loop_id, pool in dict.fromkeys(pools)
                for row in self._rows(
                    session, statements.inbox, person is not None, loop_id=loop_id, pool=pool, **given
                )
            ]
            if person is not None:
                found += self._rows(session, statements.held, **given)
            found.sort(key=lambda row: (row[0], row[1]))
            listed = [self._inbox_row(session, row[1], row[2]) for row in found[:limit]]
        return _page(listed, len(found) > limit, lambda row: (row.review.order_at, row.review.id))

    def _inbox_row(self, session: Session, review_id: str, snapshot: str) -> InboxRow:
        try:
            return _inbox_row(review_id, rows.decode_case(snapshot))
        except (msgspec.DecodeError, LookupError):
            (row,) = self._rows(session, statements.bare_review, review_id=review_id)
        loop, mode, action, risk, confidence, *columns = row
        named = dict(zip(statements.BARE_REVIEW, columns, strict=True))
        return InboxRow(
            review=Review(group=named.pop("pool"), **named), loop=loop, mode=mode, action=action, risk=risk,
            confidence=confidence, reason=UNREADABLE, on_timeout="hold", read_only=UNREADABLE,
        )  # fmt: skip

    # entries

    def entries(self, stream: str, *, after: int = 0, limit: int | None = None, values: bool = True) -> list[Entry]:
        """The entries of a stream in order, content put back where it was not erased."""
        count = MANY if limit is None else limit + 1
        owner = stream.removeprefix("case/")
        with self._reading() as session:
            found = self._rows(session, statements.read_entries, stream=stream, after=after, rows=count)
            slots = session.all(self._shared.hot.payloads, (owner,)) if values and found else []
        read: list[Entry] = []
        prev = ""
        for seq, body, digest, pos in found:
            if seq > after and (limit is None or len(read) < limit):
                read.append(opened(body, prev=prev, digest=digest, pos=pos))
            prev = digest
        return _with_slots(read, slots) if slots else read

    def slots(self, stream: str) -> list[SlotRow]:
        """Every stored slot of a stream's content, its bytes checked against its commitment."""
        with self._reading() as session:
            found = self._rows(session, statements.slots, owner=stream.removeprefix("case/"))
        return [
            SlotRow(slot=slot, commitment=kept, sound=kept == commitment(slot, bytes(salt), (body or "").encode()))
            for slot, _, body, salt, kept in found
        ]

    def unplaced(self) -> tuple[int, int | None]:
        """How many entries have no position yet, and when the oldest of them was written."""
        with self._reading() as session:
            ((count, oldest),) = self._rows(session, statements.unplaced)
        return int(count), oldest

    def now(self) -> int:
        """The time by the database (or the injected clock), in microseconds."""
        with self._reading(True) as session:
            return session.now

    def streams(self) -> Iterator[str]:
        """Every stream that has entries, in pages of its own."""
        last = ""
        while True:
            with self._reading() as session:
                found = self._rows(session, statements.streams, after=last, rows=CHUNK)
            if not found:
                return
            yield from (row[0] for row in found)
            last = found[-1][0]

    def strays(self, case: Case, loop_id: int, head: str) -> list[Stray]:
        """Rows of a case and of its reviews that are not what the case, folded from its entries, makes them."""
        with self._reading() as session:
            found = self._rows(session, statements.case_columns, case_id=case.id)
            kept = [self._rows(session, statements.review_columns, review_id=review.id) for review in case.reviews]
        made = rows.fixed_columns(case, loop_id) + rows.moving_columns(case, head, "")[:-1]
        listed = [_stray(None, statements.CASE_COLUMNS, made, found)]
        for review, row in zip(case.reviews, kept, strict=True):
            made = rows.review_fixed(review, case, loop_id) + rows.review_moving(review, case)
            listed.append(_stray(review.id, statements.REVIEW_COLUMNS, made, row))
        return [stray for stray in listed if stray is not None]

    def review_count(self) -> int:
        """How many rows there are for reviews."""
        with self._reading() as session:
            ((count,),) = self._rows(session, statements.review_count)
        return int(count)

    def review_ids(self) -> Iterator[tuple[str, str]]:
        """(review id, case id) of every row for a review."""
        last = ""
        while True:
            with self._reading() as session:
                found = self._rows(session, statements.review_ids, after=last, rows=CHUNK)
            if not found:
                return
            yield from ((row[0], row[1]) for row in found)
            last = found[-1][0]

    def key_row(self, loop_id: int, key: str) -> KeyRow | None:
        """What a key of a loop stands for."""
        with self._reading(True) as session:
            return rows.key_of(session.one(self._shared.hot.key, (loop_id, key_digest(key))))

    def key_count(self) -> int:
        """How many rows there are for keys."""
        with self._reading() as session:
            ((count,),) = self._rows(session, statements.key_count)
        return int(count)

    def key_rows(self) -> Iterator[tuple[int, str, str]]:
        """(loop id, digest of the key, case id) of every row for a key."""
        last = (-1, "")
        while True:
            with self._reading() as session:
                found = self._rows(session, statements.key_rows, after_loop=last[0], after_digest=last[1], rows=CHUNK)
            if not found:
                return
            yield from ((row[0], row[1], row[2]) for row in found)
            last = (found[-1][0], found[-1][1])

    def misplaced(self) -> tuple[str, int] | None:
        """(stream, seq) of the first entry whose position is missing or not its own; None when all are dense."""
        with self._reading() as session:
            found = self._rows(session, statements.misplaced, *self._shared.dialect.order, rows=1)
        return (found[0][0], found[0][1]) if found else None

    # loops and learning

    def loops(self) -> list[Control]:
        """Every loop's control."""
        with self._reading() as session:
            found = self._rows(session, statements.all_loops)
        return [rows.control_of(text, loop_id, seq) for loop_id, seq, text in found]

    def loop_columns(self, loop_id: int) -> dict[str, JSON]:
        """Name, mode, version, seq and head of a loop, as its columns say."""
        with self._reading() as session:
            found = self._rows(session, statements.loop_columns, loop_id=loop_id)
        return dict(zip(statements.LOOP_COLUMNS, found[0], strict=True)) if found else {}

    def examples(
        self, loop_id: int, *, unused: bool = False, after: int = 0, limit: int | None = None
    ) -> list[Example]:
        """Examples of a loop in the order they were made."""
        given = {"loop_id": loop_id, "after": after, "rows": MANY if limit is None else limit}
        with self._reading() as session:
            found = self._rows(session, statements.list_examples, unused, **given)
        return [Example(**dict(zip(statements.EXAMPLE_ROW, row, strict=True))) for row in found]

    def unfed(self) -> dict[str, int]:
        """Answers not yet used for learning, by loop name."""
        with self._reading() as session:
            return dict(self._rows(session, statements.unfed))

    def models(self, loop_id: int) -> list[ModelRow]:
        """Models of a loop, newest first."""
        with self._reading() as session:
            found = self._rows(session, statements.list_models, loop_id=loop_id)
        named = (dict(zip(statements.MODEL, row, strict=True)) for row in found)
        return [ModelRow(**{**row, "metrics": msgspec.json.decode(row["metrics"])}) for row in named]

    def session_lives(self, digest: str) -> bool:
        """Whether a browser's session was begun, not ended, and has time left."""
        with self._reading() as session:
            return bool(self._rows(session, statements.session, digest=digest, now=session.now))


def _case_row(row: Any) -> CaseRow:
    named = dict(zip(statements.CASE_ROW, row, strict=True))
    return CaseRow(**{**named, "audited": bool(named["audited"])})


def _stray(review_id: str | None, names: Sequence[str], made: rows.Row, found: Sequence[Any]) -> Stray | None:
    """What is wrong with a row; None when it is what it should be."""
    columns = tuple(n for n, one, other in zip(names, made, found[0], strict=True) if one != other) if found else ()
    return None if found and not columns else Stray(review_id=review_id, columns=columns)


def _inbox_row(review_id: str, case: Case) -> InboxRow:
    review, route = case.review(review_id), case.route
    if review is None:
        raise LookupError(f"case {case.id} does not know its review {review_id}")
    risk = route.risk if route is not None and route.risk is not None else case.risk
    return InboxRow(
        review=review, loop=case.loop, mode=case.mode, action=case.action,
        risk=None if risk is None else str(risk), confidence=case.confidence,
        reason=route.reason if route else "", on_timeout=route.on_timeout if route else "hold",
        read_only=f"it holds an event {case.read_only!r} that this version does not know" if case.read_only else None,
        alarms=tuple(alarm["code"] for alarm in case.alarms),
    )  # fmt: skip


def _with_slots(read: list[Entry], slots: list[Any]) -> list[Entry]:
    """Each entry with the rows that its own seals commit to; a slot may have been written more than once."""
    bodies = {(slot, commitment): body for slot, commitment, body, _ in slots}
    filled = []
    for entry in read:
        seals = [pair for event in entry.events for pair in getattr(event, "content", NO_CONTENT).seals.items()]
        values = {pair[0]: value_of(bodies[pair]) for pair in seals if pair in bodies}
        filled.append(with_values(entry, values) if values else entry)
    return filled


def _page(listed: list[Any], more: bool, position: Callable[[Any], tuple[int, str]]) -> Page:
    if not more:
        return Page(rows=tuple(listed))
    at, last = position(listed[-1])
    return Page(rows=tuple(listed), next=f"{at}.{last}")


def _position(cursor: str | None) -> tuple[int, str]:
    """Where the page before ended."""
    if cursor is None:
        return FIRST
    at, _, last = cursor.partition(".")
    if not at.isdigit():
        raise NotFoundError(f"no page begins at {cursor!r}", hint="Leave the cursor out to begin with the first page.")
    return int(at), last
