"""Waiting: one listener a process wakes all waiters; a waiting case holds neither connection nor transaction.

A wake-up is a hint.  A catch-up query runs each second, so that a lost hint costs a second and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from dualcontrol.errors import StoreError
from dualcontrol.step import Steps
from dualcontrol.sweep import sweep

CATCH_UP = 1.0


class Waiters:
    """Who waits for which case in this process, and the one thread that listens for them."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def wait(self, case_id: str, timeout: float | None) -> bool:
        """Block until the case has an outcome or `timeout` seconds have passed; says whether it has one."""
        woken = threading.Event()
        self._add(case_id, woken.set)
        try:
            if self._settled([case_id]):
                return True
            return woken.wait(timeout)
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
            return True
        except TimeoutError:
            return False
        finally:
            self._remove(case_id, wake)

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=3)

    def _add(self, case_id: str, wake: Callable[[], None]) -> None:
        with self._lock:
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
        last = time.monotonic()
        while not self._closed:
            with self._lock:
                waiting = list(self._waiting)
                if not waiting:
                    self._thread = None
                    return
            try:
                hints = self._steps.store.listen(CATCH_UP)
                due = time.monotonic() - last >= CATCH_UP
                if due:
                    last = time.monotonic()
                    sweep(self._steps)
                self._wake(waiting if due or hints is None else [i for i in hints if i in waiting])
            except StoreError:
                time.sleep(CATCH_UP)

    def _wake(self, case_ids: list[str]) -> None:
        for case_id in self._settled(case_ids):
            with self._lock:
                wakes = list(self._waiting.get(case_id, []))
            for wake in wakes:
                wake()

    def _settled(self, case_ids: list[str]) -> list[str]:
        if not case_ids:
            return []
        return [i for i, done in self._steps.store.settled(case_ids).items() if done]
