"""Settings from a file, the environment and keyword arguments, checked as a whole before anything runs.

Later wins: built-in default, `dualcontrol.toml` (or ``[tool.dualcontrol]`` in `pyproject.toml`), variables
``DUALCONTROL_…``, files of secrets (``…_FILE``), keyword arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dualcontrol.control import GROUPS, LoopSettings
from dualcontrol.settings.place import ARGUMENT, Place, Sources, model_folder, origins_of, rows
from dualcontrol.settings.schema import (
    SETTINGS,
    Database,
    Named,
    Oidc,
    Settings,
    Web,
    build_loop,
    build_web,
    confidential,
    every_key,
    people,
)
from dualcontrol.settings.sources import lay_base, plain, read_arguments, read_environment, read_file, read_loop

__all__ = [
    "Database",
    "Oidc",
    "Settings",
    "Web",
    "confidential",
    "every_key",
    "laid",
    "load",
    "loop_settings",
    "masked",
]


def load(
    path: str | os.PathLike[str] | None = None, *, env: Mapping[str, str] | None = None, **overrides: Any
) -> Settings:
    """The settings in force; any mistake raises SettingsError with file, line and the nearest right name.

    `path` is a file or a folder to look in; overrides are tables (``web={"port": 0}``) or nested names
    (``web__port=0``), in which None means "not given".
    """
    sources = Sources()
    read_file(sources, Path(path) if path is not None else None)
    tables = overrides.get("loop")
    nested = [name.split("__") for name in overrides]
    loops = [*(tables if isinstance(tables, Mapping) else ()), *(n[1] for n in nested if n[0] == "loop" and len(n) > 1)]
    read_environment(sources, os.environ if env is None else env, loops)
    read_arguments(sources, overrides)
    values = SETTINGS(sources.tree, Place(sources, ()))
    database, groups = Database(**values.get("database", {})), values.get("groups", {})
    settings = Settings(
        database=database,
        loops={name: build_loop(sources, name, groups) for name in values.get("loop", {})},
        groups=groups,
        web=build_web(sources, values.get("web", {})),
        secret=values.get("secret"),
        models=values.get("models") or model_folder(database.url),
    )
    return replace(settings, origins=origins_of(settings, sources))


def loop_settings(
    name: str,
    base: LoopSettings | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    /,
    **keywords: Any,
) -> LoopSettings:
    """A loop's settings from keyword arguments over `base`, checked like a file; None restores a default."""
    sources = Sources()
    if base is not None:
        lay_base(sources, name, base)
    if groups is None:
        groups = base.groups if base is not None else {}
    sources.merge({"groups": plain(groups)}, ARGUMENT)
    read_loop(sources, name, keywords)
    members = Named(people)(sources.tree["groups"], Place(sources, ("groups",)))
    return build_loop(sources, name, members)


def laid(declared: LoopSettings, values: Mapping[str, Any]) -> LoopSettings:
    """A loop's settings with other values by key, `groups.NAME` among them, checked together like a file."""
    members = {key.removeprefix(GROUPS): value for key, value in values.items() if key.startswith(GROUPS)}
    keywords = {key: value for key, value in values.items() if not key.startswith(GROUPS)}
    return loop_settings(declared.name, declared, {**declared.groups, **members}, **keywords)


def masked(settings: Settings) -> list[tuple[str, Any, str]]:
    """Every key with its value and where it came from; secrets are never shown."""
    return [(key, value, settings.origins.get(key, "default")) for key, value, _ in rows(settings)]
