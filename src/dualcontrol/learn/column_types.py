"""Column types of exported files: one type a column, and lines in an order from which readers see it.

pandas, Arrow, DuckDB and datasets read the types of a file off its beginning, and fail, or read something else, where
a column turns out to be of another type megabytes later.  So a column whose values have no type in common is written
as JSON text in every line, and lines that are the first to show a field or a type come first where they would come
late.  Null or an empty list beside objects counts as none in common, unless it is the whole value: Arrow, which reads
blocks of a file at once, now and then cannot join such blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import TypeVar

from dualcontrol.case import JSON
from dualcontrol.layout import json_line

FIELDS = 200  # an object with more of them is a table of its own, and no column
LINES, BYTES = 64, 65_536  # what readers are sure to look at
SHORT = 40
INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GAPS = {"", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "nat", "<na>"}
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a JSON value: null, bool, int, float, text, a list of one type, or an object of fields."""

    name: str
    item: Type | None = None
    fields: Mapping[str, Type] = field(default_factory=dict)

    @property
    def is_nested(self) -> bool:
        """Whether values of this type hold others."""
        return self.name in ("list", "object")


NULL, TEXT = Type("null"), Type("text")
SCALARS = {bool: Type("bool"), int: Type("int"), float: Type("float"), str: TEXT}


class MixedError(Exception):
    """The values have no type in common."""


def type_of(value: JSON) -> Type:
    """The type of one value; `MixedError` for what has none that every reader knows."""
    if value is None:
        return NULL
    if isinstance(value, dict):
        return Type("object", fields={name: type_of(item) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return Type("list", item=common(map(type_of, value)))
    if isinstance(value, int) and value not in INT64:
        raise MixedError
    return SCALARS[type(value)]


def common(types: Iterable[Type]) -> Type:
    """The type that all of these are of; null where there are none."""
    return reduce(_both, types, None) or NULL


def _both(a: Type | None, b: Type) -> Type:
    if a is None or a is b:
        return b
    if "null" in (a.name, b.name):
        if a.is_nested or b.is_nested:
            raise MixedError
        return a if b.name == "null" else b
    if {a.name, b.name} == {"int", "float"}:
        return SCALARS[float]
    if a.name != b.name:
        raise MixedError
    if a.item is not None and b.item is not None:
        return Type("list", item=_both(a.item, b.item))
    if a.name == "object":
        shared = {name: _both(a.fields[name], b.fields[name]) for name in a.fields.keys() & b.fields.keys()}
        return Type("object", fields={**a.fields, **b.fields, **shared})
    return a


def leaves(of: Type) -> int:
    """How many scalars a value of this type holds by name."""
    return leaves(of.item) if of.item is not None else sum(map(leaves, of.fields.values())) + (not of.fields)


def typed(lines: Sequence[Mapping[str, JSON]], names: Iterable[str]) -> dict[str, Type | None]:
    """The type of each column over all lines; None where the values have none in common."""
    types: dict[str, Type | None] = {}
    for name in names:
        try:
            of = common(type_of(value) for line in lines if (value := line.get(name)) is not None)
        except MixedError:
            types[name] = None
        else:
            types[name] = of if leaves(of) <= FIELDS else None
    return types


def as_text(value: JSON) -> JSON:
    """A value of a column without a type: JSON text, and nothing where there is none."""
    return None if value is None else json_line(value, sort_keys=True)


def in_order(
    lines: Sequence[Item], signs: Callable[[Item], Iterable[object]], size: Callable[[Item], int]
) -> list[Item]:  # fmt: skip
    """The lines, with those first that are the first to show one of their signs and would come late."""
    known: set[object] = set()
    late, passed = [], 0
    for place, line in enumerate(lines):
        fresh = [sign for sign in signs(line) if sign not in known]
        known.update(fresh)
        if fresh and (place >= LINES or passed >= BYTES):
            late.append(place)
        passed += size(line)
    first = set(late)
    return [lines[place] for place in late] + [line for place, line in enumerate(lines) if place not in first]


def signs(value: JSON, path: str = "") -> Iterator[tuple[str, str]]:
    """What a reader may take a type from: each place in a value with how what stands there looks."""
    if isinstance(value, dict):
        yield path, "object"
        for name, item in value.items():
            yield from signs(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        yield path, "list"
        for item in value:
            yield from signs(item, f"{path}[]")
    elif isinstance(value, str):
        yield path, look(value)
    elif value is not None:
        yield path, type(value).__name__


def look(text: str) -> str:
    """What a reader may take a text for: a number, a truth value, a time written in one way, a gap, or a text."""
    short = text.strip().lower() if len(text) <= SHORT else "text"
    if short in _GAPS:
        return "gap"
    if short in ("true", "false"):
        return "flag"
    if _INTEGER.fullmatch(short):
        return "integer"
    if _NUMBER.fullmatch(short):
        return "number"
    if short[:1].isdigit():
        with suppress(ValueError):
            datetime.fromisoformat(short)
            return re.sub(r"\d", "0", short)
    return "text"
