"""The store over one dialect: transactions, the sequencer, the feed, wake-up hints, backup, schema."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from weakref import WeakSet

from sqlalchemy import BigInteger, bindparam, func, insert, select, update
from sqlalchemy.engine import Dialect as SqlDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from dualcontrol.case import JSON
from dualcontrol.errors import LedgerError, SchemaError, StoreError
from dualcontrol.events import Entry, opened
from dualcontrol.store import Queries
from dualcontrol.store.sql.dialect import Dialect, Session, Write, raise_ours
from dualcontrol.store.sql.queries import SqlQueries
from dualcontrol.store.sql.schema import HEAD, REVISIONS, VERSION_TABLE, entries, examples, feed, loops, metadata
from dualcontrol.store.sql.statements import ONE, Statements, limited, literal
from dualcontrol.store.sql.tx import Shared, SqlTx, StreamStatements, WorkStatements


class SqlStore:
    """A database that keeps cases."""

    def __init__(self, url: str, durability: str, dialect: Dialect, salt: Callable[[int], bytes]) -> None:
        self.url, self.durability = url, durability
        self._dialect = dialect
        self._shared = Shared(dialect, StreamStatements(dialect.sql), WorkStatements(dialect.sql), salt)
        self._ledger = LedgerStatements(dialect)
        queries = SqlQueries(self._shared, self._reading)
        self.queries: Queries = queries
        self.settled = queries.settled
        self.listen, self.integrity, self.close = dialect.listen, dialect.integrity, dialect.close
        self._secret = b""
        _STORES.add(self)

    def transaction(self, durable: bool = True, starts: bool | None = None) -> Transaction:
        """A write transaction; `durable` commits at the configured level, `starts` keeps stops and starts apart.

        It commits when the block ends, then wakes the waiters of what it settled, and rolls back when the block raises.
        """
        return Transaction(self, durable, starts)

    @contextmanager
    def _reading(self, brief: bool = False) -> Iterator[Session]:
        try:
            with self._dialect.reading(brief) as session:
                yield session
        except Exception as error:
            raise_ours(self._dialect, error)

    def secret(self) -> bytes:
        """The database's own secret for draws and fingerprints."""
        if not self._secret:
            with self._reading() as session:
                row = session.one("SELECT value FROM system WHERE name = 'secret'")
            if row is None:
                raise LedgerError("the database has lost its secret", hint="Restore the table `system` from a backup.")
            self._secret = bytes.fromhex(row[0])
        return self._secret

    # Commit order

    def sequence(self, limit: int = 1000) -> int:
        """Give the next entries their dense position; returns how many."""
        with self._reading() as session:
            _, position = self._last_position(session)
            if session.one(self._ledger.waiting, position) is None:
                return 0
        with self.transaction() as tx:
            session = tx.session
            self._dialect.lock_sequencer(session)
            base, position = self._last_position(session)
            count = session.write(Write(self._ledger.place, ((base, *position, limit),)))
            if count > 0:
                session.write(Write(self._ledger.place_examples, ((),)))
            return max(count, 0)

    def _last_position(self, session: Session) -> tuple[int, list[Any]]:
        """The last position given, and where among the entries to go on from."""
        pos, xid, entry_id = session.one(self._ledger.last) or (0, "0", 0)
        known = {"last_xid": str(xid), "last_id": entry_id}
        return pos, [known[name] for name in self._dialect.position]

    def feed(self, after_pos: int, limit: int = 100, loop: str | None = None) -> list[Entry]:
        """Sequenced entries after a position, in order of `pos`."""
        with self._reading() as session:
            if loop is None:
                rows = session.all(self._ledger.feed, (after_pos, limit))
            else:
                rows = session.all(self._ledger.feed_of_loop, (after_pos, loop, limit))
            return [opened(body, prev=prev or "", digest=digest, pos=pos) for body, prev, digest, pos in rows]

    # Wake-up hints

    def publish(self, case_ids: Sequence[str]) -> None:
        """Hint to listeners of all processes that these cases have moved."""
        if case_ids:
            self._dialect.publish(case_ids)

    # Maintenance

    def describe(self) -> dict[str, JSON]:
        """Dialect, version, schema revision and the durability settings as read back."""
        return {
            "dialect": self._dialect.name, "revision": HEAD, "durability": self.durability, **self._dialect.describe(),
        }  # fmt: skip

    def backup(self, path: str) -> None:
        """A consistent copy of the database to a file; the file is whole, or not there."""
        try:
            name = os.fsencode(path)
        except UnicodeEncodeError:
            name = b""
        folder = os.path.dirname(os.path.abspath(name))
        if not os.path.basename(name) or b"\0" in name or not os.path.isdir(folder) or os.path.isdir(name):
            raise StoreError(
                f"a backup cannot be written to {path!r:.200}", hint="Name a file in a folder that there is."
            )
        self._dialect.backup(os.fsdecode(path))

    def forked(self) -> None:
        """Go on in a forked process, with connections of its own or with none."""
        self._dialect.forked()


