"""Opening the desk that a command works on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from dualcontrol.case import Actor, Case
from dualcontrol.cli.command import State
from dualcontrol.cli.read import authenticated
from dualcontrol.compose import open as open_desk
from dualcontrol.desk import Desk
from dualcontrol.errors import StoreUnavailableError, UnknownCaseError, UnknownLoopError
from dualcontrol.people import through
from dualcontrol.settings import Settings, load

NO_PERSON = ("system", "program")


def case_of(desk: Desk, text: str) -> Case:
    """The case that an id names: its own, that of a review or claim of it, or a beginning that only one has."""
    name = text.strip()
    if not re.fullmatch(r"[0-9A-Za-z.-]{1,200}", name):
        raise UnknownCaseError(f"there is no case {name[:80]!r}")
    claimed = desk.steps.case_of_claim(name) if "." in name else None
    ids = [claimed] if claimed else list(dict(desk.store.queries.named(name.lower())))
    if not ids:
        raise UnknownCaseError(f"there is no case or review {name!r}", case_id=name)
    if len(ids) > 1 and name not in ids:
        shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
        raise UnknownCaseError(
            f"{name!r} begins more than one id: {shown}", hint="Give more of it; `dualcontrol inbox` shows them whole.",
            case_id=name,
        )  # fmt: skip
    return desk.case(name if name in ids else ids[0])


@contextmanager
def desk_of(state: State, *, create: bool = False, loop: str | None = None, govern: bool = True) -> Iterator[Desk]:
    """The desk on the database in force; one that is not there is made only where `create` says so.

    Nor is it made for a `loop` that the settings do not know.  Without `govern` the settings of this call are
    not put in force: nothing at all is written.
    """
    settings = settings_of(state)
    if not create:
        existing(settings.database.url)
    elif loop is not None and loop not in settings.loops and missing(settings.database.url):
        known = ", ".join(settings.loops) or "none"
        raise UnknownLoopError(f"there is no loop {loop!r}; the settings define: {known}", loop=loop)
    desk = open_desk(settings=settings if govern else replace(settings, loops={}))
    try:
        if not govern:
            desk.settings = settings
        with through(by_command):
            yield desk
    finally:
        desk.close()


def by_command(name: str) -> Actor | None:
    """How somebody in whose name a command acts is known; None for what system and programs do."""
    return None if name in NO_PERSON else Actor(person=name, via="cli", authenticated=authenticated(name))


# Where things are: the settings in force, and the file behind a database's address.


def settings_of(state: State, **more: Any) -> Settings:
    """The settings in force for this call; in `more`, None means "not given"."""
    if state.database:
        more["database"] = {"url": state.database}
    return load(state.settings, **more)


def existing(url: str) -> str:
    """The address, if it does not name a file that is not there; a mistyped name makes no database."""
    if file := missing(url):
        raise StoreUnavailableError(
            f"there is no database {file}",
            hint="Name it with --database, or make it with `dualcontrol serve`, `propose` or `demo`.",
        )
    return url


def missing(url: str) -> Path | None:
    """The SQLite file that an address names and that is not there; None for memory and for other databases."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or not path or ":memory:" in path or "mode=memory" in parts.query:
        return None
    return None if Path(path).exists() else Path(path)
