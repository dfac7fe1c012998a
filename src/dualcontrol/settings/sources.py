"""The sources of settings: a TOML file with the line of every key, variables, files of secrets, keyword arguments."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from dualcontrol.case import Quorum, scalar
from dualcontrol.control import LoopSettings
from dualcontrol.errors import SettingsError
from dualcontrol.names import nearest
from dualcontrol.settings.place import ARGUMENT, SECRETS, KeyPath, Origin, Place, Sources, opaque
from dualcontrol.settings.schema import SETTLE, check_at, every_key, keys_of, text


def read_file(sources: Sources, path: Path | None) -> None:
    """Lay the settings file over what is there: the one named, or that of the folder named or worked in, if it has one.

    A `pyproject.toml` that is not named may say nothing of us.
    """
    file = path
    if path is None or path.is_dir():
        files = ((path or Path()) / name for name in ("dualcontrol.toml", "pyproject.toml"))
        file = next((here for here in files if here.exists()), None)
    if file is None:
        return
    tree, lines_of = _parsed(file)
    root: KeyPath = ()
    if file.name == "pyproject.toml":
        root = ("tool", "dualcontrol")
        tool = tree.get("tool", {})
        if file is path and "dualcontrol" not in tool:
            raise _file_error(file, None, "there is no [tool.dualcontrol] in this file")
        tree = tool.get("dualcontrol", {})
    if not isinstance(tree, dict):
        raise _file_error(file, lines_of.get(root), "[tool.dualcontrol] must be a table")

    def written_at(key: KeyPath) -> Origin:
        whole = root + key
        heads = (whole[:end] for end in range(len(whole), len(root), -1))
        line = next((lines_of[head] for head in heads if head in lines_of), None)
        return Origin(f"{file}:{line}" if line else str(file), str(file), line)

    sources.merge(tree, written_at)


def _parsed(file: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
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


def _file_error(path: Path, line: int | None, message: str) -> SettingsError:
    where = f"{path}:{line}" if line else str(path)
    hint = None if line else "Correct the file named in the message."
    return SettingsError(
        f"{where}: {message}", hint=hint, file=str(path), line=line, key=None, nearest=None, origin=where
    )


def read_arguments(sources: Sources, overrides: Mapping[str, Any]) -> None:
    """Lay keyword arguments over what is there; ``database__url`` is nested like a variable."""
    arguments = Sources()
    for name, value in overrides.items():
        arguments.merge(nested(tuple(name.split("__")), plain(value)), ARGUMENT)
    tree = arguments.tree
    if isinstance(tree.get("loop"), dict):
        for name, keywords in tree.pop("loop").items():
            read_loop(sources, name, keywords)
    sources.merge(_without_none(tree), ARGUMENT)


def _without_none(value: Any) -> Any:
    """Tables without the keys that were not sources."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value


def read_loop(sources: Sources, name: str, keywords: Any) -> None:
    """Lay one loop's keyword arguments over what is there; None takes a key back to its default.

    Python says `rules`, a file says `[[rule]]`; both are taken, not both at once.
    """
    path: KeyPath = ("loop", name)
    tree = plain(keywords)
    if isinstance(tree, dict):
        if tree.get("rules") is not None and tree.get("rule") is not None:
            sources.origins[path] = ARGUMENT
            raise Place(sources, (*path, "rule")).error("rules and rule are the same: give one of the two")
        if "rules" in tree:
            tree["rule"] = tree.pop("rules")
        if isinstance(tree.get("rule"), list):
            tree["rule"] = [_without_none(rule) for rule in tree["rule"]]
        _clear(sources, path, tree)
    sources.merge(nested(path, tree), ARGUMENT)


def _clear(sources: Sources, path: KeyPath, tree: dict[str, Any]) -> None:
    """Take the keys back to their defaults that are None in a tree, and out of it."""
    for key, value in list(tree.items()):
        here = (*path, key)
        if value is None and check_at(here) is not None:
            sources.drop(here)
            del tree[key]
        elif isinstance(value, dict) and not opaque(here):
            _clear(sources, here, value)


def lay_base(sources: Sources, name: str, base: LoopSettings) -> None:
    """Lay settings that were built before under what comes next; defaults stay open to be defaults again."""
    tree = _changed(base, LoopSettings(name=name, quorum=base.quorum, rules=base.rules, groups=base.groups))
    rules = [
        _changed(rule, None) | ({} if rule.quorum is None else {"quorum": _changed(rule.quorum, base.quorum)})
        for rule in base.rules
    ]
    quorum = _changed(base.quorum, Quorum(settle=SETTLE[base.mode]))
    tree |= {key: value for key, value in (("quorum", quorum), ("rule", rules)) if value}
    sources.merge({"loop": {name: tree}}, Origin(f"settings of loop {name!r}"))


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


def nested(path: KeyPath, value: Any) -> dict[str, Any]:
    """A value inside the tables that its path names."""
    for part in reversed(path):
        value = {str(part): value}
    return dict(value)


# Settings from variables ``DUALCONTROL_…``, and from the files of secrets that variables ``…_FILE`` name.