class Transaction:
    """A block that is one write transaction (a class, since five in a round trip make a generator's cost felt)."""

    __slots__ = ("_durable", "_starts", "_store", "_tx")

    def __init__(self, store: SqlStore, durable: bool, starts: bool | None) -> None:
        self._store, self._durable, self._starts = store, durable, starts

    def __enter__(self) -> SqlTx:
        dialect = self._store._dialect
        try:
            session = dialect.begin(self._durable, self._starts)
        except Exception as error:
            raise_ours(dialect, error)
        self._tx = SqlTx(self._store._shared, session)
        return self._tx

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        dialect, tx = self._store._dialect, self._tx
        if error is not None:
            dialect.rollback(tx.session)
            if isinstance(error, Exception) and (ours := dialect.translated(error)) is not error:
                raise ours from error
            return
        if tx.failed:
            dialect.rollback(tx.session)
            raise StoreError("a write of this transaction failed, so nothing of it was kept")
        try:
            dialect.commit(tx.session)
        except Exception as failure:
            raise_ours(dialect, failure)
        if tx.settled:
            self._store.publish(tx.settled)


_STORES: WeakSet[SqlStore] = WeakSet()


def _forked() -> None:
    for store in list(_STORES):
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


# Schema: a new database is made at once, another revision is named and refused


def ensure(dialect: Dialect, *, create: bool = True) -> None:
    """Create the schema in an empty database; raise `SchemaError` where it is not this program's."""
    revision = dialect.revision()
    if revision is None and create:
        dialect.create(ddl(dialect.sql), HEAD)
        revision = dialect.revision()
    if revision is None:
        raise unstamped()
    refuse_newer(revision)
    if revision != HEAD:
        raise SchemaError(
            f"the database is at revision {revision}; this program needs {HEAD}",
            hint="Run `dualcontrol db upgrade`; make a backup first.", found=revision, needed=HEAD,
        )  # fmt: skip


def refuse_newer(revision: str | None) -> None:
    """Raise `SchemaError` for a revision that this program does not know."""
    if revision is None or revision in REVISIONS:
        return
    raise SchemaError(
        f"the database is at revision {revision}, which is newer than {HEAD}, the newest this program knows",
        hint="Upgrade dualcontrol to the version that wrote it.", found=revision, needed=HEAD,
    )  # fmt: skip


def unstamped() -> SchemaError:
    """The error for our tables without their revision."""
    return SchemaError(
        f"the database does not say its revision: its row in {VERSION_TABLE} is missing",
        hint="Nothing was written; restore a backup, and check that the address names the right database.",
        found=None, needed=HEAD,
    )  # fmt: skip


def ddl(dialect: SqlDialect) -> list[str]:
    """Every statement that makes an empty database ours, the secret included."""
    key = f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)"  # as Alembic would make it
    statements = [f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, {key})"]
    for table in metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda i: str(i.name)):
            only = index._ddl_if
            if only is None or only.dialect in (None, dialect.name):
                statements.append(str(CreateIndex(index).compile(dialect=dialect)))
    return [*statements, f"INSERT INTO system (name, value) VALUES ('secret', '{secrets.token_hex(32)}')"]


# The sequencer behind the writers: dense positions, and the feed


class LedgerStatements(Statements):
    """What the sequencer and the readers of the feed need."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect.sql)
        last = select(feed.c.pos, entries.c.xid, entries.c.id).join(entries, entries.c.id == feed.c.entry_id)
        self.last = self._add(limited(last.order_by(feed.c.pos.desc()), ONE))
        waiting = select(entries.c.id).where(dialect.unsequenced())
        self.waiting = self._add(limited(waiting, ONE), *dialect.position)
        # Number what is unsequenced, in commit order, after `base`.
        number = func.row_number().over(order_by=dialect.order) + bindparam("base", type_=BigInteger)
        next_entries = select(number, entries.c.id).where(dialect.unsequenced()).order_by(*dialect.order)
        numbered = insert(feed).from_select([feed.c.pos, feed.c.entry_id], limited(next_entries))
        self.place = self._add(numbered, "base", *dialect.position, "rows")
        # An example's position is that of its case's first entry, which holds `Routed`.
        first = (
            select(feed.c.pos)
            .join(entries, entries.c.id == feed.c.entry_id)
            .where(entries.c.stream == literal("case/") + examples.c.case_id, entries.c.seq == ONE)
            .scalar_subquery()
        )
        # by loop, because the index of what is fresh begins with it
        unplaced = (examples.c.loop_id.in_(select(loops.c.id)), examples.c.pos.is_(None))
        self.place_examples = self._add(update(examples).where(*unplaced).values(pos=first))
        before = entries.alias("before")
        positioned = (
            select(entries.c.body, before.c.hash, entries.c.hash, feed.c.pos)
            .select_from(feed)
            .join(entries, entries.c.id == feed.c.entry_id)
            .outerjoin(before, (before.c.stream == entries.c.stream) & (before.c.seq == entries.c.seq - ONE))
            .where(feed.c.pos > bindparam("after", type_=BigInteger))
        )
        self.feed = self._add(limited(positioned.order_by(feed.c.pos)), "after", "rows")
        named = select(loops.c.id).where(loops.c.tenant == literal(""), loops.c.name == bindparam("loop"))
        of_loop = positioned.where(entries.c.loop_id == named.scalar_subquery())
        self.feed_of_loop = self._add(limited(of_loop.order_by(feed.c.pos)), "after", "loop", "rows")
