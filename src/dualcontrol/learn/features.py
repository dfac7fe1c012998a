"""Inputs as a learner can take them: a vector of numbers, fields of numbers and words, or text.

Images and files (objects with a key that begins with ``$``) are for people and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dualcontrol.case import JSON

WORD = 40  # a text longer than this, or one with a space in it, is read as prose

Field = tuple[str, float | str]


class Parts(NamedTuple):
    """What an input holds: numbers and words by field, and its prose."""

    fields: dict[str, float | str]
    prose: str


def parts(value: JSON) -> Parts:
    """The fields and the prose of one input."""
    fields: dict[str, float | str] = {}
    prose: list[str] = []
    for path, leaf in _leaves(value, ""):
        if isinstance(leaf, str) and (len(leaf) > WORD or " " in leaf or not path):
            prose.append(leaf)
        else:
            fields[path] = leaf
    return Parts(fields, "\n".join(prose))


def _leaves(value: JSON, path: str) -> Iterator[Field]:
    if isinstance(value, dict):
        if not any(str(key).startswith("$") for key in value):
            for key, item in sorted(value.items(), key=by_name):
                yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    elif isinstance(value, bool | int | float):
        yield path, float(value)
    elif isinstance(value, str):
        yield path, value


def by_name(item: tuple[Any, JSON]) -> str:
    """The order of an object's fields: the same content teaches the same, in whatever order it came."""
    return str(item[0])


def is_vector(inputs: Sequence[JSON]) -> bool:
    """Whether all inputs are lists of numbers of one length, which needs no field names."""
    first = inputs[0] if inputs else None
    if not isinstance(first, list | tuple) or not first:
        return False
    return all(
        isinstance(row, list | tuple)
        and len(row) == len(first)
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in row)
        for row in inputs
    )
