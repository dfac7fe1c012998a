"""SQLite: one writer connection a process behind a lock, readers of their own, WAL, BEGIN IMMEDIATE."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Condition
from typing import Any
from urllib.parse import unquote

from sqlalchemy import BigInteger, ColumnElement, Engine, bindparam, create_engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import NullPool

from dualcontrol.case import JSON
from dualcontrol.errors import StoreDamagedError, StoreError, StoreFullError, StoreLostError, StoreUnavailableError
from dualcontrol.store import Conflict, KeyTaken, PersonTaken
from dualcontrol.store.sql.dialect import Clock, Write
from dualcontrol.store.sql.file import DatabaseFile, forked, never_closed, private
from dualcontrol.store.sql.schema import VERSION_TABLE, entries

# Checkpoints of the write-ahead log beside the writers, so that no answer waits for two fsyncs and a big copy
#
# A passive checkpoint blocks nobody and loses nothing: SQLite syncs the log first.
# The writer's own automatic checkpoint stays on, with a long limit, and finds little left to do.


EVERY = 150
AUTOMATIC = 16_000


class Checkpointer:
    """A thread that checkpoints after every `EVERY` commits; started with the first one that is due."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._commits = 0
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def committed(self) -> None:
        """Count a commit; called by the one writer."""
        self._commits += 1
        if self._commits < EVERY:
            return
        self._commits = 0
        self._due.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="dualcontrol-checkpoint", daemon=True)
            with suppress(RuntimeError):  # no thread to be had: tried again later, and SQLite checkpoints by itself
                thread.start()
                self._thread = thread

    def close(self) -> None:
        """Stop, and wait until the checkpoint under way has ended."""
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        connection = self._connect()
        try:
            while self._due.wait() and not self._closed:
                self._due.clear()
                with suppress(sqlite3.Error):  # what this one could not do, the next one or the writer's own does
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            connection.close()


BUSY_SECONDS = 30.0
POLL_SECONDS = 0.05
IDLE_READERS = 8
NORMAL, FULL = 1, 2
SETTINGS = (
    "PRAGMA busy_timeout=30000", "PRAGMA cache_size=-16000", "PRAGMA temp_store=MEMORY", "PRAGMA fullfsync=ON",
    "PRAGMA secure_delete=ON", "PRAGMA journal_size_limit=67108864", f"PRAGMA wal_autocheckpoint={AUTOMATIC}",
)  # fmt: skip
UNIQUE = {"case_keys.": KeyTaken, "reviews.case_id, reviews.person": PersonTaken}


