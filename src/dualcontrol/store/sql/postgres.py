"""PostgreSQL through psycopg 3: pooled connections, READ COMMITTED, row locks, LISTEN and NOTIFY."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    Text,
    bindparam,
    case,
    cast,
    create_engine,
    exists,
    func,
    literal_column,
    tuple_,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Dialect as SqlDialect
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, PoolProxiedConnection, QueuePool

from dualcontrol.case import JSON
from dualcontrol.errors import (
    MissingExtraError,
    PayloadError,
    SchemaError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from dualcontrol.store import Conflict, KeyTaken, PersonTaken
from dualcontrol.store.sql.dialect import Clock, Write
from dualcontrol.store.sql.file import private
from dualcontrol.store.sql.schema import VERSION_TABLE, Xid, entries, feed

try:
    import psycopg
    from psycopg import ProgrammingError
    from psycopg import errors as pg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise MissingExtraError(
        "PostgreSQL needs psycopg", hint='Install the extra `postgres`: pip install "dualcontrol[postgres]"'
    ) from error

POOL, OVERFLOW = 8, 56
CONNECT_SECONDS = 10
WAIT_SECONDS = 30
CREATING, SEQUENCING, STOPPING = 0x6475_616C_01, 0x6475_616C_02, 0x6475_616C_03  # keys of advisory locks
NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
# An abandoned transaction would hold the sequencer back; a row lock that never comes would hold a thread.
SETTINGS = "SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '30s'; "
POWER = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
PROCESS = "SET synchronous_commit = off"
WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED; "
RELAXED = WRITING + "SET LOCAL synchronous_commit = off; "
# Taken with BEGIN, before any row: whoever starts something shares it, and a stop waits until it has it alone.
STARTS = {
    None: "",
    True: f"SELECT pg_advisory_xact_lock_shared({STOPPING}); ",
    False: f"SELECT pg_advisory_xact_lock({STOPPING}); ",
}
# From the table itself: what to_regclass remembers may be older than the lock that was waited for.
HERE = (
    f"SELECT 1 FROM pg_catalog.pg_tables WHERE tablename = '{VERSION_TABLE}'"
    " AND schemaname = ANY(current_schemas(false))"
)
READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
UNTYPED: Any = PGDialect_psycopg
UNIQUE = {"case_keys_pkey": KeyTaken, "reviews_person": PersonTaken}


def connect(url: str, durability: str, clock: Clock | None) -> PostgresDialect:
    """A pool for the database that a URL names; a driver named in it is left out."""
    return PostgresDialect(urlunsplit(urlsplit(url)._replace(scheme="postgresql")), durability, clock)


class PostgresSession:
    """One pooled connection for the length of a transaction."""

    __slots__ = ("_connection", "_cursor", "broken", "now", "pooled")

    def __init__(self, pooled: PoolProxiedConnection, connection: psycopg.Connection[Any]) -> None:
        self.pooled, self._connection = pooled, connection
        self._cursor = connection.cursor()
        self.now = 0
        self.broken = False

    def run(self, text: str) -> psycopg.Cursor[Any]:
        """Run statements without arguments; they are not prepared."""
        return self._cursor.execute(text.encode(), prepare=False)

    def one(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        return self._cursor.execute(sql.encode(), arguments).fetchone()

    def all(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Every row."""
        return self._cursor.execute(sql.encode(), arguments).fetchall()

    def two(self, first: str, second: str, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The first row of one statement and every row of a second, which sees what the first waited for."""
        other = self._connection.cursor()
        with self._pipelined():
            self._cursor.execute(first.encode(), arguments)
            other.execute(second.encode(), arguments)
        return self._cursor.fetchone(), other.fetchall()

    def write(self, *batch: Write) -> int:
        """Run a batch in one trip; returns how many rows the first statement touched."""
        (sql, rows), rest = batch[0], batch[1:]
        if not rest and len(rows) == 1:
            return self._cursor.execute(sql.encode(), rows[0]).rowcount
        other = self._connection.cursor()
        with self._pipelined():
            _run(self._cursor, sql, rows)
            for text, arguments in rest:
                _run(other, text, arguments)
        return self._cursor.rowcount

    @contextmanager
    def _pipelined(self) -> Iterator[None]:
        """Statements in one trip; psycopg takes those behind a failed one for prepared, and they fail ever after."""
        try:
            with self._connection.pipeline():
                yield
        except psycopg.Error:
            self.broken = True
            raise


def _run(cursor: psycopg.Cursor[Any], sql: str, rows: Sequence[Sequence[Any]]) -> None:
    if len(rows) == 1:
        cursor.execute(sql.encode(), rows[0])
    else:
        cursor.executemany(sql.encode(), rows)


class PostgresDialect:
    """One PostgreSQL database."""

    name = "postgresql"
    skips_locked = True
    sql: SqlDialect = UNTYPED(paramstyle="format")
    order = (entries.c.xid, entries.c.id)
    position = ("last_xid", "last_xid", "last_id")
    migration_lock = f"SELECT pg_advisory_xact_lock({CREATING})"

    def __init__(self, url: str, durability: str, clock: Clock | None) -> None:
        self.url, self._clock = url, clock
        self._durability = PROCESS if durability == "process" else POWER
        self._pool = QueuePool(
            self._connect, pool_size=POOL, max_overflow=OVERFLOW, timeout=WAIT_SECONDS, use_lifo=True,
            reset_on_return=None,
        )  # fmt: skip
        self._closed = False
        self._inherited: list[Any] = []
        self._publisher = Publisher(url)
        self._listener = Listener(url)

    def _connect(self, *, autocommit: bool = True) -> Any:
        connection = psycopg.connect(
            self.url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="dualcontrol"
        )
        connection.execute((SETTINGS + self._durability).encode(), prepare=False)
        connection.autocommit = autocommit
        return connection

    # Transactions

    def begin(self, durable: bool, starts: bool | None = None) -> PostgresSession:
        """Start a write transaction, on a connection that still lives."""
        return self._start((WRITING if durable else RELAXED) + STARTS[starts])

    def _start(self, text: str) -> PostgresSession:
        """Begin on a connection that lives: dead ones are thrown away here, before anything was done on them."""
        if self._closed:
            raise StoreUnavailableError("the store has been closed")
        for _ in range(POOL + OVERFLOW):
            pooled = self._pool.connect()
            first_use = pooled.record_info is not None and pooled.record_info.setdefault("used", False) is False
            try:
                session = PostgresSession(pooled, pooled.dbapi_connection)  # type: ignore[arg-type]
                if self._clock is not None:
                    session.run(text)
                    session.now = self._clock()
                else:  # one trip to begin and to learn the time
                    cursor = session.run(text + NOW)
                    while cursor.nextset():
                        pass
                    (session.now,) = cursor.fetchone() or (0,)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                pooled.invalidate(error)
                if first_use:
                    raise
                continue
            pooled.record_info["used"] = True  # type: ignore[index]
            return session
        raise StoreUnavailableError("no connection of the pool is alive")

    def commit(self, session: PostgresSession) -> None:
        """Commit and give the connection back; a transaction that failed on the way is not taken for committed."""
        try:
            status = session.run("COMMIT").statusmessage
        except BaseException:
            self.rollback(session)
            raise
        session.pooled.close()
        if status != "COMMIT":
            raise StoreError("a statement of this transaction had failed, so nothing was written")

    def rollback(self, session: PostgresSession) -> None:
        """Roll back and give the connection back, or throw it away when it is broken or cannot be trusted."""
        try:
            session.run("ROLLBACK")
            if session.broken:
                session.pooled.invalidate()
        except psycopg.Error as error:
            session.pooled.invalidate(error)
        finally:
            session.pooled.close()

    @contextmanager
    def reading(self, brief: bool = False) -> Iterator[PostgresSession]:
        """One snapshot for several reads."""
        session = self._start(READING)
        try:
            yield session
        finally:
            self.rollback(session)

    # Errors

    def translated(self, error: Exception) -> Exception:
        """A psycopg error as one of ours."""
        if isinstance(error, PoolTimeoutError):
            return StoreUnavailableError(f"every connection has been busy for {WAIT_SECONDS} seconds")
        if not isinstance(error, psycopg.Error):
            return error
        text = str(error).strip()
        match error:
            case pg.UniqueViolation():
                return UNIQUE.get(error.diag.constraint_name or "", Conflict)(text)
            case pg.SerializationFailure() | pg.DeadlockDetected():
                return Conflict(text)
            case pg.DiskFull():
                return StoreFullError(text)
            case pg.UndefinedTable() | pg.UndefinedColumn():
                return SchemaError(text)
            case pg.DataCorrupted() | pg.IndexCorrupted():
                return StoreDamagedError(text)
            case psycopg.DataError():
                return PayloadError(f"PostgreSQL cannot hold this: {text}")
            case psycopg.OperationalError() | psycopg.InterfaceError() | pg.ReadOnlySqlTransaction():
                return StoreUnavailableError(text)
            case _:
                return StoreError(text)

    # Commit order

    def unsequenced(self) -> ColumnElement[bool]:
        """Below every transaction still running; or beyond all, in a database restored from another server."""
        snapshot = func.pg_current_snapshot()
        oldest, beyond = func.pg_snapshot_xmin(snapshot, type_=Xid), func.pg_snapshot_xmax(snapshot, type_=Xid)
        last = cast(bindparam("last_xid", type_=Text), Xid)
        start = case((last >= beyond, literal_column("'0'::xid8", Xid)), else_=last)
        place = tuple_(entries.c.xid, entries.c.id) > tuple_(start, bindparam("last_id", type_=BigInteger))
        fixed = (entries.c.xid < oldest) | (entries.c.xid >= beyond)
        return place & fixed & ~exists().where(feed.c.entry_id == entries.c.id)

    def lock_sequencer(self, session: Any) -> None:
        """Wait for the sequencer of another process."""
        session.run(f"SELECT pg_advisory_xact_lock({SEQUENCING})")

    # Schema

    def revision(self) -> str | None:
        """The schema's revision, or None in a database without our tables."""
        with self.reading() as session:
            if session.one(f"SELECT to_regclass('{VERSION_TABLE}')")[0] is None:
                return None
            row = session.one(f"SELECT version_num FROM {VERSION_TABLE}")
            return None if row is None else str(row[0])

    def create(self, statements: Sequence[str], revision: str) -> None:
        """Run DDL in one transaction, unless another process was faster."""
        session = self.begin(durable=True)
        try:
            session.run(self.migration_lock)
            if session.one(HERE) is None:
                session.run(";\n".join(statements))
                session.one(f"INSERT INTO {VERSION_TABLE} VALUES (%s) RETURNING 1", (revision,))
        except BaseException:
            self.rollback(session)
            raise
        self.commit(session)

    def engine(self) -> Engine:
        """An engine of its own connections, outside the pool."""
        return create_engine(
            "postgresql+psycopg://", creator=lambda: self._connect(autocommit=False), poolclass=NullPool
        )

    # Wake-up hints

    def publish(self, case_ids: Sequence[str]) -> None:
        """Send hints to the listeners of all processes."""
        self._publisher.send(case_ids)

    def listen(self, timeout: float) -> list[str] | None:
        """Wait for hints; None after the connection for them was made or lost."""
        return self._listener.wait(timeout)

    # Maintenance

    def integrity(self) -> list[str]:
        """Invalid indexes, and pages whose checksum did not hold since the statistics began."""
        with self.reading() as session:
            broken = session.all("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
            (pages,) = session.one(
                "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()"
            )
        problems = [f"index {name} is not valid" for (name,) in broken]
        return problems + ([f"{pages} pages have failed their checksum"] if pages else [])

    def describe(self) -> dict[str, JSON]:
        """Version and durability settings, read back from a connection in use."""
        names = ("synchronous_commit", "fsync", "full_page_writes")
        with self.reading() as session:
            settings = {name: session.one(f"SHOW {name}")[0] for name in names}
            return {"version": session.one("SHOW server_version")[0], **settings}

    def backup(self, path: str) -> None:
        """A dump in PostgreSQL's own format, for ``pg_restore``."""
        with self.reading() as session:
            server = int(session.one("SHOW server_version_num")[0]) // 10_000
        dump(self.url, server, path)

    def close(self) -> None:
        """Close every connection."""
        self._closed = True
        self._listener.close()
        self._publisher.close()
        self._pool.dispose()

    def forked(self) -> None:
        """Connections of its own; those it inherited are the other process's, and are neither used nor closed."""
        self._inherited += [self._pool, self._publisher, self._listener]
        self._pool = self._pool.recreate()
        self._publisher, self._listener = Publisher(self.url), Listener(self.url)


# Wake-up hints across processes by NOTIFY and LISTEN, each on a connection of its own


CHANNEL = "dualcontrol"
MAX_HINT = 7_900  # bytes; PostgreSQL carries 8,000
LISTEN_SECONDS = 5
RETRY_SECONDS = 0.5


class HintConnection:
    """A connection for hints, made when it is first needed and again after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def _connected(self, setup: str) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._url, autocommit=True, connect_timeout=LISTEN_SECONDS, application_name="dualcontrol hints"
        )
        self._connection = connection
        connection.execute(setup.encode())
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Publisher(HintConnection):
    """Sends hints in batches: whoever finds nobody sending sends for all who come meanwhile.

    NOTIFY takes a lock of the whole server at commit, so it is kept out of every other transaction.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._waiting: list[str] = []
        self._guard, self._sending = threading.Lock(), threading.Lock()

    def send(self, case_ids: Sequence[str]) -> None:
        """Send ids, or leave them to the thread that is sending; a hint that cannot be sent is lost."""
        with self._guard:
            self._waiting.extend(case_ids)
        while self._waiting and self._sending.acquire(blocking=False):
            try:
                with self._guard:
                    batch, self._waiting = self._waiting, []
                connection = self._connection or self._connected("SET synchronous_commit = off")
                for text in _joined(batch):
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))
            except psycopg.Error:
                self._drop()
            finally:
                self._sending.release()

    def close(self) -> None:
        """Close the connection."""
        with self._sending:
            self._drop()


