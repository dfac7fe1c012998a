"""Waiting for outcomes: one listener a process wakes all waiters, who hold neither connection nor transaction.

A wake-up is a hint.  A catch-up query runs each second, so that a lost hint costs a second and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

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
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lost: StoreLostError | None = None

    def wait(self, case_id: str, timeout: float | None) -> bool:
        """Block until the case has an outcome or `timeout` seconds have passed; says whether it has one.

        Raises `StoreUnavailableError` when the desk is closed meanwhile.
        """
        woken = threading.Event()
        self._add(case_id, woken.set)
        try:
            return bool(self._settled([case_id])) or self._checked(case_id, woken.wait(timeout))
        finally:
            self._remove(case_id, woken.set)

    async def wait_async(self, case_id: str, timeout: float | None) -> bool:
        """The same for a coroutine; no thread is held while it waits."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        self._add(case_id, wake)
        try:
            if await asyncio.to_thread(self._settled, [case_id]):
                return True
            await asyncio.wait_for(woken.wait(), timeout)
            return self._checked(case_id, True)
        except TimeoutError:
            return False
        finally:
            self._remove(case_id, wake)

    def _checked(self, case_id: str, woken: bool) -> bool:
        """Whether a wait ended with a wake-up; raises where the desk was closed or the store lost under it."""
        if self._closed:
            raise _closed(case_id)
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

    def _add(self, case_id: str, wake: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise _closed(case_id)
            self._lost = None
            self._waiting.setdefault(case_id, []).append(wake)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._listen, name="dualcontrol-listener", daemon=True)
                self._thread.start()

    def _remove(self, case_id: str, wake: Callable[[], None]) -> None:
        with self._lock:
            wakes = [w for w in self._waiting.get(case_id, []) if w != wake]
            if wakes:
                self._waiting[case_id] = wakes
            else:
                self._waiting.pop(case_id, None)

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
                self._wake_settled(None if due else hints)
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

    def _wake_settled(self, hints: Sequence[str] | None) -> None:
        """Wake the waiters of those hinted cases that have an outcome; None looks at every case that is waited for.

        Who waits is looked up after the hints came: most have begun to wait while the listener was listening.
        """
        with self._lock:
            case_ids = list(self._waiting) if hints is None else [i for i in hints if i in self._waiting]
        for case_id in self._settled(case_ids):
            self._wake_up(case_id)

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
        if not case_ids:
            return []
        return [i for i, done in self._steps.store.settled(case_ids).items() if done]


def _closed(case_id: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the desk was closed while case {case_id} was waited for",
        hint="The case stays as it is: open a desk again and wait for it by its id.", case_id=case_id,
    )  # fmt: skip
