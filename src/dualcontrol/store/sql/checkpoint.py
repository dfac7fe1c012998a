"""The write-ahead log is copied back beside the writers, so that no answer waits for two fsyncs and a big copy.

A passive checkpoint blocks nobody and loses nothing: SQLite syncs the log first.
The writer's own automatic checkpoint stays on, with a long limit, and finds little left to do.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

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
            self._thread = threading.Thread(target=self._run, name="dualcontrol-checkpoint", daemon=True)
            self._thread.start()

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
                self._checkpoint(connection)
        finally:
            connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return  # what this one could not do, the next one or the writer's own does
