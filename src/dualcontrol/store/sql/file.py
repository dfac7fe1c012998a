"""The file of an SQLite database: made for its owner alone, and refused once it is no longer what was opened.

A file that was deleted or replaced goes on taking writes through the handles of whoever had it open, and nobody ever
finds them again.  A process that was forked from one with the file open shares SQLite's notes on who holds which
lock, but none of the locks: what it writes is lost when the other ends, even through a connection of its own.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

from dualcontrol.errors import StoreLostError

PRIVATE = 0o600
BESIDE = ("-wal", "-shm")
OVERWRITTEN = (
    "Stop every program on it and restore the backup once more, with no -wal and -shm file beside it. "
    "If it was only made smaller by VACUUM, open the desk again."
)
Identity = tuple[int, int]


class DatabaseFile:
    """One open database file, which knows its own again; its path is fixed when it is opened.

    `needed` says how many bytes SQLite needs of the file by what the log says, whatever lies there.
    """

    def __init__(self, path: str, needed: Callable[[], int]) -> None:
        self.path = os.path.abspath(path)
        self._needed = needed
        self._process = os.getpid()
        self._known: dict[str, Identity] = {}
        self._size = 0
        status = _look(self.path)
        if status is not None:
            for other in list(_OPEN):
                if other._process != self._process and other._known.get(other.path) == (status.st_dev, status.st_ino):
                    raise forked(self.path, other._process)
        private(self.path)

    def remember(self) -> None:
        """Note which files are open: the database and what SQLite has made beside it."""
        real = os.path.realpath(self.path)
        for name in (self.path, *(real + ending for ending in BESIDE)):
            status = _look(name)
            if status is not None:
                self._known[name] = (status.st_dev, status.st_ino)
        _OPEN.add(self)

    def check(self) -> None:
        """Raise `StoreLostError` unless the path leads to the open file, and those beside it are the open ones."""
        if os.getpid() != self._process:
            raise forked(self.path, self._process)
        size = self._size  # read before the file is looked at: it may grow between, and another thread note that
        for name, (device, number) in self._known.items():
            try:
                status = os.stat(name)
            except OSError:
                raise _lost(name, "was deleted") from None
            if status.st_ino != number or status.st_dev != device:
                raise _lost(name, "was replaced by another file")
            if status.st_size != size and name == self.path:
                # A database grows; one that is smaller now was made so by SQLite, or another was copied over it.
                if status.st_size < size and status.st_size < self._needed():
                    raise _lost(self.path, "was overwritten by a smaller one", OVERWRITTEN)
                self._size = status.st_size

    def closed(self) -> None:
        """Its connections are closed: a process that is forked from now on inherits none."""
        _OPEN.discard(self)


_OPEN: WeakSet[DatabaseFile] = WeakSet()
_MAKING = threading.Lock()


def forked(what: str, process: int) -> StoreLostError:
    """The error for a database that another process opened, of which this one is a copy."""
    return StoreLostError(
        f"{what} was opened by process {process}, and this is a fork of it",
        hint="Open the desk in each process after it was forked, with none open before; or start processes by spawn.",
    )


def _lost(name: str, how: str, hint: str | None = None) -> StoreLostError:
    return StoreLostError(f"{name} {how} while the database was open, so nothing more is written to it", hint=hint)


def _look(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def private(path: str) -> None:
    """Make a file that nobody but its owner may read, whatever the umask; one that is there stays as it is.

    SQLite gives the files beside a database the mode of the database.  Closing a file ends every lock that this
    process has on it, so no other thread may open it meanwhile.
    """
    with _MAKING:
        try:
            handle = os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE)
        except OSError:
            return  # it is there; or it cannot be made, and whoever opens it says so
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(handle, PRIVATE)
        finally:
            os.close(handle)


def never_closed(connections: Iterable[Any]) -> None:
    """Keep connections from being closed, even when the interpreter ends.

    Closing the last one deletes the log beside the database by its name, which by now may be another database's; and
    in a fork it undoes what the other process is writing.
    """
    for connection in connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
