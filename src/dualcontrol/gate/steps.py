"""The steps of a trip that are not one database call, and the two drivers: in this thread, or from a coroutine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from dualcontrol.case import Case
from dualcontrol.gate.calls import Prepared
from dualcontrol.gate.port import GatedLoop, Trip


class Wait:
    """A step of the trip: wait for the outcome."""

    def __init__(self, loop: GatedLoop, case: Case, timeout: float | None) -> None:
        self.loop, self.case, self.timeout = loop, case, timeout


class Nap:
    """A step of the trip: let another program go on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Run:
    """A step of the trip: run the gated function."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared


class Record:
    """A step of the trip: write how the effect ended, also when the caller is cancelled meanwhile."""

    def __init__(self, write: Callable[[], None]) -> None:
        self.write = write

    def __call__(self) -> None:
        """Write it."""
        self.write()


def drive(trip: Trip) -> Any:
    """Run a trip in this thread."""
    send: Callable[[Any], Any] = trip.send
    value: Any = None
    while True:
        try:
            step = send(value)
        except StopIteration as end:
            return end.value
        try:
            send, value = trip.send, _now(step)
        except BaseException as error:
            send, value = trip.throw, error


def _now(step: Any) -> Any:
    if isinstance(step, Wait):
        return step.loop.wait(step.case, step.timeout)
    if isinstance(step, Nap):
        return time.sleep(step.seconds)
    return step.prepared.run() if isinstance(step, Run) else step()


async def drive_async(trip: Trip) -> Any:
    """Run a trip from a coroutine: database work in threads, waiting without one."""
    send: Callable[[Any], Any] = trip.send
    value: Any = None
    while True:
        try:
            step = send(value)
        except StopIteration as end:
            return end.value
        try:
            send, value = trip.send, await _soon(step)
        except BaseException as error:
            send, value = trip.throw, error


def _soon(step: Any) -> Awaitable[Any]:
    if isinstance(step, Wait):
        return step.loop.await_outcome(step.case, step.timeout)
    if isinstance(step, Nap):
        return asyncio.sleep(step.seconds)
    if isinstance(step, Run):
        awaitable: Awaitable[Any] = step.prepared.run()
        return awaitable
    return _uncut(step) if isinstance(step, Record) else asyncio.to_thread(step)


async def _uncut(step: Record) -> None:
    """Write to the end, then let the cancellation pass: what the function did is known and must not get lost."""
    writing = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise
