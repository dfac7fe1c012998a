"""The store: transactions, the sequencer, hints and care, over one dialect."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from weakref import WeakSet

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.engine import Dialect as SqlDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from dualcontrol.case import JSON
from dualcontrol.errors import LedgerError, SchemaError, StoreError
from dualcontrol.events import Entry, opened
from dualcontrol.store import Queries
from dualcontrol.store.sql.dialect import Dialect, Session, Write, raise_ours
from dualcontrol.store.sql.queries import SqlQueries
from dualcontrol.store.sql.schema import HEAD, REVISIONS, VERSION_TABLE, entries, examples, feed, loops, metadata
from dualcontrol.store.sql.statements import Statements, literal
from dualcontrol.store.sql.tx import Shared, SqlTx, StreamStatements, WorkStatements


class Transaction:
    """A block that commits when it ends, then wakes who waits for what it settled, and rolls back when it raises."""

    __slots__ = ("_durable", "_publish", "_session", "_shared", "_tx")

    def __init__(self, shared: Shared, durable: bool, publish: Callable[[Sequence[str]], None]) -> None:
        self._shared, self._durable, self._publish = shared, durable, publish
        self._session: Session | None = None

    def __enter__(self) -> SqlTx:
        try:
            self._session = self._shared.dialect.begin(self._durable)
        except Exception as error:
            raise_ours(self._shared.dialect, error)
        self._tx = SqlTx(self._shared, self._session)
        return self._tx

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        dialect = self._shared.dialect
        if error is None and self._tx.failed:
            dialect.rollback(session)
            raise StoreError("a write of this transaction failed, so nothing of it was kept")
        if error is None:
            try:
                dialect.commit(session)
            except Exception as failed:
                raise_ours(dialect, failed)
            return self._publish(self._tx.settled)
        dialect.rollback(session)
        if isinstance(error, Exception) and (ours := dialect.translated(error)) is not error:
            raise ours from error


class SqlStore:
    """A database that keeps cases."""

    def __init__(self, url: str, durability: str, dialect: Dialect, salt: Callable[[int], bytes]) -> None:
        self.url, self.durability = url, durability
        self._dialect = dialect
        self._shared = Shared(dialect, StreamStatements(dialect.sql), WorkStatements(dialect.sql), salt)
        self._ledger = LedgerStatements(dialect)
        self._queries = SqlQueries(self._shared, self._reading)
        self.queries: Queries = self._queries
        self._secret = b""
        _STORES.add(self)

    def transaction(self, durable: bool = True) -> Transaction:
        """A write transaction; `durable` commits at the configured level."""
        return Transaction(self._shared, durable, self.publish)

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

    # order

    def sequence(self, limit: int = 1000) -> int:
        """Give the next entries their dense position; returns how many."""
        names = self._dialect.position
        with self._reading() as session:
            _, position = last_position(session, self._ledger, names)
            if session.one(self._ledger.waiting, position) is None:
                return 0
        with self.transaction() as tx:
            self._dialect.lock_sequencer(tx._session)
            return place(tx._session, self._ledger, names, limit)

    def feed(self, after_pos: int, limit: int = 100, loop: str | None = None) -> list[Entry]:
        """Sequenced entries after a position, in order of `pos`."""
        with self._reading() as session:
            return read_feed(session, self._ledger, after_pos, limit, loop)

    # hints

    def settled(self, case_ids: Sequence[str]) -> dict[str, bool]:
        """Which of these cases have an outcome."""
        return self._queries.settled(case_ids)

    def publish(self, case_ids: Sequence[str]) -> None:
        """Hint to listeners of all processes that these cases have moved."""
        if case_ids:
            self._dialect.publish(case_ids)

    def listen(self, timeout: float) -> list[str] | None:
        """Wait for hints at most `timeout` seconds; None says that hints may have been lost."""
        return self._dialect.listen(timeout)

    # care

    def integrity(self) -> list[str]:
        """What the database itself says is wrong with it."""
        return self._dialect.integrity()

    def describe(self) -> dict[str, JSON]:
        """Dialect, version, schema revision and the durability settings as read back."""
        return {
            "dialect": self._dialect.name, "revision": HEAD, "durability": self.durability, **self._dialect.describe(),
        }  # fmt: skip

    def backup(self, path: str) -> None:
        """A consistent copy of the database to a file; the file is whole, or not there."""
        if not _can_be_written(path):
            raise StoreError(
                f"a backup cannot be written to {path!r:.200}", hint="Name a file in a folder that there is."
            )
        self._dialect.backup(os.fsdecode(path))

    def close(self) -> None:
        """Give every connection back."""
        self._dialect.close()

    def forked(self) -> None:
        """Go on in a forked process, with connections of its own or with none."""
        self._dialect.forked()


_STORES: WeakSet[SqlStore] = WeakSet()


def _forked() -> None:
    for store in list(_STORES):
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _can_be_written(path: str) -> bool:
    """Whether a path names a file in a folder that there is."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    folder = os.path.dirname(os.path.abspath(name))
    return bool(os.path.basename(name)) and b"\0" not in name and os.path.isdir(folder) and not os.path.isdir(name)


# Making and checking the schema: a new database is made at once, another revision is named and refused.


def ensure(dialect: Dialect, *, create: bool = True) -> None:
    """Create the schema in an empty database; raise `SchemaError` where it is not this program's."""
    found = dialect.revision()
    if found is None and not create:
        raise unstamped()
    if found is None:
        dialect.create(ddl(dialect.sql), HEAD)
        found = dialect.revision()
    refuse_newer(found)
    if found is None:
        raise unstamped()
    if found != HEAD:
        raise SchemaError(
            f"the database is at revision {found}; this program needs {HEAD}",
            hint="Run `dualcontrol db upgrade`; make a backup first.", found=found, needed=HEAD,
        )  # fmt: skip


