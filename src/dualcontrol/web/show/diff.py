"""What a human changed: the fields of two values side by side, as they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import msgspec

from dualcontrol.case import ENCODER, JSON
from dualcontrol.web.show.content import LONG_TEXT, Block, Look, Place

MISSING = Block(kind="missing")
ABSENT: JSON = object()  # what is not there
MOST = 60  # changed fields on a page
SAME = 40  # unchanged ones
AROUND = 400  # characters shown before the first difference of two long texts


class DiffRow(msgspec.Struct, frozen=True, kw_only=True):
    """One field before and after; `start` is how many equal characters were left out at the beginning of both."""

    path: str
    before: Block
    after: Block
    changed: bool
    start: int = 0


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that were changed, those that were not, and how many of each are not shown."""

    changed: tuple[DiffRow, ...] = ()
    same: tuple[DiffRow, ...] = ()
    more: int = 0
    more_same: int = 0

    def __bool__(self) -> bool:
        return bool(self.changed or self.same)


def changes(before: JSON, after: JSON, look: Look, was: Place = ("before",), now: Place = ("after",)) -> Changes:
    """The fields of two values, nested ones by their path; other values make one row.

    `was` and `now` are where the two values lie in the page's JSON.
    """
    changed: list[DiffRow] = []
    same: list[DiffRow] = []
    more = more_same = 0
    for path, old, new in _fields(before, after, ()):
        if old is not new and not equal(old, new):
            more += len(changed) >= MOST
            if len(changed) < MOST:
                start = 0
                if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > LONG_TEXT:
                    equal_signs = takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))
                    start = max(sum(1 for _ in equal_signs) - AROUND, 0)  # so that the place where they differ is seen
                sides = [
                    MISSING if side is ABSENT else look(side[start:] if start else side, (*root, *path))
                    for side, root in ((old, was), (new, now))
                ]
                name = _dotted(path)
                changed.append(DiffRow(path=name, before=sides[0], after=sides[1], changed=True, start=start))
        else:
            more_same += len(same) >= SAME
            if len(same) < SAME:
                shown = look(old, (*was, *path))
                same.append(DiffRow(path=_dotted(path), before=shown, after=shown, changed=False))
    return Changes(changed=tuple(changed), same=tuple(same), more=more, more_same=more_same)


def _fields(before: JSON, after: JSON, path: Place) -> Iterator[tuple[Place, JSON, JSON]]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield path, before, after
        return
    for name in dict.fromkeys([*before, *after]):
        here = (*path, name)
        if name not in before or name not in after or equal(before[name], after[name]):
            yield here, before.get(name, ABSENT), after.get(name, ABSENT)
        else:
            yield from _fields(before[name], after[name], here)


def _dotted(path: Place) -> str:
    return ".".join(str(name)[:200] for name in path[:8]) or "value"


def equal(one: JSON, other: JSON) -> bool:
    """Whether two values are the same JSON: 1 is not true and not 1.0."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return ENCODER.encode(one) == ENCODER.encode(other)
