"""Scores and truths from a file: CSV, JSON lines or Parquet; a mistake is a usage error that names line and count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, cast

from dualcontrol.cli.reading import columns, contents, rows_of, usage
from dualcontrol.cli.text import some
from dualcontrol.errors import RequestError
from dualcontrol.learn.trainers import optional
from dualcontrol.route.curve import Scored

YES = {"1", "1.0", "true", "yes", "right", "correct"}
NO = {"0", "0.0", "false", "no", "wrong", "incorrect"}
PARQUET = (".parquet", ".pq")
NAMED = 5
MEND = {
    "score": "leave such a row out, since without a score it is for a human",
    "truth": "find it out: rows whose truth nobody knows are seldom as easy as the rest, and nothing is known of them",
    "proposal": "give what was proposed, or leave --proposal away",
    "group": "give each row a group, or leave --group away",
}


class Fields(NamedTuple):
    """The names of the fields that are read."""

    score: str
    truth: str
    proposal: str | None = None
    group: str | None = None


Line = tuple[int, dict[str, Any]]


def scored(file: str, fields: Fields) -> list[Scored]:
    """The rows of a file; a usage error names the first line that does not fit, and how many lack a field."""
    names = _header(file)
    lines = list(_lines(file))
    if not lines:
        raise usage(f"{file} holds no rows; each row is a proposal with a score and a truth")
    known = list(dict.fromkeys([*names, *(key for _, row in lines for key in row)]))
    wanted = {role: name for role, name in fields._asdict().items() if name}
    for name in wanted.values():
        _there(f"{file}:{1 if names else lines[0][0]}", name, known)
    for role, name in wanted.items():
        _complete(file, lines, name, role, fields.group)
    return [_scored(f"{file}:{line}", row, fields) for line, row in lines]


def _header(file: str) -> list[str]:
    """The names of a table's fields; none where each row names its own."""
    names = columns(contents(file)) if file.lower().endswith(".csv") else []
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise usage(f"{file}:1: the header names {twice!r} twice, so nobody knows which is meant")
    return names


def _lines(file: str) -> Iterator[Line]:
    for line, row in _parquet(file) if file.lower().endswith(PARQUET) else rows_of(file):
        if isinstance(row, str):
            raise usage(f"{file}:{line}: {row}")
        yield line, row


def _parquet(file: str) -> Iterator[Line]:
    arrow = cast(Any, optional("dualcontrol.learn.parquet", "arrow"))
    try:
        data = Path(file).read_bytes()
        yield from arrow.rows_of(data, file, arrow.names_in(data, file))
    except (OSError, RequestError) as error:
        raise usage(f"{file} cannot be read: {error}") from error


def _there(where: str, name: str, known: Sequence[str]) -> None:
    """Refuse a field that no row has."""
    if name in known:
        return
    bare = all(_is_number(field) for field in known)
    more = "; is the header missing? The first line names the fields, such as score,truth" if bare else ""
    raise usage(f"{where}: there is no field {name!r}; there are: {', '.join(known)}{more}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _complete(file: str, lines: Sequence[Line], name: str, role: str, group: str | None) -> None:
    """Refuse a field that some rows lack; a group in which all do is named."""
    bare = [line for line, row in lines if _absent(row.get(name))]
    if not bare:
        return
    named = ", ".join(map(str, bare[:NAMED])) + (" …" if len(bare) > NAMED else "")
    what = f"{some(len(bare), 'row')} of {len(lines)} without {name!r}"
    none = _empty_group(lines, name, group) if group else ""
    raise usage(f"{file}:{bare[0]}: {what}: empty, null or NaN in line {named}{none}; {MEND[role]}")


def _empty_group(lines: Sequence[Line], name: str, group: str) -> str:
    """Says which group has no value of a field at all."""
    having = {str(row.get(group)) for _, row in lines if not _absent(row.get(name))}
    without = [str(row[group]) for _, row in lines if group in row and str(row[group]) not in having]
    return f"; no row of group {without[0]!r} has one" if without and name != group else ""


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
