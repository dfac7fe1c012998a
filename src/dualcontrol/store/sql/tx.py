"""The write transaction: load and save cases, take reviews, what is due, control, streams, jobs and models."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import BigInteger, bindparam, insert, null, select, update
from sqlalchemy.engine import Dialect as SqlDialect

from dualcontrol.case import ENCODER, JSON, Case, Content, Example, ModelRow
from dualcontrol.control import Control, uuid7
from dualcontrol.errors import PayloadError, UnknownLoopError
from dualcontrol.events import Entry, opened, sealed, unreal
from dualcontrol.names import identity
from dualcontrol.store import Conflict, KeyRow, key_digest
from dualcontrol.store.sql import rows
from dualcontrol.store.sql.accounts import AccountStatements, SqlAccounts
from dualcontrol.store.sql.dialect import Dialect, Session, Write, raise_ours
from dualcontrol.store.sql.recent import Recent
from dualcontrol.store.sql.rows import Sealed, line, seal
from dualcontrol.store.sql.schema import cases, entries, examples, jobs, loops, models, reviews
from dualcontrol.store.sql.statements import (
    CANDIDATES,
    EXAMPLE,
    FIRST,
    MODEL,
    ONE,
    SLOTS_AT_ONCE,
    Hot,
    Statements,
    limited,
    literal,
    params,
)

# Shared by every transaction of a store


class Shared:
    """What outlives a transaction: a dialect, its statements, and what is known of loops."""

    def __init__(
        self, dialect: Dialect, streams: StreamStatements, work: WorkStatements, salt: Callable[[int], bytes]
    ) -> None:
        self.dialect, self.streams, self.work, self.salt = dialect, streams, work, salt
        self.hot = Hot(dialect.sql)
        self.accounts = AccountStatements(dialect.sql)
        self.loop_ids: dict[str, int] = {}
        self.controls: dict[str, Control] = {}
        self.recent = Recent()


class TxBase:
    """One transaction's session, what it has read so far, and how it writes a batch."""

    def __init__(self, shared: Shared, session: Session) -> None:
        self._shared, self.session, self._hot = shared, session, shared.hot
        self.now = session.now  # the time of this transaction, in microseconds
        self._heads: dict[str, tuple[int, str]] = {}
        self._wrote_loops = False
        self._controls: dict[str, Control | None] = {}
        self.settled: list[str] = []  # the cases that get their outcome here; who waits is woken after the commit
        self.failed = False

    def _write(self, *batch: Write) -> int:
        """Write a batch; after a failure, part of it may stand, so the transaction can no longer commit."""
        try:
            return self.session.write(*batch)
        except Exception as error:
            self.failed = True
            raise_ours(self._shared.dialect, error)


# Control of loops, and streams without a case: batches, system


LOOP = ("mode", "version", "control", "seq", "head")


class StreamStatements(Statements):
    """What loops and their streams need."""

    def __init__(self, dialect: SqlDialect) -> None:
        super().__init__(dialect)
        new = insert(loops).values(params(loops, ("name", *LOOP))).returning(loops.c.id)
        self.new_loop = self._add(new, *(f"new_{name}" for name in ("name", *LOOP)))
        by_id = loops.c.id == bindparam("loop_id")
        head = select(loops.c.seq, loops.c.head, loops.c.version).where(by_id).with_for_update()
        self.head = self._add(head, "loop_id")
        self.move_head = self._update(update(loops).where(by_id), ("seq", "head"), "loop_id")
        self.move_loop = self._update(update(loops).where(by_id), LOOP, "loop_id")
        last = select(entries.c.seq, entries.c.hash, entries.c.body).where(entries.c.stream == bindparam("stream"))
        self.last = self._add(limited(last.order_by(entries.c.seq.desc()), ONE), "stream")


