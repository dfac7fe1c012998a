"""A proposal routed in the head only: what ``policy test`` does with each case."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON
from dualcontrol.cli.locating import settings_of, sqlite_file
from dualcontrol.cli.opening import desk_of
from dualcontrol.cli.reading import usage
from dualcontrol.cli.state import State
from dualcontrol.cli.tables import opened
from dualcontrol.control import Control, Env, uuid7
from dualcontrol.errors import ProposalError, UnknownLoopError
from dualcontrol.events import Routed
from dualcontrol.propose import command
from dualcontrol.route.propose import propose
from dualcontrol.settings import Settings, nearest

FIELDS = tuple(inspect.signature(command).parameters)[1:]
EXPECTED = ("route", "by")


class Tried(NamedTuple):
    """Where a proposal would go; `met` says whether that was expected, None where nothing was said."""

    line: int
    route: str
    by: str
    reason: str
    inclusion: float
    group: str | None
    risk: str | None
    expected: str | None
    met: bool | None


def governing(state: State, loop: str) -> Control:
    """What would govern a loop: the settings of this call, over the thresholds that its database has certified."""
    settings = settings_of(state)
    mine = settings.loops.get(loop)
    if mine is not None and mine.guarantee is None and state.database is None:
        return Control(loop=loop, loop_id=0, version=0, settings=mine)
    known = _known(state, settings, loop)
    if mine is not None:
        return replace(known or Control(loop=loop, loop_id=0, version=0, settings=mine), settings=mine)
    if known is None:
        names = ", ".join(settings.loops) or "none"
        raise UnknownLoopError(f"there is no loop {loop!r}; known are: {names}", loop=loop)
    return known


def _known(state: State, settings: Settings, loop: str) -> Control | None:
    file = sqlite_file(settings.database.url)
    if file is not None and not file.exists():
        return None
    with desk_of(state, govern=False) as desk:
        return desk.control(loop)


def tried_file(control: Control, file: str) -> Iterator[Tried]:
    """Every case of a file; a usage error names the line that is none."""
    for line, row in opened(file).rows(None):
        where = f"{file}:{line}"
        if isinstance(row, str):
            raise usage(f"{where}: {row}")
        if row is None:
            continue
        expected = {name: row.pop(name) for name in EXPECTED if name in row}
        yield tried(control, where, row, line=line, expected=expected)


def tried(
    control: Control, where: str, given: JSON, *, line: int = 0, expected: dict[str, JSON] | None = None
) -> Tried:
    """Where a proposal would go under a control."""
    found = _routed(control, given, where)
    said = expected or {}
    wanted = " by ".join(str(said[name]) for name in EXPECTED if name in said) or None
    met = all(value == {"route": found.to, "by": found.by}[name] for name, value in said.items()) if said else None
    return Tried(
        line=line, route=found.to, by=found.by, reason=found.reason, inclusion=float(found.inclusion),
        group=found.group, risk=found.risk, expected=wanted, met=met,
    )  # fmt: skip


def _routed(control: Control, given: Any, where: str) -> Routed:
    if not isinstance(given, dict):
        raise usage(f"{where}: a case is a JSON object with the fields of propose")
    for name in given:
        if name not in FIELDS:
            near = nearest(name, FIELDS)
            raise usage(f"{where}: a proposal has no {name!r}" + (f"; did you mean {near!r}?" if near else ""))
    try:
        made = command(control.settings, **given)
        events = propose(None, made, control, Env(now=0, new_id=uuid7, secret=b""))
    except ProposalError as error:
        raise usage(f"{where}: {error.message}") from error
    return next(event for event in events if isinstance(event, Routed))
