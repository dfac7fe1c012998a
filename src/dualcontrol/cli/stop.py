"""``stop``, ``resume``: nothing runs in a loop, or in any, until somebody opens it again; how a stop is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import typer

from dualcontrol.cli.command import State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import authenticated, usage
from dualcontrol.cli.screen import ago, facts, report
from dualcontrol.control import Control, Stop
from dualcontrol.desk import Desk
from dualcontrol.layout import one_line
from dualcontrol.stop import in_force

app = group("stop", "Stop everything, and open it again.")
SHOWN = 20
Named = Annotated[str | None, typer.Argument(metavar="LOOP", help="The loop; --all in its place means every loop.")]
All = Annotated[bool, typer.Option("--all", help="Every loop, also those that are defined later.")]
Because = Annotated[
    str, typer.Option("--because", metavar="TEXT", help="Why; it is recorded, and shown on every page.")
]
Who = Annotated[
    str | None, typer.Option("--person", metavar="PERSON", help="Who says so; the system's user if not given.")
]


@verb(
    app, "stop", "dualcontrol stop refunds --because 'wrong amounts since noon'",
    "dualcontrol stop --all --because 'the bank is down' --person ana",
)  # fmt: skip
def stop(state: State, because: Because, loop: Named = None, everywhere: All = False, person: Who = None) -> None:
    """Let no effect start from here on, in a loop or in all.

    What is ready stays ready, approved or not, and what has begun may end.
    """
    _switch(state, Desk.stop, loop, everywhere, because, person)


@verb(
    app, "resume", "dualcontrol resume refunds --because mended --person lee",
    "dualcontrol resume --all --because 'the bank is back'",
)  # fmt: skip
def resume(state: State, because: Because, loop: Named = None, everywhere: All = False, person: Who = None) -> None:
    """Open a stopped loop again, or all that were stopped together; what is ready may start then."""
    _switch(state, Desk.resume, loop, everywhere, because, person)


def _switch(
    state: State, switch: Callable[..., list[Control]], loop: str | None, everywhere: bool, because: str,
    person: str | None,
) -> None:  # fmt: skip
    if (loop is None) != everywhere:
        raise usage("name a loop, or say --all for every loop")
    who = person or os_user()
    with desk_of(state) as desk:
        name = None if loop is None else desk.governing(loop).loop
        controls = switch(desk, who, because, loop=name, via="cli", authenticated=authenticated(who))
        of_all, now = in_force(desk.store), desk.steps.now()
    document = {"all": plain(of_all), "loops": {control.loop: plain(control.stopped) for control in controls}}
    rows = [("all loops", said(of_all, now))] if everywhere else []
    rows += [(f"loop {one_line(control.loop, 24)}", said(control.stopped, now)) for control in controls[:SHOWN]]
    more = [("", f"and {len(controls) - SHOWN} more")] if len(controls) > SHOWN else []
    report(state.as_json, document, facts(rows + more))


def plain(stop: Stop | None) -> dict[str, object] | None:
    """A stop as JSON; None where there is none."""
    return None if stop is None else stop.to_dict()


def said(stop: Stop | None, now: int) -> str:
    """Whether and since when something is stopped, by whom and why."""
    return "open" if stop is None else f"stopped {ago(stop.at, now)}: {one_line(stop.words, 400)}"


def notes(of_all: Stop | None, controls: Iterable[Control], now: int) -> Iterator[str]:
    """A line for all loops, where they are stopped, and one for each loop that is stopped besides."""
    if of_all is not None:
        yield f"all loops are {said(of_all, now)}"
    for control in controls:
        if control.stopped is not None and not (of_all is not None and control.stopped.everywhere):
            yield f"loop {one_line(control.loop, 24)} is {said(control.stopped, now)}"