class StreamTx(TxBase):
    """Control and entries of loops, and the entries of streams that have no row at all."""

    def control(self, loop: str) -> Control | None:
        """What governs a loop now, or None when nobody defined it; read once a transaction, parsed once a version."""
        if loop in self._controls:
            return self._controls[loop]
        control = None
        row = self.session.one(self._hot.loop, (loop,))
        if row is not None:
            loop_id, version, seq = row
            control = self._shared.controls.get(loop)
            if control is None or (control.loop_id, control.version, control.seq) != (loop_id, version, seq):
                (text,) = self.session.one(self._hot.control, (loop_id,))
                control = rows.control_of(text, loop_id, seq)
                if not self._wrote_loops:
                    self._shared.controls[loop] = control
        self._controls[loop] = control
        return control

    def save_control(self, control: Control, entry: Entry, *, expected_version: int | None) -> Control:
        """Write a new version of a loop's control with its entry; None creates the loop."""
        self._wrote_loops = True
        self._controls.clear()
        if expected_version is None:
            text = ENCODER.encode(control).decode()
            values = (control.loop, control.settings.mode, control.version, text, 0, "")
            try:
                (loop_id,) = self.session.one(self._shared.streams.new_loop, values)
            except Exception as error:
                self.failed = True
                raise_ours(self._shared.dialect, error)
            control = replace(control, loop_id=loop_id)
            seq, head = 0, ""
        else:
            seq, head, version = self._loop_head(control.loop_id)
            if version != expected_version:
                raise Conflict(f"the control of {control.loop} is at version {version}, not {expected_version}")
        entry, slots = self._chained(entry, control.loop_id, seq, head)
        control = replace(control, seq=entry.seq)
        text = ENCODER.encode(control).decode()
        row = (control.settings.mode, control.version, text, entry.seq, entry.hash, control.loop_id)
        self._write(Write(self._shared.streams.move_loop, (row,)), *self._entry_writes(entry, control.loop_id, slots))
        return control

    def last(self, stream: str) -> Entry | None:
        """The last entry of a stream without a row, or None."""
        row = self.session.one(self._shared.streams.last, (stream,))
        return None if row is None else opened(row[2], digest=row[1])

    def append(self, entry: Entry, payloads: Mapping[str, JSON] | None = None) -> Entry:
        """Add an entry to ``loop/<id>`` or to a stream without a row; a `seq` of 0 means the next one."""
        if payloads:  # they go into the first event that can carry content
            events = list(entry.events)
            place = next((i for i, event in enumerate(events) if hasattr(event, "content")), None)
            if place is None:
                raise ValueError("none of these events can carry content")
            event: Any = events[place]
            events[place] = replace(event, content=event.content | Content(payloads))
            entry = replace(entry, events=tuple(events))
        kind, _, name = entry.stream.partition("/")
        if kind == "case":
            raise ValueError("the entries of a case are written by save")
        if kind == "loop":
            loop_id = int(name)
            self._controls.clear()
            seq, head, _ = self._loop_head(loop_id)
            entry, slots = self._chained(entry, loop_id, seq, head)
            moved = [Write(self._shared.streams.move_head, ((entry.seq, entry.hash, loop_id),))]
            self._write(*moved, *self._entry_writes(entry, loop_id, slots))
        else:
            seq, head, _ = self.session.one(self._shared.streams.last, (entry.stream,)) or (0, "", "")
            entry, slots = self._chained(entry, None, seq, head)
            self._write(*self._entry_writes(entry, None, slots))
        return entry

    def _loop_head(self, loop_id: int) -> Any:
        row = self.session.one(self._shared.streams.head, (loop_id,))
        if row is None:
            raise UnknownLoopError(f"no loop has the id {loop_id}")
        return row

    def _chained(self, entry: Entry, loop_id: int | None, seq: int, head: str) -> tuple[Entry, list[Sealed]]:
        """The entry with its hash over the one before, and its content as rows."""
        if entry.seq not in (0, seq + 1):
            raise Conflict(f"{entry.stream} is at entry {seq}, so {entry.seq} cannot follow")
        stream = entry.stream if loop_id is None else f"loop/{loop_id}"
        slots = seal(entry, self._shared.salt)
        return sealed(replace(entry, stream=stream, seq=seq + 1), head), slots

    def _new_entry(self, entry: Entry, loop_id: int | None) -> Write:
        row = (loop_id, entry.stream, entry.seq, entry.at, entry.actor, entry.body, entry.hash)
        return Write(self._hot.new_entry, (row,))

    def _entry_writes(self, entry: Entry, loop_id: int | None, slots: list[Sealed]) -> list[Write]:
        batch = [self._new_entry(entry, loop_id)]
        if slots:
            batch.append(Write(self._hot.next_payload, rows.rewritten_rows(entry.stream, slots)))
        return batch


