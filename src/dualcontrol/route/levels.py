"""The risks of a batch that are text: each distinct one is checked once, as a single proposal's is."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualcontrol.case import RISK_LEVELS
from dualcontrol.commands import risk_level
from dualcontrol.errors import SignalError
from dualcontrol.route.columns import Array, Column

INITIALS = tuple(ord(level[0]) for level in RISK_LEVELS)


def check_levels(found: Column | None) -> None:
    """Refuse a text that no single proposal may give as its risk, and name the first row that has it."""
    for text, row in _first_rows(found).items() if found is not None else ():
        try:
            risk_level(text)
        except SignalError as error:
            raise SignalError(f"row {row}: {error.message}", row=row) from None


def _first_rows(found: Column) -> dict[str, int]:
    """Each distinct text that may be no level, with the first row it stands in."""
    if found.labels is not None:
        places = {text: found.data == place for place, text in enumerate(found.labels) if text not in RISK_LEVELS}
        return {text: int(np.argmax(rows)) for text, rows in places.items() if rows.any()}
    if found.kind not in ("text", "other"):
        return {}
    rows = _unfamiliar(found.data) if found.words else np.arange(len(found.data))
    given = ((row, found.value(row)) for row in reversed(rows.tolist()))
    return {text: row for row, text in given if isinstance(text, str)}


def _unfamiliar(data: Array) -> Array:
    """The rows of fixed width that begin like no level, by their first sign: no text is made for the others."""
    first: Any = data.view(np.uint32).reshape(len(data), -1)[:, 0]
    unlike = first != INITIALS[0]
    for initial in INITIALS[1:]:
        unlike &= first != initial
    return np.flatnonzero(unlike)
