"""A loop's set of labels: whether what is proposed is in it, one value at a time or a column of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dualcontrol.case import ENCODER, JSON
from dualcontrol.control import LoopSettings
from dualcontrol.errors import PayloadError, ProposalError

SHOWN = 20
KINDS: dict[str, type] = {"U": str, "i": int, "u": int, "b": bool}


def mark(value: JSON) -> bytes:
    """A value as JSON text: 1 is neither 1.0 nor true nor "1"."""
    try:
        return ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"a candidate is not JSON: {error}") from error


class Labels:
    """The set that candidates of a loop are from; made only where there is one."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._labels = settings.labels or ()
        self._marks = {mark(label) for label in self._labels}

    @classmethod
    def of(cls, settings: LoopSettings) -> Labels | None:
        """The set of a loop; None where any label will do."""
        return cls(settings) if settings.mode == "labels" and settings.labels is not None else None

    def __contains__(self, value: JSON) -> bool:
        return mark(value) in self._marks

    def refusal(self, value: JSON, row: int | None = None) -> ProposalError:
        """The error for a label outside the set, with the row where there are rows."""
        known = ", ".join(map(repr, self._labels[:SHOWN]))
        what = f"{value!r:.80} is not a label of loop {self._settings.name!r}: {known}"
        return ProposalError(what) if row is None else ProposalError(f"row {row}: {what}", row=row)

    def first_outside(self, column: Any, inside: Callable[[Any], Iterable[JSON]]) -> tuple[int, JSON] | None:
        """The first row of a column with a label that is not in the set, and it; `inside` names those of a cell."""
        if isinstance(column, np.ndarray) and column.dtype.kind in KINDS:
            return self._first_of_array(column)
        few = distinct(column)
        if few is not None and all(label in self for cell in few for label in inside(cell)):
            return None
        rows = ((row, label) for row, cell in enumerate(column) for label in inside(cell))
        return next(((row, label) for row, label in rows if label not in self), None)

    def _first_of_array(self, column: Any) -> tuple[int, JSON] | None:
        """The same for an array of texts, whole numbers or flags, whose cells are labels themselves."""
        outside = np.ones(len(column), np.bool_)
        for label in self._labels:
            if type(label) is KINDS[column.dtype.kind]:
                outside &= column != label
        row = int(outside.argmax()) if outside.any() else None
        return None if row is None else (row, column[row].item())


def distinct(column: Sequence[Any]) -> list[Any] | None:
    """One cell of each type and value; None where cells are lists or objects, which cannot be told apart quickly."""
    try:
        return [cell for _, cell in set(zip(map(type, column), column, strict=True))]
    except TypeError:
        return None