# Jobs, models, examples used, accounts, and what is due


class WorkStatements(Statements):
    """What the worker and the sweep run."""

    def __init__(self, dialect: SqlDialect) -> None:
        super().__init__(dialect)
        now: Any = bindparam("now", type_=BigInteger)
        lapsed = (
            select(reviews.c.case_id, reviews.c.id)
            .join(cases, cases.c.id == reviews.c.case_id)
            .where(reviews.c.state == literal("claimed"), reviews.c.lease_until <= now)
            .order_by(reviews.c.lease_until)
        )
        leader = cases.alias("leader")
        following = select(cases.c.id, cases.c.leader_id).join(leader, leader.c.id == cases.c.leader_id)
        waiting = (cases.c.state == literal("open"), cases.c.leader_id.is_not(None), leader.c.by.is_not(None))
        following = following.where(*waiting).order_by(cases.c.leader_id, cases.c.id)
        self.due = {
            "lease": self._locked(lapsed, "now", "rows"),
            "case": self._case_due(cases.c.due_at, cases.c.state == literal("open")),
            "settle": self._case_due(
                cases.c.effective_at, (cases.c.state == literal("decided")) & cases.c.by.is_(None)
            ),
            "effect": self._case_due(cases.c.effect_until, cases.c.effect == literal("started")),
            "follow": self._locked(following, "rows"),
        }
        self._jobs()
        self.new_model = self._insert(models, MODEL)
        self.move_model = self._update(
            update(models).where(models.c.id == bindparam("model_id")), MODEL[1:], "model_id"
        )
        used = update(examples).where(examples.c.loop_id == bindparam("loop"), examples.c.id == bindparam("example"))
        self.mark_used = self._add(used.values(used_by=bindparam("model")), "model", "loop", "example")

    def _case_due(self, column: Any, where: Any) -> str:
        statement = select(cases.c.id, null()).where(where, column <= bindparam("now", type_=BigInteger))
        return self._locked(statement.order_by(column), "now", "rows")

    def _locked(self, statement: Any, *order: str) -> str:
        return self._add(limited(statement).with_for_update(of=cases, skip_locked=True), *order)

    def _jobs(self) -> None:
        ready = (jobs.c.state == literal("ready")) & (jobs.c.run_at <= bindparam("now", type_=BigInteger))
        lapsed = (jobs.c.state == literal("leased")) & (jobs.c.until <= bindparam("now", type_=BigInteger))
        columns = (jobs.c.id, jobs.c.kind, jobs.c.ref, jobs.c.run_at, jobs.c.attempts)
        self.next_job = [self._next_job(columns, ready), self._next_job(columns, lapsed)]
        self.new_job = self._insert(jobs, ("id", "kind", "ref", "run_at", "state"))
        by_id = jobs.c.id == bindparam("job_id")
        leased = (
            update(jobs)
            .where(by_id)
            .ordered_values(
                (jobs.c.state, literal("leased")),
                (jobs.c.owner, bindparam("new_owner")),
                (jobs.c.until, bindparam("new_until")),
                (jobs.c.attempts, jobs.c.attempts + ONE),
            )
        )
        self.lease_job = self._add(leased, "new_owner", "new_until", "job_id")
        held = update(jobs).where(by_id, jobs.c.owner == bindparam("held_by"), jobs.c.state == literal("leased"))
        done = held.ordered_values((jobs.c.state, literal("done")), (jobs.c.result, bindparam("new_result")))
        self.end_job = self._add(done, "new_result", "job_id", "held_by")

    def _next_job(self, columns: Any, where: Any) -> str:
        statement = select(*columns).where(jobs.c.kind == bindparam("job_kind"), where).order_by(jobs.c.run_at)
        return self._add(limited(statement, ONE).with_for_update(skip_locked=True), "job_kind", "now")


