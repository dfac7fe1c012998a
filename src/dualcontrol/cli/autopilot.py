"""``autopilot stop``, ``autopilot open``: everything of a loop to people at once, and back again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from dualcontrol.cli.command import LoopName, Person, State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import facts, report
from dualcontrol.control import Control
from dualcontrol.desk import Loop
from dualcontrol.layout import written

autopilot_app = group("autopilot", "Stop a loop's autopilot, and open it again.")
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why; it stands in the reason of each route.")]
Segment = Annotated[str, typer.Option("--segment", metavar="NAME", help="Only this segment.")]


@verb(autopilot_app, "stop", "dualcontrol autopilot stop refunds --because 'wrong amounts since noon'")
def stop(state: State, loop: LoopName, because: Because, segment: Segment = "", person: Person = None) -> None:
    """Send everything to people from here on; an effect that has not begun is theirs as well."""
    _switch(state, loop, Loop.stop_autopilot, person, because, segment)


@verb(autopilot_app, "open", "dualcontrol autopilot open refunds --because 'mended'")
def open_again(
    state: State, loop: LoopName, because: Because = "", segment: Segment = "", person: Person = None
) -> None:  # fmt: skip
    """Let autopilot act again where a person had stopped it; an alarm or a missing model is not ended by this."""
    _switch(state, loop, Loop.open_autopilot, person, because, segment)


def _switch(
    state: State, loop: str, switch: Callable[..., Control], person: str | None, because: str, segment: str
) -> None:
    with desk_of(state) as desk:
        control = switch(Loop(desk, desk.governing(loop)), person or os_user(), because, segment=segment)
    closed = [(f"closed{f' ({name})' if name else ''}", written(why)) for name, why in control.closed.items()]
    rows = [("loop", control.loop), ("version", str(control.version)), *(closed or [("autopilot", "open")])]
    report(state.as_json, {"loop": control.loop, "version": control.version, "closed": control.closed}, facts(rows))
