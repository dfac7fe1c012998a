"""Scores and truths from a file: CSV, JSON lines or Parquet; a mistake is a usage error that names line and count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, NamedTuple, cast

from dualcontrol.cli.reading import rows_of, usage
from dualcontrol.cli.text import some
from dualcontrol.learn.trainers import optional
from dualcontrol.route.curve import Scored

YES = {"1", "1.0", "true", "yes", "right", "correct"}
NO = {"0", "0.0", "false", "no", "wrong", "incorrect"}
PARQUET = (".parquet", ".pq")
NAMED = 5


class Fields(NamedTuple):
    """The names of the fields that are read."""

    score: str
    truth: str
    proposal: str | None = None
    group: str | None = None


Line = tuple[int, dict[str, Any]]


def scored(file: str, fields: Fields) -> list[Scored]:
    """The rows of a file; a usage error names the first line that does not fit, and how many lack a field."""
    lines = list(_lines(file))
    if not lines:
        raise usage(f"{file} holds no rows")
    for name in fields:
        if name:
            _complete(file, lines, name)
    return [_scored(f"{file}:{line}", row, fields) for line, row in lines]


def _lines(file: str) -> Iterator[Line]:
    table = file.lower().endswith(PARQUET)
    found = cast(Any, optional("dualcontrol.cli.parquet", "arrow")).rows_of(file) if table else rows_of(file)
    for line, row in found:
        if isinstance(row, str):
            raise usage(f"{file}:{line}: {row}")
        yield line, row


def _complete(file: str, lines: Sequence[Line], name: str) -> None:
    """Refuse a field that no row has, or that some rows lack."""
    bare = [line for line, row in lines if _absent(row.get(name))]
    if not bare:
        return
    known = list(dict.fromkeys(key for _, row in lines for key in row))
    if not any(name in row for _, row in lines):
        raise usage(f"{file}:{lines[0][0]}: there is no field {name!r}; there are: {', '.join(known)}")
    named = ", ".join(map(str, bare[:NAMED])) + (" …" if len(bare) > NAMED else "")
    what = f"{some(len(bare), 'row')} of {len(lines)} without {name!r}"
    raise usage(f"{file}:{bare[0]}: {what}: empty, null or NaN in line {named}")


def _absent(value: Any) -> bool:
    """Whether a cell says nothing: null, or the NaN that tables write for it; a text "nan" is a value that is none."""
    return value is None or (isinstance(value, float) and value != value)


def _scored(where: str, row: dict[str, Any], fields: Fields) -> Scored:
    truth, score = row[fields.truth], _score(row[fields.score], f"{where}: {fields.score}")
    right = truth == row[fields.proposal] if fields.proposal else _right(truth, f"{where}: {fields.truth}")
    return Scored(score, right, str(row[fields.group]) if fields.group else "")


def _score(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not isfinite(number) or not 0 <= number <= 1 or isinstance(value, bool):
        raise usage(f"{where} is {value!r}, not a number from 0 to 1")
    return number


def _right(value: Any, where: str) -> bool:
    word = str(value).strip().lower()
    if word not in YES | NO:
        raise usage(f"{where} is {value!r}, neither right (1, true, yes) nor wrong (0, false, no); see --proposal")
    return word in YES
