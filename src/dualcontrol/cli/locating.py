"""Where things are: the settings in force, and the file behind a database's address."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dualcontrol.cli.state import State
from dualcontrol.errors import StoreUnavailableError
from dualcontrol.settings import Settings, load


def settings_of(state: State, **more: Any) -> Settings:
    """The settings in force for this call; in `more`, None means "not given"."""
    if state.database:
        more["database"] = {"url": state.database}
    return load(state.settings, **more)


def existing(url: str) -> str:
    """The address, if it does not name a file that is not there; a mistyped name makes no database."""
    if missing(url):
        raise StoreUnavailableError(
            f"there is no database {sqlite_file(url)}",
            hint="Name it with --database, or make it with `dualcontrol serve`, `propose` or `demo`.",
        )
    return url


def missing(url: str) -> bool:
    """Whether the address names a SQLite file that is not there."""
    file = sqlite_file(url)
    return file is not None and not file.exists()


def sqlite_file(url: str) -> Path | None:
    """The file behind a SQLite address; None for memory and for other databases."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or not path or ":memory:" in path or "mode=memory" in parts.query:
        return None
    return Path(path)