def connect(url: str, durability: str, clock: Clock | None) -> SqliteDialect:
    """Open the database that a URL names: ``sqlite:///relative``, ``sqlite:////absolute``, ``:memory:``."""
    path = unquote(url.partition("://")[2].partition("?")[0].removeprefix("/"))
    return SqliteDialect(path or ":memory:", durability, clock or (lambda: time.time_ns() // 1000))


class SqliteSession:
    """A cursor of one connection."""

    __slots__ = ("_cursor", "now")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.now = 0

    def one(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        return self._cursor.execute(sql, arguments).fetchone()

    def all(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Every row."""
        return self._cursor.execute(sql, arguments).fetchall()

    def two(self, first: str, second: str, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The first row of one statement and every row of a second with the same arguments."""
        run = self._cursor.execute
        return run(first, arguments).fetchone(), run(second, arguments).fetchall()

    def write(self, *batch: Write) -> int:
        """Run a batch in order; returns how many rows the first statement touched."""
        touched, cursor = -1, self._cursor
        for sql, rows in batch:
            if len(rows) == 1:
                cursor.execute(sql, rows[0])
            else:
                cursor.executemany(sql, rows)
            if touched < 0:
                touched = cursor.rowcount
        return touched


class SqliteDialect:
    """One SQLite database."""

    name = "sqlite"
    skips_locked = False
    order = (entries.c.id,)
    position = ("last_id",)
    migration_lock = "SELECT 1"
    sql = SQLiteDialect_pysqlite(paramstyle="qmark")

    def __init__(self, path: str, durability: str, clock: Clock) -> None:
        self.path, self._clock = path, clock
        self._memory = path == ":memory:"
        self._file = None if self._memory else DatabaseFile(path, self._bytes_needed)
        self._process, self._abandoned = os.getpid(), False
        self._level = FULL if durability == "power" else NORMAL
        self._level_now = 0
        self._lock, self._owner = threading.Lock(), 0
        self._connections: set[sqlite3.Connection] = set()  # every open one, also while a thread has it
        self._readers: deque[sqlite3.Connection] = deque()
        self._hub = Hub()
        try:
            self._writer = self._connect()
            if not self._memory:
                self._enter_wal()
            self._version, self._polled = self._data_version(), 0.0
        except (sqlite3.Error, UnicodeDecodeError) as error:
            for connection in self._connections:
                connection.close()
            raise self.translated(error) from error
        self._session = SqliteSession(self._writer.cursor())
        self._checkpointer = None if self._memory else Checkpointer(self._connect)
        if self._file is not None:
            self._file.remember()

    def _connect(self) -> sqlite3.Connection:
        path = self.path if self._file is None else self._file.path
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._connections.add(connection)
        for setting in SETTINGS:
            connection.execute(setting)
        return connection

    def _enter_wal(self) -> None:
        """Turn on the write-ahead log; the busy timeout does not cover two processes that do so at once."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                if self._writer.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                    return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    # Transactions

    def begin(self, durable: bool, starts: bool | None = None) -> SqliteSession:
        """Take the writer connection and start a transaction on it."""
        self._check()
        self._acquire_writer()
        try:
            level = self._level if durable else NORMAL
            if level != self._level_now:
                self._session.one(f"PRAGMA synchronous={level}")
                self._level_now = level
            self._session.one("BEGIN IMMEDIATE")
            self._session.now = self._clock()
        except BaseException:
            self.rollback(self._session)
            raise
        return self._session

    def commit(self, session: SqliteSession) -> None:
        """Commit and give the writer back; what cannot be committed is rolled back.

        What went into a file that is gone is not acknowledged.
        """
        try:
            session.one("COMMIT")
        except BaseException:
            self.rollback(session)
            raise
        try:
            if self._checkpointer is not None:
                self._checkpointer.committed()
        finally:
            self._release_writer()
        self._check()

    def rollback(self, session: SqliteSession) -> None:
        """Undo and give the writer back; SQLite may have rolled back by itself already."""
        try:
            if self._writer.in_transaction:
                session.one("ROLLBACK")
        finally:
            self._release_writer()

    def _acquire_writer(self) -> None:
        me = threading.get_ident()
        if self._owner == me:
            raise RuntimeError("a transaction is already open in this thread")
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise StoreUnavailableError(f"another thread has been writing for {BUSY_SECONDS:.0f} seconds")
        self._owner = me

    def _release_writer(self) -> None:
        self._owner = 0
        self._lock.release()

    @contextmanager
    def reading(self, brief: bool = False) -> Iterator[SqliteSession]:
        """A reader's connection with one snapshot; in memory the one connection there is.

        For a `brief` read, of one statement, the writer's when nobody writes: it knows the pages that it wrote.
        """
        self._check()
        if self._memory:
            with self._held():
                session = SqliteSession(self._writer.cursor())
                session.now = self._clock()
                yield session
            return
        if brief and self._lock.acquire(blocking=False):
            self._owner = threading.get_ident()
            try:
                self._session.now = self._clock()
                yield self._session
            finally:
                self._release_writer()
            return
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
        session = SqliteSession(connection.cursor())
        session.now = self._clock()
        try:
            session.one("BEGIN")
            yield session
        finally:
            if connection.in_transaction:
                session.one("ROLLBACK")
            if len(self._readers) < IDLE_READERS:
                self._readers.append(connection)
            else:
                self._connections.discard(connection)
                connection.close()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The writer connection for a read, inside this thread's own transaction too."""
        nested = self._owner == threading.get_ident()
        if not nested:
            self._acquire_writer()
        try:
            yield
        finally:
            if not nested:
                self._release_writer()

    # Errors

    def translated(self, error: Exception) -> Exception:
        """A sqlite3 error as one of ours; of a damaged schema even the message may be no text."""
        if isinstance(error, UnicodeDecodeError):
            return StoreDamagedError(f"{self.path}: what the file says of itself is no text")
        if not isinstance(error, sqlite3.Error):
            return error
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_CONSTRAINT:
            columns = str(error).partition("failed: ")[2]
            kind = next((kind for prefix, kind in UNIQUE.items() if columns.startswith(prefix)), Conflict)
            return kind(str(error))
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._disk_full()):
            return StoreFullError(f"{self.path}: {error}")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreUnavailableError(f"{self.path} is locked by another process")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "Could not decode to UTF-8" in str(error):
            return StoreDamagedError(f"{self.path}: {str(error).partition(chr(10))[0]}")
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
            return StoreUnavailableError(f"{self.path} has been closed")
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
            return StoreUnavailableError(f"{self.path}: {error}")
        return StoreError(f"{self.path}: {error}")

    def _disk_full(self) -> bool:
        try:
            return not self._memory and shutil.disk_usage(os.path.dirname(self.path) or ".").free < 1 << 20
        except OSError:
            return False

    # Commit order

    def unsequenced(self) -> ColumnElement[bool]:
        """With one writer, insertion order is commit order."""
        return entries.c.id > bindparam("last_id", type_=BigInteger)

    def lock_sequencer(self, session: Any) -> None:
        """Nothing to do: a transaction is alone."""

    # Schema

    def revision(self) -> str | None:
        """The schema's revision, or None in a database without our tables."""
        with self.reading() as session:
            if not session.one("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)):
                return None
            row = session.one(f"SELECT version_num FROM {VERSION_TABLE}")
            return None if row is None else str(row[0])

    def create(self, statements: Sequence[str], revision: str) -> None:
        """Run DDL in one transaction, unless another process was faster."""
        session = self.begin(durable=True)
        try:
            if not session.one("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)):
                for statement in statements:
                    session.one(statement)
                session.one(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES (?)", (revision,))
        except BaseException:
            self.rollback(session)
            raise
        self.commit(session)

    def engine(self) -> Engine:
        """An engine that takes the write lock when a transaction begins, so that DDL can be rolled back."""
        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine

    # Wake-up hints

    def publish(self, case_ids: Sequence[str]) -> None:
        """Wake the listener of this process; other processes see the data version change."""
        self._hub.push(case_ids)

    def listen(self, timeout: float) -> list[str] | None:
        """Wait for hints of this process and for commits of others; neither keeps the other waiting."""
        self._check()
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            ids = self._hub.wait(max(0.0, left if self._memory else min(left, POLL_SECONDS)))
            if ids is None or self._committed_elsewhere():
                return None
            if ids or left <= 0:
                return ids

    def _committed_elsewhere(self) -> bool:
        """Whether another connection committed: the writer's own data version changes for no other reason.

        Asked every `POLL_SECONDS` at most, however many hints of this process there are.
        """
        now = time.monotonic()
        if self._memory or now < self._polled + POLL_SECONDS or not self._lock.acquire(timeout=POLL_SECONDS):
            return False
        self._polled = now
        try:
            before, self._version = self._version, self._data_version()
            return before != self._version
        except sqlite3.Error:
            return True
        finally:
            self._lock.release()

    def _data_version(self) -> int:
        return int(self._writer.execute("PRAGMA data_version").fetchone()[0])

    # Maintenance

    def integrity(self) -> list[str]:
        """What ``PRAGMA integrity_check`` finds."""
        with self.reading() as session:
            return [text for (text,) in session.all("PRAGMA integrity_check") if text != "ok"]

    def describe(self) -> dict[str, JSON]:
        """Version, journal and synchronous level, read back from the connection."""
        session = self.begin(durable=True)
        try:
            names = ("journal_mode", "synchronous", "secure_delete", "page_size")
            settings = {name: session.one(f"PRAGMA {name}")[0] for name in names}
        finally:
            self.rollback(session)
        return {"version": sqlite3.sqlite_version, **settings}

    def backup(self, path: str) -> None:
        """Copy the database page by page to a new file, then move it in place."""
        if os.path.exists(path) and not self._memory and os.path.samefile(path, self.path):
            raise StoreError("a backup cannot replace the database itself", hint="Name another file.")
        part = f"{path}.part"
        with suppress(OSError):
            os.remove(part)
        private(part)
        with self.reading() as session, sqlite3.connect(part) as target:
            source = session._cursor.connection
            if source.in_transaction and not self._memory:
                session.one("COMMIT")
            source.backup(target)
        target.close()
        os.replace(part, path)

    def close(self) -> None:
        """Close every connection, after the transaction under way; those of a file that is gone are left alone."""
        if os.getpid() == self._process and self._checkpointer is not None:
            self._checkpointer.close()
        try:
            self._check()
        except StoreLostError:
            return
        while self._readers:
            self._readers.pop().close()
        self._acquire_writer()
        self._writer.close()
        self._release_writer()
        if self._file is not None:
            self._file.closed()

    def _check(self) -> None:
        """Raise `StoreLostError` where this is no longer the database that was opened."""
        if self._file is None:
            if os.getpid() != self._process:
                raise forked("a database in memory", self._process)
            return
        try:
            self._file.check()
        except StoreLostError:
            self._abandon()
            raise

    def _bytes_needed(self) -> int:
        """How many bytes the database has by what the writer knows of it, whatever lies there by now."""
        with self._held():
            ((pages,), (size,)) = (self._writer.execute(f"PRAGMA {n}").fetchone() for n in ("page_count", "page_size"))
            return int(pages * size)

    def _abandon(self) -> None:
        """Keep every connection open for good, and the log of whatever lies at the path now with it."""
        if not self._abandoned:
            self._abandoned = True
            never_closed(self._connections)

    def forked(self) -> None:
        """In a process forked from the one that opened this: the connections are that one's, and are left to it."""
        self._lock, self._owner, self._hub = threading.Lock(), 0, Hub()
        if self._file is not None:
            self._abandon()


# Wake-up hints within one process; a listener that comes too late learns that some were lost


CAPACITY = 10_000


class Hub:
    """A box of case ids that publishers fill and one listener empties."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._ids: list[str] = []
        self._lost = False

    def push(self, case_ids: Sequence[str]) -> None:
        """Put ids into the box; an overfull box is emptied and counts as lost."""
        with self._changed:
            if len(self._ids) + len(case_ids) > CAPACITY:
                self._ids, self._lost = [], True
            else:
                self._ids.extend(case_ids)
            self._changed.notify_all()

    def wait(self, timeout: float) -> list[str] | None:
        """The ids since the last call, as soon as there are any; empty after `timeout`, None when some were lost."""
        with self._changed:
            if not self._ids and not self._lost:
                self._changed.wait(timeout)
            ids, self._ids = self._ids, []
            lost, self._lost = self._lost, False
        return None if lost else ids