def _joined(ids: Sequence[str]) -> Iterator[str]:
    """Ids joined by commas, each text short enough for one notification."""
    parts: list[str] = []
    size = 0
    for case_id in dict.fromkeys(ids):
        length = len(case_id.encode()) + 1
        if parts and size + length > MAX_HINT:
            yield ",".join(parts)
            parts, size = [], 0
        parts.append(case_id)
        size += length
    if parts:
        yield ",".join(parts)


class Listener(HintConnection):
    """Receives hints; says None once whenever some may have been lost."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._closed = threading.Event()

    def wait(self, timeout: float) -> list[str] | None:
        """Hints as soon as there are any; empty after `timeout`."""
        try:
            connection = self._connection  # which another thread may close
            if connection is None:
                self._connected(f"LISTEN {CHANNEL}")
                return None
            notes = list(connection.notifies(timeout=timeout, stop_after=1))
            if notes:
                notes += list(connection.notifies(timeout=0))
            return [case_id for note in notes for case_id in note.payload.split(",")]
        except (psycopg.Error, ValueError):
            self._drop()
            self._closed.wait(min(timeout, RETRY_SECONDS))
            return None

    def close(self) -> None:
        """Close the connection; a listener that waits returns."""
        self._closed.set()
        self._drop()


# Backup by PostgreSQL's own `pg_dump`, whole or not at all


PROGRAM = "pg_dump"


def dump(url: str, server: int, path: str) -> None:
    """Write a dump of a server of this major version to a file, for ``pg_restore``; an older `pg_dump` is refused."""
    version = re.search(r"\) (\d+)", _pg_dump(server, "--version"))
    if version and int(version[1]) < server:
        raise StoreError(
            f"{PROGRAM} is of PostgreSQL {version[1]} and the server of {server}: an older one cannot back it up",
            hint=_hint(server),
        )
    try:
        address = conninfo_to_dict(url)
    except ProgrammingError as error:
        raise StoreError(f"the database's address cannot be read: {error}") from error
    part = f"{path}.part"
    with suppress(OSError):
        os.remove(part)
    private(part)
    # The password goes as a variable: arguments can be read by everybody on the machine.
    password = address.pop("password", None)
    secret = {} if password is None else {"PGPASSWORD": str(password)}
    arguments = ("--format=custom", "--no-password", f"--file={part}", f"--dbname={make_conninfo('', **address)}")
    try:
        # Without --no-password it would ask on the terminal, or wait for ever where there is none.
        _pg_dump(server, *arguments, **secret)
        os.replace(part, path)
    except OSError as error:
        raise StoreError(
            f"the backup cannot be written to {path}: {error.strerror}", hint="Name another file."
        ) from error
    finally:
        with suppress(OSError):
            os.remove(part)


def _pg_dump(server: int, *arguments: str, **variables: str) -> str:
    try:
        done = subprocess.run(
            [PROGRAM, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )  # fmt: skip
    except OSError as error:
        raise StoreError(f"{PROGRAM} cannot be run: {error.strerror}", hint=_hint(server)) from error
    if done.returncode:
        hint = "Nothing was written; correct what the message names, or back up with your own tools."
        raise StoreError(f"{PROGRAM} failed: {done.stderr.strip()}", hint=hint)
    return done.stdout


def _hint(server: int) -> str:
    return f"Install PostgreSQL's client programs of version {server} or newer, and let theirs be the first on PATH."
