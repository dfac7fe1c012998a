"""One transaction on cases: load, save, take, and what is due."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

import msgspec

from dualcontrol.case import Case, Content
from dualcontrol.errors import PayloadError, UnknownLoopError
from dualcontrol.events import Entry, sealed
from dualcontrol.names import identity
from dualcontrol.store import Conflict, Example, KeyRow, key_digest
from dualcontrol.store.sql import rows
from dualcontrol.store.sql.dialect import Write
from dualcontrol.store.sql.hot import CANDIDATES, FIRST, SLOTS_AT_ONCE
from dualcontrol.store.sql.seal import Sealed, line, seal
from dualcontrol.store.sql.streams import StreamTx
from dualcontrol.store.sql.work import WorkTx

NO_SLOTS: list[rows.Row] = []


class SqlTx(StreamTx, WorkTx):
    """One transaction; everything in it is written, or nothing."""

    @property
    def now(self) -> int:
        """The time of this transaction, in microseconds."""
        return self._session.now

    # cases

    def find_key(self, loop_id: int, key: str) -> KeyRow | None:
        """The case that a key of this loop stands for."""
        return rows.key_of(self._session.one(self._hot.key, (loop_id, key_digest(key))))

    def load(self, case_id: str, *, lock: bool = True, values: bool = True) -> Case | None:
        """The case with its content (without `values`: its seals only); its row is held until commit."""
        hot, slots, kept = self._hot, NO_SLOTS, self._shared.recent.get(case_id)
        statement = hot.case_locked if lock else hot.case
        if values and kept is None:
            row, slots = self._session.two(statement, hot.payloads, (case_id,))
        else:
            row = self._session.one(statement, (case_id,))
        if row is None:
            return None
        self._heads[case_id] = (row[0], row[1])
        if kept is not None and kept.tells(row[1], row[2]):
            case = kept.revived(values)
        else:
            if values and kept is not None:
                slots = self._session.all(hot.payloads, (case_id,))
            case = self._decoded(case_id, row, slots, values)
        self._seen(case.loop, row[3], row[4])
        return case

    def _decoded(self, case_id: str, row: rows.Row, slots: list[rows.Row], values: bool) -> Case:
        try:
            case: Case = rows.decode_case(row[2])
        except msgspec.DecodeError as error:
            raise rows.unreadable(case_id, error) from error
        if values:
            rows.check_bodies(case, slots)
            bodies = rows.bodies_of(case, slots)
            self._shared.recent.keep(case, row[1], row[2], bodies)
            rows.fill(case, bodies)
        return case

    def save(
        self,
        before: Case | None,
        after: Case,
        entry: Entry,
        *,
        fingerprint: str | None = None,
        likeness: str | None = None,
        examples: Sequence[Example] = (),
    ) -> Entry:
        """One guarded write of the case's row, changed reviews, payloads, examples and the sealed entry."""
        loop_id, head = self._loop_id(after.loop), self._head(before, after, entry)
        contents = rows.contents_of(entry)
        slots = seal(contents, self._shared.salt)
        if slots:
            _show_seals(after, contents)
        try:
            entry = sealed(entry, head)
            snapshot = rows.encode_case(after).decode()
            batch = self._case_writes(before, after, entry, snapshot, loop_id, fingerprint, likeness)
        except UnicodeEncodeError as error:
            raise PayloadError(f"the case holds text that UTF-8 cannot carry: {error.reason}") from error
        if slots:
            batch.append(self._payload_writes(before, after.id, slots))
        self._review_writes(batch, before, after, loop_id)
        if examples:
            batch.append(Write(self._hot.new_example, [rows.example_row(e) for e in examples]))
        if self._write(*batch) != 1:
            self.failed = True
            raise Conflict(f"case {after.id} has moved on from entry {entry.seq - 1}")
        self._heads[after.id] = (entry.seq, entry.hash)
        if after.concluded is not None and (before is None or before.concluded is None):
            self.settled.append(after.id)
        self._keep(before, after, entry.hash, snapshot, head, slots)
        return entry

    def _keep(
        self, before: Case | None, after: Case, head: str, snapshot: str, known: str, slots: list[Sealed]
    ) -> None:
        """Keep the case for the next step, when its content is at hand; a rollback leaves a head that no row has."""
        recent, bodies = self._shared.recent, {}
        if before is not None:
            kept = recent.get(after.id)
            if kept is None or kept.head != known:
                return
            bodies = kept.bodies
        recent.keep(after, head, snapshot, bodies | {s.slot: s.body for s in slots} if slots else bodies)

    def _head(self, before: Case | None, after: Case, entry: Entry) -> str:
        """The hash to chain to; raises `Conflict` when the row is already known to have moved on."""
        expected = 0 if before is None else before.seq
        if entry.seq != expected + 1 or after.seq != entry.seq:
            raise ValueError(f"entry {entry.seq} and case at {after.seq} do not follow {expected}")
        if before is None:
            return ""
        known = self._heads.get(after.id) or self._session.one(self._hot.case_head, (after.id,))
        if known is None or known[0] != expected:
            raise Conflict(f"case {after.id} has moved on from entry {expected}")
        return str(known[1])

    def _case_writes(
        self, before: Case | None, after: Case, entry: Entry, snapshot: str, loop_id: int, fingerprint: str | None,
        likeness: str | None,
    ) -> list[Write]:  # fmt: skip
        hot = self._hot
        kept = Write(hot.new_entry, (rows.entry_row(entry, loop_id),))
        if before is not None and rows.only_reviews(before, after):
            return [Write(hot.note_case, ((after.seq, entry.hash, snapshot, after.id, before.seq),)), kept]
        moving = rows.moving_columns(after, entry.hash, snapshot)
        if before is not None:
            parted = [Write(hot.part, ((after.id,),))] if before.leader != after.leader else []
            return [Write(hot.move_case, ((*moving, after.id, before.seq),)), kept, *parted]
        batch = [Write(hot.new_case, ((*rows.fixed_columns(after, loop_id), *moving, likeness),)), kept]
        if after.key is not None:
            key = (loop_id, key_digest(after.key), after.id, fingerprint or "")
            batch.append(Write(hot.new_key, (key,)))
        return batch

    def _payload_writes(self, before: Case | None, case_id: str, slots: list[Sealed]) -> Write:
        if before is None and len(slots) <= SLOTS_AT_ONCE and len({s.slot for s in slots}) == len(slots):
            return Write(self._hot.first_payloads[len(slots) - 1], (rows.payload_row(case_id, slots),))
        return Write(self._hot.next_payload, rows.rewritten_rows(case_id, slots))

    def _review_writes(self, batch: list[Write], before: Case | None, after: Case, loop_id: int) -> None:
        hot = self._hot
        for old, new in rows.changed_reviews(before, after):
            ending = None if old is None else rows.review_ending(old, new, after)
            if ending is not None:
                batch.append(Write(hot.end_review, ((*ending, new.id),)))
                continue
            moving = rows.review_moving(new, after)
            if old is None:
                batch.append(Write(hot.new_review, ((*rows.review_fixed(new, after, loop_id), *moving),)))
            else:
                batch.append(Write(hot.move_review, ((*moving, new.id),)))

    def erase(self, case: Case) -> int:
        """Delete every payload row of a case and close its key; the commitments stay in the ledger."""
        self._shared.recent.forget(case.id)
        hot, row = self._hot, ((case.id,),)
        count = self._write(Write(hot.erase, row), Write(hot.erase_drafts, row), Write(hot.unlike, row))
        if case.key is not None:
            key = (self._loop_id(case.loop), key_digest(case.key))
            self._write(Write(self._hot.erase_key, (key,)))
        return count

    # cases that ask the same

    def alike(self, loop_id: int, likeness: str) -> str | None:
        """The oldest open case that asks this, follows no other, and that nobody holds or has answered."""
        row = self._session.one(self._hot.alike, (loop_id, likeness))
        return None if row is None else str(row[0])

    def followers(self, case_id: str) -> list[str]:
        """The open cases that wait with this one."""
        return [row[0] for row in self._session.all(self._hot.followers, (case_id,))]

    # reviews

    def take(self, person: str, pools: Sequence[tuple[int, str]], *, now: int) -> tuple[str, str] | None:
        """Lock and return (case id, review id) of the next open review this person may take, or None."""
        if self._shared.dialect.skips_locked:
            return self._take_unlocked(person, pools)
        found = self._queued(self._hot.next_review, person, pools, FIRST)
        return (found[0][2], found[0][1]) if found else None

    def _queued(
        self, statement: str, person: str, pools: Sequence[tuple[int, str]], after: tuple[int, str]
    ) -> list[Any]:
        """(order_at, review id, case id) of the first reviews in these pools, in queue order."""
        key = identity(person)
        rest = (*after, line(key), key, key)
        found = [row for pool in pools for row in self._session.all(statement, (*pool, *rest))]
        return sorted(tuple(row) for row in found)

    def _take_unlocked(self, person: str, pools: Sequence[tuple[int, str]]) -> tuple[str, str] | None:
        """Candidates first, then the first of them that nobody else has locked."""
        after = FIRST
        while found := self._queued(self._hot.candidates, person, pools, after)[:CANDIDATES]:
            ids = [review_id for _, review_id, _ in found]
            row = self._session.one(self._hot.lock_review, ids + ids[-1:] * (CANDIDATES - len(ids)))
            if row is not None:
                return row[1], row[0]
            after = found[-1][:2]
        return None

    def queue(
        self, person: str, pools: Sequence[tuple[int, str]], *, without: Container[str]
    ) -> Iterator[tuple[str, str]]:
        """What `take` would give, one after the other: the slow way, past a head of the queue that is of no use."""
        after = FIRST
        while found := self._queued(self._hot.candidates, person, pools, after)[:CANDIDATES]:
            for _, review_id, case_id in found:
                if case_id not in without and self._session.one(self._hot.lock_review, [review_id] * CANDIDATES):
                    yield case_id, review_id
            after = found[-1][:2]

    def due(self, what: str, now: int, limit: int) -> list[tuple[str, str | None]]:
        """(case id, review id, leader or None) whose time has come."""
        statement = self._shared.work.due.get(what)
        if statement is None:
            raise ValueError(f"{what!r} is never due; lease, case, settle, effect and follow are")
        given = (limit,) if what == "follow" else (now, limit)
        return [(row[0], row[1]) for row in self._session.all(statement, given)]

    # loops

    def _loop_id(self, loop: str) -> int:
        known = self._shared.loop_ids.get(loop)
        if known is not None:
            return known
        row = self._session.one(self._hot.loop_id, (loop,))
        if row is None:
            raise UnknownLoopError(f"no loop is called {loop!r}", loop=loop)
        if not self._wrote_loops:
            self._shared.loop_ids[loop] = row[0]
        return int(row[0])


def _show_seals(after: Case, contents: list[Content]) -> None:
    """Put the new seals, and content that is nobody else's, into the case that the caller keeps."""
    seals, values = after.content.seals, after.content.values
    for written in contents:
        for slot in written.values:
            if slot in values:
                seals[slot] = written.seals[slot]
                values[slot] = written.values[slot]
