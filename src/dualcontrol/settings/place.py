"""Settings before they are checked: what all sources gave, where each key was written, and the errors that say so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from dualcontrol.errors import QuorumError, RuleError, SettingsError
from dualcontrol.names import nearest

KeyPath: TypeAlias = tuple[str | int, ...]
MISSING = object()


class Origin(NamedTuple):
    """Where a value came from, in words, and the file and line if it was a settings file."""

    text: str
    file: str | None = None
    line: int | None = None


DEFAULT = Origin("default")
ARGUMENT = Origin("argument")
Origins: TypeAlias = Origin | Callable[[KeyPath], Origin]  # of all that a source says, or of each path in it
# What is never shown, and may be read from a file that a variable names.
SECRETS: tuple[KeyPath, ...] = (
    ("database", "url"), ("web", "token"), ("web", "oidc", "client_secret"), ("secret",),
)  # fmt: skip


def opaque(path: KeyPath) -> bool:
    """Whether what stands here is one JSON value, not a table of settings."""
    return len(path) == 3 and path[0] == "loop" and path[2] == "schema"


class Sources:
    """What the sources gave, later over earlier, and where each value came from."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[KeyPath, Origin] = {}

    def get(self, path: KeyPath) -> Any:
        """The value at a path, or MISSING."""
        node: Any = self.tree
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return MISSING
        return node

    def merge(self, tree: Mapping[str, Any], origins: Origins, path: KeyPath = ()) -> None:
        """Lay a source over what is there: tables are joined key by key, anything else is replaced."""
        for key, value in tree.items():
            here = (*path, key)
            if isinstance(value, dict) and not opaque(here):
                if not isinstance(self.get(here), dict):
                    self.put(here, {}, origins)
                self.merge(value, origins, here)
            else:
                self.put(here, value, origins)

    def put(self, path: KeyPath, value: Any, origins: Origins) -> None:
        """Set one value and forget where the earlier one came from."""
        self.drop(path)
        self.get(path[:-1])[path[-1]] = value
        inside: list[tuple[KeyPath, Any]] = [(path, value)]
        for here, item in inside:  # grows while it is read
            self.origins[here] = origins if isinstance(origins, Origin) else origins(here)
            if isinstance(item, dict | list):
                parts = item.items() if isinstance(item, dict) else enumerate(item)
                inside += [((*here, key), part) for key, part in parts]

    def drop(self, path: KeyPath) -> None:
        """Take a value away, so that its default counts again."""
        if self.get(path) is MISSING:
            return
        del self.get(path[:-1])[path[-1]]
        for old in [p for p in self.origins if p[: len(path)] == path]:
            del self.origins[old]

    def origin(self, path: KeyPath) -> Origin:
        """Where a path was written, or the nearest thing around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return DEFAULT

    def source(self, path: KeyPath) -> Origin:
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


def dotted(path: KeyPath) -> str:
    """A path as one dotted key: ``loop.refunds.rule[0].when``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{quoted(part)}"
    return text.removeprefix(".")


class Place:
    """One path in the sources; it makes the errors of that path."""

    def __init__(self, sources: Sources, path: KeyPath) -> None:
        self.sources = sources
        self.path = path

    def child(self, key: str | int) -> Place:
        """The place of a key in this table."""
        return Place(self.sources, (*self.path, key))

    @property
    def table(self) -> str:
        """This path as the header of a table: ``[loop.refunds]``; a rule is named by its name or its number."""
        words = dotted(tuple(p for p in self.path if isinstance(p, str)))
        at, index = next(((at, part) for at, part in enumerate(self.path) if isinstance(part, int)), (0, None))
        if index is None:
            return f"[{words}]" if words else "the settings"
        title = self.sources.get((*self.path[: at + 1], "name"))
        name = repr(title) if isinstance(title, str) and title else f"number {index + 1}"
        return f"[[{words}]] {name}" if at == len(self.path) - 1 else f"[{words}] of rule {name}"

    @property
    def words(self) -> str:
        """This path as a key and its table: ``threshold in [loop.refunds]``."""
        key = quoted(str(self.path[-1]))
        return f"{key} in {Place(self.sources, self.path[:-1]).table}" if len(self.path) > 1 else key

    def error(
        self,
        message: str,
        kind: type[SettingsError] | None = None,
        near: Any = None,
        hint: str | None = None,
        **more: Any,
    ) -> SettingsError:
        """The error to raise about this place; inside a rule it is a RuleError."""
        origin = self.sources.origin(self.path)
        if not hint and kind is not QuorumError:
            hint = SettingsError.hint if origin.file else "Correct the argument named in the message."
            if origin.text.startswith("environment"):
                hint = "Correct the environment variable named in the message."
        kind = kind or (RuleError if len(self.path) > 3 and self.path[2] == "rule" else SettingsError)
        ending = f"; did you mean {near!r}?" if near is not None else ""
        return kind(
            f"{origin.text}: {message}{ending}",
            hint=hint,
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

    def user(match: re.Match[str]) -> str:
        name, colon, _ = match[1].partition(":")
        return f"{name}:{MASK}@" if colon else f"{name}@"

    return _QUERY.sub(rf"\1{MASK}", _PASSWORD.sub(user, url))


def model_folder(url: str) -> str:
    """The folder of model files when none is set: beside a SQLite file, else in the working directory."""
    parts = urlsplit(url)
    file = unquote(parts.path.removeprefix("/"))
    beside = parts.scheme.startswith("sqlite") and file and ":memory:" not in file and "mode=memory" not in parts.query
    return f"{file}.models" if beside else "dualcontrol-models"


def rows(settings: Any) -> Iterator[tuple[str, Any, KeyPath]]:
    """Every key in dotted form with the value that may be shown, and its path in the sources."""
    for key in ("database", "web", "secret", "models", "groups", "loop"):
        for path, value in _leaves((key,), getattr(settings, "loops" if key == "loop" else key)):
            yield dotted(path), value, path


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The keys in a value: values inside it are tables, rules and corruptions are numbered ones."""
    inside: Mapping[Any, Any] | None = None
    if isinstance(value, msgspec.Struct):
        inside = msgspec.structs.asdict(value)
    elif path in (("groups",), ("loop",)):
        inside = value
    elif path[-1] in ("rule", "corruptions"):
        inside = dict(enumerate(value))
    if inside is None:
        shown = list(value) if isinstance(value, tuple) else value
        if path in SECRETS:
            shown = masked_url(value) if path == ("database", "url") else MASK if value else None
        yield path, shown
        return
    for key, item in inside.items():
        if path[0] == "loop" and len(path) == 2 and key in ("name", "groups"):  # the header, and a table of its own
            continue
        yield from _leaves((*path, "rule" if key == "rules" else key), item)


def origins_of(settings: Any, sources: Sources) -> dict[str, str]:
    """Where the value of every key came from; what a rule's quorum leaves open comes from the loop's."""
    origins = {}
    for key, _, path in rows(settings):
        origins[key] = sources.source(path).text
        if origins[key] == "default" and len(path) == 6 and path[2] == "rule" and path[4] == "quorum":
            origins[key] = sources.source((*path[:2], "quorum", path[5])).text
    return origins
