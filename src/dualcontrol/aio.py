"""Async wrapper of desk, loop and claim: each call runs in a worker thread; no logic of its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import anyio
import anyio.to_thread

LIMIT = 16
PLAIN = ("gate", "context", "run", "call")
WRAPPED = ("dualcontrol.desk", "dualcontrol.remote")  # by name: this module lies below them


class Aio:
    """A desk, loop or claim whose methods are awaited; attributes and context managers pass through.

    A result that is a loop or a claim comes back wrapped the same way.
    """

    def __init__(self, wrapped: Any, limiter: anyio.CapacityLimiter | None = None) -> None:
        self._wrapped = wrapped
        self._limiter = limiter

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._wrapped, name)
        if name in PLAIN or not inspect.ismethod(attribute) or inspect.iscoroutinefunction(attribute):
            return attribute
        if name == "wait":
            return self._wrapped.await_outcome
        call = functools.partial(self._call, attribute)
        if name == "effect":
            return lambda *args, **kwargs: AsyncBlock(functools.partial(call, *args, **kwargs), self._call)
        return call

    async def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(LIMIT)
        work = functools.partial(method, *args, **kwargs)
        result = await anyio.to_thread.run_sync(work, limiter=self._limiter)
        return Aio(result, self._limiter) if type(result).__module__ in WRAPPED else result

    async def ask(self, *, timeout: float | None = None, **fields: Any) -> Any:
        """Propose and wait in one call."""
        case = await self._call(self._wrapped.propose, **fields)
        return await self._wrapped.await_outcome(case, timeout)

    async def __aenter__(self) -> Aio:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call(self._wrapped.close)


class AsyncBlock:
    """A block whose begin and end are database work: ``async with loop.effect(case) as value``.

    Awaited, it returns the synchronous block, for ``with await loop.effect(case)``.
    """

    def __init__(self, opened: Callable[[], Any], call: Callable[..., Any]) -> None:
        self._opened = opened
        self._call = call

    def __await__(self) -> Generator[Any, Any, AbstractContextManager[Any]]:
        block: Generator[Any, Any, AbstractContextManager[Any]] = self._opened().__await__()
        return block

    async def __aenter__(self) -> Any:
        self._block = await self._opened()
        return await self._call(self._block.__enter__)

    async def __aexit__(self, *raised: Any) -> bool | None:
        with anyio.CancelScope(shield=True):  # how it ended is written also when the program is being cancelled
            ended: bool | None = await self._call(self._block.__exit__, *raised)
        return ended
