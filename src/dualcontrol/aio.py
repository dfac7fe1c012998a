"""The same verbs for async programs: each call runs in a worker thread; no logic of its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import anyio
import anyio.to_thread

LIMIT = 16


class Aio:
    """A desk, loop or claim whose methods are awaited; attributes and context managers pass through.

    Results that have verbs of their own (a loop, a claim) come back wrapped the same way.
    """

    def __init__(self, wrapped: Any, limiter: anyio.CapacityLimiter | None = None) -> None:
        self._wrapped = wrapped
        self._limiter = limiter

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._wrapped, name)
        if not inspect.ismethod(attribute) or name in PLAIN:
            return attribute
        if inspect.iscoroutinefunction(attribute):
            return attribute
        if name == "wait":
            return self._wrapped.await_outcome
        if name in BLOCKS:
            return lambda *args, **kwargs: AsyncBlock(
                functools.partial(self._call, attribute, *args, **kwargs), self._call
            )
        return functools.partial(self._call, attribute)

    async def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(LIMIT)
        work = functools.partial(method, *args, **kwargs)
        result = await anyio.to_thread.run_sync(work, limiter=self._limiter)
        return Aio(result, self._limiter) if _has_verbs(result) else result

    async def ask(self, *, timeout: float | None = None, **given: Any) -> Any:
        """Propose and wait in one call."""
        case = await self._call(self._wrapped.propose, **given)
        return await self._wrapped.await_outcome(case, timeout)

    async def __aenter__(self) -> Aio:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call(self._wrapped.close)


class AsyncBlock:
    """A block whose begin and end are database work: ``async with loop.effect(case) as value``.

    Awaited, it gives the block of the synchronous program, for ``with await loop.effect(case)``.
    """

    def __init__(self, made: Callable[[], Any], call: Callable[..., Any]) -> None:
        self._made = made
        self._call = call

    def __await__(self) -> Generator[Any, Any, AbstractContextManager[Any]]:
        block: Generator[Any, Any, AbstractContextManager[Any]] = self._made().__await__()
        return block

    async def __aenter__(self) -> Any:
        self._block = await self._made()
        return await self._call(self._block.__enter__)

    async def __aexit__(self, *raised: Any) -> bool | None:
        with anyio.CancelScope(shield=True):  # how it ended is written also when the program is being cancelled
            ended: bool | None = await self._call(self._block.__exit__, *raised)
        return ended


PLAIN = ("gate", "context", "run", "call")
BLOCKS = ("effect",)
VERBS = ("dualcontrol.desk",)  # by name: this module lies below it


def _has_verbs(result: Any) -> bool:
    return type(result).__module__ in VERBS
