"""Rows as people see them: whatever a data frame, a table, an array or a list holds, as readable JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import Any

import numpy as np

from dualcontrol.case import JSON, scalar


def missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, and what NumPy and pandas have for it."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither; an array is no single value
        return type(value).__name__ == "NAType"


def readable(X: Any) -> list[JSON]:
    """Rows as JSON that people can read: by column where columns have names, else as lists.

    What is missing is null, times are written out, and whatever JSON has no type for is its text.  A row that holds
    nothing at all is named by its number, to be something.
    """
    return [
        {"row": n, "value": cell} if cell in (None, {}) or (isinstance(cell, str) and not cell.strip()) else cell
        for n, cell in enumerate(map(_cell, _rows(X)))
    ]


def _rows(X: Any) -> Iterable[Any]:
    """The rows of a data frame, a table, a sparse matrix, an array or a list."""
    for whole in ("to_dicts", "to_pylist"):  # polars and Arrow
        if hasattr(X, whole):
            return list(getattr(X, whole)())
    if hasattr(X, "columns") and hasattr(X, "iloc"):  # pandas; a name that comes twice gets a number
        names: list[str] = []
        for column in X.columns:
            name = " ".join(map(str, column)) if isinstance(column, tuple) else str(column)
            times = sum(known == name or known.startswith(f"{name} (") for known in names)
            names.append(name if not times else f"{name} ({times + 1})")
        columns = [X.iloc[:, n] for n in range(len(names))]
        return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if isinstance(X, list | tuple):
        return X
    dense = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    if dense.dtype.names:
        return [dict(zip(dense.dtype.names, row, strict=True)) for row in dense]
    return dense


def _cell(value: Any) -> JSON:
    """One value as JSON."""
    if isinstance(value, Mapping):
        return {str(name): _cell(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray) and not (isinstance(value, np.ndarray) and value.ndim == 0):
        return [_cell(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_cell(item) for item in value), key=str)
    if missing(value):
        return None
    own = scalar(value)
    if isinstance(own, str):
        return own.encode("utf-8", "replace").decode()
    if isinstance(own, float) and math.isinf(own):
        return "infinity" if own > 0 else "-infinity"
    if own is None or isinstance(own, bool | int | float):
        return own
    if isinstance(own, date | time):
        return own.isoformat()
    return own.decode("utf-8", "replace") if isinstance(own, bytes) else str(own)
