"""Opening what a command works on: the settings, and the desk on their database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from dualcontrol.cli.state import State
from dualcontrol.compose import open as open_desk
from dualcontrol.desk import Desk
from dualcontrol.errors import StoreUnavailableError
from dualcontrol.settings import Settings, load


def settings_of(state: State, **more: Any) -> Settings:
    """The settings in force for this call; in `more`, None means "not given"."""
    if state.database:
        more["database"] = {"url": state.database}
    return load(state.settings, **more)


@contextmanager
def desk_of(state: State, *, create: bool = False, govern: bool = True) -> Iterator[Desk]:
    """The desk on the database in force; one that is not there is made only where `create` says so.

    Without `govern` the settings of this call are not put in force: nothing at all is written.
    """
    settings = settings_of(state)
    if not create:
        existing(settings.database.url)
    desk = open_desk(settings=settings if govern else replace(settings, loops={}))
    try:
        if not govern:
            desk.settings = settings
        yield desk
    finally:
        desk.close()


def existing(url: str) -> str:
    """The address, if it does not name a file that is not there; a mistyped name makes no database."""
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise StoreUnavailableError(
            f"there is no database {file}",
            hint="Name it with --database, or make it with `dualcontrol serve`, `propose` or `demo`.",
        )
    return url


def sqlite_file(url: str) -> Path | None:
    """The file behind a SQLite address; None for memory and for other databases."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or not path or ":memory:" in path or "mode=memory" in parts.query:
        return None
    return Path(path)
