"""``autopilot stop``, ``autopilot open``: everything of a loop to people at once, and back again."""

from __future__ import annotations

from typing import Annotated

import typer

from dualcontrol.cli.answer import Person
from dualcontrol.cli.command import State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import document, facts, show, styled
from dualcontrol.control import Control
from dualcontrol.desk import Loop
from dualcontrol.layout import written

autopilot_app = group("autopilot", "Stop a loop's autopilot, and open it again.")
LoopName = Annotated[str, typer.Argument(metavar="LOOP", help="The loop.")]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why; it stands in the reason of each route.")]
Segment = Annotated[str, typer.Option("--segment", metavar="NAME", help="Only this segment.")]


@verb(autopilot_app, "stop", "dualcontrol autopilot stop refunds --because 'wrong amounts since noon'")
def stop(state: State, loop: LoopName, because: Because, segment: Segment = "", person: Person = None) -> None:
    """Send everything to people from here on; an effect that has not begun is theirs as well."""
    with desk_of(state) as desk:
        control = Loop(desk, desk.governing(loop)).stop_autopilot(person or os_user(), because, segment=segment)
    _report(state, control)


@verb(autopilot_app, "open", "dualcontrol autopilot open refunds --because 'mended'")
def open_again(
    state: State, loop: LoopName, because: Because = "", segment: Segment = "", person: Person = None
) -> None:  # fmt: skip
    """Let autopilot act again where a person had stopped it; an alarm or a missing model is not ended by this."""
    with desk_of(state) as desk:
        control = Loop(desk, desk.governing(loop)).open_autopilot(person or os_user(), because, segment=segment)
    _report(state, control)


def _report(state: State, control: Control) -> None:
    if state.as_json:
        return document({"loop": control.loop, "version": control.version, "closed": control.closed})
    rows = [("loop", styled(control.loop)), ("version", styled(str(control.version)))]
    rows += [(f"closed{f' ({name})' if name else ''}", styled(written(why))) for name, why in control.closed.items()]
    return show(facts(rows if control.closed else [*rows, ("autopilot", styled("open"))]))
