"""The one place that knows two databases: what a dialect must do, and which file does it.

SQLite lives in ``sqlite.py``, PostgreSQL in ``postgres.py``; each is loaded by name when a URL asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, NamedTuple, NoReturn, Protocol, cast
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Engine
from sqlalchemy.engine import Dialect as SqlDialect

from dualcontrol.case import JSON
from dualcontrol.errors import SettingsError

Clock = Callable[[], int]
DURABILITIES = ("power", "process")
SCHEMES = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}


class Write(NamedTuple):
    """One statement of a batch: one row of arguments, or many."""

    sql: str
    rows: Sequence[Sequence[Any]]


class Session(Protocol):
    """One connection while it is ours: statements in, rows out."""

    now: int

    def one(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        """The first row, or None."""

    def all(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Every row."""

    def two(self, first: str, second: str, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The first row of one statement and every row of a second with the same arguments, in one trip."""

    def write(self, *batch: Write) -> int:
        """Run a batch in order and in one trip; returns how many rows the first statement touched."""


class Dialect(Protocol):
    """What differs between the databases."""

    name: str
    sql: SqlDialect
    skips_locked: bool
    order: tuple[ColumnElement[Any], ...]  # of entries, as they were committed
    migration_lock: str  # a statement that lets one process migrate at a time
    position: tuple[str, ...]  # the parameters of `unsequenced`, of last_xid and last_id

    def begin(self, durable: bool, starts: bool | None = None) -> Session:
        """Start a write transaction; its session knows the time.  One with `starts` never overlaps one without it.

        `starts` None is of neither kind.
        """

    def commit(self, session: Session) -> None:
        """Make everything durable and give the connection back."""

    def rollback(self, session: Session) -> None:
        """Undo everything and give the connection back, whatever state it is in."""

    def reading(self, brief: bool = False) -> AbstractContextManager[Session]:
        """A consistent view for several reads; `brief` where it is one statement."""

    def translated(self, error: Exception) -> Exception:
        """A driver's error as one of ours; the error itself when it is not the database's."""

    def unsequenced(self) -> ColumnElement[bool]:
        """Entries after `position` that no transaction still running can come before."""

    def lock_sequencer(self, session: Session) -> None:
        """Let one sequencer work at a time, until commit."""

    def create(self, statements: Sequence[str], revision: str) -> None:
        """Run DDL in an empty database, once, whoever else tries at the same moment."""

    def revision(self) -> str | None:
        """The schema's revision, or None in a database without our tables."""

    def engine(self) -> Engine:
        """An SQLAlchemy engine for migrations, whose transactions hold DDL too."""

    def publish(self, case_ids: Sequence[str]) -> None:
        """Send hints to listeners."""

    def listen(self, timeout: float) -> list[str] | None:
        """Wait for hints; None when some may have been lost."""

    def integrity(self) -> list[str]:
        """What the database says is wrong with itself."""

    def describe(self) -> dict[str, JSON]:
        """Version and durability, read back."""

    def backup(self, path: str) -> None:
        """Copy the database to a file."""

    def close(self) -> None:
        """Close every connection."""

    def forked(self) -> None:
        """In a forked process: leave alone what belongs to the process that opened this."""


def open_dialect(url: str, durability: str, clock: Clock | None) -> Dialect:
    """The dialect that a URL names, connected."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    if scheme not in SCHEMES:
        raise SettingsError(
            f"database.url {url!r} is of no known kind",
            hint="Write sqlite:///file.db, sqlite:///:memory: or postgresql://user@host/name.",
        )
    if durability not in DURABILITIES:
        raise SettingsError(f"database.durability is {durability!r}", hint='Write "power" or "process".')
    adapter = import_module(f"dualcontrol.store.sql.{SCHEMES[scheme]}")
    return cast(Dialect, adapter.connect(url, durability, clock))


def raise_ours(dialect: Dialect, error: Exception) -> NoReturn:
    """Raise a driver's error as ours, and any other as it is."""
    ours = dialect.translated(error)
    if ours is error:
        raise error
    raise ours from error
