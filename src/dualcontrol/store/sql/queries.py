"""The read side: SQL only, cursor-paged, never inside a write transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import msgspec
from sqlalchemy import Select

from dualcontrol.case import JSON, Case, Content, Example, ModelRow, Review
from dualcontrol.control import Control
from dualcontrol.errors import NotFoundError, ReadOnlyError
from dualcontrol.events import Entry, opened, unreal, with_values
from dualcontrol.names import identity
from dualcontrol.store import CaseRow, InboxRow, KeyRow, Page, SlotRow, Stray, key_digest
from dualcontrol.store.sql import rows, statements
from dualcontrol.store.sql.accounts import SqlAccounts
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


class SqlQueries:
    """Reads for pages, search, statistics and learning."""

    def __init__(self, shared: Shared, reading: Reading) -> None:
        self._shared, self._reading = shared, reading
        self._prepared: dict[Select[Any], tuple[str, tuple[str, ...]]] = {}

    def _rows(self, session: Session, construct: Select[Any], **arguments: Any) -> list[Any]:
        """The rows of a construct, which is compiled once."""
        if construct not in self._prepared:
            self._prepared[construct] = rendered(self._shared.dialect.sql, construct)
        text, order = self._prepared[construct]
        return session.all(text, [arguments[name] for name in order])

    def _read(self, construct: Select[Any], **arguments: Any) -> list[Any]:
        """The same in a read of its own."""
        with self._reading() as session:
            return self._rows(session, construct, **arguments)

    def _paged(self, construct: Select[Any], **after: Any) -> Iterator[Any]:
        """All rows of a construct whose first columns are the place in `after`, each page in a read of its own."""
        while page := self._read(construct, **after, rows=CHUNK):
            yield from page
            after = dict(zip(after, page[-1], strict=False))

    # Cases

    def case(self, case_id: str, *, recent: bool = False) -> Case | None:
        """A case with its content; with `recent` as this process last wrote or read it, if it did."""
        hot, cached = self._shared.hot, self._shared.recent.get(case_id)
        if cached is not None:
            if recent:
                return cached.restored(True)
            with self._reading(True) as session:
                row = session.one(hot.case, (case_id,))
            if row is not None and cached.matches(row[1], row[2]):
                return cached.restored(True)
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
            slots = self._rows(session, statements.GLANCE, owner=case_id, most=SMALL, begins=BEGINS) if row else []
        if row is None:
            return None
        try:
            case = rows.case_of(row[2], [slot[:4] for slot in slots if slot[4] <= SMALL])
        except msgspec.DecodeError as error:
            raise rows.unreadable(case_id, error) from error
        large = {seal: body for slot, seal, body, _, size in slots if size > SMALL and slot == "input"}
        return case, large.get(case.content.seals.get("input", "")) or ""

    def cases(
        self, *, loop: str | None = None, state: str | None = None, kind: str | None = "live",
        limit: int = 50, cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Cases, newest first, as `CaseRow`s; the state "decided" is of all that people have decided, closed or not.

        Of the kind "listed" are live cases and the probes that are still to be answered.
        """
        at, last = _position(cursor)
        construct = statements.list_cases(
            loop is not None, state is not None, state == "decided", kind, cursor is not None
        )
        records = self._read(construct, loop=loop, state=state, kind=kind, at=at, last=last, rows=limit + 1)
        named = [dict(zip(statements.CASE_ROW, row, strict=True)) for row in records[:limit]]
        listed = [CaseRow(**{**row, "audited": bool(row["audited"])}) for row in named]
        return _page(listed, len(records) > limit, lambda row: (row.opened_at, row.id))

    def settled(self, case_ids: Sequence[str]) -> dict[str, bool]:
        """Which of these cases have an outcome."""
        outcomes: dict[str, bool] = {}
        with self._reading() as session:
            for start in range(0, len(case_ids), CHUNK):
                chunk = list(case_ids[start : start + CHUNK])
                size = 1 << (len(chunk) - 1).bit_length()
                padded = chunk + chunk[-1:] * (size - len(chunk))
                arguments = {f"id{i}": case_id for i, case_id in enumerate(padded)}
                concluded = self._rows(session, statements.settled(size), **arguments)
                outcomes |= {case_id: by is not None for case_id, by in concluded}
        return outcomes

    def route_rows(self, loop_id: int) -> list[dict[str, JSON]]:
        """One small row a case, in opening order."""
        routes = self._read(statements.ROUTE_ROWS, loop_id=loop_id)
        return [dict(zip(statements.ROUTE_ROW, (*row[:2], bool(row[2]), *row[3:]), strict=True)) for row in routes]

    def arrivals(self, loop_id: int, since: int) -> list[tuple[str, str | float | None, int, int]]:
        """(route, risk, cases, audited) of the live cases a loop opened since a time."""
        counts = self._read(statements.ARRIVALS, loop_id=loop_id, since=since)
        return [(route, unreal(risk), int(cases), int(audited or 0)) for route, risk, cases, audited in counts]

    def repeats(self, loop_id: int, since: int) -> list[tuple[str, str | float | None, int, int | None]]:
        """(likeness, risk, opened at, taken at) of the cases since a time that have a duplicate."""
        repeats = self._read(statements.REPEATS, loop_id=loop_id, since=since)
        return [(likeness, unreal(risk), opened_at, taken_at) for likeness, risk, opened_at, taken_at in repeats]

    def sizes(self, loop_id: int, segment: str, since: int) -> tuple[int, int]:
        """How many cases of a segment people were to see since a time, and their clusters' squared sizes summed."""
        named = {"segment": segment} if segment else {}
        cases, squares = self._read(statements.sizes(bool(segment)), loop_id=loop_id, since=since, **named)[0]
        return int(cases or 0), int(squares or 0)

    def following(self, case_id: str) -> int:
        """How many open followers a case has."""
        return int(self._read(statements.FOLLOWING, case_id=case_id)[0][0])

    def named(self, beginning: str, limit: int = 10) -> list[tuple[str, str]]:
        """(case id, review id or "") of cases and reviews by the beginning of their id."""
        arguments = {"like": f"{beginning}%", "rows": limit}
        with self._reading() as session:
            cases = [(row[0], "") for row in self._rows(session, statements.CASES_NAMED, **arguments)]
            return cases + [(row[1], row[0]) for row in self._rows(session, statements.REVIEWS_NAMED, **arguments)]

    def of_run(self, loop_id: int, run: str) -> list[str]:
        """The cases that calls of a named run have opened in a loop, in their order."""
        return [row[0] for row in self._read(statements.OF_RUN, loop_id=loop_id, run=run)]

    def probes(self, loop_id: int, since: int, known: Mapping[str, int] | None = None) -> Iterator[Case]:
        """The probes of a loop that were closed since a time: see the port."""
        for case_id, seq in self._read(statements.PROBES, loop_id=loop_id, since=since):
            if known is not None and known.get(case_id) == seq:
                continue
            with suppress(ReadOnlyError):
                case = self.case(case_id)
                if case is not None:
                    yield case

    def probes_of(self, loop_id: int, case_id: str) -> list[str]:
        """The probes that were made of a case: see the port."""
        return [row[0] for row in self._read(statements.PROBES_OF, loop_id=loop_id, case_id=case_id)]

    def probes_waiting(self, loop_id: int) -> dict[str, int]:
        """How many probes of a loop wait for an answer, as counts of live cases: see the port."""
        waiting: Counter[str] = Counter()
        for state, route, many in self._read(statements.PROBES_WAITING, loop_id=loop_id):
            waiting.update({state: many, route: many, **({"audited": many} if route == "autopilot" else {})})
        return dict(waiting)

    def probes_opened(self, loop_id: int, since: int) -> int:
        """How many probes of a loop were opened since a time."""
        return int(self._read(statements.PROBES_OPENED, loop_id=loop_id, since=since)[0][0])

    def handling(self, loop_id: int, since: int, limit: int) -> list[tuple[str, float]]:
        """(reviewer, seconds held) of what was answered or passed: see the port."""
        durations = self._read(statements.HANDLING, loop_id=loop_id, since=since, rows=limit)
        return [(person, int(duration) / 1_000_000) for person, duration in durations if duration is not None]

    def times(self, loop_id: int, since: int, limit: int) -> list[tuple[str, int, int]]:
        """(reviewer, claimed at, answered at) of what was answered: see the port."""
        answers = self._read(statements.TIMES, loop_id=loop_id, since=since, rows=limit)
        whole = ((person, claimed, at) for person, claimed, at in answers if claimed is not None and at is not None)
        return sorted(((person, int(claimed), int(at)) for person, claimed, at in whole), key=lambda one: one[2])

    def counts(self, loop_id: int) -> dict[str, int]:
        """How much of each there is: see the port."""
        with self._reading() as session:
            (counts,) = self._rows(session, statements.CASE_COUNTS, loop_id=loop_id, now=session.now)
            (claimed,) = self._rows(session, statements.CLAIMED_COUNT, loop_id=loop_id)
            (unfed,) = self._rows(session, statements.UNFED_COUNT, loop_id=loop_id)
        named = dict(zip(statements.COUNTED, (int(n or 0) for n in counts), strict=True))
        return {**named, "claimed": claimed[0], "unfed": unfed[0]}

    # Reviews

    def inbox(
        self, pools: Sequence[tuple[int, str]], *, person: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Open reviews that the person may take, and those the person holds, in queue order."""
        at, last = _position(cursor)
        key = identity(person or "")
        arguments = {"at": at, "last": last, "person": key, "line": line(key), "rows": limit + 1}
        construct = statements.inbox(person is not None)
        records: list[Any] = []
        with self._reading() as session:
            for loop_id, pool in dict.fromkeys(pools):
                records += self._rows(session, construct, loop_id=loop_id, pool=pool, **arguments)
            if person is not None:
                records += self._rows(session, statements.HELD, **arguments)
            records.sort(key=lambda row: (row[0], row[1]))
            listed = [self._inbox_row(session, row[1], row[2]) for row in records[:limit]]
        return _page(listed, len(records) > limit, lambda row: (row.review.order_at, row.review.id))

    def _inbox_row(self, session: Session, review_id: str, snapshot: str) -> InboxRow:
        """A review with its case, or by its columns alone where the case cannot be read."""
        with suppress(msgspec.DecodeError, LookupError):
            case = rows.decode_case(snapshot)
            review, route = case.review(review_id), case.route
            if review is not None:
                risk = route.risk if route is not None and route.risk is not None else case.risk
                newer = f"it holds an event {case.read_only!r} that this version does not know"
                return InboxRow(
                    review=review, loop=case.loop, mode=case.mode, action=case.action,
                    risk=None if risk is None else str(risk), confidence=case.confidence,
                    reason=route.reason if route else "", on_timeout=route.on_timeout if route else "hold",
                    read_only=newer if case.read_only else None, alarms=tuple(alarm["code"] for alarm in case.alarms),
                )  # fmt: skip
        (row,) = self._rows(session, statements.REVIEW_WITHOUT_CASE, review_id=review_id)
        loop, mode, action, risk, confidence, *columns = row
        named = dict(zip(statements.BARE_REVIEW, columns, strict=True))
        return InboxRow(
            review=Review(group=named.pop("pool"), **named), loop=loop, mode=mode, action=action, risk=risk,
            confidence=confidence, reason=UNREADABLE, on_timeout="hold", read_only=UNREADABLE,
        )  # fmt: skip

    # Entries and their content

    def entries(self, stream: str, *, after: int = 0, limit: int | None = None, values: bool = True) -> list[Entry]:
        """The entries of a stream in order, content put back where it was not erased."""
        count = MANY if limit is None else limit + 1
        owner = stream.removeprefix("case/")
        with self._reading() as session:
            records = self._rows(session, statements.READ_ENTRIES, stream=stream, after=after, rows=count)
            slots = session.all(self._shared.hot.payloads, (owner,)) if values and records else []
        bodies = {(slot, seal): body for slot, seal, body, _ in slots}  # a slot may have been written more than once
        listed: list[Entry] = []
        prev = ""
        for seq, body, digest, pos in records:
            if seq > after and (limit is None or len(listed) < limit):
                entry = opened(body, prev=prev, digest=digest, pos=pos)
                if slots:
                    seals = [p for event in entry.events for p in getattr(event, "content", NO_CONTENT).seals.items()]
                    content = {pair[0]: value_of(bodies[pair]) for pair in seals if pair in bodies}
                    entry = with_values(entry, content) if content else entry
                listed.append(entry)
            prev = digest
        return listed

    def slots(self, stream: str) -> list[SlotRow]:
        """Every stored slot of a stream's content, its bytes checked against its commitment."""
        slots = self._read(statements.SLOTS, owner=stream.removeprefix("case/"))
        return [
            SlotRow(slot=slot, commitment=seal, sound=seal == commitment(slot, bytes(salt), (body or "").encode()))
            for slot, _, body, salt, seal in slots
        ]

    def unplaced(self) -> tuple[int, int | None]:
        """How many entries have no position yet, and when the oldest of them was written."""
        ((count, oldest),) = self._read(statements.UNPLACED)
        return int(count), oldest

    def now(self) -> int:
        """The time by the database (or the injected clock), in microseconds."""
        with self._reading(True) as session:
            return session.now

    def streams(self) -> Iterator[str]:
        """Every stream that has entries, in pages of its own."""
        return (row[0] for row in self._paged(statements.STREAMS, after=""))

    def strays(self, case: Case, loop_id: int, head: str) -> list[Stray]:
        """Rows of a case and of its reviews that are not what the case, folded from its entries, makes them."""
        with self._reading() as session:
            columns = self._rows(session, statements.CASE, case_id=case.id)
            of_reviews = [self._rows(session, statements.REVIEW, review_id=review.id) for review in case.reviews]
        expected = rows.case_row(case, loop_id, head, "")[:-1]
        listed = [_stray(None, statements.CASE_COLUMNS, expected, columns)]
        for review, columns in zip(case.reviews, of_reviews, strict=True):
            expected = rows.review_row(review, case, loop_id)
            listed.append(_stray(review.id, statements.REVIEW_COLUMNS, expected, columns))
        return [stray for stray in listed if stray is not None]

    def review_count(self) -> int:
        """How many rows there are for reviews."""
        return int(self._read(statements.REVIEW_COUNT)[0][0])

    def review_ids(self) -> Iterator[tuple[str, str]]:
        """(review id, case id) of every row for a review."""
        return ((row[0], row[1]) for row in self._paged(statements.REVIEW_IDS, after=""))

    def key_row(self, loop_id: int, key: str) -> KeyRow | None:
        """What a key of a loop stands for."""
        with self._reading(True) as session:
            return rows.key_of(session.one(self._shared.hot.key, (loop_id, key_digest(key))))

    def key_count(self) -> int:
        """How many rows there are for keys."""
        return int(self._read(statements.KEY_COUNT)[0][0])

    def key_rows(self) -> Iterator[tuple[int, str, str]]:
        """(loop id, digest of the key, case id) of every row for a key."""
        keys = self._paged(statements.KEY_ROWS, after_loop=-1, after_digest="")
        return ((row[0], row[1], row[2]) for row in keys)

    def misplaced(self) -> tuple[str, int] | None:
        """(stream, seq) of the first entry whose position is missing or not its own; None when all are dense."""
        records = self._read(statements.misplaced(*self._shared.dialect.order), rows=1)
        return (records[0][0], records[0][1]) if records else None

    # Loops and learning

    def loops(self) -> list[Control]:
        """Every loop's control."""
        return [rows.control_of(text, loop_id, seq) for loop_id, seq, text in self._read(statements.ALL_LOOPS)]

    def loop_columns(self, loop_id: int) -> dict[str, JSON]:
        """Name, mode, version, seq and head of a loop, as its columns say."""
        records = self._read(statements.LOOP, loop_id=loop_id)
        return dict(zip(statements.LOOP_COLUMNS, records[0], strict=True)) if records else {}

    def examples(
        self, loop_id: int, *, unused: bool = False, after: int = 0, limit: int | None = None
    ) -> list[Example]:
        """Examples of a loop in the order they were made."""
        count = MANY if limit is None else limit
        records = self._read(statements.list_examples(unused), loop_id=loop_id, after=after, rows=count)
        return [Example(**dict(zip(statements.EXAMPLE_ROW, row, strict=True))) for row in records]

    def unfed(self) -> dict[str, int]:
        """Answers not yet used for learning, by loop name."""
        return dict(self._read(statements.UNFED))

    def models(self, loop_id: int) -> list[ModelRow]:
        """Models of a loop, newest first."""
        records = self._read(statements.MODELS, loop_id=loop_id)
        named = (dict(zip(statements.MODEL, row, strict=True)) for row in records)
        return [ModelRow(**{**row, "metrics": msgspec.json.decode(row["metrics"])}) for row in named]

    @contextmanager
    def accounts(self) -> Iterator[SqlAccounts]:
        """Accounts and what belongs to them, in one consistent view; nothing is written through it."""
        with self._reading() as session:
            yield SqlAccounts(self._shared.accounts, session)


def _stray(review_id: str | None, names: Sequence[str], expected: rows.Row, records: Sequence[Any]) -> Stray | None:
    """What is wrong with a row; None when it is what it should be."""
    if not records:
        return Stray(review_id=review_id, columns=())
    columns = tuple(name for name, one, other in zip(names, expected, records[0], strict=True) if one != other)
    return Stray(review_id=review_id, columns=columns) if columns else None


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
