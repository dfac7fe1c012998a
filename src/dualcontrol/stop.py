"""The emergency stop: nothing runs in a loop, or in any, until a person opens it again.

Stronger than closing autopilot: no effect starts, whoever approved it.  What is ready stays ready, what has begun may
end, and answers, claims and proposals go on.  Each loop is stopped in a transaction of its own, which nothing that
starts an effect overlaps: once a stop has returned, nothing starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from dualcontrol.case import Actor
from dualcontrol.commands import known_as
from dualcontrol.commands import person as named
from dualcontrol.control import Control, Stop
from dualcontrol.errors import DualcontrolError, NotStoppedError, PartialStopError, RequestError
from dualcontrol.events import STOP, AllResumed, AllStopped, Entry, Event, LoopResumed, LoopStopped
from dualcontrol.evolve import all_stopped, stop_of
from dualcontrol.people import may, refuse
from dualcontrol.step import Steps
from dualcontrol.store import Store, Tx

Verb = Literal["stop", "resume"]
NAMED = 5  # loops that are named one by one in a refusal


def stop(steps: Steps, actor: Actor, because: str, loop: str | None = None) -> list[Control]:
    """Stop a loop, or all and those that are defined later; the controls from here on.

    What is stopped already keeps its first reason.  `PartialStopError` names the loops that could not be stopped.
    """
    actor, why = _asked(actor, because, "stop")

    def stopped(now: Control, at: int) -> list[Event]:
        refuse(may(actor.person, "stop", now))
        if now.stopped is not None:
            return []
        return [LoopStopped(version=now.version + 1, at=at, actor=actor, because=why, everywhere=loop is None)]

    if loop is not None:
        return [steps.move(loop, stopped, actor=actor.person, starts=False)]
    _refuse_in_any(steps, actor, "stop")

    def all_loops(tx: Tx) -> Event | None:
        return None if all_stopped(tx.last(STOP)) else AllStopped(at=tx.now, actor=actor, because=why)

    _note(steps, actor, all_loops)
    return _each(steps, actor, stopped, steps.store.queries.loops(), "stopped")


def resume(steps: Steps, actor: Actor, because: str, loop: str | None = None) -> list[Control]:
    """Open a stopped loop again, or all that were stopped together; the controls from here on.

    A loop that was stopped by itself stays so until it is opened by itself.  `NotStoppedError` where nothing is stopped
    that way, `PartialStopError` names the loops that could not be opened.
    """
    actor, why = _asked(actor, because, "resume")

    def opened(now: Control, at: int) -> list[Event]:
        return resumed(now, at, actor, why, loop is None)

    if loop is not None:
        return [steps.move(loop, opened, actor=actor.person)]
    _refuse_in_any(steps, actor, "resume")

    def all_loops(tx: Tx) -> Event | None:
        return AllResumed(at=tx.now, actor=actor, because=why) if all_stopped(tx.last(STOP)) else None

    noted = _note(steps, actor, all_loops)
    controls = steps.store.queries.loops()
    meant = [control for control in controls if control.stopped is not None and control.stopped.everywhere]
    if not noted and not meant:
        raise NotStoppedError(_alone([control.loop for control in controls if control.stopped is not None]))
    return _each(steps, actor, opened, meant, "opened")


def resumed(now: Control, at: int, actor: Actor, because: str, everywhere: bool) -> list[Event]:
    """Open one stopped loop again; NotStoppedError where it is not stopped."""
    refuse(may(actor.person, "resume", now))
    if now.stopped is None:
        raise NotStoppedError(f"loop {now.loop!r} is not stopped", loop=now.loop)
    return [LoopResumed(version=now.version + 1, at=at, actor=actor, because=because, everywhere=everywhere)]


def _refuse_in_any(steps: Steps, actor: Actor, verb: Verb) -> None:
    """Refuse for all loops whoever may not do it in each."""
    for control in steps.store.queries.loops():
        refuse(may(actor.person, verb, control))


def in_force(store: Store) -> Stop | None:
    """The stop of all loops, as it stands; None where there is none."""
    entries = store.queries.entries(STOP, values=False)
    event = all_stopped(entries[-1] if entries else None)
    return None if event is None else stop_of(event)


class Stops(NamedTuple):
    """What is stopped: all loops, those stopped besides, and those opened since, a few of each at most."""

    of_all: Stop | None
    stopped: list[tuple[str, Stop]]
    opened: list[str]
    more: int

    @property
    def any(self) -> bool:
        """Whether anything is stopped."""
        return self.of_all is not None or bool(self.stopped)


def stops(store: Store) -> Stops:
    """What is stopped now."""
    of_all, controls = in_force(store), store.queries.loops()
    each = [(control.loop, control.stopped) for control in controls if control.stopped is not None]
    besides = [(loop, stop) for loop, stop in each if of_all is None or not stop.everywhere]
    opened = [control.loop for control in controls if control.stopped is None] if of_all is not None else []
    return Stops(of_all, besides[:NAMED], opened[:NAMED], max(len(besides) - NAMED, 0))


def _asked(actor: Actor, because: str, verb: Verb) -> tuple[Actor, str]:
    """Who asks and why, as they are kept; a stop takes a reason, and so does its end."""
    return replace(actor, person=named(actor.person)), checked_reason(because, verb)


def checked_reason(because: str, verb: str) -> str:
    """Why somebody stops, resumes, suspends or readmits, as it is kept."""
    why = known_as(because, RequestError, f"why to {verb}").strip()
    if not why:
        raise RequestError(f"say why to {verb}: it is recorded and shown")
    return why


def _note(steps: Steps, actor: Actor, make: Callable[[Tx], Event | None]) -> bool:
    """Write for all loops, and so for those that are defined later, what `make` gives; whether it gave anything."""

    def note() -> bool:
        with steps.store.transaction(starts=False) as tx:
            event = make(tx)
            if event is not None:
                tx.append(Entry(stream=STOP, seq=0, at=tx.now, actor=actor.person, events=(event,)))
            return event is not None

    return steps.retried(note)


def _each(
    steps: Steps, actor: Actor, make: Callable[[Control, int], list[Event]], controls: Sequence[Control], done: str
) -> list[Control]:  # fmt: skip
    """Move every loop, each in its own transaction; one that fails keeps none of the others from it."""
    after, failed = [], {}
    for control in controls:
        try:
            after.append(steps.move(control.loop, make, actor=actor.person, starts=False))
        except NotStoppedError:  # somebody else was faster
            continue
        except DualcontrolError as error:
            failed[control.loop] = error.message
    if failed:
        listed = "; ".join(f"{loop}: {why}" for loop, why in list(failed.items())[:NAMED])
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        raise PartialStopError(
            f"{len(failed)} of {len(controls)} loops could not be {done} ({listed}{more}); the others are {done}",
            failed=sorted(failed),
        )  # fmt: skip
    return after


def _alone(loops: Sequence[str]) -> str:
    """Why there is nothing to open for all; the loops that are stopped by themselves are named."""
    if not loops:
        return "no loop is stopped"
    listed = ", ".join(loops[:NAMED]) + (" and others" if len(loops) > NAMED else "")
    return f"the loops were not stopped together; by themselves, and so opened one by one, are stopped: {listed}"
