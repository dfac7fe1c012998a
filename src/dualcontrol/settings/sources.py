"""Settings from a file and from keyword arguments."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from dualcontrol.case import scalar
from dualcontrol.errors import SettingsError
from dualcontrol.settings.keys import check_at
from dualcontrol.settings.lines import lines
from dualcontrol.settings.place import ARGUMENT, Given, Origin, Path, Place, opaque


def read_file(given: Given, path: FilePath | None) -> None:
    """Lay the settings file over what is there: the one named, or the one in the working directory."""
    if path is not None and not path.is_dir():
        _merge_file(given, path, required=True)
        return
    folder = path or FilePath()
    if (folder / "dualcontrol.toml").exists():
        _merge_file(given, folder / "dualcontrol.toml", required=True)
    elif (folder / "pyproject.toml").exists():
        _merge_file(given, folder / "pyproject.toml", required=False)


def _merge_file(given: Given, path: FilePath, *, required: bool) -> None:
    content = _content(path)
    tree, found = _parsed(content, path)
    root: Path = ()
    if path.name == "pyproject.toml":
        root = ("tool", "dualcontrol")
        tree = _section(tree, path, required=required)
    if not isinstance(tree, dict):
        raise _file_error(path, found.get(root), "[tool.dualcontrol] must be a table")
    given.merge(tree, lambda at: _in_file(path, found, root, at))


def _section(tree: dict[str, Any], path: FilePath, *, required: bool) -> Any:
    tool = tree.get("tool", {})
    if required and "dualcontrol" not in tool:
        raise _file_error(path, None, "there is no [tool.dualcontrol] in this file")
    return tool.get("dualcontrol", {})


def _content(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _file_error(path, None, "there is no such file") from None
    except (OSError, ValueError) as error:  # not UTF-8, or a name that no file can have
        raise _file_error(path, None, f"cannot be read as UTF-8 text: {error}") from None


def _parsed(content: str, path: FilePath) -> tuple[Any, dict[Path, int]]:
    try:
        return tomllib.loads(content), lines(content)
    except ValueError as error:
        message = re.sub(r" \(at (line \d+, )?(.*)\)$", r", \2", str(error))
        raise _file_error(path, _error_line(str(error), content), f"not valid TOML: {message}") from None
    except RecursionError:
        raise _file_error(path, None, "not valid TOML: nested too deeply") from None


def _error_line(message: str, content: str) -> int:
    """The line a TOML error is on; at the end of the document, the last line that is not blank."""
    found = re.search(r"\(at line (\d+)", message)
    return int(found[1]) if found else max(content.rstrip().count("\n") + 1, 1)


def _file_error(path: FilePath, line: int | None, message: str) -> SettingsError:
    where = f"{path}:{line}" if line else str(path)
    hint = None if line else "Correct the file named in the message."
    return SettingsError(
        f"{where}: {message}", hint=hint, file=str(path), line=line, key=None, nearest=None, origin=where
    )


def _in_file(path: FilePath, found: Mapping[Path, int], root: Path, at: Path) -> Origin:
    whole = root + at
    line = next((found[whole[:end]] for end in range(len(whole), len(root), -1) if whole[:end] in found), None)
    return Origin(f"{path}:{line}" if line else str(path), str(path), line)


def read_arguments(given: Given, overrides: Mapping[str, Any]) -> None:
    """Lay keyword arguments over what is there; ``database__url`` is nested like a variable."""
    tree: dict[str, Any] = {}
    for name, value in overrides.items():
        _join(tree, nested(tuple(name.split("__")), plain(value)))
    loops = tree.pop("loop", None)
    if isinstance(loops, dict):
        for name, keywords in loops.items():
            read_loop(given, name, keywords)
    elif loops is not None:
        tree["loop"] = loops
    given.merge(_without_none(tree), lambda _: ARGUMENT)


def _join(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _join(tree[key], value)
        else:
            tree[key] = value


def _without_none(value: Any) -> Any:
    """Tables without the keys that were not given."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value


def read_loop(given: Given, name: str, keywords: Any) -> None:
    """Lay one loop's keyword arguments over what is there; None takes a key back to its default."""
    path: Path = ("loop", name)
    tree = plain(keywords)
    if isinstance(tree, dict):
        _one_name_for_rules(given, path, tree)
        _clear(given, path, tree)
    given.merge(nested(path, tree), lambda _: ARGUMENT)


def _one_name_for_rules(given: Given, path: Path, tree: dict[str, Any]) -> None:
    """Python says `rules`, a file says `[[rule]]`; both are taken, not both at once."""
    if tree.get("rules") is not None and tree.get("rule") is not None:
        given.origins[path] = ARGUMENT
        raise Place(given, (*path, "rule")).error("rules and rule are the same: give one of the two")
    if "rules" in tree:
        tree["rule"] = tree.pop("rules")
    if isinstance(tree.get("rule"), list):
        tree["rule"] = [_without_none(rule) for rule in tree["rule"]]


def _clear(given: Given, path: Path, tree: dict[str, Any]) -> None:
    for key, value in list(tree.items()):
        here = (*path, key)
        if value is None and check_at(here) is not None:
            given.drop(here)
            del tree[key]
        elif isinstance(value, dict) and not opaque(here):
            _clear(given, here, value)


def plain(value: Any) -> Any:
    """A value from Python as a settings file would hold it: tuples as lists, our own values as tables."""
    if isinstance(value, msgspec.Struct):
        return {k: plain(v) for k, v in msgspec.structs.asdict(value).items() if v is not None}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return scalar(value)


def nested(path: Path, value: Any) -> dict[str, Any]:
    """A value inside the tables that its path names."""
    for part in reversed(path):
        value = {str(part): value}
    return dict(value)
