"""What a human changed: the fields of two values side by side."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dualcontrol.case import ENCODER, JSON
from dualcontrol.web.show.content import Block, block

MISSING = Block(kind="missing")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One field before and after."""

    path: str
    before: Block
    after: Block
    changed: bool


def rows(before: JSON, after: JSON) -> tuple[Row, ...]:
    """The fields of two values, nested ones by their path, changed ones first; other values make one row."""
    return tuple(sorted(_rows(before, after, ""), key=lambda row: not row.changed))


def _rows(before: JSON, after: JSON, path: str) -> Iterator[Row]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield Row(path=path or "value", before=block(before), after=block(after), changed=not equal(before, after))
        return
    for name in dict.fromkeys([*before, *after]):
        here = f"{path}.{name}" if path else name
        if name not in before:
            yield Row(path=here, before=MISSING, after=block(after[name]), changed=True)
        elif name not in after:
            yield Row(path=here, before=block(before[name]), after=MISSING, changed=True)
        else:
            yield from _rows(before[name], after[name], here)


def equal(one: JSON, other: JSON) -> bool:
    """Whether two values are the same JSON: 1 is not true and not 1.0."""
    return ENCODER.encode(one) == ENCODER.encode(other)
