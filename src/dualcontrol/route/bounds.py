"""Numeric columns: exact comparisons with a number in the column's own type, and quick looks for NaN.

A column of 32-bit floats compared with 0.9 must give what CEL gives on each value as a double; the bound is
moved to the neighbouring value of the column's type instead of converting the column.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

EXACT = 2**53
_BITS = {4: (np.uint32, 0x3F80_0000, 0x7F80_0000), 8: (np.uint64, 0x3FF0 << 48, 0x7FF0 << 48)}
_SENSE = {"<": -1, "<=": -1, ">": 1, ">=": 1}


def bound(op: str, kind: Any, value: int | float) -> tuple[str, Any] | bool:
    """The comparison to run on a column of type `kind`, or True or False where it holds for all rows or none."""
    if kind.kind == "f":
        return _float32(op, float(value)) if kind.itemsize == 4 else (op, np.float64(value))
    if isinstance(value, float):
        if kind.itemsize == 8 and abs(value) >= EXACT:
            return op, np.float64(value)
        if not value.is_integer():
            return _between(op, value, kind)
        value = int(value)
    return _integer(op, value, kind)


def _between(op: str, value: float, kind: Any) -> tuple[str, Any] | bool:
    if op in ("==", "!="):
        return op == "!="
    if _SENSE[op] < 0:
        return _integer("<=", math.floor(value), kind)
    return _integer(">=", math.ceil(value), kind)


def _integer(op: str, value: int, kind: Any) -> tuple[str, Any] | bool:
    limits = np.iinfo(kind)
    if limits.min <= value <= limits.max:
        return op, kind.type(value)
    if op in ("==", "!="):
        return op == "!="
    return (_SENSE[op] < 0) is (value > limits.max)


def _float32(op: str, value: float) -> tuple[str, Any] | bool:
    with np.errstate(over="ignore"):
        near = np.float32(value)
    if float(near) == value:
        return op, near
    if op in ("==", "!="):
        return op == "!="
    if _SENSE[op] < 0:
        return "<=", near if float(near) < value else np.nextafter(near, np.float32(-np.inf))
    return ">=", near if float(near) > value else np.nextafter(near, np.float32(np.inf))


def all_shares(part: Any) -> bool:
    """Whether all numbers are from 0 to 1; NaN is not."""
    if part.dtype.kind == "f":
        bits, one, _ = _BITS[part.dtype.itemsize]
        if np.maximum.reduce(part.view(bits)) <= one:
            return True
    return bool(np.minimum.reduce(part) >= 0 and np.maximum.reduce(part) <= 1)


def any_nan(part: Any) -> bool:
    """Whether a number is NaN; as whole numbers, the bits of NaN and of negative numbers are above infinity's."""
    bits, _, infinity = _BITS[part.dtype.itemsize]
    return bool(np.maximum.reduce(part.view(bits)) > infinity and np.isnan(np.minimum.reduce(part)))
