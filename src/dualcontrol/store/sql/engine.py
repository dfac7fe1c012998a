"""The store: transactions, the sequencer, hints and care, over one dialect."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from weakref import WeakSet

from dualcontrol.case import JSON
from dualcontrol.errors import LedgerError, StoreError
from dualcontrol.events import Entry
from dualcontrol.store import Queries
from dualcontrol.store.sql import ledger
from dualcontrol.store.sql.dialect import Dialect, Session, raise_ours
from dualcontrol.store.sql.queries import SqlQueries
from dualcontrol.store.sql.schema import HEAD
from dualcontrol.store.sql.streams import StreamStatements
from dualcontrol.store.sql.tx import SqlTx
from dualcontrol.store.sql.unit import Shared
from dualcontrol.store.sql.work import WorkStatements


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
        self._ledger = ledger.LedgerStatements(dialect)
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
            _, position = ledger.last_position(session, self._ledger, names)
            if session.one(self._ledger.waiting, position) is None:
                return 0
        with self.transaction() as tx:
            self._dialect.lock_sequencer(tx._session)
            return ledger.place(tx._session, self._ledger, names, limit)

    def feed(self, after_pos: int, limit: int = 100, loop: str | None = None) -> list[Entry]:
        """Sequenced entries after a position, in order of `pos`."""
        with self._reading() as session:
            return ledger.read_feed(session, self._ledger, after_pos, limit, loop)

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
