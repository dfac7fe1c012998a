"""Settings from a file, the environment and keyword arguments, checked as a whole before anything runs.

Later wins: built-in default, `dualcontrol.toml` (or ``[tool.dualcontrol]`` in `pyproject.toml`), variables
``DUALCONTROL_…``, files of secrets (``…_FILE``), keyword arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Literal

import msgspec

from dualcontrol.case import Value
from dualcontrol.control import LoopSettings
from dualcontrol.settings.place import ARGUMENT, MASK, Given, Place, masked_url, model_folder, origins_of, rows
from dualcontrol.settings.schema import SETTINGS, Named, build_loop, every_key, lay_base, people
from dualcontrol.settings.sources import plain, read_arguments, read_environment, read_file, read_loop

__all__ = [
    "Database",
    "Settings",
    "Web",
    "every_key",
    "load",
    "loop_settings",
    "masked",
]


class Database(Value, frozen=True, kw_only=True):
    """Where the records lie, and what an acknowledged step survives."""

    url: str = "sqlite:///dualcontrol.db"
    durability: Literal["power", "process"] = "power"

    def __repr__(self) -> str:
        return f"Database(url={masked_url(self.url)!r}, durability={self.durability!r})"


class Web(Value, frozen=True, kw_only=True):
    """Where the console listens, and the token that opens it."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None

    def __repr__(self) -> str:
        return f"Web(host={self.host!r}, port={self.port!r}, token={MASK if self.token else None!r})"


class Settings(Value, frozen=True, kw_only=True):
    """Every setting in force, checked, and where each came from."""

    database: Database = Database()
    loops: dict[str, LoopSettings] = {}
    groups: dict[str, tuple[str, ...]] = {}
    web: Web = Web()
    secret: str | None = None
    models: str | None = None
    origins: dict[str, str] = {}

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in ("database", "loops", "groups", "web", "models"))
        return f"Settings({', '.join(shown)}, secret={MASK if self.secret else None!r})"


def load(
    path: str | os.PathLike[str] | None = None, *, env: Mapping[str, str] | None = None, **overrides: Any
) -> Settings:
    """The settings in force; any mistake raises SettingsError with file, line and the nearest right name.

    `path` is a file or a folder to look in; overrides are tables (``web={"port": 0}``) or nested names
    (``web__port=0``), in which None means "not given".
    """
    given = Given()
    read_file(given, FilePath(path) if path is not None else None)
    read_environment(given, os.environ if env is None else env, _loops_of(overrides))
    read_arguments(given, overrides)
    return _settings(given)


def _loops_of(overrides: Mapping[str, Any]) -> Iterable[str]:
    """The names of the loops that keyword arguments define."""
    tables = overrides.get("loop")
    nested = [name.split("__") for name in overrides]
    return [
        *(tables if isinstance(tables, Mapping) else ()),
        *(n[1] for n in nested if n[0] == "loop" and len(n) > 1),
    ]


def _settings(given: Given) -> Settings:
    said = SETTINGS(given.tree, Place(given, ()))
    database, groups = Database(**said.get("database", {})), said.get("groups", {})
    settings = Settings(
        database=database,
        loops={name: build_loop(given, name, groups) for name in said.get("loop", {})},
        groups=groups,
        web=Web(**said.get("web", {})),
        secret=said.get("secret"),
        models=said.get("models") or model_folder(database.url),
    )
    return msgspec.structs.replace(settings, origins=origins_of(settings, given))


def loop_settings(
    name: str,
    base: LoopSettings | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    /,
    **keywords: Any,
) -> LoopSettings:
    """A loop's settings from keyword arguments over `base`, checked like a file; None restores a default."""
    given = Given()
    if base is not None:
        lay_base(given, name, base)
    if groups is None:
        groups = base.groups if base is not None else {}
    given.merge({"groups": plain(groups)}, lambda _: ARGUMENT)
    read_loop(given, name, keywords)
    members = Named(people)(given.tree["groups"], Place(given, ("groups",)))
    return build_loop(given, name, members)


def masked(settings: Settings) -> list[tuple[str, Any, str]]:
    """Every key with its value and where it came from; secrets are never shown."""
    return [(key, value, settings.origins.get(key, "default")) for key, value, _ in rows(settings)]