class WorkTx(TxBase):
    """Jobs, models, which examples were used, and accounts."""

    @property
    def accounts(self) -> SqlAccounts:
        """Accounts and what belongs to them, in this transaction."""
        return SqlAccounts(self._shared.accounts, self.session)

    def add_job(self, kind: str, ref: str, run_at: int) -> str:
        """Queue a job; returns its id."""
        job_id = uuid7()
        self._write(Write(self._shared.work.new_job, ((job_id, kind, ref, run_at, "ready"),)))
        return job_id

    def take_job(self, kinds: Sequence[str], owner: str, now: int, until: int) -> dict[str, JSON] | None:
        """Lease the next ready job of these kinds, or one whose holder's time ran out."""
        work = self._shared.work
        for statement in work.next_job:
            due = [row for kind in kinds if (row := self.session.one(statement, (kind, now))) is not None]
            if due:
                job_id, kind, ref, run_at, attempts = min(due, key=lambda row: (row[3], row[0]))
                self._write(Write(work.lease_job, ((owner, until, job_id),)))
                return {
                    "id": job_id, "kind": kind, "ref": ref, "run_at": run_at, "attempts": attempts + 1,
                    "owner": owner, "until": until,
                }  # fmt: skip
        return None

    def finish_job(self, job_id: str, owner: str, result: str) -> bool:
        """End a job that `owner` still holds."""
        return self._write(Write(self._shared.work.end_job, ((result, job_id, owner),))) == 1

    def mark_used(self, loop_id: int, example_ids: Sequence[int], model: str) -> int:
        """Say which model learned from these examples."""
        if not example_ids:
            return 0
        marks = [(model, loop_id, example_id) for example_id in example_ids]
        return self._write(Write(self._shared.work.mark_used, marks))

    def save_model(self, model: ModelRow) -> None:
        """Insert or update a model's row."""
        work, metrics = self._shared.work, ENCODER.encode(model.metrics).decode()
        row = (
            model.id, model.loop_id, model.version, model.path, model.sha256, model.state, model.examples, metrics,
            model.created_at,
        )  # fmt: skip
        if self._write(Write(work.move_model, ((*row[1:], model.id),))) == 0:
            self._write(Write(work.new_model, (row,)))


NO_SLOTS: list[rows.Row] = []
EXAMPLE_VALUES = attrgetter(*EXAMPLE)


