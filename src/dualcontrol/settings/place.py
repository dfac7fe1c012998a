"""Where a setting was written: what all sources gave, and errors that name file, line and right name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from dualcontrol.errors import QuorumError, RuleError, SettingsError
from dualcontrol.names import nearest

Path: TypeAlias = tuple[str | int, ...]
MISSING = object()


class Origin(NamedTuple):
    """Where a value came from, in words, and the file and line if it was a settings file."""

    text: str
    file: str | None = None
    line: int | None = None


DEFAULT = Origin("default")
ARGUMENT = Origin("argument")
OriginOf: TypeAlias = Callable[[Path], Origin]


def opaque(path: Path) -> bool:
    """Whether what stands here is one JSON value, not a table of settings."""
    return len(path) == 3 and path[0] == "loop" and path[2] == "schema"


def inside(path: Path, value: Any) -> Iterator[Path]:
    """The path of a value and of everything in it."""
    yield path
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from inside((*path, key), item)


class Given:
    """What the sources gave, later over earlier, and where each value came from."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[Path, Origin] = {}

    def get(self, path: Path) -> Any:
        """The value at a path, or MISSING."""
        node: Any = self.tree
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return MISSING
        return node

    def merge(self, tree: Mapping[str, Any], origin_of: OriginOf, path: Path = ()) -> None:
        """Lay a source over what is there: tables are joined key by key, anything else is replaced."""
        for key, value in tree.items():
            here = (*path, key)
            if isinstance(value, dict) and not opaque(here):
                if not isinstance(self.get(here), dict):
                    self.put(here, {}, origin_of)
                self.merge(value, origin_of, here)
            else:
                self.put(here, value, origin_of)

    def put(self, path: Path, value: Any, origin_of: OriginOf) -> None:
        """Set one value and forget where the earlier one came from."""
        self.drop(path)
        node: Any = self.tree
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value
        self.origins.update((p, origin_of(p)) for p in inside(path, value))

    def drop(self, path: Path) -> None:
        """Take a value away, so that its default counts again."""
        if self.get(path) is MISSING:
            return
        del self.get(path[:-1])[path[-1]]
        for old in [p for p in self.origins if p[: len(path)] == path]:
            del self.origins[old]

    def origin(self, path: Path) -> Origin:
        """Where a path was written, or the nearest thing around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return DEFAULT

    def source(self, path: Path) -> Origin:
        """Where the value in force at a path came from; the default if nobody gave it."""
        node: Any = self.tree
        for part in path:
            if not isinstance(node, dict | list):
                break
            try:
                node = node[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                return DEFAULT
        return self.origin(path)


def quoted(part: str) -> str:
    """A key as TOML would write it."""
    bare = part.replace("-", "").replace("_", "")
    return part if bare.isascii() and bare.isalnum() else "'" + part + "'"


def dotted(path: Path) -> str:
    """A path as one dotted key: ``loop.refunds.rule[0].when``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{quoted(part)}"
    return text.removeprefix(".")


class Place:
    """One path in what was given; it makes the errors of that path."""

    def __init__(self, given: Given, path: Path) -> None:
        self.given = given
        self.path = path

    def child(self, key: str | int) -> Place:
        """The place of a key in this table."""
        return Place(self.given, (*self.path, key))

    @property
    def table(self) -> str:
        """This path as the header of a table: ``[loop.refunds]``."""
        words = dotted(tuple(p for p in self.path if isinstance(p, str)))
        at = next((i for i, p in enumerate(self.path) if isinstance(p, int)), None)
        if at is None:
            return f"[{words}]" if words else "the settings"
        name = self._rule_name(at)
        return f"[[{words}]] {name}" if at == len(self.path) - 1 else f"[{words}] of rule {name}"

    def _rule_name(self, at: int) -> str:
        name = self.given.get((*self.path[: at + 1], "name"))
        index = self.path[at]
        return repr(name) if isinstance(name, str) and name else f"number {int(index) + 1}"

    @property
    def words(self) -> str:
        """This path as a key and its table: ``threshold in [loop.refunds]``."""
        key = quoted(str(self.path[-1]))
        return f"{key} in {Place(self.given, self.path[:-1]).table}" if len(self.path) > 1 else key

    def error(
        self,
        message: str,
        kind: type[SettingsError] | None = None,
        near: Any = None,
        hint: str | None = None,
        **more: Any,
    ) -> SettingsError:
        """The error to raise about this place; inside a rule it is a RuleError."""
        origin = self.given.origin(self.path)
        kind = kind or (RuleError if len(self.path) > 3 and self.path[2] == "rule" else SettingsError)
        ending = f"; did you mean {near!r}?" if near is not None else ""
        return kind(
            f"{origin.text}: {message}{ending}",
            hint=hint or (None if kind is QuorumError else _hint(origin)),
            file=origin.file, line=origin.line, key=dotted(self.path), nearest=near, origin=origin.text,
            **more,
        )  # fmt: skip

    def wrong(self, wanted: str, value: Any, near: Any = None, hint: str | None = None) -> SettingsError:
        """The error for a value that is not what its key wants."""
        return self.error(f"{self.words} must be {wanted}, not {described(value)}", near=near, hint=hint)

    def unknown(self, key: str, names: Iterable[str]) -> SettingsError:
        """The error for a key that its table does not have."""
        where = f" in {self.table}" if self.path else ""
        return self.child(key).error(f"unknown key {key!r}{where}", near=nearest(key, names))