PREFIX = "DUALCONTROL_"
# Variables with our prefix that are not settings: they steer this project's own tests.
NOT_SETTINGS = ("DUALCONTROL_TEST_", "DUALCONTROL_CHROMIUM", "DUALCONTROL_TOKEN")


def read_environment(sources: Sources, env: Mapping[str, str], loops: Iterable[str]) -> None:
    """Lay the variables ``DUALCONTROL_…`` over what is there; `loops` are known besides those in the file.

    A value is read as TOML if it is, else as plain text; secrets are taken as they stand.
    """
    tables = {name: sources.tree.get(name) for name in ("loop", "groups")}
    names = {name: [*table] if isinstance(table, dict) else [] for name, table in tables.items()}
    names["loop"] += loops
    for variable in sorted(v for v in env if v.startswith(PREFIX) and not v.startswith(NOT_SETTINGS)):
        path, origin = _path_of(variable, names), Origin(f"environment {variable}")
        raw: Any = env[variable]
        secret = _secret_in_file(path)
        if secret is not None:
            itself = variable[: -len("_FILE")]
            if itself in env:
                raise _place(variable, path).error(f"{itself} is given as well: give one of the two")
            try:
                raw = Path(raw).read_text(encoding="utf-8-sig").strip()
            except (OSError, UnicodeError, ValueError) as error:
                raise _place(variable, path).error(f"the file cannot be read: {error}") from None
            path, origin = secret, Origin(f"file {env[variable]}", env[variable])
        elif path not in SECRETS:
            with suppress(ValueError, RecursionError):
                parsed = tomllib.loads(f"value = {raw}")
                if {*parsed} == {"value"} and (isinstance(parsed["value"], str) or check_at(path) is not text):
                    raw = parsed["value"]
        sources.merge(nested(path, raw), origin)


def _secret_in_file(path: KeyPath) -> KeyPath | None:
    """The secret whose file a variable ``…_FILE`` names."""
    secret = (*path[:-1], str(path[-1]).removesuffix("_file"))
    return secret if secret in SECRETS and secret != path else None


def _place(variable: str, path: KeyPath) -> Place:
    """A place whose errors name this variable."""
    sources = Sources()
    sources.origins[()] = Origin(f"environment {variable}")
    return Place(sources, path)


def _path_of(variable: str, names: Mapping[str, list[str]]) -> KeyPath:
    """The setting that a variable names; raises if there is none."""
    top, _, below = variable.removeprefix(PREFIX).lower().partition("__")
    path: KeyPath = (top,)
    if top in names and below:
        name, below = _named(variable, top, below, names[top])
        path = (top, name)
    path = (*path, *(below.split("__") if below else ()))
    for end, part in enumerate(path):
        if end == len(path) - 1 and _secret_in_file(path) is not None:
            break
        if check_at(path[: end + 1]) is None:
            known = [*keys_of(check_at(path[:end]))]
            if end == 0:  # and as variables spell what is in a table: ``database__url``
                known += [key.replace(".", "__") for key in every_key() if "NAME" not in key]
            raise _place(variable, path[:end]).unknown(str(part), known)
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


def lines(document: str) -> dict[KeyPath, int]:
    """The line (from 1) of each key and list item of a valid TOML document."""
    return _Scanner(document).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [m.start() for m in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        """Read header by header and pair by pair.

        A header's key holds the index of the last item wherever it passes through a list of tables.
        """
        table: KeyPath = ()
        counts: dict[KeyPath, int] = {}
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] != "[":
                self._pair(table)
                continue
            start, brackets = self.at, 2 if self.text.startswith("[[", self.at) else 1
            self.at += brackets
            parts = self._key()
            self.at += brackets
            table = ()
            for part in parts[:-1]:
                table = (*table, part)
                if table in counts:
                    table = (*table, counts[table])
            table = (*table, parts[-1])
            if brackets == 2:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            for end in range(1, len(table) + 1):
                self._note(table[:end], start)
        return self.lines

    def _pair(self, table: KeyPath) -> None:
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
            start = self._skip(_SPACE)
            quoted = self.text[start] in "\"'"
            token = self.text[start : self._skip(_STRING if quoted else _BARE)]
            parts.append(tomllib.loads(f"v = {token}")["v"] if quoted else token)
            if self.text[self._skip(_SPACE)] != ".":
                return parts
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        """A list item by item, an inline table pair by pair, anything else as a whole."""
        first = self.text[self.at]
        if first not in "[{":
            self._skip(_STRING if first in "\"'" else _SCALAR)
            return
        self.at += 1
        index = 0
        while self.text[self._skip(_BLANK)] not in "]}":
            if first == "[":
                self._note((*path, index), self.at)
                self._value((*path, index))
            else:
                self._pair(path)
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
            index += 1
        self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Where the text goes on behind what a pattern takes."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at character {self.at}")
        self.at = match.end()
        return self.at

    def _note(self, path: KeyPath, start: int) -> None:
        self.lines.setdefault(path, bisect_left(self.breaks, start) + 1)