class SqlTx(StreamTx, WorkTx):
    """One transaction; everything in it is written, or nothing."""

    # Cases

    def find_key(self, loop_id: int, key: str) -> KeyRow | None:
        """The case that a key of this loop stands for."""
        return rows.key_of(self.session.one(self._hot.key, (loop_id, key_digest(key))))

    def load(self, case_id: str, *, lock: bool = True, values: bool = True) -> Case | None:
        """The case with its content (without `values`: its seals only); its row is held until commit."""
        hot, slots, cached = self._hot, NO_SLOTS, self._shared.recent.get(case_id)
        statement = hot.case_locked if lock else hot.case
        if values and cached is None:
            row, slots = self.session.two(statement, hot.payloads, (case_id,))
        else:
            row = self.session.one(statement, (case_id,))
        if row is None:
            return None
        seq, head, snapshot, version, loop_seq = row
        self._heads[case_id] = (seq, head)
        if cached is not None and cached.matches(head, snapshot):
            case = cached.restored(values)
        else:
            if values and cached is not None:
                slots = self.session.all(hot.payloads, (case_id,))
            try:
                case = rows.decode_case(snapshot)
            except msgspec.DecodeError as error:
                raise rows.unreadable(case_id, error) from error
            if values:
                bodies = rows.bodies_of(case, slots, check=True)
                self._shared.recent.keep(case, head, snapshot, bodies)
                rows.fill(case, bodies)
        # The loop's version comes with the case: a control that is parsed already need not be asked for again.
        control = self._shared.controls.get(case.loop)
        if control is not None and (control.version, control.seq) == (version, loop_seq) and not self._wrote_loops:
            self._controls.setdefault(case.loop, control)
        return case

    def save(
        self, before: Case | None, after: Case, entry: Entry, *, fingerprint: str | None = None,
        likeness: str | None = None, cluster: str | None = None, examples: Sequence[Example] = (),
    ) -> Entry:  # fmt: skip
        """One guarded write of the case's row, changed reviews, payloads, examples and the sealed entry."""
        loop_id, head = self._loop_id(after.loop), self._head(before, after, entry)
        slots = seal(entry, self._shared.salt, kept=after.content)
        try:
            entry = sealed(entry, head)
            snapshot = rows.encode_case(after).decode()
            batch = self._case_writes(before, after, entry, snapshot, loop_id, fingerprint, (likeness, cluster))
        except UnicodeEncodeError as error:
            raise PayloadError(f"the case holds text that UTF-8 cannot carry: {error.reason}") from error
        if slots and before is None and len(slots) <= SLOTS_AT_ONCE and len({s.slot for s in slots}) == len(slots):
            row = [value for s in slots for value in (after.id, s.slot, 0, s.body, s.size, s.salt, s.commitment)]
            batch.append(Write(self._hot.first_payloads[len(slots) - 1], (row,)))
        elif slots:
            batch.append(Write(self._hot.next_payload, rows.rewritten_rows(after.id, slots)))
        self._review_writes(batch, before, after, loop_id)
        if examples:
            batch.append(Write(self._hot.new_example, [EXAMPLE_VALUES(example) for example in examples]))
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
            earlier = recent.get(after.id)
            if earlier is None or earlier.head != known:
                return
            bodies = earlier.bodies
        recent.keep(after, head, snapshot, bodies | {s.slot: s.body for s in slots} if slots else bodies)

    def _head(self, before: Case | None, after: Case, entry: Entry) -> str:
        """The hash to chain to; raises `Conflict` when the row is already known to have moved on."""
        expected = 0 if before is None else before.seq
        if entry.seq != expected + 1 or after.seq != entry.seq:
            raise ValueError(f"entry {entry.seq} and case at {after.seq} do not follow {expected}")
        if before is None:
            return ""
        known = self._heads.get(after.id) or self.session.one(self._hot.case_head, (after.id,))
        if known is None or known[0] != expected:
            raise Conflict(f"case {after.id} has moved on from entry {expected}")
        return str(known[1])

    def _case_writes(
        self, before: Case | None, after: Case, entry: Entry, snapshot: str, loop_id: int, fingerprint: str | None,
        hashes: tuple[str | None, str | None],
    ) -> list[Write]:  # fmt: skip
        hot = self._hot
        new_entry = self._new_entry(entry, loop_id)
        # nothing but reviews has changed: no column but the snapshot tells of it
        if before is not None and replace(before, seq=after.seq, reviews=after.reviews) == after:
            return [Write(hot.note_case, ((after.seq, entry.hash, snapshot, after.id, before.seq),)), new_entry]
        if before is not None:
            moving = rows.moving_columns(after, entry.hash, snapshot)
            parted = [Write(hot.part, ((after.id,),))] if before.leader != after.leader else []
            return [Write(hot.move_case, ((*moving, after.id, before.seq),)), new_entry, *parted]
        row = rows.case_row(after, loop_id, entry.hash, snapshot)
        batch = [Write(hot.new_case, ((*row, *hashes),)), new_entry]
        if after.key is not None:
            key = (loop_id, key_digest(after.key), after.id, fingerprint or "")
            batch.append(Write(hot.new_key, (key,)))
        return batch

    def _review_writes(self, batch: list[Write], before: Case | None, after: Case, loop_id: int) -> None:
        """Write every review that the events opened or changed."""
        if before is not None and after.reviews is before.reviews:
            return
        hot = self._hot
        earlier = {} if before is None else {review.id: review for review in before.reviews}
        for new in after.reviews:
            old = earlier.get(new.id)
            if old is new or old == new:
                continue
            ending = None if old is None else rows.review_ending(old, new, after)
            if ending is not None:
                batch.append(Write(hot.end_review, ((*ending, new.id),)))
                continue
            if old is None:
                batch.append(Write(hot.new_review, (rows.review_row(new, after, loop_id),)))
            else:
                batch.append(Write(hot.move_review, ((*rows.review_moving(new, after), new.id),)))

    def erase(self, case: Case) -> int:
        """Delete every payload row of a case and close its key; the commitments stay in the ledger."""
        self._shared.recent.forget(case.id)
        hot, row = self._hot, ((case.id,),)
        count = self._write(Write(hot.erase, row), Write(hot.erase_drafts, row), Write(hot.unlike, row))
        if case.key is not None:
            key = (self._loop_id(case.loop), key_digest(case.key))
            self._write(Write(hot.erase_key, (key,)))
        return count

    # Duplicates: leader and followers

    def alike(self, loop_id: int, likeness: str) -> str | None:
        """The oldest open case of this likeness that follows no other and that nobody holds or has answered."""
        row = self.session.one(self._hot.alike, (loop_id, likeness))
        return None if row is None else str(row[0])

    def together(self, loop_id: int, cluster: str) -> str | None:
        """The newest case of a loop that belongs to a cluster of this hash."""
        row = self.session.one(self._hot.together, (loop_id, cluster))
        return None if row is None else str(row[0])

    def followers(self, case_id: str) -> list[str]:
        """The open followers of a case, by id."""
        return [row[0] for row in self.session.all(self._hot.followers, (case_id,))]

    # Reviews

    def worked(self, person: str, since: int) -> list[str | float | None]:
        """The risk of each case that somebody has answered since a time or holds: see the port."""
        listed = dict([
            *self.session.all(self._hot.worked_closed, (since, person, since)),
            *self.session.all(self._hot.worked_held, (person,)),
            *self.session.all(self._hot.worked_waiting, (person, since)),
        ])  # fmt: skip
        return [unreal(risk) for risk in listed.values()]

    def take(self, person: str, pools: Sequence[tuple[int, str]], *, now: int) -> tuple[str, str] | None:
        """Lock and return (case id, review id) of the next open review this person may take, or None."""
        if not self._shared.dialect.skips_locked:
            queued = self._queued(self._hot.next_review, person, pools, FIRST)
            return (queued[0][2], queued[0][1]) if queued else None
        after = FIRST  # candidates first, then the first of them that nobody else has locked
        while queued := self._queued(self._hot.candidates, person, pools, after)[:CANDIDATES]:
            ids = [review_id for _, review_id, _ in queued]
            row = self.session.one(self._hot.lock_review, ids + ids[-1:] * (CANDIDATES - len(ids)))
            if row is not None:
                return row[1], row[0]
            after = queued[-1][:2]
        return None

    def _queued(
        self, statement: str, person: str, pools: Sequence[tuple[int, str]], after: tuple[int, str]
    ) -> list[Any]:
        """(order_at, review id, case id) of the first reviews in these pools, in queue order."""
        key = identity(person)
        arguments = (*after, line(key), key, key)
        queued = [row for pool in pools for row in self.session.all(statement, (*pool, *arguments))]
        return sorted(tuple(row) for row in queued)

    def queue(
        self, person: str, pools: Sequence[tuple[int, str]], *, without: Container[str]
    ) -> Iterator[tuple[str, str]]:
        """What `take` would give, one after the other: the slow way, past a head of the queue that is of no use."""
        after = FIRST
        while queued := self._queued(self._hot.candidates, person, pools, after)[:CANDIDATES]:
            for _, review_id, case_id in queued:
                if case_id not in without and self.session.one(self._hot.lock_review, [review_id] * CANDIDATES):
                    yield case_id, review_id
            after = queued[-1][:2]

    def due(self, what: str, now: int, limit: int) -> list[tuple[str, str | None]]:
        """(case id, review id, leader or None) whose time has come."""
        statement = self._shared.work.due.get(what)
        if statement is None:
            raise ValueError(f"{what!r} is never due; lease, case, settle, effect and follow are")
        arguments = (limit,) if what == "follow" else (now, limit)
        return [(row[0], row[1]) for row in self.session.all(statement, arguments)]

    # Loops

    def _loop_id(self, loop: str) -> int:
        loop_id = self._shared.loop_ids.get(loop)
        if loop_id is not None:
            return loop_id
        row = self.session.one(self._hot.loop_id, (loop,))
        if row is None:
            raise UnknownLoopError(f"no loop is called {loop!r}", loop=loop)
        if not self._wrote_loops:
            self._shared.loop_ids[loop] = row[0]
        return int(row[0])
