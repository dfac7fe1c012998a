"""Hints across processes by NOTIFY and LISTEN, each on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

CHANNEL = "dualcontrol"
MAX_HINT = 7_900  # bytes; PostgreSQL carries 8,000
CONNECT_SECONDS = 5
RETRY_SECONDS = 0.5


def _connect(url: str) -> psycopg.Connection[Any]:
    name = "dualcontrol hints"
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name=name)


class Publisher:
    """Sends hints in batches: whoever finds nobody sending sends for all who come meanwhile.

    NOTIFY takes a lock of the whole server at commit, so it is kept out of every other transaction.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: list[str] = []
        self._guard, self._sending = threading.Lock(), threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def send(self, case_ids: Sequence[str]) -> None:
        """Send ids, or leave them to the thread that is sending; a hint that cannot be sent is lost."""
        with self._guard:
            self._waiting.extend(case_ids)
        while self._waiting and self._sending.acquire(blocking=False):
            try:
                with self._guard:
                    batch, self._waiting = self._waiting, []
                self._notify(batch)
            except psycopg.Error:
                self._drop()
            finally:
                self._sending.release()

    def _notify(self, batch: Sequence[str]) -> None:
        if self._connection is None:
            self._connection = _connect(self._url)
            self._connection.execute("SET synchronous_commit = off")
        for text in _joined(batch):
            self._connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

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


class Listener:
    """Receives hints; says None once whenever some may have been lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._closed = threading.Event()

    def wait(self, timeout: float) -> list[str] | None:
        """Hints as soon as there are any; empty after `timeout`."""
        try:
            if self._connection is None:
                self._connection = self._listening()
                return None
            return self._received(self._connection, timeout)
        except (psycopg.Error, ValueError):
            self._drop()
            self._closed.wait(min(timeout, RETRY_SECONDS))
            return None

    def _listening(self) -> psycopg.Connection[Any]:
        connection = _connect(self._url)
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def _received(self, connection: psycopg.Connection[Any], timeout: float) -> list[str]:
        notes = list(connection.notifies(timeout=timeout, stop_after=1))
        if notes:
            notes += list(connection.notifies(timeout=0))
        return [case_id for note in notes for case_id in note.payload.split(",")]

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close the connection; a listener that waits returns."""
        self._closed.set()
        self._drop()
