"""Settings from a file and from keyword arguments."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from dualcontrol.case import Quorum, scalar
from dualcontrol.control import LoopSettings
from dualcontrol.errors import SettingsError
from dualcontrol.names import nearest
from dualcontrol.settings import schema
from dualcontrol.settings.place import ARGUMENT, Given, Origin, Path, Place, opaque
from dualcontrol.settings.schema import SECRETS, SETTLE, check_at, every_key, keys_of


def read_file(given: Given, path: FilePath | None) -> None:
    """Lay the settings file over what is there: the one named, or that of the folder named or worked in, if it has one.

    A `pyproject.toml` that is not named may say nothing of us.
    """
    file = path
    if path is None or path.is_dir():
        files = ((path or FilePath()) / name for name in ("dualcontrol.toml", "pyproject.toml"))
        file = next((here for here in files if here.exists()), None)
    if file is None:
        return
    tree, lines_of = _parsed(file)
    root: Path = ()
    if file.name == "pyproject.toml":
        root = ("tool", "dualcontrol")
        tool = tree.get("tool", {})
        if file is path and "dualcontrol" not in tool:
            raise _file_error(file, None, "there is no [tool.dualcontrol] in this file")
        tree = tool.get("dualcontrol", {})
    if not isinstance(tree, dict):
        raise _file_error(file, lines_of.get(root), "[tool.dualcontrol] must be a table")

    def origin(path: Path) -> Origin:
        whole = root + path
        heads = (whole[:end] for end in range(len(whole), len(root), -1))
        line = next((lines_of[head] for head in heads if head in lines_of), None)
        return Origin(f"{file}:{line}" if line else str(file), str(file), line)

    given.merge(tree, origin)


def _parsed(file: FilePath) -> tuple[dict[str, Any], dict[Path, int]]:
    """What a TOML file says, and the line of every key in it."""
    try:
        content = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _file_error(file, None, "there is no such file") from None
    except (OSError, ValueError) as error:  # not UTF-8, or a name that no file can have
        raise _file_error(file, None, f"cannot be read as UTF-8 text: {error}") from None
    try:
        return tomllib.loads(content), lines(content)
    except ValueError as error:
        message = re.sub(r" \(at (line \d+, )?(.*)\)$", r", \2", str(error))
        at = re.search(r"\(at line (\d+)", str(error))
        line = int(at[1]) if at else max(content.rstrip().count("\n") + 1, 1)  # at the end of the document
        raise _file_error(file, line, f"not valid TOML: {message}") from None
    except RecursionError:
        raise _file_error(file, None, "not valid TOML: nested too deeply") from None


def _file_error(path: FilePath, line: int | None, message: str) -> SettingsError:
    where = f"{path}:{line}" if line else str(path)
    hint = None if line else "Correct the file named in the message."
    return SettingsError(
        f"{where}: {message}", hint=hint, file=str(path), line=line, key=None, nearest=None, origin=where
    )


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
    """Lay one loop's keyword arguments over what is there; None takes a key back to its default.

    Python says `rules`, a file says `[[rule]]`; both are taken, not both at once.
    """
    path: Path = ("loop", name)
    tree = plain(keywords)
    if isinstance(tree, dict):
        if tree.get("rules") is not None and tree.get("rule") is not None:
            given.origins[path] = ARGUMENT
            raise Place(given, (*path, "rule")).error("rules and rule are the same: give one of the two")
        if "rules" in tree:
            tree["rule"] = tree.pop("rules")
        if isinstance(tree.get("rule"), list):
            tree["rule"] = [_without_none(rule) for rule in tree["rule"]]
        _clear(given, path, tree)
    given.merge(nested(path, tree), lambda _: ARGUMENT)


def _clear(given: Given, path: Path, tree: dict[str, Any]) -> None:
    """Take the keys back to their defaults that are None in a tree, and out of it."""
    for key, value in list(tree.items()):
        here = (*path, key)
        if value is None and check_at(here) is not None:
            given.drop(here)
            del tree[key]
        elif isinstance(value, dict) and not opaque(here):
            _clear(given, here, value)


def lay_base(given: Given, name: str, base: LoopSettings) -> None:
    """Lay settings that were built before under what comes next; defaults stay open to be defaults again."""
    tree = _changed(base, LoopSettings(name=name, quorum=base.quorum, rules=base.rules, groups=base.groups))
    rules = [
        _changed(rule, None) | ({} if rule.quorum is None else {"quorum": _changed(rule.quorum, base.quorum)})
        for rule in base.rules
    ]
    quorum = _changed(base.quorum, Quorum(settle=SETTLE[base.mode]))
    tree |= {key: value for key, value in (("quorum", quorum), ("rule", rules)) if value}
    given.merge({"loop": {name: tree}}, lambda _: Origin(f"settings of loop {name!r}"))


def _changed(value: msgspec.Struct, other: msgspec.Struct | None) -> dict[str, Any]:
    """The fields of a value that are not None and not as in another, as a file would hold them."""
    fields = msgspec.structs.asdict(value)
    rest = {} if other is None else msgspec.structs.asdict(other)
    return {k: plain(v) for k, v in fields.items() if v is not None and (k not in rest or v != rest[k])}


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


# Settings from variables ``DUALCONTROL_…``, and from the files of secrets that variables ``…_FILE`` name.


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
    if set(parsed) != {"value"} or (check_at(path) is schema.text and not isinstance(value, str)):
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


# The line of every key in a TOML file, which the parser of the standard library does not tell.
#
# The text is known to be valid TOML, so this reads structure only and never judges.


_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


def lines(text: str) -> dict[Path, int]:
    """The line (from 1) of each key and list item of a valid TOML document."""
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [m.start() for m in re.finditer("\n", text)]
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> Path:
        start, many = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        path = self._resolved(self._key())
        self.at += 2 if many else 1
        if many:
            self.counts[path] = self.counts.get(path, -1) + 1
            path = (*path, self.counts[path])
        for end in range(1, len(path) + 1):
            self._note(path[:end], start)
        return path

    def _resolved(self, parts: list[str]) -> Path:
        """A header's key, with the index of the last item wherever it passes through a list of tables."""
        path: Path = ()
        for part in parts[:-1]:
            path = (*path, part)
            if path in self.counts:
                path = (*path, self.counts[path])
        return (*path, parts[-1])

    def _pair(self, table: Path) -> None:
        start, path = self.at, table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self.at += 1
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        """A dotted key, quoted parts decoded; stops at what follows it."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            token = self._token(_STRING if quoted else _BARE)
            parts.append(tomllib.loads(f"v = {token}")["v"] if quoted else token)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def _value(self, path: Path) -> None:
        first = self.text[self.at]
        if first == "[":
            self._list(path)
        elif first == "{":
            self._inline(path)
        else:
            self._token(_STRING if first in "\"'" else _SCALAR)

    def _list(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip(_BLANK)] != "]":
            self._note((*path, index), self.at)
            self._value((*path, index))
            self._comma()
            index += 1
        self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self.text[self._skip(_BLANK)] != "}":
            self._pair(path)
            self._comma()
        self.at += 1

    def _comma(self) -> None:
        if self.text[self._skip(_BLANK)] == ",":
            self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._token(pattern)
        return self.at

    def _token(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at character {self.at}")
        self.at = match.end()
        return match.group()

    def _note(self, path: Path, start: int) -> None:
        self.found.setdefault(path, bisect_left(self.breaks, start) + 1)
