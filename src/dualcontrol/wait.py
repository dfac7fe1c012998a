"""Waiting for outcomes: one listener a process wakes all waiters, who hold neither connection nor transaction.

A wake-up is a hint.  A catch-up query runs each second, so that a lost hint costs a second and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dualcontrol.errors import StoreError, StoreLostError, StoreUnavailableError
from dualcontrol.step import Steps
from dualcontrol.sweep import sweep

log = logging.getLogger("dualcontrol")
CATCH_UP = 1.0
SLICE = 0.1  # seconds of sweeping between two looks at the hints


class Waiters:
    """The waiters of this process by case, and the one thread that listens for them."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[], object]]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lost: StoreLostError | None = None

    def wait(self, case_id: str, timeout: float | None) -> bool:
        """Block until the case has an outcome or `timeout` seconds have passed; says whether it has one.

        Raises `StoreUnavailableError` when the desk is closed meanwhile.
        """
        woken = threading.Event()
        with self._waits(case_id, woken.set):
            return bool(self._settled([case_id])) or self._checked(case_id, woken.wait(timeout))

    async def wait_async(self, case_id: str, timeout: float | None) -> bool:
        """The same for a coroutine; no thread is held while it waits."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        with self._waits(case_id, lambda: loop.call_soon_threadsafe(woken.set)):
            if await asyncio.to_thread(self._settled, [case_id]):
                return True
            try:
                await asyncio.wait_for(woken.wait(), timeout)
            except TimeoutError:
                return False
            return self._checked(case_id, True)

    def _checked(self, case_id: str, woken: bool) -> bool:
        """Whether a wait ended with a wake-up; raises where the desk was closed or the store lost under it."""
        if self._closed:
            raise closed(case_id)
        if self._lost is not None:
            raise StoreLostError(self._lost.message, hint=self._lost.hint) from self._lost
        return woken

    def close(self) -> None:
        """Stop listening; whoever still waits learns that no answer will come here."""
        self._closed = True
        self._wake_up(None)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=3)

    @contextmanager
    def _waits(self, case_id: str, wake: Callable[[], object]) -> Iterator[None]:
        """Have `wake` called, from another thread, when the case may have an outcome; starts the listener."""
        with self._lock:
            if self._closed:
                raise closed(case_id)
            self._lost = None
            self._waiting.setdefault(case_id, []).append(wake)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._listen, name="dualcontrol-listener", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._waiting[case_id].remove(wake)
                if not self._waiting[case_id]:
                    del self._waiting[case_id]

    def _listen(self) -> None:
        caught_up, behind = time.monotonic(), False
        while not self._closed:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
            try:
                hints = self._steps.store.listen(0.0 if behind else CATCH_UP)
                due = time.monotonic() - caught_up >= CATCH_UP
                with self._lock:  # after the hints came: most have begun to wait while the listener was listening
                    case_ids = list(self._waiting) if due or hints is None else [i for i in hints if i in self._waiting]
                for case_id in self._settled(case_ids):
                    self._wake_up(case_id)
                if due:
                    caught_up = time.monotonic()
                if due or behind:
                    begun = time.monotonic()
                    sweep(self._steps, seconds=SLICE)
                    behind = time.monotonic() - begun >= SLICE
            except StoreLostError as error:
                self._lost = error
                self._wake_up(None)
                time.sleep(CATCH_UP)
            except StoreError:
                time.sleep(CATCH_UP)
            except Exception:  # without a listener those who wait would wait for ever
                log.exception("the listener goes on after this")
                time.sleep(CATCH_UP)

    def _wake_up(self, case_id: str | None) -> None:
        """Wake the waiters of a case, or all; an event loop that has ended meanwhile waits no more."""
        with self._lock:
            waiting = list(self._waiting.values()) if case_id is None else [self._waiting.get(case_id, [])]
            wakes = [wake for of_case in waiting for wake in of_case]
        for wake in wakes:
            try:
                wake()
            except RuntimeError:
                log.debug("a coroutine that waited is gone")

    def _settled(self, case_ids: list[str]) -> list[str]:
        """Those of the cases that have an outcome."""
        return [case_id for case_id, done in self._steps.store.settled(case_ids).items() if done] if case_ids else []


def closed(case_id: str) -> StoreUnavailableError:
    """The error of a wait whose desk was closed."""
    return StoreUnavailableError(
        f"the desk was closed while case {case_id} was waited for",
        hint="The case stays as it is: open a desk again and wait for it by its id.", case_id=case_id,
    )  # fmt: skip