def _hint(origin: Origin) -> str:
    if origin.text.startswith("environment"):
        return "Correct the environment variable named in the message."
    return SettingsError.hint if origin.file else "Correct the argument named in the message."


def described(value: Any) -> str:
    """A wrong value in words, short enough for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return "a number that large" if abs(value) > 1e100 else str(value)
    if isinstance(value, str):
        return "the text " + repr(value if len(value) <= 60 else value[:60] + "…")
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return f"a value of type {type(value).__name__}"


# Settings as people may see them: every key with its value, secrets masked, and where it came from.


MASK = "********"
# Greedy on purpose: a password with an unescaped slash or @ in it must not show.
_PASSWORD = re.compile(r"(?<=://)(.*)@")
_QUERY = re.compile(r"(?i)([?&][^=&#]*(?:password|secret|token|key)[^=&#]*=)[^&#]*")


def masked_url(url: str) -> str:
    """An address without its passwords."""
    return _QUERY.sub(rf"\1{MASK}", _PASSWORD.sub(_without_password, url))


def _without_password(found: re.Match[str]) -> str:
    user, colon, _ = found[1].partition(":")
    return f"{user}:{MASK}@" if colon else f"{user}@"


def model_folder(url: str) -> str:
    """The folder of model files when none is set: beside a SQLite file, else in the working directory."""
    parts = urlsplit(url)
    file = unquote(parts.path.removeprefix("/"))
    beside = parts.scheme.startswith("sqlite") and file and ":memory:" not in file and "mode=memory" not in parts.query
    return f"{file}.models" if beside else "dualcontrol-models"


def rows(settings: Any) -> Iterator[tuple[str, Any, Path]]:
    """Every key in dotted form with the value that may be shown, and its path in the sources."""
    for path, value in _leaves(settings):
        yield dotted(path), value, path


def _leaves(settings: Any) -> Iterator[tuple[Path, Any]]:
    yield ("database", "url"), masked_url(settings.database.url)
    yield ("database", "durability"), settings.database.durability
    yield ("web", "host"), settings.web.host
    yield ("web", "port"), settings.web.port
    yield ("web", "token"), MASK if settings.web.token else None
    yield ("secret",), MASK if settings.secret else None
    yield ("models",), settings.models
    for name, people in settings.groups.items():
        yield ("groups", name), list(people)
    for name, loop in settings.loops.items():
        yield from _fields(("loop", name), loop)


def _fields(path: Path, value: msgspec.Struct) -> Iterator[tuple[Path, Any]]:
    """The fields of a value as keys: values inside it become tables, rules become numbered ones."""
    for key, item in msgspec.structs.asdict(value).items():
        if path[0] == "loop" and len(path) == 2 and key in ("name", "groups"):
            continue
        if key == "rules":
            for index, rule in enumerate(item):
                yield from _fields((*path, "rule", index), rule)
        elif isinstance(item, msgspec.Struct):
            yield from _fields((*path, key), item)
        else:
            yield (*path, key), list(item) if isinstance(item, tuple) else item


def origins_of(settings: Any, given: Given) -> dict[str, str]:
    """Where the value of every key came from."""
    return {key: _source(path, given) for key, _, path in rows(settings)}


def _source(path: Path, given: Given) -> str:
    """Where a key came from; what a rule's quorum leaves open comes from the loop's."""
    text = given.source(path).text
    if text == "default" and len(path) == 6 and path[2] == "rule" and path[4] == "quorum":
        return given.source((*path[:2], "quorum", path[5])).text
    return text
