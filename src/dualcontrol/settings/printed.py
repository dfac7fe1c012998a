"""Settings as people may see them: every key with its value, secrets masked, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from dualcontrol.settings.place import Given, Path, dotted

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
