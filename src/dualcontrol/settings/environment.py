"""Settings from variables ``DUALCONTROL_…``, and from the files of secrets that variables ``…_FILE`` name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from dualcontrol.errors import SettingsError
from dualcontrol.settings import kinds
from dualcontrol.settings.keys import SECRETS, check_at, every_key, keys_of
from dualcontrol.settings.place import Given, Origin, Path, Place, nearest
from dualcontrol.settings.sources import nested

PREFIX = "DUALCONTROL_"
# Variables with our prefix that are not settings: they steer this project's own tests.
NOT_SETTINGS = ("DUALCONTROL_TEST_", "DUALCONTROL_CHROMIUM")


def read_environment(given: Given, env: Mapping[str, str], loops: Iterable[str]) -> None:
    """Lay the variables ``DUALCONTROL_…`` over what is there; `loops` are known besides those in the file."""
    names = {
        "loop": [*_keys(given, "loop"), *loops],
        "groups": _keys(given, "groups"),
    }
    for variable in sorted(v for v in env if v.startswith(PREFIX) and not v.startswith(NOT_SETTINGS)):
        path = _path_of(variable, names)
        if _names_file(path):
            _read_secret(given, variable, env)
        else:
            given.merge(nested(path, _value(path, env[variable])), lambda _, v=variable: _of(v))  # type: ignore[misc]


def _keys(given: Given, table: str) -> list[str]:
    tree = given.tree.get(table)
    return list(tree) if isinstance(tree, dict) else []


def _of(variable: str) -> Origin:
    return Origin(f"environment {variable}")


def _names_file(path: Path) -> bool:
    last = str(path[-1])
    return last.endswith("_file") and (*path[:-1], last.removesuffix("_file")) in SECRETS


def _path_of(variable: str, names: Mapping[str, list[str]]) -> Path:
    """The setting that a variable names; raises if there is none."""
    rest = variable.removeprefix(PREFIX).lower()
    top, _, below = rest.partition("__")
    path: Path = (top,)
    if top in names and below:
        name, below = _named(variable, top, below, names[top])
        path = (top, name)
    for part in below.split("__") if below else ():
        path = (*path, part)
    _check_path(variable, path)
    return path


def _named(variable: str, table: str, rest: str, names: list[str]) -> tuple[str, str]:
    """The loop or group whose name begins the rest of a variable; case and punctuation aside."""
    flat = {name: re.sub(r"\W", "_", name.casefold()) for name in names}
    hits = [name for name in flat if f"{rest}__".startswith(f"{flat[name]}__")]
    if hits:
        longest = max(len(flat[name]) for name in hits)
        best = sorted(name for name in hits if len(flat[name]) == longest)
        if len(set(best)) > 1:
            raise _place(variable, (table, rest)).error(f"this variable may mean {' or '.join(map(repr, best))}")
        return best[0], rest[longest:].removeprefix("__")
    name = rest.partition("__")[0]
    known = ", ".join(sorted(names)) or "none"
    kind = "loop" if table == "loop" else "group"
    raise _place(variable, (table, name)).error(f"unknown {kind} {name!r} (known: {known})", near=nearest(name, names))


def _check_path(variable: str, path: Path) -> None:
    for end, part in enumerate(path):
        if _names_file(path) and end == len(path) - 1:
            return
        if check_at(path[: end + 1]) is None:
            place = _place(variable, path[:end])
            raise place.unknown(str(part), [*keys_of(check_at(path[:end])), *(_spellings() if end == 0 else ())])


def _spellings() -> list[str]:
    """Top-level keys as variables spell them: ``database__url``."""
    return [key.replace(".", "__") for key in every_key() if "NAME" not in key]


def _place(variable: str, path: Path) -> Place:
    """A place whose errors name this variable."""
    given = Given()
    given.origins[()] = _of(variable)
    return Place(given, path)


def _value(path: Path, raw: str) -> Any:
    """A variable's value: as TOML if it is, else as plain text; secrets always as they stand."""
    if path in SECRETS:
        return raw
    try:
        parsed = tomllib.loads(f"value = {raw}")
    except (ValueError, RecursionError):
        return raw
    value = parsed["value"]
    if set(parsed) != {"value"} or (check_at(path) is kinds.text and not isinstance(value, str)):
        return raw
    return value


def _read_secret(given: Given, variable: str, env: Mapping[str, str]) -> None:
    """Lay the content of a file of secrets over what is there."""
    plain = variable[: -len("_FILE")]
    if plain in env:
        raise _plain_error(variable, f"{plain} is given as well: give one of the two")
    path = _path_of(plain, {})
    try:
        content = FilePath(env[variable]).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeError, ValueError) as error:
        raise _plain_error(variable, f"the file cannot be read: {error}") from None
    origin = Origin(f"file {env[variable]}", env[variable])
    given.merge(nested(path, content), lambda _: origin)


def _plain_error(variable: str, message: str) -> SettingsError:
    return _place(variable, _path_of(variable, {})).error(message)
