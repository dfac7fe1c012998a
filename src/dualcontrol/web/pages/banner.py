"""The banner on every page while something is stopped: what, by whom, why and since when."""

from __future__ import annotations

from typing import NamedTuple

from dualcontrol.control import Stop
from dualcontrol.desk import Desk
from dualcontrol.stop import in_force

NAMED = 5  # loops that are named one by one


class Banner(NamedTuple):
    """The stop of all loops, the loops stopped besides it, and those opened since, each a few at most."""

    of_all: Stop | None
    stopped: list[tuple[str, Stop]]
    opened: list[str]
    more: int

    @property
    def shows(self) -> bool:
        """Whether anything is stopped."""
        return self.of_all is not None or bool(self.stopped)


def banner(desk: Desk) -> Banner:
    """What is stopped now."""
    of_all, controls = in_force(desk.store), desk.loops()
    stops = [(control.loop, control.stopped) for control in controls if control.stopped is not None]
    besides = [(loop, stop) for loop, stop in stops if of_all is None or not stop.everywhere]
    opened = [control.loop for control in controls if control.stopped is None] if of_all is not None else []
    return Banner(of_all, besides[:NAMED], opened[:NAMED], max(len(besides) - NAMED, 0))