def refuse_newer(found: str | None) -> None:
    """Raise `SchemaError` for a revision that this program does not know."""
    if found is None or found in REVISIONS:
        return
    raise SchemaError(
        f"the database is at revision {found}, which is newer than {HEAD}, the newest this program knows",
        hint="Upgrade dualcontrol to the version that wrote it.", found=found, needed=HEAD,
    )  # fmt: skip


def unstamped() -> SchemaError:
    """The error for tables of ours that do not say of which revision they are."""
    return SchemaError(
        f"the database does not say its revision: its row in {VERSION_TABLE} is missing",
        hint="Nothing was written; restore a backup, and check that the address names the right database.",
        found=None, needed=HEAD,
    )  # fmt: skip


def ddl(dialect: SqlDialect) -> list[str]:
    """Every statement that makes an empty database ours, the secret included."""
    key = f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)"  # as Alembic would make it
    made = [f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, {key})"]
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        wanted = (CreateIndex(i) for i in sorted(table.indexes, key=lambda i: str(i.name)))
        made += [str(index.compile(dialect=dialect)) for index in wanted if _meant_for(index, dialect)]
    return [*made, secret_row()]


def _meant_for(index: CreateIndex, dialect: SqlDialect) -> bool:
    only = index.element._ddl_if
    return only is None or only.dialect is None or only.dialect == dialect.name


def secret_row() -> str:
    """The statement that gives a database its own secret."""
    return f"INSERT INTO system (name, value) VALUES ('secret', '{secrets.token_hex(32)}')"


# The ledger behind the writers: dense positions, the feed, and entries read back.


ONE: ColumnElement[int] = literal_column("1")
NONE: ColumnElement[int] = literal_column("0")


class LedgerStatements(Statements):
    """What the sequencer and the readers of the feed need."""

    def __init__(self, dialect: Dialect) -> None:
        self._rules = dialect
        super().__init__(dialect.sql)

    def _compile(self) -> None:
        last = select(feed.c.pos, entries.c.xid, entries.c.id).join(entries, entries.c.id == feed.c.entry_id)
        self.last = self._add(last.order_by(feed.c.pos.desc()).limit(ONE).offset(NONE))
        waiting = select(entries.c.id).where(self._rules.unsequenced()).limit(ONE).offset(NONE)
        self.waiting = self._add(waiting, *self._rules.position)
        self.place = self._place()
        self.place_examples = self._place_examples()
        self.feed = self._add(self._feed(), "after", "rows")
        of_loop = entries.c.loop_id == select(loops.c.id).where(
            loops.c.tenant == literal(""), loops.c.name == bindparam("loop")
        ).scalar_subquery()  # fmt: skip
        self.feed_of_loop = self._add(self._feed().where(of_loop), "after", "loop", "rows")

    def _place(self) -> str:
        """Number what is unsequenced, in commit order, after `base`."""
        number = func.row_number().over(order_by=self._rules.order) + bindparam("base", type_=BigInteger)
        found = select(number, entries.c.id).where(self._rules.unsequenced()).order_by(*self._rules.order)
        found = found.limit(bindparam("rows", type_=Integer)).offset(NONE)
        statement = insert(feed).from_select([feed.c.pos, feed.c.entry_id], found)
        return self._add(statement, "base", *self._rules.position, "rows")

    def _place_examples(self) -> str:
        """An example's position is that of its case's first entry, which holds `Routed`."""
        first = (
            select(feed.c.pos)
            .join(entries, entries.c.id == feed.c.entry_id)
            .where(entries.c.stream == literal("case/") + examples.c.case_id, entries.c.seq == ONE)
            .scalar_subquery()
        )
        # by loop, because the index of what is fresh begins with it
        unplaced = (examples.c.loop_id.in_(select(loops.c.id)), examples.c.pos.is_(None))
        return self._add(update(examples).where(*unplaced).values(pos=first))

    def _feed(self) -> Select[Any]:
        before = entries.alias("before")
        return (
            select(entries.c.body, before.c.hash, entries.c.hash, feed.c.pos)
            .select_from(feed)
            .join(entries, entries.c.id == feed.c.entry_id)
            .outerjoin(before, (before.c.stream == entries.c.stream) & (before.c.seq == entries.c.seq - ONE))
            .where(feed.c.pos > bindparam("after", type_=BigInteger))
            .order_by(feed.c.pos)
            .limit(bindparam("rows", type_=Integer))
            .offset(NONE)
        )


def last_position(session: Session, statements: LedgerStatements, names: Sequence[str]) -> tuple[int, list[Any]]:
    """The last position given, and where among the entries to go on from."""
    row = session.one(statements.last)
    if row is None:
        row = (0, "0", 0)
    known = {"last_xid": str(row[1]), "last_id": row[2]}
    return row[0], [known[name] for name in names]


def place(session: Session, statements: LedgerStatements, names: Sequence[str], limit: int) -> int:
    """Give the next entries their position, and the examples that waited for one."""
    base, position = last_position(session, statements, names)
    count = session.write(Write(statements.place, ((base, *position, limit),)))
    if count > 0:
        session.write(Write(statements.place_examples, ((),)))
    return max(count, 0)


def read_feed(session: Session, statements: LedgerStatements, after: int, limit: int, loop: str | None) -> list[Entry]:
    """Sequenced entries after a position."""
    if loop is None:
        found = session.all(statements.feed, (after, limit))
    else:
        found = session.all(statements.feed_of_loop, (after, loop, limit))
    return [opened(body, prev=prev or "", digest=digest, pos=pos) for body, prev, digest, pos in found]
